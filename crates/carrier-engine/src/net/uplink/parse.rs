//! Options of the programs as users write them behind the mode: `slirp4netns:mtu=1500`.

use std::net::Ipv4Addr;

use super::{PastaOptions, SlirpOptions};
use crate::net::error::NetworkError;

const SLIRP_HINT: &str = "options are allow_host_loopback, mtu, cidr, enable_ipv6, outbound_addr, \
                          outbound_addr6 and port_handler";
const PASTA_HINT: &str = "options are --mtu, --interface, --outbound, --outbound-if4, \
                          --outbound-if6, --ipv4-only, --map-gw, --no-tcp, --no-udp and --no-icmp; \
                          ports are published with -p";

/// Options of pasta that may be passed on, and whether they have a value. None of them lets the
/// container reach what it could not reach before, but for `--map-gw`.
const PASSED: [(&str, &str, bool); 10] = [
    ("--mtu", "-m", true),
    ("--interface", "-i", true),
    ("--outbound", "-o", true),
    ("--outbound-if4", "", true),
    ("--outbound-if6", "", true),
    ("--ipv4-only", "-4", false),
    ("--no-tcp", "", false),
    ("--no-udp", "", false),
    ("--no-icmp", "", false),
    (MAP_GATEWAY, "", false),
];

/// Podman's word: what is not forbidden is allowed.
const MAP_GATEWAY: &str = "--map-gw";

fn invalid(text: String, hint: &'static str) -> NetworkError {
    NetworkError::Invalid(text, hint)
}

impl SlirpOptions {
    /// Reads `KEY=VALUE[,KEY=VALUE]`.
    ///
    /// # Errors
    /// [`NetworkError::Invalid`] names what makes no sense.
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        let mut options = Self::default();
        for option in text.split(',').filter(|option| !option.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            let wrong = |what: &str| {
                invalid(
                    format!("invalid slirp4netns option {option:?}: {what}"),
                    SLIRP_HINT,
                )
            };
            let truth = || value.parse().map_err(|_| wrong("it is true or false"));
            match key {
                "allow_host_loopback" => options.allow_host_loopback = Some(truth()?),
                "enable_ipv6" => options.enable_ipv6 = Some(truth()?),
                "mtu" => {
                    let mtu = value.parse().ok().filter(|mtu| (576..=65521).contains(mtu));
                    options.mtu = Some(mtu.ok_or_else(|| wrong("it is 576 to 65521 bytes"))?);
                }
                "cidr" => {
                    let network = network(value);
                    let wanted = "it is an address with zeros behind the prefix of 8 to 25 bits";
                    options.cidr = Some(network.ok_or_else(|| wrong(wanted))?);
                }
                "outbound_addr" | "outbound_addr6" => {
                    if !is_plain(value) {
                        return Err(wrong("it is an address or the name of a device"));
                    }
                    let place = match key {
                        "outbound_addr" => &mut options.outbound_addr,
                        _ => &mut options.outbound_addr6,
                    };
                    *place = Some(value.to_owned());
                }
                // Both of Podman's ways are Carrier's own here.
                "port_handler" if matches!(value, "rootlesskit" | "slirp4netns") => {}
                "port_handler" => return Err(wrong("it is rootlesskit or slirp4netns")),
                _ => return Err(wrong("there is no such option")),
            }
        }
        Ok(options)
    }
}

fn network(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, length) = text.split_once('/')?;
    let (address, length): (Ipv4Addr, u8) = (address.parse().ok()?, length.parse().ok()?);
    let hosts = u32::MAX.checked_shr(length.into())?;
    let fits = (8..=25).contains(&length) && address.to_bits() & hosts == 0;
    (fits && !address.is_loopback()).then_some((address, length))
}

/// What cannot be mistaken for an option.
fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:-_%/".contains(&byte);
    !text.is_empty() && !text.starts_with('-') && text.bytes().all(plain)
}

impl PastaOptions {
    /// Reads words of pasta's command line with commas between them.
    ///
    /// # Errors
    /// [`NetworkError::Invalid`] names the one that is not passed on.
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        let mut arguments = Vec::new();
        let mut words = text.split(',').filter(|word| !word.is_empty());
        while let Some(word) = words.next() {
            let (name, attached) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word, None),
            };
            let wrong = |what: &str| {
                let text = format!("pasta option {word:?} is not available: {what}");
                invalid(text, PASTA_HINT)
            };
            let known = PASSED
                .iter()
                .find(|(long, short, _)| *long == name || (!short.is_empty() && *short == name));
            let (long, _, has_value) = known.ok_or_else(|| {
                wrong("it could lead to the host, or change what Carrier has configured")
            })?;
            if !has_value {
                if attached.is_some() {
                    return Err(wrong("it has no value"));
                }
                arguments.push((*long).to_owned());
                continue;
            }
            let value = attached.or_else(|| words.next());
            let value = value.filter(|value| is_plain(value));
            let value = value.ok_or_else(|| wrong("it needs a value"))?;
            arguments.push(format!("{long}={value}"));
        }
        Ok(Self { arguments })
    }

    /// The largest packet, in bytes.
    pub(crate) fn mtu(&self) -> Option<u32> {
        let mut values = self
            .arguments
            .iter()
            .filter_map(|word| word.strip_prefix("--mtu="));
        values.next_back()?.parse().ok().filter(|mtu| *mtu > 0)
    }

    /// Whether the container reaches the host's loopback behind its gateway.
    pub(crate) fn maps_gateway(&self) -> bool {
        self.arguments.iter().any(|word| word == MAP_GATEWAY)
    }

    /// The words that are passed on as they are.
    pub(super) fn passed(&self) -> impl Iterator<Item = &String> {
        let own = |word: &&String| *word != MAP_GATEWAY && !word.starts_with("--mtu=");
        self.arguments.iter().filter(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_slirp4netns_have_podmans_names() {
        let text = "allow_host_loopback=true,mtu=1500,cidr=10.9.0.0/24,enable_ipv6=false,\
                    outbound_addr=eth0,port_handler=slirp4netns";
        let options = SlirpOptions::parse(text).unwrap();
        assert_eq!(options.allow_host_loopback, Some(true));
        assert_eq!(options.cidr, Some((Ipv4Addr::new(10, 9, 0, 0), 24)));
        assert_eq!(SlirpOptions::parse("").unwrap(), SlirpOptions::default());
        for wrong in [
            "mtu",
            "mtu=9",
            "mtu=x",
            "cidr=10.0.2.1/24",
            "cidr=10.0.2.0/30",
            "cidr=127.0.0.0/8",
            "enable_ipv6=maybe",
            "outbound_addr=",
            "outbound_addr=--exit-fd=0",
            "port_handler=mine",
            "api_socket=/tmp/s",
        ] {
            assert!(SlirpOptions::parse(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn only_harmless_words_reach_pasta() {
        let options = PastaOptions::parse("-m,1500,-i,eth0,--outbound-if4=eth1,-4").unwrap();
        assert_eq!(options.mtu(), Some(1500));
        let passed: Vec<&String> = options.passed().collect();
        assert_eq!(
            passed,
            ["--interface=eth0", "--outbound-if4=eth1", "--ipv4-only"]
        );
        assert!(PastaOptions::parse("--map-gw").unwrap().maps_gateway());
        for wrong in [
            "-T,8080",
            "--tcp-ns=auto",
            "-t,auto",
            "--pcap=/home/u/x",
            "--log-file=/x",
            "--runas=0",
            "--address=192.0.2.1",
            "-i",
            "-i,-T",
            "--no-map-gw=1",
            "8080",
        ] {
            assert!(PastaOptions::parse(wrong).is_err(), "{wrong:?} was taken");
        }
    }
}
