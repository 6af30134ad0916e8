//! What can go wrong between a bundle and a process.

use std::io;

use rustix::io::Errno;

use crate::seccomp;

/// An error of the runtime.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of the configuration has a value that cannot be applied.
    #[error("{field} is invalid: {reason}")]
    Invalid {
        /// The field's path in `config.json`.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A field of the configuration asks for something that this version cannot do.
    #[error("{field} is not supported")]
    Unsupported {
        /// The field's path in `config.json`.
        field: String,
    },
    /// The seccomp profile cannot be compiled.
    #[error("cannot compile the seccomp profile")]
    Seccomp(#[from] seccomp::Error),
    /// The process has threads, or its descriptors are used up.
    #[error("cannot prepare a child process")]
    Prepare(#[source] io::Error),
    /// The session keyring of the login cannot be left.
    #[error("cannot join the session keyring of containers")]
    Keyring(#[source] io::Error),
    /// clone3(2) failed.
    #[error("cannot create namespaces")]
    Clone(#[source] io::Error),
    /// A namespace that is to be joined cannot be opened.
    #[error("cannot open namespace {path}")]
    Namespace {
        /// Its file.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// The kernel or a helper refused the id maps.
    #[error(transparent)]
    IdMap(#[from] IdMapError),
    /// A step of the child failed.
    #[error("cannot {action} ({origin})")]
    Step {
        /// What was to be done, with names.
        action: String,
        /// The field of the configuration that asked for it.
        origin: String,
        /// The kernel's answer.
        source: Errno,
    },
    /// The kernel does not let the owners of a mount's files be others.
    #[error("{field}: cannot map the ids of {source_path}: {reason}")]
    MappedMount {
        /// The field's path in `config.json`.
        field: String,
        /// What is mounted.
        source_path: String,
        /// Why not.
        reason: &'static str,
        /// The kernel's answer.
        source: Errno,
    },
    /// The kernel or a helper refused the id maps of a mount.
    #[error("{field} is invalid")]
    MappedIds {
        /// The field's path in `config.json`.
        field: String,
        /// The cause.
        source: IdMapError,
    },
    /// The program to execute is nowhere.
    #[error("exec: {program:?}: {}", if program.contains('/') { "no such file or directory" } else { "executable file not found in $PATH" })]
    ProgramNotFound {
        /// The first word of the command.
        program: String,
    },
    /// The program exists and cannot be executed.
    #[error("exec: {program:?}")]
    ProgramNotExecutable {
        /// The first word of the command.
        program: String,
        /// The kernel's answer.
        source: Errno,
    },
    /// The program cannot begin in its working directory. The words are those of other runtimes.
    #[error("chdir to cwd ({path:?})")]
    WorkingDirectory {
        /// The directory.
        path: String,
        /// The kernel's answer.
        source: Errno,
    },
    /// The child ended without a word.
    #[error("the container's first process died while it was set up")]
    ChildDied,
    /// Talking to the child failed.
    #[error("cannot talk to the container's first process")]
    Channel(#[source] Errno),
    /// A hook failed: runtime-spec wants the container to fail with it.
    #[error("{kind} hook {path} {reason}")]
    Hook {
        /// `prestart`, `createRuntime` and so on.
        kind: &'static str,
        /// The program.
        path: String,
        /// How it failed.
        reason: String,
    },
    /// A container of this id does not exist.
    #[error("container {id:?} does not exist")]
    UnknownContainer {
        /// The id that was asked for.
        id: String,
    },
    /// The id is taken.
    #[error("container {id:?} already exists")]
    ContainerExists {
        /// The id that was asked for.
        id: String,
    },
    /// The id could not be the name of a directory.
    #[error("{id:?} is no container id")]
    InvalidId {
        /// The id that was asked for.
        id: String,
    },
    /// The operation is not for a container in this status, runtime-spec `runtime.md`.
    #[error("cannot {operation} container {id:?}: {}", status_text(*.status))]
    WrongStatus {
        /// The verb.
        operation: &'static str,
        /// The container.
        id: String,
        /// What it is.
        status: crate::state::Status,
    },
    /// `config.json` or a file like it.
    #[error("cannot read {path}")]
    Configuration {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A control group.
    #[error("cannot {action} cgroup {path}")]
    Cgroup {
        /// What was to be done.
        action: String,
        /// Its directory.
        path: std::path::PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Processes of others are in the control group that a container was to have for itself.
    #[error("container's cgroup is not empty: {count} process(es) found in {path}")]
    CgroupInUse {
        /// How many.
        count: usize,
        /// Its directory.
        path: std::path::PathBuf,
    },
    /// systemd did not do what the container's cgroup needs.
    #[error("cannot {action} scope {unit}: {reason}")]
    Scope {
        /// `start` or `change`.
        action: &'static str,
        /// The unit.
        unit: String,
        /// What systemd said.
        reason: String,
    },
    /// Control groups cannot do what the configuration asks for.
    #[error("{field} cannot be applied: {reason}")]
    Limit {
        /// The field's path in `config.json`.
        field: String,
        /// Why not.
        reason: String,
    },
    /// A control group lacks the controller that a limit needs.
    #[error("{field} cannot be applied: controller {controller} is not available in {path}")]
    Controller {
        /// The field's path in `config.json`.
        field: String,
        /// `memory`, `io` and so on.
        controller: String,
        /// The control group's directory.
        path: std::path::PathBuf,
    },
    /// Nobody lets the caller make control groups.
    #[error("no cgroup can be made: {reason}")]
    NoCgroup {
        /// Why not.
        reason: String,
    },
    /// A file or socket that the caller named.
    #[error("cannot {action} {path}")]
    File {
        /// What was to be done.
        action: &'static str,
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A state file cannot be written or read.
    #[error("cannot {action} container state {path}")]
    State {
        /// `read`, `write` or `remove`.
        action: &'static str,
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Words that engines look for: containerd takes "container not running" for a fact, not a failure.
fn status_text(status: crate::state::Status) -> &'static str {
    use crate::state::Status;
    match status {
        Status::Created => "it is created and was not started",
        Status::Running => "it is running",
        Status::Paused => "it is paused",
        Status::Stopped => "container not running",
    }
}

/// Why a user namespace did not get its ids.
#[derive(Debug, thiserror::Error)]
pub enum IdMapError {
    /// The helper that writes maps of several ids is not installed.
    #[error("{helper} is not installed")]
    HelperMissing {
        /// `newuidmap` or `newgidmap`.
        helper: &'static str,
    },
    /// The helper could not be started.
    #[error("cannot run {helper}")]
    HelperFailed {
        /// `newuidmap` or `newgidmap`.
        helper: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The helper refused.
    #[error("{helper} refused the id map: {message}")]
    Refused {
        /// `newuidmap` or `newgidmap`.
        helper: &'static str,
        /// What it said.
        message: String,
    },
    /// The kernel refused the caller's own map.
    #[error("cannot write {file}")]
    Write {
        /// `uid_map`, `gid_map` or `setgroups`.
        file: &'static str,
        /// The cause.
        source: io::Error,
    },
}

impl Error {
    /// The kernel's answer where it cannot mount layers on each other, here or at all: an old kernel,
    /// a missing module, a file system that overlay cannot write to, or too many on each other.
    #[must_use]
    pub fn overlay_refused(&self) -> Option<Errno> {
        match self {
            Self::Step { action, source, .. } if action == crate::plan::MOUNT_LAYERS => matches!(
                *source,
                Errno::INVAL | Errno::NODEV | Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS
            )
            .then_some(*source),
            _ => None,
        }
    }
}
