//! Networks of containers: what a user asks for, how a container is connected, and who carries its
//! packets.

mod attachment;
mod check;
mod connection;
mod error;
mod follow;
mod forward;
pub(crate) mod hosts;
mod listen;
mod mode;
pub(crate) mod names;
pub(crate) mod namespaces;
pub(crate) mod netlink;
mod options;
pub(crate) mod own;
mod ports;
pub(crate) mod powers;
pub(crate) mod resolv;
mod state;
pub(crate) mod uplink;

pub use attachment::{Attachment, MacAddress, ParseMacAddressError};
pub(crate) use connection::{Connection, ConnectionPlan};
pub use error::NetworkError;
pub(crate) use follow::{Follower, rewrite};
pub(crate) use listen::Publication;
pub use mode::NetworkMode;
pub(crate) use namespaces::namespace_of;
pub use options::{DnsOptions, ExtraHost, HostAddress, HostsFile, NetworkOptions};
pub use ports::{ParsePortError, PortMapping, PortRange, PortSpec, Protocol};
pub use state::{BoundPort, Endpoint, NetworkState};
pub use uplink::{PastaOptions, SlirpOptions};
