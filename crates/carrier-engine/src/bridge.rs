//! Networks of the user, which containers share: what they are, who is on them, and the process that
//! keeps them.

mod addresses;
mod client;
mod create;
mod describe;
mod devices;
mod error;
mod filter;
mod keeper;
mod lookup;
mod members;
mod network;
mod protocol;
mod remove;
mod subnet;

pub(crate) use client::Membership;
pub use create::CreateNetworkOptions;
pub use describe::NetworkFilter;
pub use error::BridgeError;
pub(crate) use filter::try_install as try_filter;
pub use lookup::NetworkUser;
pub use members::ConnectOptions;
pub use network::{DEFAULT_NETWORK, Driver, Network, NetworkSubnet};
pub use subnet::{ParseSubnetError, Subnet};
