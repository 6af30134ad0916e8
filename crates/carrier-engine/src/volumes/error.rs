//! What can be wrong with mounts and volumes; the words are Docker's where Docker has them.

use std::io;
use std::path::PathBuf;

use carrier_spec::VolumeName;

use crate::error::ErrorKind;

/// An error about mounts and volumes.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// An option that makes no sense, and the way out.
    #[error("{message}")]
    Invalid {
        /// What is wrong with which text.
        message: String,
        /// What to do instead.
        hint: String,
    },
    /// Two mounts at one place.
    #[error("duplicate mount point: {0}")]
    Duplicate(String),
    /// No volume of that name.
    #[error("no such volume: {0}")]
    NoSuchVolume(String),
    /// Containers have the volume.
    #[error("volume {name} is in use by {}", .users.join(", "))]
    InUse {
        /// The volume.
        name: VolumeName,
        /// Names of the containers.
        users: Vec<String>,
    },
    /// There is a volume of that name that is not what was asked for.
    #[error("volume {0} exists with other options or labels")]
    Differs(VolumeName),
    /// Nothing is there to be mounted.
    #[error("bind source path does not exist: {}", .0.display())]
    NoSource(PathBuf),
    /// A directory that is to be mounted cannot be made.
    #[error("error while creating mount source path {}", .path.display())]
    MakeSource {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A volume could not be filled.
    #[error("cannot copy {target} of the image to volume {name}: {reason}")]
    Fill {
        /// The volume.
        name: VolumeName,
        /// The directory of the image.
        target: String,
        /// What the process that was to do it said.
        reason: String,
    },
    /// The owner of files could not be changed.
    #[error("cannot give {} to the container's user: {reason}", .path.display())]
    Chown {
        /// The directory.
        path: PathBuf,
        /// What the process that was to do it said.
        reason: String,
    },
}

impl VolumeError {
    /// An option that makes no sense.
    pub(crate) fn invalid(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Invalid {
            message: message.into(),
            hint: hint.into(),
        }
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid { .. } | Self::Duplicate(_) | Self::NoSource(_) => ErrorKind::Invalid,
            Self::NoSuchVolume(_) => ErrorKind::NotFound,
            Self::InUse { .. } | Self::Differs(_) => ErrorKind::Conflict,
            _ => ErrorKind::Failed,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Invalid { hint, .. } => hint.clone(),
            Self::Duplicate(target) => format!("leave one of the mounts at {target} out"),
            Self::NoSuchVolume(_) => "`carrier volume ls` lists what there is".to_owned(),
            Self::InUse { users, .. } => {
                format!(
                    "remove the containers first: `carrier rm {}`",
                    users.join(" ")
                )
            }
            Self::Differs(name) => {
                format!("choose another name, or remove it first: `carrier volume rm {name}`")
            }
            Self::NoSource(path) => format!(
                "make it, or let it be made: -v {}:TARGET, or --mount with bind-create-src",
                path.display()
            ),
            Self::MakeSource { .. } => {
                "make it yourself, or mount a directory that you can write".to_owned()
            }
            Self::Fill { .. } => {
                "free some space, or leave the copy out: -v VOLUME:TARGET:nocopy".to_owned()
            }
            Self::Chown { .. } => {
                "only files of yours and of your subordinate ids can be given away; leave U out"
                    .to_owned()
            }
        })
    }
}
