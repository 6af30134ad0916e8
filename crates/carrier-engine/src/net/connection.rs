//! A container's network while it runs.

use std::borrow::Cow;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use carrier_spec::ContainerId;
use carrier_sys::process::SingleThreaded;

use super::check::{check, warning};
use super::error::NetworkError;
use super::follow::Follower;
use super::forward::Forwarder;
use super::hosts::Names;
use super::listen::Publication;
use super::mode::NetworkMode;
use super::namespaces::NetworkNamespace;
use super::resolv::Resolvers;
use super::state::{Endpoint, NetworkState};
use super::uplink::{Choice, Uplink, UplinkPlan, choose};
use crate::doctor;
use crate::engine::Engine;
use crate::error::Error;
use crate::record::{ContainerRecord, RunOptions};

/// A forwarder that lived shorter than this has died young.
const WORTH_ANOTHER: Duration = Duration::from_secs(1);

/// After so many that died young, one after the other, the next one would, too.
const MOST_YOUNG_DEATHS: u8 = 3;

/// What will be done for a container's network, decided before anything is.
#[derive(Debug, Default)]
pub(crate) struct ConnectionPlan {
    pub(crate) uplink: Option<UplinkPlan>,
    /// The container's addresses.
    pub(crate) endpoints: Vec<Endpoint>,
    /// What the names in `/etc/hosts` mean.
    pub(crate) names: Names,
    /// Who is asked for other names.
    pub(crate) resolvers: Resolvers,
    /// What the user should know.
    pub(crate) warning: Option<String>,
}

/// What connects a container that runs. Dropped, it is cut off.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    uplink: Option<Uplink>,
    forwarder: Option<Forwarder>,
    /// Where another forwarder is started when that one has died.
    namespace: Option<NetworkNamespace>,
    forwards_since: Option<Instant>,
    young_deaths: u8,
    follower: Option<Follower>,
    endpoints: Vec<Endpoint>,
    failed: Option<String>,
}

impl ConnectionPlan {
    /// Whether the container gets a connection of its own.
    pub(crate) fn is_connected(&self) -> bool {
        !self.endpoints.is_empty()
    }

    /// Decides how `record` is connected.
    ///
    /// # Errors
    /// When that is impossible.
    pub(crate) fn of(record: &ContainerRecord) -> Result<Self, NetworkError> {
        let loopback = || IpAddr::V4(Ipv4Addr::LOCALHOST);
        match choose(&record.network, &record.networking)? {
            None => Ok(Self {
                names: Names {
                    own: match record.network {
                        NetworkMode::Host => Vec::new(),
                        _ => vec![loopback()],
                    },
                    host: (record.network == NetworkMode::Host).then(loopback),
                },
                warning: warning(&record.network, &record.networking),
                ..Self::default()
            }),
            Some(Choice::Uplink(plan)) => Ok(Self {
                names: plan.names(),
                resolvers: Resolvers::Forwarded(plan.resolvers()),
                endpoints: vec![plan.endpoint(record.network.name())],
                uplink: Some(plan),
                warning: None,
            }),
            Some(Choice::Nothing(reason)) if record.networking.publishes() => {
                let program = "private";
                Err(NetworkError::NoHelper { program, reason })
            }
            Some(Choice::Nothing(reason)) => Ok(Self {
                names: Names {
                    own: vec![loopback()],
                    host: None,
                },
                warning: Some(format!(
                    "the container reaches only itself: {reason}; {}",
                    doctor::no_uplink("slirp4netns")
                )),
                ..Self::default()
            }),
        }
    }
}

impl Engine {
    /// The container whose network `record` has, and that one's first process where it is another
    /// container that runs.
    ///
    /// # Errors
    /// When the other container is gone.
    pub(crate) fn network_owner<'a>(
        &self,
        record: &'a ContainerRecord,
    ) -> Result<(Cow<'a, ContainerId>, Option<u32>), Error> {
        let NetworkMode::Container(word) = &record.network else {
            return Ok((Cow::Borrowed(&record.id), None));
        };
        let owner = self.container(word)?;
        let process = self.live_process(&owner.id)?;
        Ok((Cow::Owned(owner.id), process.map(|process| process.pid)))
    }

    /// Binds the ports that `record` publishes.
    ///
    /// # Errors
    /// When one cannot be had; the container that has it is named.
    pub(crate) fn publish(&self, record: &ContainerRecord) -> Result<Publication, NetworkError> {
        let is_reached = record.network.has_own_namespace()
            && record.network != NetworkMode::None
            && !self.is_internal(record);
        if !is_reached {
            return Ok(Publication::default());
        }
        match Publication::open(&record.networking) {
            Err(NetworkError::Port {
                address,
                protocol,
                source,
            }) if source.kind() == io::ErrorKind::AddrInUse => {
                Err(match self.owner_of_port(address, protocol) {
                    Some(by) => NetworkError::PortTaken {
                        address,
                        protocol,
                        by,
                    },
                    None => NetworkError::Port {
                        address,
                        protocol,
                        source,
                    },
                })
            }
            other => other,
        }
    }

    /// The container that has published a port of the host.
    fn owner_of_port(&self, address: SocketAddr, protocol: &str) -> Option<String> {
        let has = |record: &ContainerRecord| {
            let ports = self.life(record).map(|life| life.network.ports);
            ports.unwrap_or_default().iter().any(|port| {
                let same = port.host_ip == address.ip()
                    || port.host_ip.is_unspecified()
                    || address.ip().is_unspecified();
                same && port.host_port == address.port() && port.protocol.name() == protocol
            })
        };
        let records = self.records().ok()?;
        records
            .iter()
            .find(|it| has(it))
            .map(|it| it.name.to_string())
    }

    /// Makes sure that the container whose network `record` has is there for it.
    ///
    /// # Errors
    /// When it does not run.
    pub(crate) fn require_network_owner(&self, record: &ContainerRecord) -> Result<(), Error> {
        match (&record.network, self.network_owner(record)?.1) {
            (NetworkMode::Container(word), None) => {
                let name = self.container(word)?.name.to_string();
                Err(NetworkError::OwnerStopped(name).into())
            }
            _ => Ok(()),
        }
    }

    /// The network of a container that is about to be made: words for other containers become ids.
    pub(crate) fn resolve_network(
        &self,
        options: &RunOptions,
    ) -> Result<(NetworkMode, Option<String>), Error> {
        check(
            &options.network,
            &options.networking,
            options.hostname.is_some(),
        )?;
        let NetworkMode::Container(word) = &options.network else {
            return Ok((options.network.clone(), options.hostname.clone()));
        };
        let owner = self.container(word)?;
        if let NetworkMode::Container(_) = owner.network {
            let text = format!("container {word} has another container's network itself");
            let hint = "name the container whose network that is";
            return Err(NetworkError::Invalid(text, hint).into());
        }
        let id = owner.id.as_str().to_owned();
        Ok((NetworkMode::Container(id), Some(owner.hostname)))
    }
}

impl Connection {
    /// Begins to connect the container that `pid` is the first process of, while that makes its root.
    ///
    /// # Errors
    /// When no process can be made.
    pub(crate) fn begin(
        plan: &ConnectionPlan,
        publication: &Publication,
        pid: u32,
        proof: &SingleThreaded,
    ) -> Result<Self, NetworkError> {
        if !plan.is_connected() {
            return Ok(Self::default());
        }
        let namespace = NetworkNamespace::of(pid).map_err(NetworkError::Namespace)?;
        let uplink = plan.uplink.as_ref();
        let uplink = uplink.map(|uplink| Uplink::start(uplink, &namespace, proof));
        let mut connection = Self {
            uplink: uplink.transpose()?,
            endpoints: plan.endpoints.clone(),
            namespace: Some(namespace),
            ..Self::default()
        };
        connection.forward(publication, proof)?;
        Ok(connection)
    }

    /// Takes note of the addresses that the container has on networks of the user.
    ///
    /// # Errors
    /// When no process can be made.
    pub(crate) fn attach(
        &mut self,
        endpoints: Vec<Endpoint>,
        publication: &Publication,
        pid: u32,
        proof: &SingleThreaded,
    ) -> Result<(), NetworkError> {
        self.endpoints = endpoints;
        let forwarder = self.forwarder.as_mut();
        if forwarder.is_some_and(|it| it.goes_on(&self.endpoints)) {
            return Ok(());
        }
        if !publication.listeners.is_empty() {
            let namespace = NetworkNamespace::of(pid).map_err(NetworkError::Namespace)?;
            self.namespace = Some(namespace);
        }
        self.forward(publication, proof)
    }

    fn forward(
        &mut self,
        publication: &Publication,
        proof: &SingleThreaded,
    ) -> Result<(), NetworkError> {
        self.forwarder = None;
        let Some(namespace) = self.namespace.as_ref() else {
            return Ok(());
        };
        if publication.listeners.is_empty() {
            self.namespace = None;
            return Ok(());
        }
        let forwarder = Forwarder::start(publication, namespace, &self.endpoints, proof)?;
        self.forwarder = Some(forwarder);
        self.forwards_since = Some(Instant::now());
        Ok(())
    }

    /// The container's name servers are others from now on; whether there is a file that follows them.
    pub(crate) fn lead_to(&mut self, resolvers: &Resolvers) -> bool {
        let led = self
            .follower
            .as_mut()
            .map(|follower| follower.lead_to(resolvers));
        if matches!(led, Some(Err(_))) {
            // A full disk: the file is what it was.
            self.follower = None;
        }
        led.is_some()
    }

    /// Keeps the container's `file` of name servers up to date from now on.
    pub(crate) fn follow(
        &mut self,
        file: PathBuf,
        record: &ContainerRecord,
        plan: &ConnectionPlan,
    ) {
        if matches!(
            record.network,
            NetworkMode::None | NetworkMode::Container(_)
        ) {
            return;
        }
        // Where the host's files cannot be watched, the container keeps what it has.
        let follower = Follower::start(file, &record.networking.dns, &plan.resolvers);
        self.follower = follower.unwrap_or_default();
    }

    /// Takes what follows the host's name servers: the kernel takes its time to forget an inotify
    /// instance, and nobody has to wait for that.
    pub(crate) fn take_follower(&mut self) -> Option<Follower> {
        self.follower.take()
    }

    /// Waits until the container is connected.
    ///
    /// # Errors
    /// Why it is not.
    pub(crate) fn wait_ready(&mut self) -> Result<(), NetworkError> {
        if let Some(uplink) = &mut self.uplink {
            uplink.wait_ready()?;
        }
        if let Some(forwarder) = &mut self.forwarder {
            forwarder.wait_ready()?;
        }
        Ok(())
    }

    /// Readable when something has happened that [`check`](Self::check) looks at.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let uplink = self.uplink.iter().map(Uplink::as_fd);
        let forwarder = self.forwarder.iter().map(Forwarder::as_fd);
        let follower = self.follower.iter().map(Follower::as_fd);
        uplink.chain(forwarder).chain(follower)
    }

    /// Whether what comes to published ports is carried on.
    pub(crate) fn forwards(&self) -> bool {
        self.forwarder.is_some()
    }

    /// Looks at what has happened; whether [`state`](Self::state) is another one than before. A
    /// forwarder that has died is replaced, unless each one dies at once.
    pub(crate) fn check(&mut self, publication: &Publication) -> io::Result<bool> {
        if let Some(follower) = &mut self.follower
            && is_ready(follower.as_fd())?
            && follower.update().is_err()
        {
            // A full disk: the file is what it was.
            self.follower = None;
        }
        let before = self.failed.clone();
        if let Some(uplink) = &self.uplink
            && is_ready(uplink.as_fd())?
        {
            self.failed = Some(uplink.describe_end());
            self.uplink = None;
        }
        if let Some(forwarder) = &self.forwarder
            && is_ready(forwarder.as_fd())?
        {
            let is_young = |since: Instant| since.elapsed() < WORTH_ANOTHER;
            self.young_deaths = match self.forwards_since.is_some_and(is_young) {
                true => self.young_deaths.saturating_add(1),
                false => 0,
            };
            let again = if self.young_deaths >= MOST_YOUNG_DEATHS {
                Err("the forwarder of published ports has ended".to_owned())
            } else {
                self.replace_forwarder(publication)
            };
            if let Err(reason) = again {
                self.forwarder = None;
                self.failed = Some(reason);
            }
        }
        Ok(self.failed != before)
    }

    fn replace_forwarder(&mut self, publication: &Publication) -> Result<(), String> {
        let proof = SingleThreaded::check().map_err(|error| error.to_string())?;
        let started = self.forward(publication, &proof);
        let started = started.and_then(|()| match &mut self.forwarder {
            Some(forwarder) => forwarder.wait_ready(),
            None => Ok(()),
        });
        started.map_err(|error| error.to_string())
    }

    /// What there is to tell.
    pub(crate) fn state(&self, publication: &Publication) -> NetworkState {
        NetworkState {
            uplink: self.uplink.as_ref().map(|it| it.program().to_owned()),
            failed: self.failed.clone(),
            endpoints: self.endpoints.clone(),
            ports: publication.ports(),
        }
    }
}

fn is_ready(file: BorrowedFd<'_>) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::from_borrowed_fd(file, PollFlags::IN)];
    Ok(poll(&mut fds, Some(&Timespec::default()))? > 0)
}
