//! Networks are made.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;

use carrier_spec::{ContainerId, NetworkName};
use carrier_store::NetworksLock;

use super::error::BridgeError;
use super::network::{DEFAULT_NETWORK, Driver, DriverOptions, Network, NetworkSubnet};
use super::subnet::{self, Subnet};
use crate::engine::{Engine, random};
use crate::error::Error;
use crate::events::Event;
use crate::moment::Moment;

/// Words of `run --network` that are no networks.
const MODES: [&str; 7] = [
    "container",
    "default",
    "nat",
    "ns",
    "pasta",
    "private",
    "slirp4netns",
];

/// The second byte of the first address that networks are given, and of the one that is there for
/// everybody: as in Podman.
const POOL: u8 = 89;
const DEFAULTS_POOL: u8 = 88;

/// What `network create` asks for.
#[derive(Clone, Debug, Default)]
pub struct CreateNetworkOptions {
    /// `bridge`, when it is not said.
    pub driver: Option<String>,
    /// Ranges of addresses; one is chosen when there are none.
    pub subnets: Vec<Subnet>,
    /// The ways out, each in one of the ranges.
    pub gateways: Vec<IpAddr>,
    /// What containers get who ask for no address, each within one of the ranges.
    pub ranges: Vec<Subnet>,
    /// Nobody outside can be reached.
    pub internal: bool,
    /// Containers have addresses of IPv6, too.
    pub ipv6: bool,
    /// As Docker has it; all networks are.
    pub attachable: bool,
    /// Names of containers mean nothing.
    pub disable_dns: bool,
    /// What the user says about it.
    pub labels: BTreeMap<String, String>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// One that exists is fine.
    pub ignore: bool,
}

impl Engine {
    /// Makes a network. Durable.
    ///
    /// # Errors
    /// When there is one of that name, or what was asked for cannot be.
    pub fn create_network(
        &self,
        name: &NetworkName,
        options: &CreateNetworkOptions,
    ) -> Result<Network, Error> {
        check_driver(options.driver.as_deref())?;
        let predefined = Network::predefined();
        if predefined.iter().any(|network| network.name == *name) {
            return Err(BridgeError::Predefined(name.to_string(), "made").into());
        }
        if MODES.contains(&name.as_str()) {
            return Err(BridgeError::ReservedName(name.to_string()).into());
        }
        DriverOptions::read(&options.options)
            .map_err(|(option, reason)| BridgeError::Option { option, reason })?;
        let lock = self.store.lock_networks()?;
        if let Some(existing) = self.store.network::<Network>(name)? {
            return if options.ignore {
                Ok(existing)
            } else {
                Err(BridgeError::Exists(name.to_string()).into())
            };
        }
        let network = Network {
            id: ContainerId::from_random(random()?).to_string(),
            name: name.clone(),
            created: Moment::now(),
            driver: Driver::Bridge,
            subnets: self.choose_subnets(options, POOL)?,
            internal: options.internal,
            ipv6: options.ipv6 || options.subnets.iter().any(|subnet| !subnet.is_ipv4()),
            attachable: options.attachable,
            disable_dns: options.disable_dns,
            labels: options.labels.clone(),
            options: options.options.clone(),
        };
        self.write_network(&lock, &network)?;
        Ok(network)
    }

    fn write_network(&self, lock: &NetworksLock, network: &Network) -> Result<(), Error> {
        if self.store.create_network(lock, &network.name, network)? {
            let name = network.name.as_str();
            self.emit(&Event::network("create", &network.id, name));
            Ok(())
        } else {
            Err(BridgeError::Exists(network.name.to_string()).into())
        }
    }

    /// The network that containers join who ask for no other one: made when it is needed for the first
    /// time.
    pub(crate) fn default_network(&self) -> Result<Network, Error> {
        let missing = || BridgeError::NotFound(DEFAULT_NETWORK.to_owned());
        let mut predefined = Network::predefined().into_iter();
        let network = predefined.find(|network| network.name.as_str() == DEFAULT_NETWORK);
        let mut network = network.ok_or_else(missing)?;
        if let Some(existing) = self.store.network(&network.name)? {
            return Ok(existing);
        }
        let lock = self.store.lock_networks()?;
        if let Some(existing) = self.store.network(&network.name)? {
            return Ok(existing);
        }
        network.created = Moment::now();
        network.subnets = self.choose_subnets(&CreateNetworkOptions::default(), DEFAULTS_POOL)?;
        self.write_network(&lock, &network)?;
        Ok(network)
    }

    fn choose_subnets(
        &self,
        options: &CreateNetworkOptions,
        pool: u8,
    ) -> Result<Vec<NetworkSubnet>, Error> {
        let mut taken: Vec<(Subnet, String)> = Vec::new();
        for network in self.networks()? {
            let name = format!("network {}", network.name);
            taken.extend(network.subnets.iter().map(|it| (it.subnet, name.clone())));
        }
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let routes = subnet::routes_ipv4(&read("/proc/net/route")).into_iter();
        let routes = routes.chain(subnet::routes_ipv6(&read("/proc/net/ipv6_route")));
        taken.extend(routes.map(|route| (route, format!("the host's route to {route}"))));
        let subnets = complete(options, pool, &taken, random()?)?;
        Ok(with_gateways(subnets, options)?)
    }
}

/// The ranges of addresses of a new network.
fn complete(
    options: &CreateNetworkOptions,
    pool: u8,
    taken: &[(Subnet, String)],
    random: [u8; 7],
) -> Result<Vec<Subnet>, BridgeError> {
    let mut subnets = options.subnets.clone();
    let count = |ipv4| {
        subnets
            .iter()
            .filter(|subnet| subnet.is_ipv4() == ipv4)
            .count()
    };
    let (fours, sixes) = (count(true), count(false));
    if fours > 1 || sixes > 1 {
        return Err(BridgeError::SeveralSubnets);
    }
    for subnet in &subnets {
        if let Some((_, with)) = taken.iter().find(|(other, _)| subnet.overlaps(*other)) {
            return Err(BridgeError::Overlap {
                subnet: *subnet,
                with: with.clone(),
            });
        }
    }
    if fours == 0 && (sixes == 0 || options.subnets.is_empty()) {
        let ranges: Vec<Subnet> = taken.iter().map(|(subnet, _)| *subnet).collect();
        let free = subnet::free_ipv4(pool, &ranges).ok_or(BridgeError::NoFreeSubnet)?;
        subnets.insert(0, free);
    }
    if options.ipv6 && sixes == 0 {
        subnets.extend(subnet::unique_local(random));
    }
    Ok(subnets)
}

fn with_gateways(
    subnets: Vec<Subnet>,
    options: &CreateNetworkOptions,
) -> Result<Vec<NetworkSubnet>, BridgeError> {
    for gateway in &options.gateways {
        if !subnets.iter().any(|subnet| subnet.is_host(*gateway)) {
            return Err(BridgeError::Outside {
                what: "gateway",
                address: gateway.to_string(),
            });
        }
    }
    for range in &options.ranges {
        if !subnets.iter().any(|subnet| subnet.covers(*range)) {
            return Err(BridgeError::Outside {
                what: "ip range",
                address: range.to_string(),
            });
        }
    }
    let with_gateway = |subnet: Subnet| {
        if subnet.hosts().nth(1).is_none() {
            return Err(BridgeError::SmallSubnet(subnet));
        }
        let mut gateways = options.gateways.iter();
        let asked = gateways.find(|gateway| subnet.contains(**gateway)).copied();
        let gateway = asked.or_else(|| subnet.first_host());
        let mut ranges = options.ranges.iter();
        Ok(NetworkSubnet {
            subnet,
            gateway: gateway.ok_or(BridgeError::SmallSubnet(subnet))?,
            range: ranges.find(|range| subnet.covers(**range)).copied(),
        })
    };
    subnets.into_iter().map(with_gateway).collect()
}

/// Only one kind of network can be made without root.
fn check_driver(driver: Option<&str>) -> Result<(), BridgeError> {
    let reason = match driver {
        None | Some("bridge" | "default") => return Ok(()),
        Some("macvlan" | "ipvlan") => {
            "it needs a device of the host, which only root of the host can give"
        }
        Some("overlay") => "Carrier has no cluster that such a network could span",
        Some("host" | "none" | "null") => "there is one of it, and everybody has it",
        Some(_) => "Carrier has no plugins",
    };
    Err(BridgeError::Driver {
        driver: driver.unwrap_or_default().to_owned(),
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    fn made(subnets: &[&str], ipv6: bool) -> String {
        let options = CreateNetworkOptions {
            subnets: subnets.iter().map(|text| subnet(text)).collect(),
            ipv6,
            ..CreateNetworkOptions::default()
        };
        let taken = [
            (subnet("10.88.0.0/24"), "network web".to_owned()),
            (
                subnet("192.168.1.0/24"),
                "the host's route to it".to_owned(),
            ),
        ];
        let made = complete(&options, DEFAULTS_POOL, &taken, [1; 7])
            .and_then(|subnets| with_gateways(subnets, &options));
        match made {
            Ok(subnets) => {
                let show = |it: &NetworkSubnet| format!("{} by {}", it.subnet, it.gateway);
                subnets.iter().map(show).collect::<Vec<_>>().join(", ")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_network_gets_addresses_that_nobody_has() {
        let local = "fd01:101:101:101::/64 by fd01:101:101:101::1";
        for (subnets, ipv6, expected) in [
            (&[][..], false, "10.88.1.0/24 by 10.88.1.1".to_owned()),
            (&[], true, format!("10.88.1.0/24 by 10.88.1.1, {local}")),
            (
                &["10.1.0.0/16"],
                false,
                "10.1.0.0/16 by 10.1.0.1".to_owned(),
            ),
            (
                &["10.1.0.0/16"],
                true,
                format!("10.1.0.0/16 by 10.1.0.1, {local}"),
            ),
            (&["fd00::/64"], false, "fd00::/64 by fd00::1".to_owned()),
            (
                &["10.88.0.128/25"],
                false,
                "subnet 10.88.0.128/25 overlaps network web".to_owned(),
            ),
            (
                &["192.168.0.0/16"],
                false,
                "subnet 192.168.0.0/16 overlaps the host's route to it".to_owned(),
            ),
            (
                &["10.1.0.0/24", "10.2.0.0/24"],
                false,
                "a network has one subnet of IPv4 and one of IPv6 at most".to_owned(),
            ),
            (
                &["10.1.0.0/31"],
                false,
                "subnet 10.1.0.0/31 has no room for a gateway and a container".to_owned(),
            ),
        ] {
            assert_eq!(made(subnets, ipv6), expected, "of {subnets:?}");
        }
    }

    #[test]
    fn gateways_and_ranges_are_in_a_subnet() {
        let options = |gateway: &str, range: &str| CreateNetworkOptions {
            gateways: vec![gateway.parse().unwrap()],
            ranges: vec![subnet(range)],
            ..CreateNetworkOptions::default()
        };
        let made =
            |gateway, range| with_gateways(vec![subnet("10.1.0.0/24")], &options(gateway, range));
        let good = made("10.1.0.254", "10.1.0.64/26").unwrap();
        assert_eq!(good[0].gateway.to_string(), "10.1.0.254");
        assert_eq!(good[0].range, Some(subnet("10.1.0.64/26")));
        assert!(made("10.1.1.1", "10.1.0.64/26").is_err());
        assert!(made("10.1.0.255", "10.1.0.64/26").is_err());
        assert!(made("10.1.0.1", "10.1.0.0/16").is_err());
    }

    #[test]
    fn kinds_that_need_root_are_refused() {
        assert!(check_driver(None).is_ok() && check_driver(Some("bridge")).is_ok());
        for driver in ["macvlan", "ipvlan", "overlay", "host", "weave"] {
            assert!(check_driver(Some(driver)).is_err(), "{driver} was taken");
        }
    }
}
