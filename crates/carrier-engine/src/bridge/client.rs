//! Finding the keeper of the shared network, or making it: from the point of view of a container's
//! monitor, or of a command.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use carrier_runtime::{IdMaps, Nesting, with_short_path};
use carrier_spec::ContainerId;
use carrier_sys::process::SingleThreaded;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};

use super::error::BridgeError;
use super::keeper;
use super::protocol::{Answer, DIRECTORY, Join, Request, SOCKET, Wanted, Wire};
use crate::decisions::decided;
use crate::engine::Engine;
use crate::error::Error;
use crate::foreground::wait;
use crate::net::{Endpoint, NetworkMode};

/// A keeper that does not answer in this time is stuck or stopped.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a keeper is looked for that is just beginning or ending.
const PAUSE: Duration = Duration::from_millis(2);

/// A conversation with the keeper. A container that has joined is connected as long as this exists.
#[derive(Debug)]
pub(crate) struct Membership {
    wire: Wire,
    users: OwnedFd,
    maps: IdMaps,
    /// What the user should know.
    pub(crate) warning: Option<String>,
}

impl Engine {
    /// Reaches the keeper, which is made where there is none.
    pub(crate) fn enter_networks(&self) -> Result<Membership, Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(member) = self.find_networks()? {
                return Ok(member);
            }
            match self.lock_keeper()? {
                Some(lock) => self.start_keeper(&lock)?,
                // It is just beginning or ending.
                None if Instant::now() < deadline => std::thread::sleep(PAUSE),
                None => return Err(shared("reach")(Errno::TIMEDOUT.into()).into()),
            }
        }
    }

    /// Reaches the keeper; nothing where there is none, or one that is just beginning or ending.
    pub(crate) fn find_networks(&self) -> Result<Option<Membership>, Error> {
        let Some(wire) = self.connect_keeper().map_err(shared("reach"))? else {
            return Ok(None);
        };
        if wire.send(&Request::Hello, None, false).is_err() {
            return Ok(None);
        }
        let welcome = receive(&wire)?;
        match welcome {
            None => Ok(None),
            Some((
                Answer::Welcome {
                    maps,
                    warning,
                    way_out,
                },
                Some(users),
            )) => {
                decided(|| format!("the uplink is that of all networks, {way_out}"));
                Ok(Some(Membership {
                    wire,
                    users,
                    maps: maps.into(),
                    warning,
                }))
            }
            Some(_) => Err(shared("understand")(Errno::PROTO.into()).into()),
        }
    }

    /// The right to be the keeper: held by it as long as it exists, nothing while somebody has it.
    pub(crate) fn lock_keeper(&self) -> Result<Option<File>, Error> {
        let lock = || {
            let directory = File::open(self.keeper_directory()?)?;
            match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => Ok(Some(directory)),
                Err(Errno::WOULDBLOCK) => Ok(None),
                Err(errno) => Err(errno.into()),
            }
        };
        Ok(lock().map_err(shared("lock"))?)
    }

    /// Where the keeper is found, also when the session has ended in which it began: beside what is
    /// written down about the networks. Whoever is the keeper holds a lock on it.
    fn keeper_directory(&self) -> io::Result<PathBuf> {
        let path = self.store.networks_directory().join(DIRECTORY);
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&path)?;
        Ok(path)
    }

    /// Makes the keeper unknown.
    pub(super) fn forget_keeper(&self) {
        let path = self.store.networks_directory().join(DIRECTORY).join(SOCKET);
        // Nobody is behind it any more.
        let _ = fs::remove_file(path);
    }

    fn connect_keeper(&self) -> io::Result<Option<Wire>> {
        let socket = socket()?;
        let path = self.store.networks_directory().join(DIRECTORY).join(SOCKET);
        let connected = with_short_path(&path, |short| {
            rustix::net::connect(&socket, &SocketAddrUnix::new(short)?)
        });
        match connected {
            Ok(()) => Ok(Some(socket.into())),
            Err(Errno::NOENT | Errno::CONNREFUSED) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Makes the keeper, which takes `lock` over; returns when it is ready.
    fn start_keeper(&self, lock: &File) -> Result<(), Error> {
        let failed = shared("make");
        let listener = self.listen().map_err(failed)?;
        let users = self.abandoned_users()?;
        let (reader, report) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(Errno::into)
            .map_err(failed)?;
        let proof = SingleThreaded::check().map_err(failed)?;
        let mut report = Some(report);
        // The keeper is nobody's child: whoever makes it may end long before.
        let helper = carrier_sys::process::fork(&proof, |_token| {
            let (Ok(proof), Some(report)) = (SingleThreaded::check(), report.take()) else {
                return 1;
            };
            let keeper = carrier_sys::process::fork(&proof, |token| {
                keeper::keep(self, &listener, (lock, users.as_ref()), report, &token)
            });
            keeper
                .map(carrier_sys::process::Child::release)
                .is_err()
                .into()
        });
        helper
            .and_then(carrier_sys::process::Child::wait)
            .map_err(failed)?;
        drop(report.take());
        let mut said = Vec::new();
        File::from(reader).read_to_end(&mut said).map_err(failed)?;
        match serde_json::from_slice(&said) {
            Ok(Answer::Done) => Ok(()),
            Ok(answer) => Err(refused(answer).into()),
            // It was killed, and whatever killed it will happen again.
            Err(_) => Err(failed(Errno::PIPE.into()).into()),
        }
    }

    /// The user namespace in which containers live that a keeper has left: only from there can they be
    /// connected again.
    fn abandoned_users(&self) -> Result<Option<OwnedFd>, Error> {
        for record in self.records()? {
            let NetworkMode::Bridge(attachments) = &record.network else {
                continue;
            };
            let Some(process) = self
                .live_process(&record.id)?
                .filter(|_| !attachments.is_empty())
            else {
                continue;
            };
            let path = format!("/proc/{}/ns/user", process.pid);
            // It may just have ended.
            let inner = File::open(path).ok();
            let users = inner.and_then(|inner| carrier_runtime::enclosing(inner.as_fd()));
            if users.is_some() {
                return Ok(users);
            }
        }
        Ok(None)
    }

    fn listen(&self) -> io::Result<OwnedFd> {
        let path = self.keeper_directory()?.join(SOCKET);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = socket()?;
        with_short_path(&path, |short| {
            rustix::net::bind(&socket, &SocketAddrUnix::new(short)?)
        })?;
        rustix::net::listen(&socket, 1024)?;
        Ok(socket)
    }
}

impl Membership {
    /// Where the container's user namespace is made.
    pub(crate) fn nesting(&self) -> Result<Nesting, Error> {
        Ok(Nesting {
            users: self.users.try_clone().map_err(shared("enter"))?,
            maps: self.maps.clone(),
        })
    }

    /// Asks for the container's connections, [`Membership::endpoints`]; `namespace` is its network
    /// namespace.
    pub(super) fn join(&self, join: Join, namespace: BorrowedFd<'_>) -> Result<(), Error> {
        let sent = self.wire.send(&Request::Join(join), Some(namespace), false);
        Ok(sent.map_err(shared("reach"))?)
    }

    /// Waits for the answer: how the container is connected.
    pub(crate) fn endpoints(&self) -> Result<Vec<Endpoint>, Error> {
        match self.answer()? {
            Answer::Endpoints(endpoints) => Ok(endpoints),
            other => Err(refused(other).into()),
        }
    }

    /// Whether the keeper has ended: it says nothing that it was not asked for.
    pub(crate) fn is_gone(&self) -> bool {
        let mut fds = [PollFd::new(&self.wire, PollFlags::IN)];
        let looked = wait(&mut fds, Some(Instant::now()));
        looked.is_ok() && fds.iter().any(|fd| !fd.revents().is_empty())
    }

    /// How a container is connected now.
    pub(crate) fn endpoints_of(&self, container: &ContainerId) -> Result<Vec<Endpoint>, Error> {
        self.ask(&Request::Endpoints(container.clone()))?;
        self.endpoints()
    }

    /// Connects a container that runs to one more network.
    pub(super) fn connect(&self, container: &ContainerId, wanted: Wanted) -> Result<(), Error> {
        self.ask(&Request::Connect(container.clone(), Box::new(wanted)))?;
        self.endpoints().map(drop)
    }

    /// Disconnects a container that runs.
    pub(super) fn disconnect(&self, container: &ContainerId, network: &str) -> Result<(), Error> {
        self.ask(&Request::Disconnect(container.clone(), network.to_owned()))?;
        self.endpoints().map(drop)
    }

    /// Tells the name of a container that runs.
    pub(crate) fn rename(&self, container: &ContainerId, name: &str) -> Result<(), Error> {
        self.ask(&Request::Rename(container.clone(), name.to_owned()))?;
        match self.answer()? {
            Answer::Done => Ok(()),
            other => Err(refused(other).into()),
        }
    }

    pub(super) fn ask(&self, request: &Request) -> Result<(), Error> {
        let sent = self.wire.send(request, None, false);
        Ok(sent.map_err(shared("reach"))?)
    }

    pub(super) fn answer(&self) -> Result<Answer, Error> {
        let gone = || shared("hear from")(Errno::CONNRESET.into());
        let (answer, _) = receive(&self.wire)?.ok_or_else(gone)?;
        Ok(answer)
    }
}

impl AsFd for Membership {
    /// Readable when the keeper is gone.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wire.as_fd()
    }
}

fn receive(wire: &Wire) -> Result<Option<(Answer, Option<OwnedFd>)>, Error> {
    let failed = shared("hear from");
    let mut fds = [PollFd::new(wire, PollFlags::IN)];
    wait(&mut fds, Some(Instant::now() + PATIENCE)).map_err(failed)?;
    if fds.iter().all(|fd| fd.revents().is_empty()) {
        return Err(failed(Errno::TIMEDOUT.into()).into());
    }
    Ok(wire.receive().map_err(failed)?)
}

pub(super) fn refused(answer: Answer) -> BridgeError {
    match answer {
        Answer::Refused { message, hint } => BridgeError::Refused { message, hint },
        _ => shared("understand")(Errno::PROTO.into()),
    }
}

fn socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    Ok(socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        flags,
        None,
    )?)
}

fn shared(action: &'static str) -> impl Fn(io::Error) -> BridgeError + Copy {
    move |source| BridgeError::Shared { action, source }
}
