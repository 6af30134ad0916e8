//! What a check has found.

use std::fmt;

use super::remedy::Remedy;

/// One thing that can be wrong with a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The kernel's version.
    Kernel,
    /// The time of day.
    Clock,
    /// Whether ordinary users may make user namespaces.
    UserNamespaces,
    /// Whether AppArmor lets them.
    Apparmor,
    /// How many namespaces of the other kinds a user may make.
    Namespaces,
    /// subuid(5) and subgid(5).
    SubordinateIds,
    /// newuidmap(1) and newgidmap(1).
    IdHelpers,
    /// Where the store is.
    Home,
    /// Room for the store.
    Disk,
    /// The kernel mounts layers on each other.
    Overlay,
    /// `fuse-overlayfs` can do it instead.
    Fuse,
    /// `XDG_RUNTIME_DIR`.
    RuntimeDirectory,
    /// Whether the user's programs outlive his logins.
    Lingering,
    /// Whether resources can be limited.
    Cgroups,
    /// `/dev/net/tun`.
    Tun,
    /// A program that carries packets.
    Uplink,
    /// `nf_tables`.
    Filter,
    /// Ports that are root's.
    LowPorts,
    /// Whether the user may ping.
    Ping,
    /// Emulators of other architectures.
    Emulators,
    /// How many descriptors a process may have.
    OpenFiles,
    /// How many processes there may be.
    Processes,
    /// How many files may be watched.
    Inotify,
    /// Whether memory may be reserved that is not there.
    Memory,
    /// Keys of the user.
    Keys,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "kernel",
            Self::Clock => "clock",
            Self::UserNamespaces => "user namespaces",
            Self::Apparmor => "AppArmor",
            Self::Namespaces => "namespaces",
            Self::SubordinateIds => "subordinate ids",
            Self::IdHelpers => "id helpers",
            Self::Home => "home",
            Self::Disk => "disk",
            Self::Overlay => "overlay",
            Self::Fuse => "FUSE",
            Self::RuntimeDirectory => "runtime directory",
            Self::Lingering => "lingering",
            Self::Cgroups => "cgroups",
            Self::Tun => "tun",
            Self::Uplink => "uplink",
            Self::Filter => "nf_tables",
            Self::LowPorts => "low ports",
            Self::Ping => "ping",
            Self::Emulators => "emulators",
            Self::OpenFiles => "open files",
            Self::Processes => "processes",
            Self::Inotify => "inotify",
            Self::Memory => "memory",
            Self::Keys => "keys",
        })
    }
}

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Ok,
    /// Containers run, but something that may be asked for will not be had.
    Warning,
    /// Containers do not run, or not as they do by default.
    Failed,
    /// It does not matter on this host.
    Skipped,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        })
    }
}

/// What a check has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub check: Check,
    /// How it is.
    pub state: State,
    /// What there is.
    pub found: String,
    /// What follows from it; empty where all is well.
    pub consequence: String,
    /// What helps.
    pub remedy: Option<Remedy>,
}

impl Finding {
    pub(super) fn ok(check: Check, found: impl Into<String>) -> Self {
        Self {
            check,
            state: State::Ok,
            found: found.into(),
            consequence: String::new(),
            remedy: None,
        }
    }

    pub(super) fn skipped(check: Check, found: impl Into<String>) -> Self {
        let state = State::Skipped;
        Self {
            state,
            ..Self::ok(check, found)
        }
    }

    pub(super) fn warning(
        check: Check,
        found: impl Into<String>,
        consequence: impl Into<String>,
        remedy: Remedy,
    ) -> Self {
        Self {
            state: State::Warning,
            consequence: consequence.into(),
            remedy: Some(remedy),
            ..Self::ok(check, found)
        }
    }

    pub(super) fn failed(
        check: Check,
        found: impl Into<String>,
        consequence: impl Into<String>,
        remedy: Remedy,
    ) -> Self {
        let state = State::Failed;
        Self {
            state,
            ..Self::warning(check, found, consequence, remedy)
        }
    }

    /// Whether something is to be done about it.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        matches!(self.state, State::Warning | State::Failed)
    }

    /// All of it but the state, on one line: what `doctor` prints, and whatever fails for this reason.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = format!("{}: {}", self.check, self.found);
        if !self.consequence.is_empty() {
            line.push_str(": ");
            line.push_str(&self.consequence);
        }
        if let Some(remedy) = &self.remedy {
            line.push_str("; ");
            line.push_str(&remedy.to_string());
        }
        line
    }
}
