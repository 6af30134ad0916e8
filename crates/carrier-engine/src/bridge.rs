//! Networks of the user, which containers share: what they are, who is on them, and the process that
//! keeps them.

mod addresses;
mod client;
mod describe;
mod devices;
mod error;
mod filter;
mod keeper;
mod members;
mod network;
mod protocol;
mod subnet;
mod verbs;

pub(crate) use client::Membership;
pub use describe::NetworkFilter;
pub use error::BridgeError;
pub use members::ConnectOptions;
pub use network::{DEFAULT_NETWORK, Driver, Network, NetworkSubnet};
pub use subnet::{ParseSubnetError, Subnet};
pub use verbs::{CreateNetworkOptions, NetworkUser};
