//! `carrier network VERB`

use std::collections::BTreeMap;

use carrier_engine::{ConnectOptions, CreateNetworkOptions, Engine, Network};
use serde_json::{Value, json};

use super::images::print_descriptions;
use super::system::is_confirmed;
use super::{one, print};
use crate::cli::network_noun::{
    ConnectArgs, CreateNetworkArgs, DisconnectArgs, InspectNetworksArgs, ListNetworksArgs,
    NetworkVerb, PruneNetworksArgs, RemoveNetworksArgs,
};
use crate::listing::{Format, Listing};
use crate::report::{Failure, tell};

const HEADERS: [(&str, &str); 8] = [
    ("ID", "NETWORK ID"),
    ("Name", "NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("IPv6", "IPV6"),
    ("Internal", "INTERNAL"),
    ("Labels", "LABELS"),
    ("CreatedAt", "CREATED AT"),
];

pub(crate) fn network(verb: NetworkVerb) -> Result<u8, Failure> {
    one(match verb {
        NetworkVerb::Connect(args) => connect(args),
        NetworkVerb::Create(args) => create(*args),
        NetworkVerb::Disconnect(args) => disconnect(&args),
        NetworkVerb::Exists(args) => exists(&args.network),
        NetworkVerb::Inspect(args) => inspect(&args),
        NetworkVerb::Ls(args) => ls(&args),
        NetworkVerb::Prune(args) => prune(&args),
        NetworkVerb::Rm(args) => rm(&args),
    })
}

fn connect(args: ConnectArgs) -> Result<u8, Failure> {
    let options = ConnectOptions {
        ip: args.ip,
        ip6: args.ip6,
        aliases: args.alias,
    };
    Engine::open()?.connect_network(&args.network, &args.container, &options)?;
    Ok(0)
}

fn disconnect(args: &DisconnectArgs) -> Result<u8, Failure> {
    Engine::open()?.disconnect_network(&args.network, &args.container, args.force)?;
    Ok(0)
}

fn create(args: CreateNetworkArgs) -> Result<u8, Failure> {
    let options = CreateNetworkOptions {
        driver: args.driver,
        subnets: args.subnet,
        gateways: args.gateway,
        ranges: args.ip_range,
        internal: args.internal,
        ipv6: args.ipv6,
        attachable: args.attachable,
        disable_dns: args.disable_dns,
        labels: pairs(&args.label),
        options: pairs(&args.opt),
        ignore: args.ignore,
    };
    let network = Engine::open()?.create_network(&args.name, &options)?;
    print(&format!("{}\n", network.id))?;
    Ok(0)
}

fn pairs(texts: &[String]) -> BTreeMap<String, String> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.to_owned(), value.to_owned())
    };
    texts.iter().map(pair).collect()
}

fn exists(word: &str) -> Result<u8, Failure> {
    let networks = Engine::open()?.networks()?;
    let is_meant = |network: &Network| network.name.as_str() == word || network.id == word;
    Ok(u8::from(!networks.iter().any(is_meant)))
}

fn inspect(args: &InspectNetworksArgs) -> Result<u8, Failure> {
    let engine = Engine::open()?;
    let find = |word: &str| engine.inspect_network(word);
    print_descriptions(&args.networks, args.format.as_deref(), &find)
}

fn ls(args: &ListNetworksArgs) -> Result<u8, Failure> {
    let format = Format::parse(args.format.as_deref())?;
    let engine = Engine::open()?;
    let filter = engine.network_filter(&args.filter)?;
    let networks: Vec<Network> = engine
        .networks()?
        .into_iter()
        .filter(|it| filter.accepts(it))
        .collect();
    let id = |network: &Network| {
        let short = network.short_id();
        if args.no_trunc {
            network.id.clone()
        } else {
            short.to_owned()
        }
    };
    if args.quiet && matches!(format, Format::Table(None)) {
        let lines: String = networks.iter().map(|it| format!("{}\n", id(it))).collect();
        print(&lines)?;
        return Ok(0);
    }
    let listing = Listing {
        headers: &HEADERS,
        columns: &["ID", "Name", "Driver", "Scope"],
        rows: networks.iter().map(|it| row(it, &id(it))).collect(),
    };
    print(&listing.print(&format)?)?;
    Ok(0)
}

fn row(network: &Network, id: &str) -> Value {
    let labels = network.labels.iter();
    let labels: Vec<String> = labels
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    json!({
        "ID": id,
        "Name": network.name.as_str(),
        "Driver": network.driver.name(),
        "Scope": "local",
        "IPv4": network.subnets.iter().any(|it| it.subnet.is_ipv4()).to_string(),
        "IPv6": network.ipv6.to_string(),
        "Internal": network.internal.to_string(),
        "Labels": labels.join(","),
        "Label": network.labels,
        "CreatedAt": network.created.to_string(),
    })
}

fn prune(args: &PruneNetworksArgs) -> Result<u8, Failure> {
    let engine = Engine::open()?;
    let filter = engine.network_prune_filter(&args.filter)?;
    let warning =
        "WARNING! This will remove all custom networks not used by at least one container.\n";
    if !args.force && !is_confirmed(warning)? {
        return Ok(0);
    }
    let removed = engine.prune_networks(|network| filter.accepts(network))?;
    if !removed.is_empty() {
        print(&format!("Deleted Networks:\n{}\n\n", removed.join("\n")))?;
    }
    Ok(0)
}

/// Goes on after a failure, as Docker does.
fn rm(args: &RemoveNetworksArgs) -> Result<u8, Failure> {
    let engine = Engine::open()?;
    let mut code = 0;
    for word in &args.networks {
        match engine.remove_network(word, args.force) {
            Ok(()) => print(&format!("{word}\n"))?,
            Err(error) => {
                tell(&error.into());
                code = 1;
            }
        }
    }
    Ok(code)
}
