//! The loop in which the keeper spends its life.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use carrier_runtime::IdMaps;
use carrier_spec::ContainerId;
use carrier_sys::process::SingleThreaded;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};

use super::departed::Departed;
use super::ports::{Port, Who, is_written};
use super::shared::{self, Holder};
use super::wayout::{DEVICE, WayOut};
use super::{failed, refusal};
use crate::bridge::devices;
use crate::bridge::error::BridgeError;
use crate::bridge::network::Network;
use crate::bridge::protocol::{Answer, Join, Request, Wanted, Wire};
use crate::error::Error;
use crate::foreground::wait;
use crate::net::Endpoint;
use crate::net::names::{NameServer, Tables, Zone};
use crate::net::namespaces::NetworkNamespace;
use crate::net::netlink::Netlink;
use crate::written_maps::WrittenMaps;

/// How long it waits for the next container when the last one is gone: who starts one after the other
/// need not make everything anew.
const LINGER: Duration = Duration::from_secs(1);

/// How long nobody is let in when there is no descriptor for one more.
const PAUSE: Duration = Duration::from_millis(100);

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Listener,
    Client(usize),
    Names,
    WayOut,
}

/// The shared network.
pub(super) struct Keeper {
    listener: OwnedFd,
    users: OwnedFd,
    maps: WrittenMaps,
    /// The shared network namespace.
    pub(super) home: OwnedFd,
    pub(super) netlink: Netlink,
    /// By the ids of their networks.
    pub(super) bridges: BTreeMap<String, Bridge>,
    clients: Vec<Client>,
    members: BTreeMap<ContainerId, Member>,
    wayout: WayOut,
    pub(super) names: NameServer,
    tables: Tables,
    pub(super) departed: Departed,
    /// How many clients have come so far.
    count: u64,
    /// Until then the next ones wait.
    deaf_until: Option<Instant>,
}

/// A network that exists in the kernel.
#[derive(Clone, Debug)]
pub(super) struct Bridge {
    pub(super) device: u32,
    pub(super) name: String,
    pub(super) network: Network,
}

/// Somebody who is connected to the keeper.
struct Client {
    wire: Wire,
    number: u64,
}

/// A container.
pub(super) struct Member {
    /// The client that it is connected with.
    client: u64,
    pub(super) id: ContainerId,
    pub(super) name: String,
    namespace: OwnedFd,
    pub(super) ports: Vec<Port>,
    /// Who is asked for names that are no container's, where the container says so.
    servers: Vec<SocketAddr>,
    /// It may reach the host's own addresses.
    reaches_host: bool,
}

impl Keeper {
    /// Makes the shared namespaces and enters them; `users` is the user namespace of containers that
    /// an earlier keeper has left.
    pub(super) fn make(
        maps: &IdMaps,
        users: Option<&OwnedFd>,
        listener: OwnedFd,
    ) -> Result<Self, BridgeError> {
        let refused = |error: Error| BridgeError::Refused {
            message: error.line(),
            hint: error.hint(),
        };
        let holder = Holder::start(maps, users).map_err(refused)?;
        let (users, home) = holder.namespaces().map_err(failed)?;
        let namespaces = NetworkNamespace {
            users: users.try_clone().map_err(failed)?,
            network: home.try_clone().map_err(failed)?,
        };
        let proof = SingleThreaded::check().map_err(failed)?;
        // It has to stay in the host's network, which cannot be come back to.
        let wayout = WayOut::start(&namespaces, &proof).map_err(|it| refused(it.into()))?;
        shared::enter(users.as_fd(), home.as_fd()).map_err(failed)?;
        drop(holder);
        let mut netlink = Netlink::open().map_err(failed)?;
        shared::prepare(&mut netlink, DEVICE)?;
        let upstream = wayout.name_server().map(at_port);
        let names = NameServer::new(upstream.into_iter().collect()).map_err(failed)?;
        Ok(Self {
            wayout,
            names,
            tables: Tables::default(),
            departed: Departed::default(),
            listener,
            users,
            maps: maps.into(),
            home,
            netlink,
            bridges: BTreeMap::new(),
            clients: Vec::new(),
            members: BTreeMap::new(),
            count: 0,
            deaf_until: None,
        })
    }

    /// Serves until nobody is there any more; `close` makes it unknown.
    pub(super) fn serve(mut self, close: impl FnOnce()) {
        let mut idle_since = Some(Instant::now());
        loop {
            let deadline = idle_since.map(|since| since + LINGER);
            let Ok(ready) = self.wait(deadline) else {
                break;
            };
            if self.wayout.is_lost() {
                // The containers come back to the next keeper, which has another one.
                break;
            }
            self.obey(&ready);
            self.departed.pull_late_ones(&mut self.netlink);
            if !self.clients.is_empty() {
                idle_since = None;
            } else if idle_since.is_none() {
                idle_since = Some(Instant::now());
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) && idle_since.is_some() {
                break;
            }
        }
        // Whoever has come meanwhile sees the connection end, and tries again.
        close();
    }

    fn obey(&mut self, ready: &[Source]) {
        let mut gone = Vec::new();
        for source in ready {
            match source {
                Source::Listener => self.accept(),
                Source::Client(place) => gone.extend((!self.hear(*place)).then_some(*place)),
                // Looked at below.
                Source::Names | Source::WayOut => {}
            }
        }
        for place in gone.into_iter().rev() {
            self.forget(place);
        }
        if ready
            .iter()
            .any(|source| matches!(source, Source::Client(_)))
        {
            self.tables = self.tables_now();
        }
        // Sockets that fail are those of clients, who ask again.
        let _ = self.names.turn(&self.tables);
    }

    /// What is ready: the clients in the order of their places.
    fn wait(&self, deadline: Option<Instant>) -> io::Result<Vec<Source>> {
        let deaf_until = self.deaf_until.filter(|until| *until > Instant::now());
        let listener = (Source::Listener, self.listener.as_fd());
        let listener = deaf_until.is_none().then_some(listener);
        let clients = self.clients.iter().enumerate();
        let clients = clients.map(|(place, it)| (Source::Client(place), it.wire.as_fd()));
        let names = std::iter::once((Source::Names, self.names.as_fd()));
        let wayout = self.wayout.fd().map(|fd| (Source::WayOut, fd));
        let all = listener
            .into_iter()
            .chain(clients)
            .chain(names)
            .chain(wayout);
        let (sources, mut fds): (Vec<Source>, Vec<PollFd<'_>>) = all
            .map(|(source, fd)| (source, PollFd::from_borrowed_fd(fd, PollFlags::IN)))
            .unzip();
        let deadlines = [
            deadline,
            deaf_until,
            self.names.deadline(),
            self.departed.deadline(),
            self.wayout.deadline(),
        ];
        let deadline = deadlines.into_iter().flatten().min();
        wait(&mut fds, deadline)?;
        let ready = sources.into_iter().zip(&fds);
        Ok(ready
            .filter_map(|(source, fd)| (!fd.revents().is_empty()).then_some(source))
            .collect())
    }

    fn accept(&mut self) {
        match accept_with(&self.listener, SocketFlags::CLOEXEC) {
            Ok(socket) => {
                self.count += 1;
                self.clients.push(Client {
                    wire: socket.into(),
                    number: self.count,
                });
            }
            // It has gone again.
            Err(Errno::CONNABORTED | Errno::INTR | Errno::AGAIN) => {}
            // There is no room for one more: it waits, and must not be asked for all the time.
            Err(_) => self.deaf_until = Some(Instant::now() + PAUSE),
        }
    }

    /// Gives the names of a client's container to others, and its addresses when its cables are out.
    fn forget(&mut self, place: usize) {
        let client = self.clients.swap_remove(place);
        let is_its = |member: &&Member| member.client == client.number;
        let id = self.members().find(is_its).map(|member| member.id.clone());
        let Some(member) = id.and_then(|id| self.members.remove(&id)) else {
            return;
        };
        for port in member.ports {
            self.close_openings(&port);
            self.departed.add(port);
        }
    }

    fn leave(&mut self, id: &ContainerId) {
        let member = self.members.remove(id);
        for port in member.iter().flat_map(|member| &member.ports) {
            self.unplug(port);
        }
    }

    /// Does what a client wants; whether it is still there.
    fn hear(&mut self, place: usize) -> bool {
        let Some(client) = self.clients.get(place) else {
            return true;
        };
        let Ok(Some((request, descriptor))) = client.wire.receive::<Request>() else {
            return false;
        };
        let answer = match request {
            Request::Hello => Ok(Answer::Welcome {
                maps: self.maps.clone(),
                warning: self.wayout.warning(),
                way_out: self.wayout.words().to_owned(),
            }),
            Request::Join(join) => self.join(place, join, descriptor).map(Answer::Endpoints),
            Request::Connect(id, wanted) => self.connect(&id, &wanted).map(Answer::Endpoints),
            Request::Disconnect(id, network) => {
                self.disconnect(&id, &network).map(Answer::Endpoints)
            }
            Request::Rename(id, name) => self.rename(&id, &name).map(|()| Answer::Done),
            Request::Endpoints(id) => {
                let member = self.members.get(&id);
                Ok(Answer::Endpoints(
                    member.map_or_else(Vec::new, Member::endpoints),
                ))
            }
            Request::Remove(network, file) => self.remove(&network, &file).map(|()| Answer::Done),
        };
        let answer = answer.unwrap_or_else(|error| refusal(&error));
        let users = matches!(answer, Answer::Welcome { .. }).then(|| self.users.as_fd());
        // A client that does not read what it asked for is not worth waiting for.
        let sent = self
            .clients
            .get(place)
            .map(|it| it.wire.send(&answer, users, true));
        sent.is_some_and(|sent| sent.is_ok())
    }

    /// The containers.
    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    fn join(
        &mut self,
        place: usize,
        join: Join,
        namespace: Option<OwnedFd>,
    ) -> Result<Vec<Endpoint>, BridgeError> {
        let namespace = namespace.ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        // It was started again before its end was noticed, or right after.
        self.leave(&join.id);
        let is_its = |port: &Port| port.cable.starts_with(join.id.short());
        self.departed.pull(&mut self.netlink, is_its);
        let client = self.clients.get(place).map_or(0, |client| client.number);
        let mut member = Member {
            client,
            id: join.id,
            name: join.name,
            namespace,
            ports: Vec::new(),
            servers: join.servers.into_iter().map(at_port).collect(),
            reaches_host: join.reaches_host,
        };
        for wanted in &join.wanted {
            match self.plug(&member.who(), wanted) {
                Ok(port) => member.ports.push(port),
                Err(error) => {
                    for port in &member.ports {
                        self.unplug(port);
                    }
                    return Err(error);
                }
            }
        }
        let endpoints = member.endpoints();
        self.members.insert(member.id.clone(), member);
        Ok(endpoints)
    }

    fn connect(&mut self, id: &ContainerId, wanted: &Wanted) -> Result<Vec<Endpoint>, BridgeError> {
        self.with_member(id, |keeper, member| {
            let port = keeper.plug(&member.who(), wanted)?;
            member.ports.push(port);
            Ok(member.endpoints())
        })
    }

    fn disconnect(
        &mut self,
        id: &ContainerId,
        network: &str,
    ) -> Result<Vec<Endpoint>, BridgeError> {
        self.with_member(id, |keeper, member| {
            let mut ports = member.ports.iter();
            // What was never plugged in is out.
            if let Some(place) = ports.position(|port| port.endpoint.id == network) {
                let port = member.ports.remove(place);
                keeper.unplug(&port);
                keeper.renew_ways_out(&member.who());
            }
            Ok(member.endpoints())
        })
    }

    /// Its first name is its own.
    fn rename(&mut self, id: &ContainerId, name: &str) -> Result<(), BridgeError> {
        self.with_member(id, |_keeper, member| {
            name.clone_into(&mut member.name);
            for own in member
                .ports
                .iter_mut()
                .filter_map(|it| it.names.first_mut())
            {
                name.clone_into(own);
            }
            Ok(())
        })
    }

    fn with_member<T>(
        &mut self,
        id: &ContainerId,
        act: impl FnOnce(&mut Self, &mut Member) -> Result<T, BridgeError>,
    ) -> Result<T, BridgeError> {
        let unknown = || BridgeError::Unreachable(id.short().to_owned());
        let mut member = self.members.remove(id).ok_or_else(unknown)?;
        let done = act(self, &mut member);
        self.members.insert(id.clone(), member);
        done
    }

    /// Removes a network that nobody is on: from here on nobody can join it.
    fn remove(&mut self, network: &Network, file: &Path) -> Result<(), BridgeError> {
        let on_it = |member: &&Member| member.ports.iter().any(|it| it.endpoint.id == network.id);
        let mut users: Vec<String> = self
            .members()
            .filter(on_it)
            .map(|it| it.name.clone())
            .collect();
        users.sort_unstable();
        if !users.is_empty() {
            return Err(BridgeError::InUse {
                name: network.name.to_string(),
                users,
            });
        }
        // Another one of that name is not meant.
        if is_written(network, file) {
            std::fs::remove_file(file).map_err(failed)?;
        }
        if let Some(bridge) = self.bridges.remove(&network.id) {
            for subnet in &bridge.network.subnets {
                self.names.leave(subnet.gateway);
            }
            // What is left of it goes with the namespace.
            let _ = devices::remove(&mut self.netlink, &bridge.name);
        }
        Ok(())
    }
}

impl Keeper {
    /// What the containers are called, as far as each of them may know.
    fn tables_now(&self) -> Tables {
        let mut tables = Tables::default();
        for (id, bridge) in &self.bridges {
            let mut zone = Zone {
                network: bridge.network.name.as_str().to_ascii_lowercase(),
                internal: bridge.network.internal,
                ..Zone::default()
            };
            for member in self.members() {
                let ports = member.ports.iter().filter(|it| it.endpoint.id == *id);
                if ports.clone().next().is_none() {
                    continue;
                }
                for address in member.ports.iter().flat_map(Port::addresses) {
                    zone.members.insert(address);
                    if !member.servers.is_empty() {
                        tables.upstreams.insert(address, member.servers.clone());
                    }
                }
                if bridge.network.disable_dns {
                    continue;
                }
                for port in ports {
                    for name in &port.names {
                        port.addresses().for_each(|address| zone.add(name, address));
                    }
                }
            }
            tables.zones.push(zone);
        }
        tables
    }
}

impl Member {
    fn who(&self) -> Who<'_> {
        Who {
            id: &self.id,
            name: &self.name,
            namespace: &self.namespace,
            ports: &self.ports,
            reaches_host: self.reaches_host,
        }
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        self.ports
            .iter()
            .map(|port| port.endpoint.clone())
            .collect()
    }
}

/// Where a name server listens.
fn at_port(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, crate::net::names::PORT)
}
