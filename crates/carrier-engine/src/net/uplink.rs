//! Who carries the packets of one container.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// Options of `slirp4netns`, with Podman's names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SlirpOptions {
    /// The container reaches what listens on the host's loopback, at 10.0.2.2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_host_loopback: Option<bool>,
    /// The largest packet, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The container's network: its first address and the length of its prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr: Option<(Ipv4Addr, u8)>,
    /// The container also has an address of IPv6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_ipv6: Option<bool>,
    /// Packets leave the host with this address: one of its own, or a device's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outbound_addr: Option<String>,
    /// The same for IPv6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outbound_addr6: Option<String>,
}

/// Options of `pasta`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PastaOptions {
    /// Words of its command line, each checked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
}
