//! Networks of containers: what a user asks for, how a container is connected, and who carries its
//! packets.

mod attachment;
pub(crate) mod netlink;
mod options;
mod ports;
mod state;
mod uplink;

pub use attachment::{Attachment, MacAddress, ParseMacAddressError};
pub use options::{DnsOptions, ExtraHost, HostAddress, HostsFile, NetworkOptions};
pub use ports::{ParsePortError, PortMapping, PortRange, PortSpec, Protocol};
pub use state::{BoundPort, Endpoint, NetworkState};
pub use uplink::{PastaOptions, SlirpOptions};

use serde::{Deserialize, Serialize};

/// What a container can reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// Itself.
    None,
    /// All that the host can.
    Host,
    /// What another container can, with the same addresses: its id in a record, any word for it in
    /// what a user asks for.
    Container(String),
    /// Others, by the best uplink that the host has.
    #[default]
    Private,
    /// Others, by `slirp4netns`.
    Slirp4netns(SlirpOptions),
    /// Others, by `pasta`.
    Pasta(PastaOptions),
    /// The networks of the user, which containers share.
    Bridge(Vec<Attachment>),
}

impl NetworkMode {
    /// Docker's word.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::None => "none".to_owned(),
            Self::Host => "host".to_owned(),
            Self::Container(id) => format!("container:{id}"),
            Self::Private => "private".to_owned(),
            Self::Slirp4netns(_) => "slirp4netns".to_owned(),
            Self::Pasta(_) => "pasta".to_owned(),
            Self::Bridge(attachments) => {
                let first = attachments.first();
                first.map_or_else(String::new, |first| first.network.clone())
            }
        }
    }

    /// Whether the container has a network namespace that nobody else had before.
    pub(crate) fn has_own_namespace(&self) -> bool {
        !matches!(self, Self::Host | Self::Container(_))
    }
}
