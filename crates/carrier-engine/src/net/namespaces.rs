//! The namespaces of a container that its network belongs to.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use carrier_runtime::state::ProcessIdentity;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// How long a container's root may take to be made.
const PATIENCE: Duration = Duration::from_secs(20);

/// A network namespace, and the user namespace whose root may change it.
#[derive(Debug)]
pub(crate) struct NetworkNamespace {
    pub(crate) users: OwnedFd,
    pub(crate) network: OwnedFd,
}

impl NetworkNamespace {
    /// Those of a process that becomes a container's first one. Where that is not the caller's own id,
    /// as with `--userns keep-id`, it may be looked into again only when it is about to be ready.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        Ok(Self {
            users: namespace_of(pid, "user")?,
            network: namespace_of(pid, "net")?,
        })
    }

    /// Makes the calling process one of the user namespace, with all its power.
    pub(crate) fn join_users(&self) -> io::Result<()> {
        let kind = Some(LinkNameSpaceType::User);
        Ok(move_into_link_name_space(self.users.as_fd(), kind)?)
    }

    /// The same for the network, which takes power over it.
    pub(crate) fn join_network(&self) -> io::Result<()> {
        let kind = Some(LinkNameSpaceType::Network);
        Ok(move_into_link_name_space(self.network.as_fd(), kind)?)
    }
}

/// A namespace of a process that is being set up, or of a program. A process that changes its ids cannot
/// be looked into until its next step.
pub(crate) fn namespace_of(pid: u32, name: &str) -> io::Result<OwnedFd> {
    let path = format!("/proc/{pid}/ns/{name}");
    let deadline = Instant::now() + PATIENCE;
    loop {
        match rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Err(Errno::ACCESS) if Instant::now() < deadline && ProcessIdentity::of(pid).is_ok() => {
                std::thread::sleep(Duration::from_millis(1));
            }
            other => return Ok(other?),
        }
    }
}
