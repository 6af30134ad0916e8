//! Who carries the packets of one container to the host's network and back: `slirp4netns` or `pasta`.
//!
//! Carrier makes the container's device itself, with addresses and routes that are the same whichever
//! program carries the packets. Where the host's loopback is not to be reached, the addresses behind
//! which the programs have it are unreachable by the container's own routes, and so are the host's own
//! addresses: that does not depend on the program.

mod addresses;
mod command;
mod parse;
mod process;
mod tap;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

pub(crate) use addresses::Addresses;
pub(crate) use process::Uplink;
use serde::{Deserialize, Serialize};

use super::error::NetworkError;
use super::hosts::Names;
use super::{Endpoint, NetworkMode, NetworkOptions};
use crate::decisions::decided;
use crate::helper;

/// The container's device.
const DEVICE: &str = "tap0";

/// The largest packet: less work for each byte.
const MTU: u32 = 65520;

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

/// What is going to be started, and for which addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UplinkPlan {
    pub(crate) program: Program,
    pub(crate) path: PathBuf,
    pub(crate) addresses: Addresses,
    pub(crate) mtu: u32,
    /// The container reaches the host: its loopback, and its own addresses.
    pub(crate) allows_loopback: bool,
}

/// The program, with what only it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Slirp4netns(SlirpOptions),
    Pasta(PastaOptions),
}

impl Program {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Slirp4netns(_) => "slirp4netns",
            Self::Pasta(_) => "pasta",
        }
    }
}

/// What a container that asks for an uplink gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    Uplink(UplinkPlan),
    /// Nothing could be found, for this reason.
    Nothing(String),
}

/// Chooses the uplink of a container with a network for itself; nothing for any other mode.
///
/// # Errors
/// When what was asked for by name is missing.
pub(crate) fn choose(
    mode: &NetworkMode,
    options: &NetworkOptions,
) -> Result<Option<Choice>, NetworkError> {
    let host_is_wanted = options.wants_host();
    let slirp = |options: &SlirpOptions, path| {
        let has_ipv6 = options.enable_ipv6.unwrap_or_else(addresses::host_has_ipv6);
        UplinkPlan {
            program: Program::Slirp4netns(options.clone()),
            path,
            addresses: Addresses::within(options.cidr, has_ipv6),
            mtu: options.mtu.unwrap_or(MTU),
            allows_loopback: options.allow_host_loopback.unwrap_or(host_is_wanted),
        }
    };
    let pasta = |options: &PastaOptions, path| UplinkPlan {
        program: Program::Pasta(options.clone()),
        path,
        addresses: Addresses::within(None, addresses::host_has_ipv6()),
        mtu: options.mtu().unwrap_or(MTU),
        allows_loopback: host_is_wanted || options.maps_gateway(),
    };
    let missing = |program, reason| NetworkError::NoHelper { program, reason };
    let plan = match mode {
        NetworkMode::Slirp4netns(options) => {
            let path = find("slirp4netns").map_err(|reason| missing("slirp4netns", reason))?;
            slirp(options, path)
        }
        NetworkMode::Pasta(options) => {
            let path = find("pasta").map_err(|reason| missing("pasta", reason))?;
            pasta(options, path)
        }
        NetworkMode::Private => match find("slirp4netns") {
            Ok(path) => slirp(&SlirpOptions::default(), path),
            Err(reason) => match find("pasta") {
                Ok(path) => {
                    decided(|| format!("the uplink is not slirp4netns: {reason}"));
                    pasta(&PastaOptions::default(), path)
                }
                Err(_) => return Ok(Some(Choice::Nothing(reason))),
            },
        },
        _ => return Ok(None),
    };
    decided(|| {
        let why = match mode {
            NetworkMode::Private => "the first that can be used",
            _ => "asked for",
        };
        format!("the uplink is {}, {why}", plan.path.display())
    });
    Ok(Some(Choice::Uplink(plan)))
}

/// Finds the program, where the kernel has the device that it needs.
fn find(program: &str) -> Result<PathBuf, String> {
    let tun = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun");
    if let Err(error) = tun {
        return Err(format!("/dev/net/tun cannot be opened: {error}"));
    }
    helper::find_also_in_path(program)
}

impl UplinkPlan {
    /// What names in the container mean: the host is behind its gateway, where it may be reached.
    pub(crate) fn names(&self) -> Names {
        let addresses = &self.addresses;
        let mut own = vec![IpAddr::V4(addresses.ip.0)];
        own.extend(addresses.six.map(|six| IpAddr::V6(six.ip.0)));
        let gateway = IpAddr::V4(addresses.gateway);
        Names {
            own,
            host: self.allows_loopback.then_some(gateway),
        }
    }

    /// Where the program answers for the host's name servers.
    pub(crate) fn resolvers(&self) -> Vec<IpAddr> {
        vec![IpAddr::V4(self.addresses.dns)]
    }

    /// How the container is connected.
    pub(crate) fn endpoint(&self, network: String) -> Endpoint {
        Endpoint {
            network,
            id: String::new(),
            internal: false,
            ip: Some(self.addresses.ip),
            gateway: Some(self.addresses.gateway),
            ip6: self.addresses.six.map(|six| six.ip),
            gateway6: self.addresses.six.map(|six| six.gateway),
            mac: Some(self.addresses.mac()),
            interface: DEVICE.to_owned(),
        }
    }
}
