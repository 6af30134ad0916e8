//! The noun `network`: networks that containers share.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use carrier_engine::Subnet;
use carrier_spec::NetworkName;
use clap::{Args, Subcommand};

// `carrier network VERB`
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct NetworkNounArgs {
    #[command(subcommand)]
    pub(crate) verb: NetworkVerb,
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum NetworkVerb {
    /// Connect a container to one more network
    Connect(ConnectArgs),
    /// Make a network
    Create(Box<CreateNetworkArgs>),
    /// Disconnect a container from a network
    Disconnect(DisconnectArgs),
    /// Succeed when there is such a network, else exit with 1
    Exists(ExistsNetworkArgs),
    /// Show all that is known about networks
    Inspect(InspectNetworksArgs),
    /// List networks
    #[command(visible_alias = "list")]
    Ls(ListNetworksArgs),
    /// Remove networks that no container is to be on
    Prune(PruneNetworksArgs),
    /// Remove networks
    #[command(visible_alias = "remove")]
    Rm(RemoveNetworksArgs),
}

#[derive(Args, Debug)]
pub(crate) struct ConnectArgs {
    /// The container's address of IPv4 on the network
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ip: Option<Ipv4Addr>,
    /// The container's address of IPv6 on the network
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ip6: Option<Ipv6Addr>,
    /// A further name of the container on the network
    #[arg(long, value_name = "NAME")]
    pub(crate) alias: Vec<String>,
    /// A network by name or id
    #[arg(value_name = "NETWORK")]
    pub(crate) network: String,
    /// A container by name or id
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
}

#[derive(Args, Debug)]
pub(crate) struct DisconnectArgs {
    /// Also where the container cannot be reached
    #[arg(short, long)]
    pub(crate) force: bool,
    /// A network by name or id
    #[arg(value_name = "NETWORK")]
    pub(crate) network: String,
    /// A container by name or id
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
}

#[derive(Args, Debug)]
pub(crate) struct CreateNetworkArgs {
    /// The kind of network: bridge
    #[arg(short, long, value_name = "DRIVER")]
    pub(crate) driver: Option<String>,
    /// A range of addresses, such as 10.89.7.0/24; one for IPv4 and one for IPv6
    #[arg(long, value_name = "ADDRESS/BITS")]
    pub(crate) subnet: Vec<Subnet>,
    /// The way out, an address of the subnet
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) gateway: Vec<IpAddr>,
    /// The part of the subnet whose addresses containers get
    #[arg(long, value_name = "ADDRESS/BITS")]
    pub(crate) ip_range: Vec<Subnet>,
    /// Nobody outside of the network can be reached
    #[arg(long)]
    pub(crate) internal: bool,
    /// Containers also have addresses of IPv6
    #[arg(long)]
    pub(crate) ipv6: bool,
    /// Accepted as in Docker: containers can always be connected
    #[arg(long)]
    pub(crate) attachable: bool,
    /// Names of containers mean nothing on the network
    #[arg(long)]
    pub(crate) disable_dns: bool,
    /// A note for the user: NAME or NAME=VALUE
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) label: Vec<String>,
    /// An option of the driver: mtu, com.docker.network.bridge.enable_icc
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub(crate) opt: Vec<String>,
    /// A network of that name is no error
    #[arg(long)]
    pub(crate) ignore: bool,
    /// Its name
    #[arg(value_name = "NAME")]
    pub(crate) name: NetworkName,
}

#[derive(Args, Debug)]
pub(crate) struct ExistsNetworkArgs {
    /// A network by name or id
    #[arg(value_name = "NETWORK")]
    pub(crate) network: String,
}

#[derive(Args, Debug)]
pub(crate) struct InspectNetworksArgs {
    /// json, or a template
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Accepted as in Docker; nothing more is known
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Networks by name or id
    #[arg(value_name = "NETWORK", required = true)]
    pub(crate) networks: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ListNetworksArgs {
    /// Print only ids
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Do not shorten ids
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Show networks that meet a condition: name, id, driver, label, scope, type, dangling, until
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub(crate) filter: Vec<String>,
    /// table, json, a template, or `table TEMPLATE`
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct PruneNetworksArgs {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Only those that meet NAME=VALUE: until, label, label!
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) filter: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct RemoveNetworksArgs {
    /// A network that does not exist is no error
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Networks by name or id
    #[arg(value_name = "NETWORK", required = true)]
    pub(crate) networks: Vec<String>,
}
