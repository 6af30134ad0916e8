//! Names of hosts: as the system is configured, without the C library, whose modules a static program
//! cannot load.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::origin::{is_here, is_link_local};

/// Resolves names, and keeps servers on the network from sending us to this machine.
#[derive(Clone)]
pub(crate) struct Resolver {
    lookup: Arc<OnceLock<TokioResolver>>,
    /// Whether the registry itself is on this machine.
    home_is_here: Arc<AtomicBool>,
    /// Whether the names come from somebody else than the user.
    foreign: bool,
}

/// An address that a name from a server may not have.
#[derive(Debug)]
pub(crate) struct ForbiddenAddress(IpAddr);

impl fmt::Display for ForbiddenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if is_link_local(self.0) {
            "a link-local address"
        } else {
            "an address of this machine"
        };
        write!(f, "it names a host at {}, {place}", self.0)
    }
}

impl std::error::Error for ForbiddenAddress {}

impl Resolver {
    pub(crate) fn new() -> Self {
        Self {
            lookup: Arc::default(),
            home_is_here: Arc::default(),
            foreign: false,
        }
    }

    /// The same for names that the user did not choose.
    pub(crate) fn for_strangers(&self) -> Self {
        Self {
            foreign: true,
            ..self.clone()
        }
    }

    fn check(&self, addresses: &[IpAddr]) -> Result<(), ForbiddenAddress> {
        let here = || addresses.iter().any(|address| is_here(*address));
        if !self.foreign {
            self.home_is_here.fetch_or(here(), Ordering::Relaxed);
            return Ok(());
        }
        let home_is_here = self.home_is_here.load(Ordering::Relaxed);
        let forbidden =
            |address: &&IpAddr| is_link_local(**address) || (is_here(**address) && !home_is_here);
        match addresses.iter().find(forbidden) {
            Some(address) => Err(ForbiddenAddress(*address)),
            None => Ok(()),
        }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let lookup = match resolver.lookup.get() {
                Some(lookup) => lookup,
                // Not before there is a runtime.
                None => {
                    let made = configured()?;
                    resolver.lookup.get_or_init(|| made)
                }
            };
            let found = lookup.lookup_ip(name.as_str()).await.map_err(in_words)?;
            let addresses: Vec<IpAddr> = found.iter().collect();
            resolver.check(&addresses)?;
            let all = addresses
                .into_iter()
                .map(|address| SocketAddr::new(address, 0));
            let all: Addrs = Box::new(all);
            Ok(all)
        })
    }
}

/// What a user calls it; the rest is as the library says it.
fn in_words(error: NetError) -> Box<dyn std::error::Error + Send + Sync> {
    if error.is_no_records_found() {
        "no such host".into()
    } else {
        error.into()
    }
}

/// As `/etc/resolv.conf` says; without one, only `/etc/hosts` is left to ask.
fn configured() -> Result<TokioResolver, NetError> {
    let mut builder = TokioResolver::builder_tokio().unwrap_or_else(|_| {
        let nobody = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
        TokioResolver::builder_with_config(nobody, TokioRuntimeProvider::default())
    });
    // Both are tried, one a moment after the other: RFC 8305.
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r03_names_from_servers_do_not_lead_to_this_machine() {
        let [public, here, link, mapped] = [
            "192.0.2.1",
            "127.0.0.1",
            "169.254.169.254",
            "::ffff:127.0.0.1",
        ]
        .map(|text| text.parse::<IpAddr>().unwrap());
        let home = Resolver::new();
        let strangers = home.for_strangers();
        assert!(strangers.check(&[public]).is_ok());
        for bad in [here, link, mapped] {
            assert!(strangers.check(&[public, bad]).is_err(), "{bad}");
        }
        // A registry that is here may say so.
        home.check(&[here]).unwrap();
        assert!(strangers.check(&[here]).is_ok());
        assert!(strangers.check(&[link]).is_err());
    }
}
