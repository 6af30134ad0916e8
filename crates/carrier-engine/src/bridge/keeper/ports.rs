//! Plugging containers into bridges.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use carrier_spec::ContainerId;

use super::serve::{Bridge, Keeper};
use super::shared::{inside, set};
use crate::bridge::addresses::{choose, mac_of};
use crate::bridge::devices::{self, Cable};
use crate::bridge::error::BridgeError;
use crate::bridge::filter::{INTERNAL, OPEN};
use crate::bridge::network::{Network, NetworkSubnet};
use crate::bridge::protocol::Wanted;
use crate::net::netlink::Rule;
use crate::net::{Attachment, Endpoint, own};

/// The largest packet where nobody says otherwise, in bytes.
const MTU: u32 = 1500;

/// A container's connection to one network.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) endpoint: Endpoint,
    /// The end of its cable in the shared namespace.
    pub(super) cable: String,
    /// What it is called on this network: the container's own name first.
    pub(super) names: Vec<String>,
    /// Rules of the shared namespace that let it reach the host.
    openings: Vec<Rule>,
}

/// Who is plugged in.
pub(super) struct Who<'a> {
    pub(super) id: &'a ContainerId,
    pub(super) name: &'a str,
    pub(super) namespace: &'a OwnedFd,
    /// Its connections so far.
    pub(super) ports: &'a [Port],
    /// It may reach the host's own addresses.
    pub(super) reaches_host: bool,
}

impl Keeper {
    /// Connects a container to one more network.
    pub(super) fn plug(&mut self, who: &Who<'_>, wanted: &Wanted) -> Result<Port, BridgeError> {
        let network = &wanted.network;
        self.check(who, wanted)?;
        self.departed.forget_gone_ones(&mut self.netlink);
        let attachment = &wanted.attachment;
        let addresses = match self.choose_addresses(network, attachment) {
            Err(BridgeError::AddressInUse { .. } | BridgeError::NoFreeAddress(_)) => {
                self.departed.pull(&mut self.netlink, |_| true);
                self.choose_addresses(network, attachment)?
            }
            other => other?,
        };
        let bridge = self.bridge(network)?;
        let interface = interface(&wanted.attachment, who.ports);
        let cable = cable(who);
        let first = addresses
            .ip
            .map(IpAddr::from)
            .or(addresses.ip6.map(IpAddr::from));
        let mac = wanted
            .attachment
            .mac
            .or(first.map(mac_of))
            .unwrap_or_default();
        let failed = |source| BridgeError::Connect {
            container: who.name.to_owned(),
            network: network.name.to_string(),
            source,
        };
        let options = network.driver_options();
        let plan = Cable {
            name: &cable,
            bridge: bridge.device,
            is_parted: options.is_parted,
            mtu: options.mtu.unwrap_or(MTU),
            peer: who.namespace.as_fd(),
            peer_name: &interface,
            peer_mac: mac,
        };
        devices::add_cable(&mut self.netlink, &plan).map_err(failed)?;
        let endpoint = Endpoint {
            network: network.name.to_string(),
            id: network.id.clone(),
            internal: network.internal,
            ip: pair(addresses.ip, network.ipv4()),
            gateway: network.gateway4().filter(|_| !network.internal),
            ip6: pair(addresses.ip6, network.ipv6()),
            gateway6: network.gateway6().filter(|_| !network.internal),
            mac: Some(mac),
            interface,
        };
        if let Err(error) = self.configure(who, &endpoint) {
            // Without its addresses it is of no use.
            let _ = devices::remove(&mut self.netlink, &cable);
            return Err(failed(error));
        }
        let mut names = vec![who.name.to_owned(), who.id.short().to_owned()];
        names.extend(wanted.attachment.aliases.iter().cloned());
        let mut port = Port {
            endpoint,
            cable,
            names,
            openings: Vec::new(),
        };
        if who.reaches_host
            && let Err(error) = self.open_host(&mut port)
        {
            self.unplug(&port);
            return Err(failed(error));
        }
        Ok(port)
    }

    /// Lets a container reach the host.
    fn open_host(&mut self, port: &mut Port) -> io::Result<()> {
        for address in port.addresses().collect::<Vec<_>>() {
            let rule = own::opening(address);
            self.netlink.add_rule(&rule)?;
            port.openings.push(rule);
        }
        Ok(())
    }

    /// Pulls a cable out.
    pub(super) fn unplug(&mut self, port: &Port) {
        // It goes with the container's namespace anyway.
        let _ = devices::remove(&mut self.netlink, &port.cable);
        self.close_openings(port);
    }

    pub(super) fn close_openings(&mut self, port: &Port) {
        for rule in &port.openings {
            // The next one with this address is asked for its own.
            let _ = self.netlink.remove_rule(rule);
        }
    }

    /// Gives the container's way out to one of its other networks, when the one that had it is gone.
    pub(super) fn renew_ways_out(&mut self, who: &Who<'_>) {
        for port in who.ports {
            // A container without a way out is none that is lost.
            let _ = inside(who.namespace.as_fd(), &self.home, |netlink| {
                let device = netlink.index(&port.endpoint.interface)?;
                for gateway in gateways(&port.endpoint) {
                    devices::add_default_route(netlink, device, gateway)?;
                }
                Ok(())
            });
        }
    }

    /// The bridge of a network, made when it is needed for the first time.
    fn bridge(&mut self, network: &Network) -> Result<Bridge, BridgeError> {
        if let Some(bridge) = self.bridges.get(&network.id) {
            return Ok(bridge.clone());
        }
        let prefix = if network.internal { INTERNAL } else { OPEN };
        let name = format!("{prefix}{}", network.short_id());
        let mtu = network.driver_options().mtu.unwrap_or(MTU);
        let mac = network.subnets.first().map(|it| mac_of(it.gateway));
        let netlink = &mut self.netlink;
        let made = (|| {
            let device = devices::add_bridge(netlink, &name, mtu, mac)?;
            for subnet in &network.subnets {
                netlink.add_address(device, (subnet.gateway, subnet.subnet.prefix()), true)?;
            }
            Ok(device)
        })();
        let device = made.map_err(|source: io::Error| {
            let _ = devices::remove(netlink, &name);
            BridgeError::Shared {
                action: "make a bridge in",
                source,
            }
        })?;
        let mut gateways = network.subnets.iter().map(|it| it.gateway);
        if let Err(source) = gateways.try_for_each(|gateway| self.names.listen(gateway)) {
            let _ = devices::remove(&mut self.netlink, &name);
            let action = "answer names in";
            return Err(BridgeError::Shared { action, source });
        }
        let bridge = Bridge {
            device,
            name,
            network: network.clone(),
        };
        self.bridges.insert(network.id.clone(), bridge.clone());
        Ok(bridge)
    }

    /// Whether the network is still there, and the container not on it.
    fn check(&self, who: &Who<'_>, wanted: &Wanted) -> Result<(), BridgeError> {
        let network = &wanted.network;
        if !is_written(network, &wanted.file) {
            return Err(BridgeError::NotFound(network.name.to_string()));
        }
        let is_connected = |port: &Port| port.endpoint.id == network.id;
        if who.ports.iter().any(is_connected) {
            return Err(BridgeError::Connected {
                container: who.name.to_owned(),
                network: network.name.to_string(),
            });
        }
        Ok(())
    }

    fn choose_addresses(
        &self,
        network: &Network,
        attachment: &Attachment,
    ) -> Result<Addresses, BridgeError> {
        let taken = self.taken(&network.id);
        let owner = |address: IpAddr| taken.get(&address).map(|&owner| owner.to_owned());
        let name = network.name.as_str();
        let pick = |subnet: Option<NetworkSubnet>, wanted: Option<IpAddr>, version| match subnet {
            Some(subnet) => choose(name, &subnet, wanted, owner).map(Some),
            None if wanted.is_some() => Err(BridgeError::NoSuchVersion {
                network: name.to_owned(),
                version,
            }),
            None => Ok(None),
        };
        let ip = pick(network.ipv4(), attachment.ip.map(IpAddr::from), "IPv4")?;
        let ip6 = pick(network.ipv6(), attachment.ip6.map(IpAddr::from), "IPv6")?;
        Ok(Addresses {
            ip: ip.and_then(|address| match address {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            }),
            ip6: ip6.and_then(|address| match address {
                IpAddr::V6(address) => Some(address),
                IpAddr::V4(_) => None,
            }),
        })
    }

    /// The addresses of a network that are somebody's, and whose.
    fn taken(&self, network: &str) -> HashMap<IpAddr, &str> {
        let ports = self.members().flat_map(|member| &member.ports);
        let ports = ports.chain(self.departed.ports());
        ports
            .filter(|port| port.endpoint.id == network)
            .flat_map(|port| port.addresses().map(|address| (address, port.owner())))
            .collect()
    }

    /// Addresses and routes on the container's side.
    fn configure(&self, who: &Who<'_>, endpoint: &Endpoint) -> io::Result<()> {
        inside(who.namespace.as_fd(), &self.home, |netlink| {
            let interface = &endpoint.interface;
            let device = netlink.index(interface)?;
            match endpoint.ip6 {
                // Nobody in the network tells a container where its packets go (threat W-04).
                Some(_) => set(&format!("net/ipv6/conf/{interface}/accept_ra"), "0")?,
                None => set(&format!("net/ipv6/conf/{interface}/disable_ipv6"), "1")?,
            }
            let ip = endpoint
                .ip
                .map(|(address, prefix)| (address.into(), prefix));
            let ip6 = endpoint
                .ip6
                .map(|(address, prefix)| (address.into(), prefix));
            for address in ip.into_iter().chain(ip6) {
                netlink.add_address(device, address, true)?;
            }
            netlink.bring_up(device)?;
            for gateway in gateways(endpoint) {
                devices::add_default_route(netlink, device, gateway)?;
            }
            Ok(())
        })
    }
}

impl Port {
    /// The name of its container.
    fn owner(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// Its addresses.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let Endpoint { ip, ip6, .. } = &self.endpoint;
        let ip = ip.map(|(ip, _)| IpAddr::V4(ip));
        ip.into_iter().chain(ip6.map(|(ip, _)| IpAddr::V6(ip)))
    }
}

/// Whether `file` is about this network, and not about another one of its name.
pub(super) fn is_written(network: &Network, file: &Path) -> bool {
    let written = std::fs::read(file).ok();
    let written: Option<Network> = written.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    written.is_some_and(|written| written.id == network.id)
}

struct Addresses {
    ip: Option<Ipv4Addr>,
    ip6: Option<Ipv6Addr>,
}

fn pair<A>(address: Option<A>, subnet: Option<NetworkSubnet>) -> Option<(A, u8)> {
    Some((address?, subnet?.subnet.prefix()))
}

fn gateways(endpoint: &Endpoint) -> impl Iterator<Item = IpAddr> {
    let gateway = endpoint.gateway.map(IpAddr::from);
    gateway
        .into_iter()
        .chain(endpoint.gateway6.map(IpAddr::from))
}

/// The name of the device in the container: the one that was asked for, else the first that is free.
fn interface(attachment: &Attachment, ports: &[Port]) -> String {
    let is_free = |name: &String| ports.iter().all(|port| port.endpoint.interface != *name);
    let mut names = (0..=ports.len()).map(|number| format!("eth{number}"));
    let asked = attachment.interface.clone();
    asked.or_else(|| names.find(is_free)).unwrap_or_default()
}

/// The name of a cable's near end: no longer than the kernel allows, and no other cable's.
fn cable(who: &Who<'_>) -> String {
    let is_free = |name: &String| who.ports.iter().all(|port| port.cable != *name);
    let mut names = (0..=who.ports.len()).map(|number| format!("{}v{number}", who.id.short()));
    names.find(is_free).unwrap_or_default()
}
