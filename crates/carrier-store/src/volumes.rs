//! Volumes: directories that outlive the containers that write to them.

mod owner;
mod populate;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use carrier_spec::{ContainerId, VolumeName};
use rustix::fs::{FlockOperation, RenameFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::atomic::{Durability, read_json, write_json};
use crate::error::Error;
use crate::staging::Staged;
use crate::store::{Store, make_private};
use crate::tree::RemoveError;

pub use owner::change_owner;
pub use populate::copy_up;

pub(crate) const RECORD: &str = "volume.json";
pub(crate) const DATA: &str = "_data";
pub(crate) const ARRIVING: &str = "arriving";

/// What a volume is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRecord {
    /// Its name.
    pub name: VolumeName,
    /// When it was made: nanoseconds since 1970.
    pub created: u64,
    /// What the user says about it.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Options of the driver, which is always `local`.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Whether nobody named it.
    #[serde(default)]
    pub anonymous: bool,
    /// The container that an anonymous volume was made for, until it outlives that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerId>,
}

/// The directory of one volume, whether it exists or not.
#[derive(Clone, Debug)]
pub struct VolumeDir(PathBuf);

/// The right to fill or remove a volume, and to make containers that use it; the kernel takes it back
/// when this is dropped.
#[derive(Debug)]
pub struct VolumeLock {
    name: VolumeName,
    directory: VolumeDir,
    _file: fs::File,
}

impl VolumeDir {
    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where containers write.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.0.join(DATA)
    }

    /// Whether what an image has for the volume is there as a whole, and not yet in its place.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        self.0.join(ARRIVING).exists()
    }

    /// Reads what the volume is; nothing when it is gone.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Damaged`].
    pub fn read_record(&self) -> Result<Option<VolumeRecord>, Error> {
        read_json(&self.0.join(RECORD))
    }

    /// Whether there is nothing in the volume. One whose files only others may see is not empty.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn is_empty(&self) -> Result<bool, Error> {
        let path = self.data();
        match fs::read_dir(&path) {
            Ok(mut entries) => Ok(entries.next().is_none()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(false),
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }
}

impl VolumeLock {
    /// The volume.
    #[must_use]
    pub fn name(&self) -> &VolumeName {
        &self.name
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &VolumeDir {
        &self.directory
    }

    /// Replaces what the volume is.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_record(&self, record: &VolumeRecord) -> Result<(), Error> {
        write_json(&self.directory.0.join(RECORD), record, Durability::Cached)
    }
}

impl Store {
    /// The directory of volume `name`.
    #[must_use]
    pub fn volume(&self, name: &VolumeName) -> VolumeDir {
        VolumeDir(self.path("volumes").join(name.as_str()))
    }

    /// All volumes, in the order of their names.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn volume_names(&self) -> Result<Vec<VolumeName>, Error> {
        let path = self.path("volumes");
        let entries = match fs::read_dir(&path) {
            // A store of an earlier version has none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(Error::io("read", &path))?,
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<VolumeName> = names.filter_map(|name| name.parse().ok()).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Makes a volume: absent or whole for every reader, and `durable` it survives a power cut that
    /// follows at once. False where there is one of that name, which stays as it is.
    ///
    /// # Errors
    /// [`Error::Io`]; nothing is left then.
    pub fn create_volume(&self, record: &VolumeRecord, durable: bool) -> Result<bool, Error> {
        let place = self.volume(&record.name);
        if place.path().exists() {
            return Ok(false);
        }
        let staged = Staged::new(self)?;
        let made = fill(&staged.path, record, durable)
            .and_then(|()| self.place_volume(&staged.path, place.path()))
            .and_then(|made| {
                if made && durable {
                    self.sync_directory("volumes")?;
                }
                Ok(made)
            });
        if !matches!(made, Ok(true)) {
            // A sweep takes what stays.
            let _ = staged.discard();
        }
        made
    }

    /// Gives a volume whose record is damaged one that says no more than its name.
    pub(crate) fn rewrite_volume(&self, path: &Path) -> Result<(), Error> {
        let name = path.parent().and_then(Path::file_name);
        let name = name.and_then(|name| name.to_str()?.parse::<VolumeName>().ok());
        let Some(lock) = name
            .map(|name| self.lock_volume(&name))
            .transpose()?
            .flatten()
        else {
            return Ok(());
        };
        let made = fs::metadata(lock.directory.path()).and_then(|found| found.modified());
        let since = made.map(|made| {
            made.duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default()
        });
        let record = VolumeRecord {
            name: lock.name.clone(),
            created: u64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(0),
            labels: BTreeMap::new(),
            options: BTreeMap::new(),
            anonymous: false,
            container: None,
        };
        write_json(path, &record, Durability::Synced)
    }

    fn place_volume(&self, made: &Path, place: &Path) -> Result<bool, Error> {
        let rename = || {
            let flags = RenameFlags::NOREPLACE;
            rustix::fs::renameat_with(rustix::fs::CWD, made, rustix::fs::CWD, place, flags)
        };
        let renamed = match rename() {
            // A store of an earlier version.
            Err(Errno::NOENT) => {
                let directory = self.path("volumes");
                make_private(&directory).map_err(Error::io("make", directory))?;
                rename()
            }
            other => other,
        };
        match renamed {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(Error::errno("make", place)(errno)),
        }
    }

    /// Waits for the right to change a volume; nothing when there is none of that name.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn lock_volume(&self, name: &VolumeName) -> Result<Option<VolumeLock>, Error> {
        self.lock_volume_by(name, FlockOperation::LockExclusive)
    }

    /// [`Store::lock_volume`]; nothing also while somebody else has the right.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn try_lock_volume(&self, name: &VolumeName) -> Result<Option<VolumeLock>, Error> {
        self.lock_volume_by(name, FlockOperation::NonBlockingLockExclusive)
    }

    fn lock_volume_by(
        &self,
        name: &VolumeName,
        operation: FlockOperation,
    ) -> Result<Option<VolumeLock>, Error> {
        let directory = self.volume(name);
        loop {
            let path = directory.path();
            let file = match fs::File::open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                other => other.map_err(Error::io("open", path))?,
            };
            match rustix::fs::flock(&file, operation) {
                Err(Errno::WOULDBLOCK) => return Ok(None),
                other => other.map_err(Error::errno("lock", path))?,
            }
            // Somebody may have removed it meanwhile, and somebody else made another one.
            let ours = file.metadata().map_err(Error::io("look at", path))?;
            if fs::metadata(path).is_ok_and(|there| there.ino() == ours.ino()) {
                return Ok(Some(VolumeLock {
                    name: name.clone(),
                    directory,
                    _file: file,
                }));
            }
        }
    }

    /// Removes a volume, and says whether all of its files could be deleted: those of other ids are left
    /// to a sweep in the user namespace. Needs no space on the disk.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove_volume(&self, lock: &VolumeLock) -> Result<bool, Error> {
        let staged = self.path(crate::staging::DIRECTORY);
        let path = staged.join(crate::staging::random_name()?);
        fs::rename(lock.directory.path(), &path).map_err(Error::io("remove", &path))?;
        // Whoever removes something holds this lock already, by the same directory.
        let parent = crate::store::open_directory(&staged).map_err(Error::errno("open", staged))?;
        match crate::tree::remove(parent.as_fd(), path.file_name().unwrap_or_default()) {
            Ok(()) => Ok(true),
            Err(RemoveError::Foreign { .. }) => Ok(false),
            Err(RemoveError::Io { path, source }) => Err(Error::Io {
                action: "remove",
                path,
                source,
            }),
        }
    }
}

/// Fills a directory that has no place yet.
fn fill(directory: &Path, record: &VolumeRecord, durable: bool) -> Result<(), Error> {
    let data = directory.join(DATA);
    // As Docker's: who is not root in the container may look, and not write. The umask has no say.
    let mode = fs::Permissions::from_mode(0o755);
    let mut builder = fs::DirBuilder::new();
    builder
        .mode(0o755)
        .create(&data)
        .and_then(|()| fs::set_permissions(&data, mode))
        .map_err(Error::io("make", &data))?;
    let durability = if durable {
        Durability::Synced
    } else {
        Durability::Cached
    };
    write_json(&directory.join(RECORD), record, durability)
}
