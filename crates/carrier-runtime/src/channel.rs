//! What parent and child say to each other between clone and exec.
//!
//! The child sends records of twelve bytes: what, step, error number. The parent sends single bytes,
//! each of which means "go on". The child's end is close-on-exec, so that the parent reads the end
//! of file when the program runs.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

const READY: u32 = 1;
/// Known to the trampoline, too.
const FAILED: u32 = 2;
const TERMINAL: u32 = 3;
const HOOKS: u32 = 4;
const LISTENER: u32 = 5;
const SPAWNED: u32 = 6;

const RECORD: usize = 12;

/// What the child has to say.
#[derive(Debug)]
pub(crate) enum Report {
    /// All steps before the start are done.
    Ready,
    /// A step failed.
    Failed { step: usize, errno: Errno },
    /// The controlling side of the container's terminal.
    Terminal(OwnedFd),
    /// It is time for the hooks that run before the change of roots.
    Hooks,
    /// Where the notifications of the seccomp filter come.
    Listener(OwnedFd),
    /// A helper has cloned the container's process.
    Spawned { pid: u32, pidfd: OwnedFd },
    /// The channel is closed: the program runs, or the child has died.
    Closed,
}

#[derive(Debug)]
pub(crate) struct ParentEnd(OwnedFd);

#[derive(Debug)]
pub(crate) struct ChildEnd(OwnedFd);

pub(crate) fn pair() -> Result<(ParentEnd, ChildEnd), Errno> {
    let flags = SocketFlags::CLOEXEC;
    let (parent, child) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    Ok((ParentEnd(parent), ChildEnd(child)))
}

/// Calls `act` with a path to the same place that is short enough for a socket, unix(7).
///
/// # Errors
/// Those of opening the directory, and those of `act`.
pub fn with_short_path<T>(
    path: &Path,
    act: impl FnOnce(&Path) -> Result<T, Errno>,
) -> Result<T, Errno> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::INVAL);
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::open(parent, flags, Mode::empty())?;
    let short = Path::new("/proc/self/fd").join(parent.as_raw_fd().to_string());
    act(&short.join(name))
}

/// A gate at `path`: the child waits there until [`ParentEnd::knock`].
pub(crate) fn gate(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, 1)?;
    Ok(socket)
}

impl ParentEnd {
    /// Goes to a gate; whoever waits behind it goes on, and reports here.
    pub(crate) fn knock(path: &Path) -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(Self(socket))
    }

    /// Lets the child go on.
    pub(crate) fn go(&self) -> Result<(), Errno> {
        rustix::net::send(&self.0, b"g", SendFlags::NOSIGNAL).map(drop)
    }

    pub(crate) fn receive(&self) -> Result<Report, Errno> {
        let mut record = [0; RECORD];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let length = loop {
            let mut parts = [IoSliceMut::new(&mut record)];
            match rustix::net::recvmsg(&self.0, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => return Ok(Report::Closed),
                other => break other?.bytes,
            }
        };
        if length == 0 {
            return Ok(Report::Closed);
        }
        let mut descriptors = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(rights) => Some(rights),
            _ => None,
        });
        let mut descriptor = || {
            let first = descriptors.next().and_then(|mut rights| rights.next());
            first.ok_or(Errno::PROTO)
        };
        let [what, step, errno] = decode(record);
        match what {
            READY => Ok(Report::Ready),
            FAILED => Ok(Report::Failed {
                step: step as usize,
                errno: Errno::from_raw_os_error(errno.cast_signed()),
            }),
            HOOKS => Ok(Report::Hooks),
            TERMINAL => descriptor().map(Report::Terminal),
            LISTENER => descriptor().map(Report::Listener),
            SPAWNED => descriptor().map(|pidfd| Report::Spawned { pid: step, pidfd }),
            _ => Err(Errno::PROTO),
        }
    }
}

impl ChildEnd {
    pub(crate) fn report_ready(&self) -> Result<(), Errno> {
        self.send(encode([READY, 0, 0]), &[])
    }

    /// Says what failed; nobody could be told if this failed too.
    pub(crate) fn report_failure(&self, step: usize, errno: Errno) {
        let step = u32::try_from(step).unwrap_or(u32::MAX);
        let _ = self.send(
            encode([FAILED, step, errno.raw_os_error().cast_unsigned()]),
            &[],
        );
    }

    pub(crate) fn report_hooks(&self) -> Result<(), Errno> {
        self.send(encode([HOOKS, 0, 0]), &[])
    }

    pub(crate) fn send_listener(&self, notifications: BorrowedFd<'_>) -> Result<(), Errno> {
        self.send(encode([LISTENER, 0, 0]), &[notifications])
    }

    pub(crate) fn send_spawned(&self, pid: u32, pidfd: BorrowedFd<'_>) -> Result<(), Errno> {
        self.send(encode([SPAWNED, pid, 0]), &[pidfd])
    }

    /// Waits for somebody at the gate. Allocates nothing.
    pub(crate) fn accept(gate: &OwnedFd) -> Result<Self, Errno> {
        loop {
            match rustix::net::accept_with(gate, SocketFlags::CLOEXEC) {
                Err(Errno::INTR) => {}
                other => return other.map(Self),
            }
        }
    }

    pub(crate) fn send_terminal(&self, terminal: BorrowedFd<'_>) -> Result<(), Errno> {
        self.send(encode([TERMINAL, 0, 0]), &[terminal])
    }

    /// Waits for the parent's word; a parent that has died says nothing, and the child fails.
    pub(crate) fn await_go(&self) -> Result<(), Errno> {
        let mut byte = [0];
        loop {
            match rustix::net::recv(&self.0, &mut byte, RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                Ok((_, 0)) => return Err(Errno::PIPE),
                other => return other.map(drop),
            }
        }
    }

    fn send(&self, record: [u8; RECORD], descriptors: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(Errno::NOBUFS);
        }
        let parts = [IoSlice::new(&record)];
        rustix::net::sendmsg(&self.0, &parts, &mut control, SendFlags::NOSIGNAL).map(drop)
    }
}

impl AsFd for ChildEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for ParentEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn encode([what, step, errno]: [u32; 3]) -> [u8; RECORD] {
    let [a, b, c, d] = what.to_ne_bytes();
    let [e, f, g, h] = step.to_ne_bytes();
    let [i, j, k, l] = errno.to_ne_bytes();
    [a, b, c, d, e, f, g, h, i, j, k, l]
}

fn decode([a, b, c, d, e, f, g, h, i, j, k, l]: [u8; RECORD]) -> [u32; 3] {
    [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_arrive_as_they_were_sent() {
        let (parent, child) = pair().unwrap();
        child.report_ready().unwrap();
        assert!(matches!(parent.receive().unwrap(), Report::Ready));
        child.report_failure(7, Errno::PERM);
        assert!(matches!(
            parent.receive().unwrap(),
            Report::Failed {
                step: 7,
                errno: Errno::PERM
            }
        ));
        child.send_terminal(child.0.as_fd()).unwrap();
        assert!(matches!(parent.receive().unwrap(), Report::Terminal(_)));
        drop(child);
        assert!(matches!(parent.receive().unwrap(), Report::Closed));
    }

    #[test]
    fn a_dead_parent_stops_the_child() {
        let (parent, child) = pair().unwrap();
        parent.go().unwrap();
        child.await_go().unwrap();
        drop(parent);
        assert_eq!(child.await_go(), Err(Errno::PIPE));
    }
}
