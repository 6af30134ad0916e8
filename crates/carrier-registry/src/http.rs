//! HTTP clients: one for each host that wants other certificates than all the rest.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Response, Url};

use crate::config::{Certificates, Place, Timeouts};
use crate::error::Error;
use crate::origin::{api_host, is_loopback_host, names};
use crate::resolver::{ForbiddenAddress, Resolver};

/// For a small document as a whole.
const DOCUMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// How servers are spoken to.
pub(crate) struct Http {
    /// Hosts, with their ports, whose certificates are not checked.
    insecure: Vec<String>,
    /// Those that the user chose, by a name or in the configuration.
    homes: Vec<String>,
    timeouts: Timeouts,
    resolver: Resolver,
    clients: RefCell<HashMap<Manner, reqwest::Client>>,
}

/// What makes a client differ from another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Manner {
    insecure: bool,
    /// This machine is not reached through a proxy.
    direct: bool,
    /// A server has sent us there.
    foreign: bool,
    /// Whoever sends the request limits the wait.
    patient: bool,
    certificates: Option<Certificates>,
}

impl Http {
    pub(crate) fn new(places: &[&Place], timeouts: Timeouts) -> Self {
        // As URLs have it.
        let host = |place: &&Place| api_host(&place.host).to_ascii_lowercase();
        let insecure = places.iter().filter(|place| place.insecure);
        Self {
            insecure: insecure.map(host).collect(),
            homes: places.iter().map(host).collect(),
            timeouts,
            resolver: Resolver::new(),
            clients: RefCell::default(),
        }
    }

    /// The client for the host of a URL; a patient one waits forever. Connections are shared by all
    /// who use it.
    pub(crate) fn client(&self, url: &Url, patient: bool) -> Result<reqwest::Client, Error> {
        let manner = Manner {
            patient,
            ..self.manner(url)
        };
        if let Some(client) = self.clients.borrow().get(&manner) {
            return Ok(client.clone());
        }
        let client = self.build(&manner)?;
        let mut clients = self.clients.borrow_mut();
        clients.insert(manner, client.clone());
        Ok(client)
    }

    fn manner(&self, url: &Url) -> Manner {
        let names: Vec<String> = names(url).collect();
        Manner {
            insecure: names.iter().any(|name| self.insecure.contains(name)),
            foreign: !names.iter().any(|name| self.homes.contains(name)),
            direct: url.host_str().is_some_and(is_loopback_host),
            patient: false,
            certificates: Certificates::find(&names),
        }
    }

    fn build(&self, manner: &Manner) -> Result<reqwest::Client, Error> {
        // Fails when it was done before.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("carrier/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .connect_timeout(self.timeouts.connect)
            .tls_danger_accept_invalid_certs(manner.insecure);
        builder = builder.dns_resolver(match manner.foreign {
            true => self.resolver.for_strangers(),
            false => self.resolver.clone(),
        });
        if !manner.patient {
            builder = builder.read_timeout(self.timeouts.read);
        }
        if manner.direct {
            builder = builder.no_proxy();
        }
        if let Some(certificates) = &manner.certificates {
            builder = builder.tls_certs_merge(certificates.authorities()?);
            if let Some(identity) = certificates.identity()? {
                builder = builder.identity(identity);
            }
        }
        builder
            .build()
            .map_err(|error| Error::Client(deepest(&error)))
    }
}

/// Reads a small answer of `host`.
pub(crate) async fn read(
    host: &str,
    mut response: Response,
    what: &str,
    max: u64,
) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let reading = async {
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| transport(host, &error))?
        {
            if (bytes.len() + chunk.len()) as u64 > max {
                return Err(Error::TooLarge {
                    what: format!("the {what}"),
                    max,
                });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(())
    };
    match tokio::time::timeout(DOCUMENT_TIMEOUT, reading).await {
        Ok(read) => read.map(|()| bytes),
        Err(_) => Err(Error::Timeout {
            host: host.to_owned(),
        }),
    }
}

/// What became of a request that brought no answer.
pub(crate) fn transport(host: &str, error: &reqwest::Error) -> Error {
    let host = host.to_owned();
    let reason = deepest(error);
    if wants_our_certificate(&reason) {
        Error::ClientCertificate { host, reason }
    } else if causes(error).any(is_about_certificates) {
        Error::Tls { host, reason }
    } else if causes(error).any(is_against_protocol) {
        Error::Protocol { host, reason }
    } else if error.is_connect() {
        Error::Unreachable { host, reason }
    } else if error.is_timeout() {
        Error::Timeout { host }
    } else {
        Error::Broken { host, reason }
    }
}

/// An error and those that caused it.
fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        // What is inside of an input/output error is not its source.
        let inner = error.downcast_ref::<std::io::Error>();
        match inner.and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        }
    })
}

/// Whether a server has said that it does not like our certificate, RFC 8446 section 6.2. HTTP/2
/// passes on the text alone.
fn wants_our_certificate(reason: &str) -> bool {
    let alert = reason.strip_prefix("received fatal alert: ");
    alert.is_some_and(|alert| {
        alert.contains("Certificate") || ["UnknownCA", "AccessDenied"].contains(&alert)
    })
}

/// Only these are worth a word on certificates; others mean that the server speaks no TLS.
fn is_about_certificates(error: &(dyn std::error::Error + 'static)) -> bool {
    use rustls::Error as Tls;
    matches!(
        error.downcast_ref(),
        Some(Tls::InvalidCertificate(_) | Tls::NoCertificatesPresented)
    )
}

/// Whether an answer came that is no HTTP, or more of it than anybody needs, or that sends us where
/// it should not.
fn is_against_protocol(error: &(dyn std::error::Error + 'static)) -> bool {
    let nonsense = error.downcast_ref::<hyper::Error>();
    nonsense.is_some_and(hyper::Error::is_parse) || error.is::<ForbiddenAddress>()
}

/// The system's own words for what went wrong; those around them repeat the URL.
fn deepest(error: &reqwest::Error) -> String {
    let last = causes(error).last();
    last.map_or_else(|| error.to_string(), ToString::to_string)
}
