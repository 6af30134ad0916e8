//! Containers come to networks and leave them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use super::client::Membership;
use super::error::BridgeError;
use super::network::{DEFAULT_NETWORK, Driver, Network};
use super::protocol::{Join, Wanted};
use crate::engine::Engine;
use crate::error::Error;
use crate::etc_files::is_hostname;
use crate::monitor::request;
use crate::net::hosts::{Names, address_of_host};
use crate::net::resolv::Resolvers;
use crate::net::{Attachment, ConnectionPlan, Endpoint, NetworkMode, namespace_of};
use crate::record::ContainerRecord;

/// resolv.conf(5) takes no more.
const MOST_SERVERS: usize = 3;

/// How long the devices of a network that is gone may take to go.
const PATIENCE: Duration = Duration::from_secs(2);

const PAUSE: Duration = Duration::from_millis(20);

/// What `network connect` asks for.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// The container's address, else any.
    pub ip: Option<Ipv4Addr>,
    /// The same for IPv6.
    pub ip6: Option<Ipv6Addr>,
    /// Further names of the container on this network.
    pub aliases: Vec<String>,
}

impl Engine {
    /// What a user asks for, with the networks that it means.
    pub(crate) fn resolve_networks(&self, asked: &NetworkMode) -> Result<NetworkMode, Error> {
        let NetworkMode::Bridge(asked) = asked else {
            return Ok(asked.clone());
        };
        let mut attachments: Vec<Attachment> = Vec::new();
        for attachment in asked {
            let network = self.usable_network(&attachment.network)?;
            check(&network, attachment)?;
            if attachments.iter().any(|other| other.id == network.id) {
                return Err(BridgeError::Twice(network.name.to_string()).into());
            }
            attachments.push(Attachment {
                network: network.name.to_string(),
                id: network.id,
                ..attachment.clone()
            });
        }
        Ok(NetworkMode::Bridge(attachments))
    }

    /// The network of that name or id, which containers can be on.
    fn usable_network(&self, word: &str) -> Result<Network, Error> {
        let network = if word == DEFAULT_NETWORK {
            self.default_network()?
        } else {
            self.network(word)?
        };
        match network.driver {
            Driver::Bridge => Ok(network),
            Driver::Host | Driver::Null => Err(BridgeError::Alone(network.name.to_string()).into()),
        }
    }

    /// The networks that a container is to be on, as they are written down.
    fn wanted(&self, attachments: &[Attachment]) -> Result<Vec<Wanted>, Error> {
        let find = |attachment: &Attachment| {
            let missing = || BridgeError::NotFound(attachment.network.clone());
            let name = attachment.network.parse().map_err(|_| missing())?;
            let network: Network = self.store.network(&name)?.ok_or_else(missing)?;
            if network.id != attachment.id {
                // Another one that was made later.
                return Err(missing().into());
            }
            Ok(Wanted {
                file: self.store.network_file(&name),
                network,
                attachment: attachment.clone(),
            })
        };
        attachments.iter().map(find).collect()
    }

    /// Whether a container is on networks that nobody outside reaches, and on no other one.
    pub(crate) fn is_internal(&self, record: &ContainerRecord) -> bool {
        let NetworkMode::Bridge(attachments) = &record.network else {
            return false;
        };
        // One that is missing is told of when the container is to be connected.
        let networks = self.wanted(attachments).ok();
        networks.is_some_and(|networks| networks.iter().all(|it| it.network.internal))
    }

    /// Plans what names mean in a container on networks, which has these addresses.
    pub(crate) fn plan_networks(
        &self,
        record: &ContainerRecord,
        endpoints: &[Endpoint],
        plan: &mut ConnectionPlan,
    ) -> Result<(), Error> {
        let NetworkMode::Bridge(attachments) = &record.network else {
            return Ok(());
        };
        let networks = self.wanted(attachments)?;
        let gateway = |wanted: &Wanted| {
            let network = &wanted.network;
            let gateway = network.gateway4().map(IpAddr::from);
            gateway.or_else(|| network.gateway6().map(IpAddr::from))
        };
        let gateways = networks.iter().filter_map(gateway);
        let gateways: Vec<IpAddr> = gateways.take(MOST_SERVERS).collect();
        if !gateways.is_empty() {
            plan.resolvers = Resolvers::Only(gateways);
        }
        let own = endpoints.iter().flat_map(|endpoint| {
            let ip = endpoint.ip.map(|(ip, _)| IpAddr::V4(ip));
            ip.into_iter()
                .chain(endpoint.ip6.map(|(ip, _)| IpAddr::V6(ip)))
        });
        let leads_out = networks.iter().any(|wanted| !wanted.network.internal);
        if !leads_out && record.networking.publishes() {
            let words = "published ports are discarded: nobody outside reaches an internal network";
            plan.warning = Some(words.to_owned());
        }
        let reaches_host = leads_out && record.networking.wants_host();
        plan.names = Names {
            own: own.collect(),
            host: reaches_host.then(address_of_host).flatten(),
        };
        Ok(())
    }

    /// What names mean in a container that has these addresses on networks.
    pub(crate) fn network_plan(
        &self,
        record: &ContainerRecord,
        endpoints: &[Endpoint],
    ) -> Result<ConnectionPlan, Error> {
        let mut plan = ConnectionPlan::default();
        self.plan_networks(record, endpoints, &mut plan)?;
        Ok(plan)
    }

    /// Connects the container whose first process is `pid` again, as it was: the keeper that had
    /// connected it is gone.
    pub(crate) fn rejoin_networks(
        &self,
        record: &ContainerRecord,
        before: &[Endpoint],
        pid: u32,
    ) -> Result<(Membership, Vec<Endpoint>), Error> {
        let mut again = record.clone();
        if let NetworkMode::Bridge(attachments) = &mut again.network {
            for attachment in attachments {
                let was = before.iter().find(|it| it.id == attachment.id);
                if let Some(endpoint) = was {
                    attachment.ip = endpoint.ip.map(|(ip, _)| ip);
                    attachment.ip6 = endpoint.ip6.map(|(ip, _)| ip);
                    attachment.mac = endpoint.mac;
                    attachment.interface = Some(endpoint.interface.clone());
                }
            }
        }
        let join = |record: &ContainerRecord| {
            let member = self.enter_networks()?;
            self.join_networks(&member, record, pid)?;
            let endpoints = member.endpoints()?;
            Ok((member, endpoints))
        };
        // The devices of the old network go a moment after it.
        let deadline = Instant::now() + PATIENCE;
        loop {
            match join(&again) {
                Err(_) if Instant::now() < deadline => std::thread::sleep(PAUSE),
                // Somebody else has its address by now: another one is better than none.
                Err(error) => return join(record).map_err(|_: Error| error),
                joined => return joined,
            }
        }
    }

    /// Reaches the shared network for a container that is to be on one; nothing for others.
    pub(crate) fn enter_networks_of(
        &self,
        record: &ContainerRecord,
    ) -> Result<Option<Membership>, Error> {
        record
            .network
            .is_shared()
            .then(|| self.enter_networks())
            .transpose()
    }

    /// Asks for the connections of the container whose first process is `pid`:
    /// [`Membership::endpoints`] has the answer.
    pub(crate) fn join_networks(
        &self,
        member: &Membership,
        record: &ContainerRecord,
        pid: u32,
    ) -> Result<(), Error> {
        let NetworkMode::Bridge(attachments) = &record.network else {
            return Ok(());
        };
        let namespace = namespace_of(pid, "net").map_err(|source| BridgeError::Shared {
            action: "find the container for",
            source,
        })?;
        let join = Join {
            id: record.id.clone(),
            name: record.name.to_string(),
            wanted: self.wanted(attachments)?,
            servers: record.networking.dns.servers.clone(),
            reaches_host: record.networking.wants_host(),
        };
        member.join(join, namespace.as_fd())
    }

    /// Connects a container to one more network, at once where it runs. Durable.
    ///
    /// # Errors
    /// When there is no such container or network, or it cannot be connected: it is not, then.
    pub fn connect_network(
        &self,
        network: &str,
        container: &str,
        options: &ConnectOptions,
    ) -> Result<(), Error> {
        let record = self.container(container)?;
        attachments_of(&record)?;
        let network = self.usable_network(network)?;
        let attachment = Attachment {
            network: network.name.to_string(),
            id: network.id.clone(),
            ip: options.ip,
            ip6: options.ip6,
            aliases: options.aliases.clone(),
            ..Attachment::default()
        };
        check(&network, &attachment)?;
        let wanted = self.wanted(std::slice::from_ref(&attachment))?;
        let changed = self.change_networks(&record, |attachments| {
            if attachments.iter().any(|it| it.id == network.id) {
                return Err(BridgeError::Connected {
                    container: record.name.to_string(),
                    network: network.name.to_string(),
                });
            }
            attachments.push(attachment.clone());
            Ok(())
        })?;
        let connected = self.member_of(&changed).and_then(|member| {
            let Some(member) = member else { return Ok(()) };
            let mut wanted = wanted.into_iter();
            wanted.try_for_each(|wanted| member.connect(&record.id, wanted))?;
            self.emit_connection("connect", &record, &attachment);
            Ok(())
        });
        if connected.is_err() {
            self.roll_back(&record, |attachments| {
                attachments.retain(|it| it.id != network.id);
            });
            return connected;
        }
        self.reload_networks(&changed)
    }

    /// Disconnects a container from a network, at once where it runs. Durable.
    ///
    /// # Errors
    /// When there is no such container, or it is not connected; without `force` also when the shared
    /// network cannot let it go, and then it stays.
    pub fn disconnect_network(
        &self,
        network: &str,
        container: &str,
        force: bool,
    ) -> Result<(), Error> {
        let record = self.container(container)?;
        attachments_of(&record)?;
        // A network that is gone can still be left.
        let id = self.network(network).ok().map(|network| network.id);
        let is_meant = |it: &Attachment| Some(&it.id) == id.as_ref() || it.network == network;
        let mut taken = None;
        let changed = self.change_networks(&record, |attachments| {
            let place = attachments.iter().position(is_meant);
            let place = place.ok_or_else(|| BridgeError::NotConnected {
                container: record.name.to_string(),
                network: network.to_owned(),
            })?;
            taken = Some((place, attachments.remove(place)));
            Ok(())
        })?;
        let Some((place, attachment)) = taken else {
            return Ok(());
        };
        let left = self.member_of(&changed).and_then(|member| {
            let Some(member) = member else { return Ok(()) };
            member.disconnect(&record.id, &attachment.id)?;
            self.emit_connection("disconnect", &record, &attachment);
            Ok(())
        });
        if left.is_err() && !force {
            self.roll_back(&record, |attachments| {
                attachments.insert(place.min(attachments.len()), attachment);
            });
            return left;
        }
        self.reload_networks(&changed)
    }

    /// The shared network, where the container runs.
    fn member_of(&self, record: &ContainerRecord) -> Result<Option<Membership>, Error> {
        let runs = self.live_process(&record.id)?.is_some();
        runs.then(|| self.enter_networks()).transpose()
    }

    /// Writes down what `change` makes of a container's networks, unless it refuses.
    fn change_networks(
        &self,
        record: &ContainerRecord,
        change: impl FnOnce(&mut Vec<Attachment>) -> Result<(), BridgeError>,
    ) -> Result<ContainerRecord, Error> {
        let mut done = Ok(());
        let change = |record: &mut ContainerRecord| {
            if let NetworkMode::Bridge(attachments) = &mut record.network {
                done = change(attachments);
            }
        };
        let changed = self.store.change_record(&record.id, change)?;
        done?;
        changed.ok_or_else(|| Error::NoSuchContainer(record.name.to_string()))
    }

    /// Makes undone what the shared network has refused: that error is the one that counts.
    fn roll_back(&self, record: &ContainerRecord, change: impl FnOnce(&mut Vec<Attachment>)) {
        let change = |attachments: &mut Vec<Attachment>| {
            change(attachments);
            Ok(())
        };
        let changed = self.change_networks(record, change);
        // Somebody else may have told the monitor of it meanwhile.
        let _ = changed.and_then(|changed| self.reload_networks(&changed));
    }

    fn reload_networks(&self, record: &ContainerRecord) -> Result<(), Error> {
        if self.runs(&record.id)? {
            self.ask(record, request::RELOAD, &[])?;
        }
        Ok(())
    }
}

fn attachments_of(record: &ContainerRecord) -> Result<&[Attachment], BridgeError> {
    match &record.network {
        NetworkMode::Bridge(attachments) => Ok(attachments),
        other => Err(BridgeError::OtherMode {
            container: record.name.to_string(),
            mode: other.name(),
        }),
    }
}

/// Whether a container can be on `network` like this, as far as that can be known before.
fn check(network: &Network, attachment: &Attachment) -> Result<(), BridgeError> {
    let addresses = [
        (attachment.ip.map(Into::into), network.ipv4(), "IPv4"),
        (attachment.ip6.map(Into::into), network.ipv6(), "IPv6"),
    ];
    for (address, subnet, version) in addresses {
        let Some(address) = address else { continue };
        let subnet = subnet.ok_or_else(|| BridgeError::NoSuchVersion {
            network: network.name.to_string(),
            version,
        })?;
        super::addresses::choose(network.name.as_str(), &subnet, Some(address), |_| None)?;
    }
    match attachment.aliases.iter().find(|alias| !is_hostname(alias)) {
        Some(alias) => Err(BridgeError::BadAlias(alias.clone())),
        None => Ok(()),
    }
}
