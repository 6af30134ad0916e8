//! Talking to the monitor of a container.

use std::io;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use carrier_runtime::state::ProcessIdentity;
use carrier_runtime::with_short_path;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::engine::Engine;
use crate::error::Error;
use crate::foreground::wait;
use crate::monitor::{CHUNK, Peer, SOCKET, answer, refused};
use crate::record::ContainerRecord;

/// A monitor that does not answer in this time is stuck or stopped.
const PATIENCE: Duration = Duration::from_secs(5);

/// A process that does not end in this time after it was killed is held by the kernel. Docker's.
const DYING: Duration = Duration::from_secs(10);

/// What a monitor said.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It was done.
    Done,
    /// The program left with this code.
    Exited(u8),
    /// The monitor has gone without a word.
    Gone,
    /// The time is over.
    Late,
}

impl Engine {
    /// Connects to the monitor of a container; nothing where there is none.
    pub(crate) fn connect(&self, record: &ContainerRecord) -> Result<Option<Peer>, Error> {
        let path = self.store.container(&record.id).path().join(SOCKET);
        let connect = || {
            let flags = SocketFlags::CLOEXEC;
            let kind = SocketType::SEQPACKET;
            let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None)?;
            with_short_path(&path, |short| {
                rustix::net::connect(&socket, &SocketAddrUnix::new(short)?)
            })?;
            Ok(socket)
        };
        match connect() {
            Ok(socket) => Ok(Some(socket.into())),
            Err(Errno::NOENT | Errno::CONNREFUSED) => Ok(None),
            Err(errno) => Err(Error::Monitor {
                action: "connect to",
                source: errno.into(),
            }),
        }
    }

    /// Asks the monitor of a container to do something now.
    pub(crate) fn ask(
        &self,
        record: &ContainerRecord,
        what: u8,
        payload: &[u8],
    ) -> Result<Answer, Error> {
        match self.connect(record)? {
            Some(peer) => peer.ask(what, payload),
            None => Ok(Answer::Gone),
        }
    }
}

impl Peer {
    /// Asks the monitor at the other end to do something now.
    pub(crate) fn ask(&self, what: u8, payload: &[u8]) -> Result<Answer, Error> {
        if self.send(what, payload).is_err() {
            return Ok(Answer::Gone);
        }
        self.answer(Instant::now().checked_add(PATIENCE))
    }

    /// The next answer that is not about streams, if it comes before `deadline`.
    pub(crate) fn answer(&self, deadline: Option<Instant>) -> Result<Answer, Error> {
        let mut buffer = vec![0; CHUNK];
        loop {
            if !self.is_ready(deadline)? {
                return Ok(Answer::Late);
            }
            let received = self.receive(&mut buffer).map_err(hear)?;
            let Some((what, length)) = received else {
                return Ok(Answer::Gone);
            };
            let payload = buffer.get(..length).unwrap_or_default();
            match (what, payload) {
                (answer::DONE | answer::STARTED, _) => return Ok(Answer::Done),
                (answer::EXITED, &[code]) => return Ok(Answer::Exited(code)),
                (answer::REFUSED, words) => return Err(refused(Some(words))),
                _ => {}
            }
        }
    }

    fn is_ready(&self, deadline: Option<Instant>) -> Result<bool, Error> {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            let mut fds = [PollFd::from_borrowed_fd(self.as_fd(), PollFlags::IN)];
            match poll(&mut fds, timeout.as_ref()) {
                Err(Errno::INTR) => {}
                Err(errno) => return Err(hear(errno.into())),
                Ok(count) => return Ok(count > 0),
            }
        }
    }
}

fn hear(source: io::Error) -> Error {
    Error::Monitor {
        action: "hear from",
        source,
    }
}

/// Kills a process and waits for its end; one that is gone is no error, and no other is ever killed.
///
/// # Errors
/// `TimedOut` where it does not end: the kernel keeps a process that waits for a device.
pub(crate) fn kill(process: &ProcessIdentity) -> io::Result<()> {
    let Some(pidfd) = signal(process, rustix::process::Signal::KILL.as_raw())? else {
        return Ok(());
    };
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    wait(&mut fds, Instant::now().checked_add(DYING))?;
    if fds.iter().any(|fd| !fd.revents().is_empty()) {
        return Ok(());
    }
    let text = format!("process {} has been killed and does not end", process.pid);
    Err(io::Error::new(io::ErrorKind::TimedOut, text))
}

/// Sends a signal, and returns what holds on to the process; nothing when that is gone.
pub(crate) fn signal(
    process: &ProcessIdentity,
    signal: i32,
) -> io::Result<Option<std::os::fd::OwnedFd>> {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
    let Some(pid) = pid else { return Ok(None) };
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(None),
        other => other?,
    };
    // Looked at now that the descriptor holds on to whatever process has the number.
    if !process.is_alive() {
        return Ok(None);
    }
    carrier_sys::process::signal_process(pidfd.as_fd(), signal)?;
    Ok(Some(pidfd))
}
