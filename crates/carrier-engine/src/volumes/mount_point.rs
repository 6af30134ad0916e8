//! What is mounted where in a container, as the user asks for it and as its record keeps it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use carrier_spec::{DiffId, ImageId, VolumeName};
use serde::{Deserialize, Serialize};

use super::devices::DevicePoint;

/// Something that is mounted in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPoint {
    /// Where: an absolute path without `.` and `..`.
    pub target: String,
    /// What.
    pub source: MountSource,
    /// What cannot be written.
    #[serde(default)]
    pub read_only: ReadOnly,
    /// Words of mount(8) about the mount, such as `nosuid`, in the user's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// Whether mounts of the host arrive, such as `rslave`; none is `rprivate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propagation: Option<String>,
    /// Give what is there to the container's user before each start: `U`.
    #[serde(default)]
    pub chown: bool,
    /// What is written is kept apart, and thrown away at the next start: `O`.
    #[serde(default)]
    pub overlay: bool,
    /// The directory of the source that is mounted, and not all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subpath: Option<String>,
    /// Which option asked for it.
    pub origin: Origin,
    /// The mode words of `-v`, as they were given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mode: String,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountSource {
    /// A file or directory of the host.
    Bind {
        /// Its absolute path.
        path: PathBuf,
        /// Make a directory where there is nothing.
        make: bool,
        /// Also what is mounted below.
        recursive: bool,
    },
    /// A volume.
    Volume {
        /// Its name; none until one is made for the container.
        name: Option<VolumeName>,
        /// Nobody named it: it is removed with the container where that is asked for.
        anonymous: bool,
        /// An empty one begins with what the image has there.
        copy: bool,
        /// Labels of a volume that is made.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        labels: BTreeMap<String, String>,
        /// Options of a volume that is made.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        options: BTreeMap<String, String>,
    },
    /// A filesystem in memory.
    Tmpfs {
        /// Options of the filesystem, such as `size=64m`.
        options: Vec<String>,
        /// It begins with what the image has there.
        copy: bool,
    },
    /// The files of an image.
    Image {
        /// How the user calls it.
        reference: String,
        /// The image, once the container is made.
        id: Option<ImageId>,
        /// Its layers, lowest first.
        layers: Vec<DiffId>,
    },
}

/// What of a mount cannot be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadOnly {
    /// Nothing.
    #[default]
    No,
    /// The mount itself, and not what is mounted below.
    Top,
    /// All of it.
    All,
}

/// Which option asked for a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// `--volume`
    Volume,
    /// `--mount`
    Mount,
    /// `--tmpfs`
    Tmpfs,
    /// `--volumes-from`
    VolumesFrom,
    /// The image's `VOLUME`.
    Image,
    /// `--read-only-tmpfs`
    ReadOnly,
}

/// What becomes of the `VOLUME`s of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImageVolumes {
    /// Anonymous volumes.
    #[default]
    Volumes,
    /// Filesystems in memory.
    Tmpfs,
    /// Directories as all others.
    Ignore,
}

/// `--volumes-from`: the mounts of another container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumesFrom {
    /// The container, by name or id.
    pub container: String,
    /// Whether all of them are read-only or not; none leaves them as they are.
    pub read_only: Option<bool>,
    /// Whether the files are to be labelled for SELinux.
    pub relabel: bool,
}

/// What a user asks for about the storage of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorageOptions {
    /// Mounts, in the order of the options.
    pub mounts: Vec<MountPoint>,
    /// Containers whose mounts it has too.
    pub volumes_from: Vec<VolumesFrom>,
    /// The same, as the user wrote it.
    pub image_volumes: ImageVolumes,
    /// Bytes of `/dev/shm`; none is 64 MiB.
    pub shm_size: Option<u64>,
    /// Devices of the host.
    pub devices: Vec<DevicePoint>,
    /// With a root that cannot be written, `/run`, `/tmp` and `/var/tmp` can be.
    pub read_only_tmpfs: bool,
}

/// What a container has of the host and of volumes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    /// Mounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<MountPoint>,
    /// Devices of the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DevicePoint>,
    /// `--volumes-from`, as it was given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes_from: Vec<String>,
    /// Bytes of `/dev/shm`; none is 64 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<u64>,
}

impl Storage {
    /// The volumes that the container has.
    pub(crate) fn volumes(&self) -> impl Iterator<Item = &VolumeName> {
        self.mounts.iter().filter_map(MountPoint::volume)
    }
}

impl MountPoint {
    /// A mount as an option without any further word makes it.
    #[must_use]
    pub fn new(target: String, source: MountSource, origin: Origin) -> Self {
        Self {
            target,
            source,
            read_only: ReadOnly::No,
            flags: Vec::new(),
            propagation: None,
            chown: false,
            overlay: false,
            subpath: None,
            origin,
            mode: String::new(),
        }
    }

    /// The volume, where it is one that has a name by now.
    #[must_use]
    pub fn volume(&self) -> Option<&VolumeName> {
        match &self.source {
            MountSource::Volume { name, .. } => name.as_ref(),
            _ => None,
        }
    }

    /// Whether it is a volume that nobody named.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        matches!(
            &self.source,
            MountSource::Volume {
                anonymous: true,
                ..
            }
        )
    }

    /// Docker's word for what it is.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.source {
            MountSource::Bind { .. } => "bind",
            MountSource::Volume { .. } => "volume",
            MountSource::Tmpfs { .. } => "tmpfs",
            MountSource::Image { .. } => "image",
        }
    }
}

impl MountSource {
    /// An anonymous volume that is to be made.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::Volume {
            name: None,
            anonymous: true,
            copy: true,
            labels: BTreeMap::new(),
            options: BTreeMap::new(),
        }
    }

    /// A volume that is made where there is none of that name.
    #[must_use]
    pub fn named(name: VolumeName) -> Self {
        Self::Volume {
            name: Some(name),
            anonymous: false,
            copy: true,
            labels: BTreeMap::new(),
            options: BTreeMap::new(),
        }
    }
}
