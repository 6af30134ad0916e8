//! What a container may use: limits, in Docker's words; where its cgroup is; and what its processes
//! inherit.

mod check;
mod device;
mod limits;
mod number;
mod oci;
mod place;
mod process;
mod sysctl;
mod ulimit;
mod update;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use check::Processors;
pub use device::{DeviceRate, DeviceWeight};
pub use limits::Limits;
pub use number::{cpus, processor_list, size, swap};
pub(crate) use place::{keyed, open, refused};
pub use sysctl::Sysctl;
pub use ulimit::Ulimit;
pub use update::ContainerChange;

/// A value that makes no sense, or does not go together with another one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadResource {
    message: String,
    hint: &'static str,
}

impl BadResource {
    pub(crate) fn new(message: impl Into<String>, hint: &'static str) -> Self {
        Self {
            message: message.into(),
            hint,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        self.hint
    }
}

/// What a container may use, and where that is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// What `update` can change.
    pub limits: Limits,
    /// Whether the container has a cgroup.
    pub cgroups: CgroupChoice,
    /// Where the cgroup is made: a slice of systemd, or a directory of the hierarchy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The program sees the cgroups of the host.
    pub host_cgroups: bool,
    /// Files of the cgroup, and what is written to them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// Limits of each process, setrlimit(2).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ulimits: Vec<Ulimit>,
    /// How much sooner than others the kernel kills the program when memory runs out, −1000 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_score: Option<i32>,
    /// Kernel parameters of the container's namespaces.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
}

/// Whether a container has a cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupChoice {
    /// When it needs one.
    #[default]
    Needed,
    /// In any case.
    Enabled,
    /// In no case.
    Disabled,
}

impl Resources {
    /// Whether the container cannot do without a cgroup.
    #[must_use]
    pub fn need_cgroup(&self) -> bool {
        match self.cgroups {
            CgroupChoice::Disabled => false,
            CgroupChoice::Enabled => true,
            CgroupChoice::Needed => {
                self.limits.are_limits() || self.parent.is_some() || !self.files.is_empty()
            }
        }
    }

    /// Checks what does not depend on any other part of the container; `host` is asked only where a
    /// limit depends on it.
    ///
    /// # Errors
    /// What contradicts itself, or is more than the host has.
    pub fn check(&self, host: impl FnOnce() -> Processors) -> Result<(), BadResource> {
        let asks = self.limits.are_limits() || self.parent.is_some() || !self.files.is_empty();
        if self.cgroups == CgroupChoice::Disabled && asks {
            return Err(BadResource::new(
                "conflicting options: limits need a cgroup, and --cgroups is disabled",
                "leave --cgroups out",
            ));
        }
        if self
            .oom_score
            .is_some_and(|score| !(-1000..=1000).contains(&score))
        {
            return Err(BadResource::new(
                "invalid value for --oom-score-adj: the range is from -1000 to 1000",
                "the higher it is, the sooner the kernel kills the program when memory runs out",
            ));
        }
        self.limits.check(host)
    }
}
