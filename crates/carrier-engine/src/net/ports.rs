//! Published ports as users write them: `[[IP:][HOST]:]CONTAINER[/PROTOCOL]`, with ranges.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a port is spoken to.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// By streams.
    #[default]
    Tcp,
    /// By datagrams.
    Udp,
}

/// A port of a container: `80/tcp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortSpec {
    /// Its number, never 0.
    pub port: u16,
    /// How it is spoken to.
    pub protocol: Protocol,
}

/// Ports of the host, one of which is to be taken; 0 to 0 is any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRange {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

/// A port of the host that leads to one of the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    /// Where the host listens; none is everywhere.
    pub host_ip: Option<IpAddr>,
    /// And on which port.
    pub host_ports: PortRange,
    /// Where it leads.
    pub container_port: u16,
    /// How.
    pub protocol: Protocol,
}

/// Why a text is no published port. The words are Docker's where it has some.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParsePortError {
    /// No part of it makes sense.
    #[error("invalid publish spec {0:?}")]
    Malformed(String),
    /// Nothing that the container listens on.
    #[error("no port specified: {0:?}")]
    NoPort(String),
    /// Not the number of a port, or a range that runs backwards.
    #[error("invalid containerPort: {0:?}")]
    ContainerPort(String),
    /// The same of the host's.
    #[error("invalid hostPort: {0:?}")]
    HostPort(String),
    /// Not an address.
    #[error("invalid IP address: {0:?}")]
    Address(String),
    /// Neither TCP nor UDP.
    #[error("invalid proto: {0:?}")]
    Protocol(String),
    /// Ranges that do not fit together.
    #[error("invalid ranges specified for container and host ports: {container} and {host}")]
    Ranges {
        /// The container's.
        container: String,
        /// The host's.
        host: String,
    },
}

impl PortRange {
    /// Whether any port will do.
    #[must_use]
    pub fn is_any(self) -> bool {
        self.first == 0
    }

    fn count(self) -> u32 {
        u32::from(self.last) - u32::from(self.first) + 1
    }

    /// `8000` or `8000-8010`.
    fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse().ok()).flatten()
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = Self {
            first: number(first)?,
            last: number(last)?,
        };
        (range.first <= range.last).then_some(range)
    }
}

impl Protocol {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    fn parse(text: &str) -> Result<Self, ParsePortError> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            _ => Err(ParsePortError::Protocol(text.to_owned())),
        }
    }
}

impl PortSpec {
    /// The ports of `80`, `80/udp` or `8000-8010/tcp`.
    ///
    /// # Errors
    /// When the text is nothing of the like.
    pub fn parse_range(text: &str) -> Result<Vec<Self>, ParsePortError> {
        let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = Protocol::parse(protocol)?;
        let range = PortRange::parse(ports).filter(|range| !range.is_any());
        let range = range.ok_or_else(|| ParsePortError::ContainerPort(ports.to_owned()))?;
        let all = range.first..=range.last;
        Ok(all.map(|port| Self { port, protocol }).collect())
    }
}

impl FromStr for PortSpec {
    type Err = ParsePortError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match Self::parse_range(text)?.as_slice() {
            [port] => Ok(*port),
            _ => Err(ParsePortError::ContainerPort(text.to_owned())),
        }
    }
}

impl fmt::Display for PortSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol.name())
    }
}

impl TryFrom<String> for PortSpec {
    type Error = ParsePortError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PortSpec> for String {
    fn from(port: PortSpec) -> Self {
        port.to_string()
    }
}

impl PortMapping {
    /// The mappings of `[[IP:][HOST]:]CONTAINER[/PROTOCOL]`, where both may be ranges.
    ///
    /// # Errors
    /// When the text is nothing of the like.
    pub fn parse(text: &str) -> Result<Vec<Self>, ParsePortError> {
        if text.contains('=') {
            return Self::parse(&short_spelling(text)?);
        }
        let (addresses, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = Protocol::parse(protocol)?;
        let (rest, container) = match addresses.rsplit_once(':') {
            Some((rest, container)) => (Some(rest), container),
            None => (None, addresses),
        };
        if container.is_empty() {
            return Err(ParsePortError::NoPort(text.to_owned()));
        }
        let range = PortRange::parse(container).filter(|range| !range.is_any());
        let range = range.ok_or_else(|| ParsePortError::ContainerPort(container.to_owned()))?;
        let (address, host) = host_side(rest, text)?;
        let hosts = match host {
            "" => PortRange::default(),
            host => {
                PortRange::parse(host).ok_or_else(|| ParsePortError::HostPort(host.to_owned()))?
            }
        };
        let mapping = |container_port: u16, host_ports| Self {
            host_ip: address,
            host_ports,
            container_port,
            protocol,
        };
        if hosts.is_any() || range.count() == 1 {
            // Any port of the range will do.
            let all = range.first..=range.last;
            return Ok(all.map(|port| mapping(port, hosts)).collect());
        }
        if hosts.count() != range.count() {
            return Err(ParsePortError::Ranges {
                container: container.to_owned(),
                host: host.to_owned(),
            });
        }
        let pairs = (range.first..=range.last).zip(hosts.first..=hosts.last);
        let one = |port| PortRange {
            first: port,
            last: port,
        };
        Ok(pairs
            .map(|(container, host)| mapping(container, one(host)))
            .collect())
    }

    /// The container's side.
    #[must_use]
    pub fn target(&self) -> PortSpec {
        PortSpec {
            port: self.container_port,
            protocol: self.protocol,
        }
    }
}

/// `target=80,published=8080,protocol=tcp` in the other spelling.
fn short_spelling(text: &str) -> Result<String, ParsePortError> {
    let malformed = || ParsePortError::Malformed(text.to_owned());
    let (mut host, mut container, mut protocol) = ("", "", "tcp");
    for option in text.split(',') {
        let (key, value) = option.split_once('=').ok_or_else(malformed)?;
        match key {
            "target" => container = value,
            "published" => host = value,
            "protocol" => protocol = value,
            // Both mean the same where there is one host.
            "mode" if matches!(value, "host" | "ingress") => {}
            _ => return Err(malformed()),
        }
    }
    let is_plain = |text: &str| text.bytes().all(|it| it.is_ascii_digit() || it == b'-');
    if container.is_empty() || !is_plain(container) || !is_plain(host) {
        return Err(malformed());
    }
    Ok(format!("{host}:{container}/{protocol}"))
}

/// Address and ports of `[IP:][HOST]`; addresses of IPv6 are in brackets.
fn host_side<'a>(
    rest: Option<&'a str>,
    whole: &str,
) -> Result<(Option<IpAddr>, &'a str), ParsePortError> {
    let Some(rest) = rest else {
        return Ok((None, ""));
    };
    let (address, host) = match rest.strip_prefix('[') {
        Some(bracketed) => match bracketed.split_once("]:") {
            Some((address, host)) => (Some(address), host),
            // `[::1]:80`: any port of that address.
            None => match bracketed.strip_suffix(']') {
                Some(address) => (Some(address), ""),
                None => return Err(ParsePortError::Malformed(whole.to_owned())),
            },
        },
        None => match rest.rsplit_once(':') {
            Some((address, host)) => (Some(address), host),
            // `127.0.0.1:80`: any port of that address.
            None if rest.contains('.') => (Some(rest), ""),
            None => (None, rest),
        },
    };
    let parsed = match address {
        None | Some("") => None,
        Some(address) => {
            let parsed: Result<IpAddr, _> = address.parse();
            let parsed = parsed
                .ok()
                .filter(|ip| ip.is_ipv4() || rest.starts_with('['));
            Some(parsed.ok_or_else(|| ParsePortError::Address(address.to_owned()))?)
        }
    };
    Ok((parsed, host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_long_spelling_means_the_same() {
        let parse = |text: &str| PortMapping::parse(text);
        let long = "target=80-81,published=8080-8081,protocol=udp,mode=host";
        assert_eq!(parse(long), parse("8080-8081:80-81/udp"));
        assert_eq!(parse("target=80"), parse("80"));
        for wrong in [
            "published=80",
            "target=80,colour=red",
            "target=1:2",
            "=",
            "target",
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    fn shown(text: &str) -> String {
        let show = |mapping: PortMapping| {
            let address = mapping.host_ip.map_or("*".to_owned(), |ip| ip.to_string());
            let PortRange { first, last } = mapping.host_ports;
            format!("{address} {first}-{last} {}", mapping.target())
        };
        match PortMapping::parse(text) {
            Ok(mappings) => mappings
                .into_iter()
                .map(show)
                .collect::<Vec<_>>()
                .join(", "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn published_ports_are_written_as_in_docker() {
        for (text, expected) in [
            ("80", "* 0-0 80/tcp"),
            ("80/udp", "* 0-0 80/udp"),
            ("80/TCP", "* 0-0 80/tcp"),
            ("8080:80", "* 8080-8080 80/tcp"),
            (":80", "* 0-0 80/tcp"),
            ("0:80", "* 0-0 80/tcp"),
            ("127.0.0.1:8080:80", "127.0.0.1 8080-8080 80/tcp"),
            ("127.0.0.1::80", "127.0.0.1 0-0 80/tcp"),
            ("127.0.0.1:80", "127.0.0.1 0-0 80/tcp"),
            ("[::1]:8080:80", "::1 8080-8080 80/tcp"),
            ("[::1]::80/udp", "::1 0-0 80/udp"),
            ("[::1]:80", "::1 0-0 80/tcp"),
            ("8000-8001:80-81", "* 8000-8000 80/tcp, * 8001-8001 81/tcp"),
            ("8000-8009:80", "* 8000-8009 80/tcp"),
            ("80-81", "* 0-0 80/tcp, * 0-0 81/tcp"),
        ] {
            assert_eq!(shown(text), expected, "of {text:?}");
        }
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for (text, expected) in [
            ("", "no port specified: \"\""),
            ("80:", "no port specified: \"80:\""),
            ("0", "invalid containerPort: \"0\""),
            ("http", "invalid containerPort: \"http\""),
            ("+80", "invalid containerPort: \"+80\""),
            ("65536", "invalid containerPort: \"65536\""),
            ("81-80", "invalid containerPort: \"81-80\""),
            ("x:80", "invalid hostPort: \"x\""),
            ("70000:80", "invalid hostPort: \"70000\""),
            ("::1:8080:80", "invalid IP address: \"::1\""),
            ("300.0.0.1:1:80", "invalid IP address: \"300.0.0.1\""),
            ("[::1:8080:80", "invalid publish spec \"[::1:8080:80\""),
            ("80/sctp", "invalid proto: \"sctp\""),
            (
                "8000-8002:80-81",
                "invalid ranges specified for container and host ports: 80-81 and 8000-8002",
            ),
        ] {
            assert_eq!(shown(text), expected, "of {text:?}");
        }
    }

    #[test]
    fn exposed_ports_may_be_ranges() {
        let ports = PortSpec::parse_range("53-54/udp").unwrap();
        let texts: Vec<String> = ports.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["53/udp", "54/udp"]);
        assert!("1-2".parse::<PortSpec>().is_err());
    }
}
