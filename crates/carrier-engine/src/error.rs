//! What can go wrong, in words of the user; and what to do about it.

use std::io;
use std::path::PathBuf;

use carrier_spec::{ContainerId, DiffId, Digest, Platform, Reference};

mod hints;

pub(crate) use hints::io_hint_of;

/// An error of the engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No container of that name or id.
    #[error("no such container: {0}")]
    NoSuchContainer(String),
    /// Neither a container nor an image.
    #[error("no such container or image: {0}")]
    NoSuchObject(String),
    /// The image is not in the store.
    #[error("no such image: {}", .0.familiar())]
    NoSuchImage(Reference),
    /// No image of that name or id.
    #[error("no such image: {0}")]
    NoImageOfThatName(String),
    /// The image is there for other platforms only.
    #[error("image {image} is not here for {wanted}, only for {}", list(.offered))]
    NoSuchPlatform {
        /// The image, as the user named it.
        image: String,
        /// What was asked for.
        wanted: Platform,
        /// What there is.
        offered: Vec<Platform>,
    },
    /// A new name with a digest, which only content gives.
    #[error("cannot tag an image {}: a tag cannot have a digest", .0.familiar())]
    TagWithDigest(Reference),
    /// A name that is another image's, or nobody's.
    #[error("{} is not a name of image {image}", .name.familiar())]
    NotATag {
        /// The name.
        name: Reference,
        /// The image, as the user named it.
        image: String,
    },
    /// An id has more names than its user may know.
    #[error("image {id} has names in several repositories: {}", .names.join(", "))]
    SeveralRepositories {
        /// What the user typed.
        id: String,
        /// The names.
        names: Vec<String>,
    },
    /// An archive holds no image that can be used.
    #[error(transparent)]
    BadArchive(#[from] crate::archive::BadArchive),
    /// A change of an image's configuration makes no sense.
    #[error(transparent)]
    BadChange(#[from] crate::archive::BadChange),
    /// A container cannot be connected.
    #[error(transparent)]
    Network(#[from] crate::net::NetworkError),
    /// A container's files cannot be worked on.
    #[error("cannot access the files of container {container}: {reason}")]
    Files {
        /// The container.
        container: String,
        /// What the process that was to do it said.
        reason: String,
    },
    /// A network of the user.
    #[error(transparent)]
    Bridge(#[from] crate::bridge::BridgeError),
    /// Something cannot be copied.
    #[error(transparent)]
    Copy(#[from] crate::files::CopyError),
    /// A part of an image is not in the store.
    #[error("{part} of image {image} is missing or damaged")]
    ImageDamaged {
        /// The image, as the user named it.
        image: String,
        /// A blob.
        part: Digest,
    },
    /// A filter makes no sense.
    #[error(transparent)]
    Filter(#[from] crate::images::FilterError),
    /// The first digits of an id fit several objects.
    #[error("{prefix:?} is the beginning of {count} ids")]
    AmbiguousId {
        /// What the user typed.
        prefix: String,
        /// How many ids begin with it.
        count: usize,
    },
    /// One word names a container and an image.
    #[error("{0:?} is a container and an image")]
    ContainerAndImage(String),
    /// A monitor has said what is wrong.
    #[error("{}", .0.message)]
    Refused(crate::monitor::Refusal),
    /// The process that takes care of a container could not be made or reached.
    #[error("cannot {action} the container's monitor")]
    Monitor {
        /// What was to be done.
        action: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The container does not run.
    #[error("container {0} is not running")]
    NotRunning(String),
    /// The container's processes are held.
    #[error("container {0} is paused, unpause it first")]
    Paused(String),
    /// The container's processes are not held.
    #[error("container {0} is not paused")]
    NotPaused(String),
    /// Processes are made faster than they are stopped.
    #[error("cannot stop the container's processes: new ones are made all the time")]
    CannotHold,
    /// A limit cannot be applied.
    #[error("{option} cannot be applied: {reason}")]
    Limit {
        /// What the user asked for.
        option: String,
        /// Why not.
        reason: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A limit makes no sense.
    #[error(transparent)]
    BadResource(#[from] crate::resources::BadResource),
    /// Limits of devices are for disks.
    #[error("{} is not a block device", .0.display())]
    NoDisk(PathBuf),
    /// Processes that run have no cgroup whose limits could be changed.
    #[error("container {0} runs without a cgroup: its limits cannot change while it runs")]
    RunsWithoutCgroup(String),
    /// The container runs.
    #[error("container {0} is running")]
    ContainerRuns(String),
    /// Another command has the container in its hands, and it does not run.
    #[error("container {0} is in use by another command")]
    ContainerBusy(String),
    /// A container was to get the name that it has.
    #[error("{0} is the container's name already: it cannot be renamed to the same name")]
    SameName(carrier_spec::ContainerName),
    /// A container that is removed when it ends was to be started again then.
    #[error("restart policy cannot be updated because the container is removed when it ends")]
    RestartAndRemove,
    /// The container runs, and should not.
    #[error("container {0} is running")]
    NotStopped(String),
    /// There are no containers.
    #[error("there is no container")]
    NoContainers,
    /// Nothing in the container is known to be a shell.
    #[error("container {0} has no shell")]
    NoShell(String),
    /// A container's files cannot be looked at.
    #[error("cannot read {path} of the container")]
    ContainerFile {
        /// The path in the container.
        path: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// A program of a container that runs could not be started, for what was asked of it.
    #[error(transparent)]
    CannotExec(Box<Error>),
    /// The layers of an image could not be copied.
    #[error("cannot copy the image's layers: {0}")]
    CopyRoot(String),
    /// Everything was to be removed, and containers run.
    #[error("{0} containers are running")]
    ContainersRun(usize),
    /// There is nothing to execute.
    #[error("no command specified, and image {0} has none")]
    NoCommand(String),
    /// `--user` or the image's `USER` makes no sense.
    #[error("{user:?} is not a user of the form user[:group]")]
    InvalidUser {
        /// What was asked for.
        user: String,
    },
    /// The image's `/etc/passwd` has no such user.
    #[error("unable to find user {user}: no matching entries in passwd file")]
    UnknownUser {
        /// The name.
        user: String,
    },
    /// The image's `/etc/group` has no such group.
    #[error("unable to find group {group}: no matching entries in group file")]
    UnknownGroup {
        /// The name.
        group: String,
    },
    /// An id that the caller's subordinate ranges do not reach.
    #[error("{kind} {id} is not mapped in the user namespace")]
    UnmappedId {
        /// `user` or `group`.
        kind: &'static str,
        /// The id.
        id: u32,
    },
    /// Subordinate ids of the caller that somebody else has too.
    #[error("{0}")]
    SharedIds(crate::shared_ids::SharedIds),
    /// A host name that no program could use.
    #[error("{0:?} is not a host name")]
    InvalidHostname(String),
    /// A layer that an image needs is not in the store.
    #[error("layer {0} of the image is missing")]
    LayerMissing(DiffId),
    /// A directory of the host cannot be opened.
    #[error("cannot open {path}")]
    Open {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// No program runs images of that platform here.
    #[error("cannot run programs for {platform} on this host{}", .program.as_ref().map_or_else(String::new, |program| format!(": {program} is not installed")))]
    NoEmulator {
        /// What the image was made for.
        platform: Platform,
        /// The emulator that would do.
        program: Option<String>,
    },
    /// The runtime directory cannot be made.
    #[error("cannot make runtime directory {path}")]
    RuntimeDirectory {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The runtime directory belongs to somebody else, or is open to others.
    #[error("runtime directory {path} is not private to the caller")]
    ForeignRuntimeDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// No directory for the store can be named.
    #[error("neither XDG_DATA_HOME nor HOME is set to an absolute path")]
    NoHome,
    /// A container's files cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A terminal or the standard streams failed.
    #[error("cannot {action}")]
    Terminal {
        /// What was to be done.
        action: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// Every random name was taken.
    #[error("cannot find a free name for the container")]
    NoFreeName,
    /// The process that unpacks layers could not be started or did not answer.
    #[error("cannot {action} the process that unpacks layers")]
    Unpacker {
        /// What was to be done.
        action: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The container cannot be described.
    #[error("cannot build the container's configuration")]
    Configuration(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The program's end cannot be observed.
    #[error("cannot wait for container {id}")]
    Wait {
        /// The container.
        id: ContainerId,
        /// The cause.
        source: io::Error,
    },
    /// A log driver or an option of one cannot be used.
    #[error(transparent)]
    BadLogOption(#[from] crate::log::BadLogOption),
    /// The container's log is not kept where we could read it.
    #[error("configured logging driver does not support reading: {container} has {driver}")]
    LogNotReadable {
        /// The driver.
        driver: &'static str,
        /// The container.
        container: carrier_spec::ContainerName,
    },
    /// A log cannot be read, or not be shown.
    #[error("cannot show the log of {container}")]
    ReadLog {
        /// The container.
        container: carrier_spec::ContainerName,
        /// The cause.
        source: io::Error,
    },
    /// A health check that makes no sense.
    #[error(transparent)]
    BadHealthOption(#[from] crate::health::BadHealthOption),
    /// Nothing tells whether a container is well.
    #[error("container {0} has no health check")]
    NoHealthCheck(String),
    /// A container that was waited for.
    #[error("container {container} is not ready: {reason}")]
    NotReady {
        /// The container.
        container: carrier_spec::ContainerName,
        /// Why it will not be.
        reason: crate::readiness::NotReady,
    },
    /// The driver `journald` finds no journal.
    #[error("cannot reach the journal of the host at {}", crate::log::JOURNAL)]
    NoJournal {
        /// The cause.
        source: io::Error,
    },
    /// A mount or a volume.
    #[error(transparent)]
    Volume(#[from] crate::volumes::VolumeError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] carrier_store::Error),
    /// An image's files cannot be looked at.
    #[error("cannot read {path} of the image")]
    ImageFile {
        /// The path in the image.
        path: &'static str,
        /// The cause.
        source: carrier_store::ViewError,
    },
    /// The runtime failed.
    #[error(transparent)]
    Runtime(#[from] carrier_runtime::Error),
}

fn list(platforms: &[Platform]) -> String {
    let shown: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    shown.join(", ")
}

/// What exit codes look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// What was named does not exist.
    NotFound,
    /// It exists, and is in the way.
    Conflict,
    /// The request makes no sense.
    Invalid,
    /// The program of a container does not exist.
    ProgramNotFound,
    /// The program of a container cannot be executed.
    ProgramNotExecutable,
    /// Anything else.
    Failed,
}

impl Error {
    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        use carrier_runtime::Error as Runtime;
        match self {
            Self::Volume(error) => error.kind(),
            Self::NoSuchContainer(_)
            | Self::NoContainers
            | Self::NoSuchObject(_)
            | Self::NoSuchImage(_)
            | Self::NoImageOfThatName(_)
            | Self::NoSuchPlatform { .. }
            | Self::Bridge(crate::bridge::BridgeError::NotFound(_)) => ErrorKind::NotFound,
            Self::AmbiguousId { .. }
            | Self::ContainerAndImage(_)
            | Self::ContainerRuns(_)
            | Self::ContainerBusy(_)
            | Self::NotRunning(_)
            | Self::NotStopped(_)
            | Self::Paused(_)
            | Self::NotPaused(_)
            | Self::ContainersRun(_)
            | Self::SeveralRepositories { .. }
            | Self::Store(carrier_store::Error::ImageInUse { .. }) => ErrorKind::Conflict,
            Self::Refused(refusal) if refusal.code == 127 => ErrorKind::ProgramNotFound,
            Self::Refused(refusal) if refusal.code == 126 => ErrorKind::ProgramNotExecutable,
            Self::NoCommand(_)
            | Self::InvalidUser { .. }
            | Self::UnknownUser { .. }
            | Self::UnknownGroup { .. }
            | Self::TagWithDigest(_)
            | Self::NotATag { .. }
            | Self::Filter(_)
            | Self::BadLogOption(_)
            | Self::BadHealthOption(_)
            | Self::BadResource(_)
            | Self::NoHealthCheck(_)
            | Self::InvalidHostname(_) => ErrorKind::Invalid,
            Self::Runtime(Runtime::ProgramNotFound { .. }) => ErrorKind::ProgramNotFound,
            Self::Runtime(Runtime::WorkingDirectory { source, .. })
                if *source == rustix::io::Errno::NOENT =>
            {
                ErrorKind::ProgramNotFound
            }
            Self::CannotExec(_)
            | Self::Runtime(
                Runtime::ProgramNotExecutable { .. } | Runtime::WorkingDirectory { .. },
            ) => ErrorKind::ProgramNotExecutable,
            _ => ErrorKind::Failed,
        }
    }

    pub(crate) fn limit(option: &str, reason: String, hint: Option<String>) -> Self {
        Self::Limit {
            option: option.to_owned(),
            reason,
            hint,
        }
    }

    /// The error and its causes on one line.
    pub(crate) fn line(&self) -> String {
        let mut line = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let text = error.to_string();
            if !line.ends_with(&text) {
                line.push_str(": ");
                line.push_str(&text);
            }
            cause = error.source();
        }
        line
    }
}
