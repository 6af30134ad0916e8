//! What a user asks for beside the mode: ports, names and the files that hold them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ports::{PortMapping, PortSpec};

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
    /// Kernel parameters of the container's namespaces.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
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
