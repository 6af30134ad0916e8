//! What a user asks for beside the mode: ports, names and the files that hold them.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::NetworkError;
use super::ports::{PortMapping, PortSpec};
use crate::etc_files::is_hostname;

/// Ports, names and kernel parameters of a container's network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkOptions {
    /// Ports of the host that lead to ports of the container.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<PortMapping>,
    /// Each port of `exposed` gets one of the host's.
    pub publish_all: bool,
    /// Ports that the image or the user says the program listens on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exposed: Vec<PortSpec>,
    /// Who is asked for addresses of names.
    pub dns: DnsOptions,
    /// Further lines of `/etc/hosts`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<ExtraHost>,
    /// Where `/etc/hosts` begins.
    pub hosts_file: HostsFile,
    /// The image's own `/etc/hostname` stays.
    pub no_hostname: bool,
    /// The NIS domain name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domainname: String,
}

impl NetworkOptions {
    /// Whether the container asks for the host by a name.
    pub(crate) fn wants_host(&self) -> bool {
        let hosts = self.hosts.iter();
        hosts
            .map(|host| host.address)
            .any(|address| address == HostAddress::Gateway)
    }

    /// Whether ports of the host are to lead to the container.
    pub(crate) fn publishes(&self) -> bool {
        !self.publish.is_empty() || (self.publish_all && !self.exposed.is_empty())
    }
}

/// What `/etc/resolv.conf` says; empty fields follow the host's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DnsOptions {
    /// The image's own file stays.
    pub none: bool,
    /// Name servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<IpAddr>,
    /// Domains that names are looked up in; `.` alone is no domain.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// Options of resolv.conf(5).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// `NAME[;NAME]:ADDRESS`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtraHost {
    /// The names.
    pub names: Vec<String>,
    /// What they mean.
    pub address: HostAddress,
}

impl DnsOptions {
    /// Reads the words of `--dns`, `--dns-search` and `--dns-option`.
    ///
    /// # Errors
    /// [`NetworkError::Invalid`] for what could not be a part of resolv.conf(5).
    pub fn parse(
        servers: &[String],
        search: &[String],
        options: &[String],
    ) -> Result<Self, NetworkError> {
        let none = servers.iter().any(|word| word == "none");
        if none && (servers.len() > 1 || !search.is_empty() || !options.is_empty()) {
            return Err(invalid(
                "conflicting options: --dns none and other DNS options",
            ));
        }
        let server = |word: &String| {
            let address: Result<IpAddr, _> = word.parse();
            address.map_err(|_| invalid(&format!("--dns: {word:?} is no address")))
        };
        let words = servers.iter().filter(|word| *word != "none");
        for (option, words) in [("search", search), ("option", options)] {
            if let Some(word) = words.iter().find(|word| !is_word(word)) {
                return Err(invalid(&format!(
                    "--dns-{option}: {word:?} is not one word"
                )));
            }
        }
        Ok(Self {
            none,
            servers: words.map(server).collect::<Result<_, _>>()?,
            search: search.to_vec(),
            options: options.to_vec(),
        })
    }
}

fn invalid(text: &str) -> NetworkError {
    let hint = "as in --dns 192.0.2.53 --dns-search example.org --dns-option ndots:2, \
                --add-host db:192.0.2.7, --add-host host.docker.internal:host-gateway";
    NetworkError::Invalid(text.to_owned(), hint)
}

/// Whether a text can be a word of a line, and forge no other.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

impl FromStr for ExtraHost {
    type Err = NetworkError;

    /// `NAME[;NAME]:ADDRESS`, or with `=`, as Docker takes both.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let wrong = || invalid(&format!("bad format for add-host: {text:?}"));
        let (names, address) = text.split_once([':', '=']).ok_or_else(wrong)?;
        let names: Vec<String> = names.split(';').map(str::to_owned).collect();
        if !names.iter().all(|name| is_hostname(name)) {
            return Err(wrong());
        }
        let bare = address
            .strip_prefix('[')
            .and_then(|it| it.strip_suffix(']'));
        let address =
            match bare.unwrap_or(address) {
                "host-gateway" => HostAddress::Gateway,
                address => HostAddress::Ip(address.parse().map_err(|_| {
                    invalid(&format!("invalid IP address in add-host: {address:?}"))
                })?),
            };
        Ok(Self { names, address })
    }
}

/// What a name in `/etc/hosts` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostAddress {
    /// This address.
    Ip(IpAddr),
    /// The host, `host-gateway`: wherever the container sees it.
    Gateway,
}

/// What `/etc/hosts` is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostsFile {
    /// Local names, and the container's.
    #[default]
    Generated,
    /// This file, and the container's names.
    File(PathBuf),
    /// The image's own, and the container's names.
    Image,
    /// The image's own, as it is.
    Untouched,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_names_and_an_address() {
        let host: ExtraHost = "a;b.example:192.0.2.7".parse().unwrap();
        assert_eq!(host.names, ["a", "b.example"]);
        for text in ["a:::1", "a:[::1]", "a=::1"] {
            let host: ExtraHost = text.parse().unwrap();
            assert_eq!(
                host.address,
                HostAddress::Ip("::1".parse().unwrap()),
                "{text}"
            );
        }
        let host: ExtraHost = "me:host-gateway".parse().unwrap();
        assert_eq!(host.address, HostAddress::Gateway);
        for wrong in [
            "a",
            ":1.2.3.4",
            "a:",
            "a:b",
            "a\n1.2.3.4 bank:1.2.3.4",
            "a b:1.2.3.4",
        ] {
            assert!(wrong.parse::<ExtraHost>().is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn no_dns_option_forges_a_line() {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let parse = |servers: &[&str], search: &[&str], options: &[&str]| {
            DnsOptions::parse(&words(servers), &words(search), &words(options))
        };
        assert!(parse(&["192.0.2.1", "::1"], &["example.org"], &["ndots:2"]).is_ok());
        assert!(parse(&["none"], &[], &[]).unwrap().none);
        assert!(parse(&["none", "::1"], &[], &[]).is_err());
        assert!(parse(&["dns.example"], &[], &[]).is_err());
        assert!(parse(&[], &["a\nnameserver 6.6.6.6"], &[]).is_err());
        assert!(parse(&[], &[], &["ndots:1 b"]).is_err());
    }
}
