//! The namespaces of a container that its network belongs to.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace, and the user namespace whose root may change it.
#[derive(Debug)]
pub(crate) struct NetworkNamespace {
    pub(crate) users: OwnedFd,
    pub(crate) network: OwnedFd,
}

impl NetworkNamespace {
    /// Those of a process that the caller may look into: one that waits for its start, or a program.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let open = |name: &str| {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            rustix::fs::open(format!("/proc/{pid}/ns/{name}"), flags, Mode::empty())
        };
        Ok(Self {
            users: open("user")?,
            network: open("net")?,
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
