//! Options of `run` and `create` about networks, ports and names.

use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct NetworkArgs {
    /// What the container can reach: private (others, by an uplink of its own), none (itself), host,
    /// container:NAME, slirp4netns or pasta, both also with :OPTIONS
    #[arg(long, visible_alias = "net", value_name = "MODE")]
    pub(crate) network: Vec<String>,
    /// Lead a port of the host to one of the container; ranges are possible
    #[arg(short, long, value_name = "[[IP:]HOST:]PORT[/tcp|udp]")]
    pub(crate) publish: Vec<String>,
    /// Lead a port of the host, any, to each port that the image or --expose names
    #[arg(short = 'P', long)]
    pub(crate) publish_all: bool,
    /// Name a port that the program listens on
    #[arg(long, value_name = "PORT[/tcp|udp]")]
    pub(crate) expose: Vec<String>,
    /// Add a line to /etc/hosts; host-gateway is the host
    #[arg(long, value_name = "NAME[;NAME]:ADDRESS")]
    pub(crate) add_host: Vec<String>,
    /// Ask this name server; none keeps the image's resolv.conf
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) dns: Vec<String>,
    /// Set an option of resolv.conf
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION")]
    pub(crate) dns_option: Vec<String>,
    /// Look names up in this domain; . is none
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) dns_search: Vec<String>,
    /// Give the container one more name on its network
    #[arg(long, visible_alias = "net-alias", value_name = "NAME")]
    pub(crate) network_alias: Vec<String>,
    /// Choose the container's address on its network
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ip: Option<String>,
    /// The same for IPv6
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ip6: Option<String>,
    /// Choose the address of the container's device
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) mac_address: Option<String>,
    /// Set the NIS domain name
    #[arg(long, value_name = "NAME")]
    pub(crate) domainname: Option<String>,
    /// Keep the image's /etc/hosts
    #[arg(long)]
    pub(crate) no_hosts: bool,
    /// Keep the image's /etc/hostname
    #[arg(long)]
    pub(crate) no_hostname: bool,
    /// Begin /etc/hosts with a file of the host, with none, or with the image's
    #[arg(long, value_name = "FILE|none|image", conflicts_with = "no_hosts")]
    pub(crate) hosts_file: Option<String>,
}
