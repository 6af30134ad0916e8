//! `ps`: the processes of a container, read from the host's `/proc` and never by a program of the
//! container.

use std::fs;

use super::{Record, Runtime};
use crate::error::Error;
use crate::members::members_of;
use crate::state::Status;

/// A process of a container, as the host sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerProcess {
    /// Its id in the caller's namespace.
    pub pid: u32,
    /// Its parent's.
    pub parent: u32,
    /// The user id outside of the container.
    pub user: u32,
    /// The command line.
    pub command: String,
}

impl Runtime {
    /// The processes of a container, by id.
    ///
    /// # Errors
    /// [`Error::UnknownContainer`], [`Error::WrongStatus`] when it has stopped.
    pub fn processes(&self, id: &str) -> Result<Vec<ContainerProcess>, Error> {
        let record = self.record(id)?;
        let running = [Status::Created, Status::Running, Status::Paused];
        record.require("list the processes of", &running)?;
        let pids = record.pids()?;
        // One that has ended meanwhile is none.
        Ok(pids.into_iter().filter_map(process).collect())
    }
}

impl Record {
    /// The ids of all processes, lowest first.
    pub(super) fn pids(&self) -> Result<Vec<u32>, Error> {
        let mut pids = match &self.cgroup {
            Some(cgroup) => cgroup.pids()?,
            None => self.namespace_members(),
        };
        pids.sort_unstable();
        Ok(pids)
    }

    /// The processes in the PID namespace of the first one, or that one alone where the container
    /// shares the namespace of its caller.
    fn namespace_members(&self) -> Vec<u32> {
        members_of(self.process.pid)
    }
}

fn process(pid: u32) -> Option<ContainerProcess> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u32>().ok()
    };
    let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = words.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let command = words.collect::<Vec<_>>().join(" ").trim_end().to_owned();
    Some(ContainerProcess {
        pid,
        parent: field("PPid:")?,
        user: field("Uid:")?,
        command,
    })
}
