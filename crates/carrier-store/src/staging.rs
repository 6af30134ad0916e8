//! Things that are being made or removed, and what crashes leave of them.
//!
//! Whoever works on an entry of `staging/` holds a lock on it, which the kernel releases when he
//! dies. An entry without a lock is nobody's, and is removed by whoever comes across it.

use std::fs;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::error::Error;
use crate::images::is_live;
use crate::store::{Store, make_private};
use crate::tree::{self, RemoveError};

pub(crate) const DIRECTORY: &str = "staging";

/// What a sweep found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Entries that are gone now.
    pub removed: usize,
    /// Entries with files of other ids: only a process in the caller's user namespace can remove
    /// them.
    pub foreign: usize,
    /// Whether a crash has left an image on its way: [`Store::reclaim_images`] knows what to do.
    pub images: bool,
}

/// An entry of `staging/` that this process works on.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) path: PathBuf,
    /// Holds the lock.
    pub(crate) directory: OwnedFd,
}

impl Staged {
    /// Makes a new entry.
    pub(crate) fn new(store: &Store) -> Result<Self, Error> {
        loop {
            let path = store.path(DIRECTORY).join(random_name()?);
            let make = || rustix::fs::mkdir(&path, Mode::from_raw_mode(0o700));
            match make() {
                // Damage that costs nothing to mend.
                Err(Errno::NOENT) => {
                    let directory = store.path(DIRECTORY);
                    make_private(&directory).map_err(Error::io("make", directory))?;
                    make()
                }
                made => made,
            }
            .map_err(Error::errno("make", &path))?;
            if let Some(staged) = Self::adopt(path)? {
                return Ok(staged);
            }
        }
    }

    /// Moves a directory of the store here, where it is as good as removed.
    pub(crate) fn take(store: &Store, path: &Path) -> Result<Option<Self>, Error> {
        let staged = store.path(DIRECTORY).join(random_name()?);
        match fs::rename(path, &staged) {
            Ok(()) => Self::adopt(staged),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("remove", path)(error)),
        }
    }

    /// Locks an entry; nothing when somebody else has taken it away.
    fn adopt(path: PathBuf) -> Result<Option<Self>, Error> {
        let directory = match open_readable(&path) {
            Err(Errno::NOENT) => return Ok(None),
            other => other.map_err(Error::errno("open", &path))?,
        };
        rustix::fs::flock(&directory, FlockOperation::LockExclusive)
            .map_err(Error::errno("lock", &path))?;
        // A sweep may have come between the two calls and removed the directory under its lock.
        let exists = path.exists();
        Ok(exists.then_some(Self { path, directory }))
    }

    /// Undoes [`Self::take`], unless there is another one by now.
    pub(crate) fn put_back(&self, path: &Path) -> Result<(), Error> {
        match fs::rename(&self.path, path) {
            Err(_) if path.exists() => {
                // What cannot be removed here is left to a sweep.
                let _ = self.discard();
                Ok(())
            }
            other => other.map_err(Error::io("put back", path)),
        }
    }

    /// Removes the entry.
    pub(crate) fn discard(&self) -> Result<(), RemoveError> {
        remove(&self.path)
    }
}

impl Store {
    /// Removes what nobody works on any more.
    ///
    /// # Errors
    /// [`Error::Io`] when the directory cannot be read.
    pub fn sweep(&self) -> Result<Sweep, Error> {
        self.sweep_names()?;
        let directory = self.path(DIRECTORY);
        let mut sweep = Sweep {
            removed: self.sweep_downloads()?,
            foreign: 0,
            images: self.has_abandoned_images()?,
        };
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(sweep),
            other => other.map_err(Error::io("read", &directory))?,
        };
        for entry in entries.filter_map(Result::ok) {
            let path = entry.path();
            let Ok(lock) = open_readable(&path) else {
                continue;
            };
            if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
                continue;
            }
            match remove(&path) {
                Ok(()) => sweep.removed += 1,
                Err(RemoveError::Foreign { .. }) => sweep.foreign += 1,
                Err(RemoveError::Io { path, source }) => {
                    return Err(Error::Io {
                        action: "remove",
                        path,
                        source,
                    });
                }
            }
        }
        Ok(sweep)
    }
}

impl Store {
    /// What nobody works on any more: what a sweep would remove.
    pub(crate) fn leftovers(&self) -> Result<Vec<PathBuf>, Error> {
        let directory = self.path(DIRECTORY);
        let Ok(entries) = fs::read_dir(&directory) else {
            return Ok(Vec::new());
        };
        let is_free = |path: &PathBuf| match open_readable(path) {
            Ok(lock) => rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok(),
            // Nothing else that is worked on is like that.
            Err(errno) => errno != Errno::NOENT && !is_live(path),
        };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        Ok(paths.filter(is_free).collect())
    }
}

fn remove(path: &Path) -> Result<(), RemoveError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    let io = |errno: Errno| RemoveError::Io {
        path: path.to_owned(),
        source: errno.into(),
    };
    let parent = crate::store::open_directory(parent).map_err(io)?;
    tree::remove(parent.as_fd(), name)
}

fn open_readable(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

pub(crate) fn random_name() -> Result<String, Error> {
    use rustix::rand::{GetRandomFlags, getrandom};
    let mut bytes = [0; 16];
    getrandom(&mut bytes, GetRandomFlags::empty()).map_err(Error::errno("read", "/dev/urandom"))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
