//! What can go wrong with networks, and what to do about it.

use std::io;
use std::net::IpAddr;

use super::subnet::{ParseSubnetError, Subnet};
use crate::doctor;

/// An error about a network of the user.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// There is none of that name or id.
    #[error("no such network: {0}")]
    NotFound(String),
    /// The name is taken.
    #[error("network with name {0} already exists")]
    Exists(String),
    /// Every user has this one.
    #[error("{0} is a pre-defined network and cannot be {1}")]
    Predefined(String, &'static str),
    /// The name means something else.
    #[error("{0:?} cannot be the name of a network: it is a mode of `run --network`")]
    ReservedName(String),
    /// Containers are connected.
    #[error("network {name} is in use by {}", .users.join(", "))]
    InUse {
        /// The network.
        name: String,
        /// The containers.
        users: Vec<String>,
    },
    /// A kind of network that Carrier does not have.
    #[error("network driver {driver} is not supported: {reason}")]
    Driver {
        /// What was asked for.
        driver: String,
        /// Why it cannot be.
        reason: &'static str,
    },
    /// A text that is no range of addresses.
    #[error(transparent)]
    Subnet(#[from] ParseSubnetError),
    /// Somebody else has these addresses.
    #[error("subnet {subnet} overlaps {with}")]
    Overlap {
        /// What was asked for.
        subnet: Subnet,
        /// Who has some of it.
        with: String,
    },
    /// All ranges of addresses are taken.
    #[error("no range of addresses is free for the network")]
    NoFreeSubnet,
    /// Too small for a gateway and a container.
    #[error("subnet {0} has no room for a gateway and a container")]
    SmallSubnet(Subnet),
    /// More ranges than one of each version.
    #[error("a network has one subnet of IPv4 and one of IPv6 at most")]
    SeveralSubnets,
    /// An address of a network that is not the network's.
    #[error("{what} {address} is not in a subnet of the network")]
    Outside {
        /// `gateway`, `ip range`, `address`.
        what: &'static str,
        /// The address or range.
        address: String,
    },
    /// An option of the driver.
    #[error("network option {option} is not supported: {reason}")]
    Option {
        /// `NAME=VALUE`
        option: String,
        /// Why.
        reason: String,
    },
    /// The address is another container's, or the gateway's.
    #[error("address {address} is already in use on network {network} by {by}")]
    AddressInUse {
        /// The address.
        address: IpAddr,
        /// The network.
        network: String,
        /// Who has it.
        by: String,
    },
    /// All addresses are taken.
    #[error("network {0} has no free address left")]
    NoFreeAddress(String),
    /// The network has no addresses of this version.
    #[error("network {network} has no addresses of {version}")]
    NoSuchVersion {
        /// The network.
        network: String,
        /// `IPv4`, `IPv6`.
        version: &'static str,
    },
    /// It is connected already.
    #[error("container {container} is already connected to network {network}")]
    Connected {
        /// The container.
        container: String,
        /// The network.
        network: String,
    },
    /// It is not connected.
    #[error("container {container} is not connected to network {network}")]
    NotConnected {
        /// The container.
        container: String,
        /// The network.
        network: String,
    },
    /// The container has a network for itself.
    #[error("container {container} cannot be connected to a network: its network is {mode}")]
    OtherMode {
        /// The container.
        container: String,
        /// Its mode.
        mode: String,
    },
    /// The same network twice.
    #[error("network {0} is given more than once")]
    Twice(String),
    /// A network that containers have for themselves.
    #[error("network {0} cannot be combined with others")]
    Alone(String),
    /// The container runs outside of the shared network.
    #[error(
        "container {0} runs without a network, and can be connected only while it does not run"
    )]
    Unreachable(String),
    /// A name that no host can have.
    #[error("{0:?} cannot be the name of a host on a network")]
    BadAlias(String),
    /// The shared network said no.
    #[error("{message}")]
    Refused {
        /// Why.
        message: String,
        /// What can be done.
        hint: Option<String>,
    },
    /// The shared network cannot be made or reached.
    #[error("cannot {action} the shared network")]
    Shared {
        /// What was to be done.
        action: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The kernel refuses to connect a container.
    #[error("cannot connect container {container} to network {network}")]
    Connect {
        /// The container.
        container: String,
        /// The network.
        network: String,
        /// The cause.
        source: io::Error,
    },
    /// The kernel cannot translate addresses.
    #[error("cannot set up the packet filter of the shared network")]
    Filter(#[source] io::Error),
}

impl BridgeError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotFound(_) => {
                "`carrier network ls` lists what there is, `carrier network create` \
                                  makes one"
                    .to_owned()
            }
            Self::Exists(_) => "choose another name, or keep the network with --ignore".to_owned(),
            Self::InUse { name, users } => {
                let user = users.first().map_or("CONTAINER", String::as_str);
                format!("`carrier network disconnect {name} {user}`, or end the container")
            }
            Self::Driver { .. } => "leave --driver out, or say `--driver bridge`".to_owned(),
            Self::Overlap { .. } => {
                "choose another one, or leave --subnet out and let Carrier choose".to_owned()
            }
            Self::NoFreeSubnet => {
                "`carrier network prune` removes unused networks, --subnet names a range".to_owned()
            }
            Self::AddressInUse { network, .. } | Self::NoFreeAddress(network) => {
                format!("`carrier network inspect {network}` shows who has which address")
            }
            Self::NoSuchVersion {
                version: "IPv6", ..
            } => "`carrier network create --ipv6` makes a network with both".to_owned(),
            Self::OtherMode { container, .. } => format!(
                "make it with `--network NAME`; only containers made so can be connected: \
                 `carrier inspect {container}` shows its mode"
            ),
            Self::Refused { hint, .. } => return hint.clone(),
            Self::Filter(source) => doctor::no_filter(source),
            Self::Predefined(..) => {
                "it is there for everybody; choose another name for a network of \
                                    your own"
                    .to_owned()
            }
            Self::ReservedName(_) => "choose another name".to_owned(),
            Self::Subnet(_) | Self::SmallSubnet(_) => {
                "`--subnet 10.89.7.0/24` has room for 253 containers".to_owned()
            }
            Self::SeveralSubnets => {
                "make several networks, and connect containers to all".to_owned()
            }
            Self::Outside { .. } => {
                "`carrier network inspect NAME` shows the subnets of a network".to_owned()
            }
            Self::Option { .. } => "leave the option out".to_owned(),
            Self::NoSuchVersion { .. } => {
                "`carrier network create --subnet ADDRESS/BITS` makes a network with one".to_owned()
            }
            Self::Connected { container, .. } | Self::NotConnected { container, .. } => {
                format!("`carrier inspect {container}` shows its networks")
            }
            Self::Twice(_) => "name each network once".to_owned(),
            Self::Alone(_) => "say `--network host` or `--network none` alone".to_owned(),
            Self::Unreachable(name) => format!("`carrier stop {name}`, and try again"),
            Self::BadAlias(_) => "names have letters, digits, `-`, `.` and `_`".to_owned(),
            Self::Shared { .. } | Self::Connect { .. } => {
                "`carrier doctor` looks for what is wrong with this host; \
                 `--network private` needs no shared network"
                    .to_owned()
            }
        })
    }
}
