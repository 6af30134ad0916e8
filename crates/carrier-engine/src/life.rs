//! How a container is: what its monitor has seen, kept in `state.json` beside the record.
//!
//! The file outlives its writer. It names processes so that they cannot be mistaken for others, also
//! after a boot: a monitor that is gone has left an old state, which readers see through.

use carrier_runtime::Cgroup;
use carrier_runtime::state::ProcessIdentity;
use carrier_spec::ContainerId;
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::error::Error;
use crate::health::Health;
use crate::moment::Moment;
use crate::net::NetworkState;
use crate::record::ContainerRecord;

/// The code of a container whose monitor was killed, and the program with it.
pub(crate) const LOST: u8 = 137;
/// The code of a container that a boot has ended, as Docker has it.
pub(crate) const BOOTED: u8 = 255;

/// How far a container has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It was made, and never started.
    #[default]
    Created,
    /// Its program runs.
    Running,
    /// Its processes are held in their tracks.
    Paused,
    /// Its program has ended, and its monitor is about to start it again.
    Restarting,
    /// Its program has ended.
    Exited,
}

impl Status {
    /// Docker's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
        }
    }

    /// Whether the container has processes.
    #[must_use]
    pub fn is_up(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }

    /// Whether somebody takes care of the container.
    #[must_use]
    pub fn is_alive(self) -> bool {
        self.is_up() || self == Self::Restarting
    }
}

/// What was observed of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Life {
    /// What was true when the file was written; [`Engine::life`] tells what is.
    pub status: Status,
    /// When it was made, as its record has it: lists need not read that of a container that runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<Moment>,
    /// Who takes care of it.
    pub monitor: Option<ProcessIdentity>,
    /// Its first process.
    pub process: Option<ProcessIdentity>,
    /// When its program was started last.
    pub started: Option<Moment>,
    /// When its program ended last.
    pub finished: Option<Moment>,
    /// What the program left with: for one that runs, the time before.
    pub code: u8,
    /// Why the last start failed.
    pub error: Option<String>,
    /// Whether the user has ended it: then `unless-stopped` does not bring it back.
    pub stopped: bool,
    /// Who starts it again: until then it is not removed, though it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kept_for: Option<ProcessIdentity>,
    /// How often it was started again by its restart policy.
    pub restarts: u32,
    /// Whether it is well; nothing of a container without a check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Whether the kernel has killed one of its processes because memory ran out.
    pub oom_killed: bool,
    /// Its cgroup, where it has one of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cgroup: Option<Cgroup>,
    /// Bytes of output that its log had no room for.
    pub unlogged: u64,
    /// How it is connected.
    pub network: NetworkState,
}

impl Life {
    /// What is true now, when `self` is what was written down.
    #[must_use]
    pub(crate) fn now(mut self) -> Self {
        if !self.status.is_alive() || self.monitor.as_ref().is_some_and(ProcessIdentity::is_alive) {
            return self;
        }
        let same_boot = self
            .monitor
            .as_ref()
            .is_some_and(ProcessIdentity::is_of_this_boot);
        self.code = if same_boot { LOST } else { BOOTED };
        self.status = Status::Exited;
        self
    }

    /// Whether somebody is about to start it again.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept_for
            .as_ref()
            .is_some_and(ProcessIdentity::is_alive)
    }

    /// Whether its monitor was lost, so that the file is not what [`now`](Self::now) tells.
    pub(crate) fn is_stale(&self) -> bool {
        self.clone().now().status != self.status
    }
}

impl Engine {
    /// How a container is.
    ///
    /// # Errors
    /// When its state cannot be read.
    pub fn life(&self, record: &ContainerRecord) -> Result<Life, Error> {
        self.life_of(&record.id)
    }

    pub(crate) fn life_of(&self, id: &ContainerId) -> Result<Life, Error> {
        let written: Option<Life> = self.store.container(id).read_state()?;
        Ok(written.unwrap_or_default().now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(monitor: ProcessIdentity) -> Life {
        Life {
            status: Status::Running,
            monitor: Some(monitor),
            ..Life::default()
        }
    }

    #[test]
    fn a_container_without_its_monitor_has_ended() {
        let me = ProcessIdentity::of(std::process::id()).unwrap();
        assert_eq!(running(me.clone()).now().status, Status::Running);
        let recycled = ProcessIdentity {
            inode: None,
            start_time: me.start_time + 1,
            ..me.clone()
        };
        let lost = running(recycled);
        assert!(lost.is_stale());
        assert_eq!(
            (lost.clone().now().status, lost.now().code),
            (Status::Exited, LOST)
        );
        let booted = ProcessIdentity {
            boot_id: "another".to_owned(),
            ..me
        };
        assert_eq!(running(booted).now().code, BOOTED);
    }
}
