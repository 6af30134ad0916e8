//! How a container is connected, as its monitor has seen it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::attachment::MacAddress;
use super::ports::{PortSpec, Protocol};

/// The observed facts of a container's network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NetworkState {
    /// The program that carries its packets, where it is the container's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uplink: Option<String>,
    /// Why the network does not work any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// The container's addresses, a network each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
    /// The published ports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<BoundPort>,
}

/// The addresses of a container on one network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Endpoint {
    /// The network's name; the mode's, where the container has one for itself.
    pub network: String,
    /// The network's id; empty where the container has it for itself.
    pub id: String,
    /// Nobody outside reaches it, nor is reached from it.
    pub internal: bool,
    /// The container's address and the length of its prefix.
    pub ip: Option<(Ipv4Addr, u8)>,
    /// The way out.
    pub gateway: Option<Ipv4Addr>,
    /// The same for IPv6.
    pub ip6: Option<(Ipv6Addr, u8)>,
    /// The way out of IPv6.
    pub gateway6: Option<Ipv6Addr>,
    /// The address of the device.
    pub mac: Option<MacAddress>,
    /// The device in the container.
    pub interface: String,
}

impl Endpoint {
    /// 64 hexadecimal digits that are this connection's alone, as long as it exists; else nothing.
    pub(crate) fn id_for(&self, container: &str) -> String {
        if self.ip.is_none() && self.ip6.is_none() {
            return String::new();
        }
        let mut hash = Sha256::new();
        hash.update(container);
        hash.update(&self.network);
        hash.update(&self.id);
        let digits = hash.finalize();
        digits.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A port of the host that leads to one of the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BoundPort {
    /// Where the host listens.
    pub host_ip: IpAddr,
    /// And on which port.
    pub host_port: u16,
    /// Where it leads.
    pub container_port: u16,
    /// How.
    pub protocol: Protocol,
}

impl BoundPort {
    /// The host's side.
    pub(crate) fn source(&self) -> PortSpec {
        PortSpec {
            port: self.host_port,
            protocol: self.protocol,
        }
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
