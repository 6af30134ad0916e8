//! Images on their way in or out: so that a crash in the middle leaves nothing that nobody needs.
//!
//! The record of such an image is a locked file of `staging/`. One that nobody locks tells what a
//! crash has left: parts that are garbage unless another image has them. That of an image that is pulled
//! is among the downloads, and as they are for the next pull.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::downloads::{self, is_stale};
use crate::error::Error;
use crate::images::remove::{discard, remove_drafts};
use crate::images::{ImageRecord, ImageUser, read_record};
use crate::staging::{self, random_name};
use crate::store::Store;

/// Marks of images that come, of those that are pulled, and of those that go.
const COMING: &str = "image";
const PULLED: &str = "pull";
const GOING: &str = "removed";

/// The mark of one image. Dropped before it is [done](Self::done), it stays, and tells a sweep of parts
/// that may be garbage.
#[derive(Debug)]
#[must_use = "a mark that is not done is for a sweep"]
pub struct Transit {
    path: PathBuf,
    /// Holds the lock.
    _file: File,
}

impl Store {
    /// Marks an image whose parts are about to become visible, until it has its record.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn announce_image(&self, record: &ImageRecord) -> Result<Transit, Error> {
        // Whoever reclaims holds it too, and does not take a mark for abandoned before it is locked.
        let _lock = self.lock()?;
        self.announce(record, self.mark(COMING)?)
    }

    /// The same for an image that is pulled: when that is interrupted, the mark keeps the parts for as long
    /// as downloads are kept, so that the next pull finds them. None where another process pulls the same
    /// image, whose mark is as good. [`Store::forget_pull`] takes it away.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn announce_pull(&self, record: &ImageRecord) -> Result<Option<Transit>, Error> {
        let _lock = self.lock()?;
        let path = self.pull_mark(record);
        if path.exists() && lock(&path)?.is_none() {
            return Ok(None);
        }
        let mut mark = self.announce(record, self.mark(COMING)?)?;
        // In the place of one that says the same and is older.
        fs::rename(&mark.path, &path).map_err(Error::io("write", &path))?;
        mark.path = path;
        Ok(Some(mark))
    }

    /// Takes the mark of a pull away, whoever made it: there is a record of its image.
    pub fn forget_pull(&self, record: &ImageRecord) {
        // One that stays is reclaimed, which changes nothing then.
        let _ = fs::remove_file(self.pull_mark(record));
    }

    pub(super) fn pull_mark(&self, record: &ImageRecord) -> PathBuf {
        let name = format!("{}.{PULLED}", record.manifest.digest.hex());
        self.path(downloads::DIRECTORY).join(name)
    }

    fn announce(&self, record: &ImageRecord, path: PathBuf) -> Result<Transit, Error> {
        let make = || {
            let bytes = serde_json::to_vec(record)?;
            let mut file = File::create_new(&path)?;
            // A sweep that asks whether it is abandoned has it for a moment.
            file.lock()?;
            file.write_all(&bytes)?;
            Ok(file)
        };
        match make() {
            Ok(file) => Ok(Transit { path, _file: file }),
            Err(error) => {
                // On a full disk, half a mark would mean nothing.
                let _ = fs::remove_file(&path);
                Err(Error::io("write", &path)(error))
            }
        }
    }

    /// Takes a record out of sight and makes it the mark of its image, where there is such a record.
    /// The caller has the store's lock.
    pub(super) fn take_record(&self, path: &Path) -> Result<Option<Transit>, Error> {
        let Some(file) = lock(path)? else {
            return Ok(None);
        };
        let mark = self.mark(GOING)?;
        match fs::rename(path, &mark) {
            Ok(()) => Ok(Some(Transit {
                path: mark,
                _file: file,
            })),
            // A full disk may have no room for one more name, and must not keep images.
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                fs::remove_file(path).map_err(Error::io("remove", path))?;
                Ok(None)
            }
            Err(error) => Err(Error::io("remove", path)(error)),
        }
    }

    /// Removes what crashes have left of images on their way. Returns whether some files could not
    /// be deleted: see [`crate::RemovedImages::needs_sweep`].
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn reclaim_images(
        &self,
        users: impl Fn() -> Result<Vec<ImageUser>, Error>,
    ) -> Result<bool, Error> {
        let lock_of_store = self.lock()?;
        let mut garbage = Vec::new();
        let mut marks = Vec::new();
        for path in self.marks()? {
            let Some(file) = lock_abandoned(&path)? else {
                continue;
            };
            let record = match read_record(&path) {
                // The newer program knows what to do.
                Err(Error::NewerRecord { .. }) => continue,
                // Half a mark was made before any part.
                record => record?,
            };
            // It does not come any more.
            let going = self.mark(GOING)?;
            fs::rename(&path, &going).map_err(Error::io("remove", &path))?;
            let mark = Transit {
                path: going,
                _file: file,
            };
            if let Some(record) = record {
                let records = std::slice::from_ref(&record);
                garbage.push(self.take_layers(records, users()?, &users)?);
                self.remove_blobs(records)?;
            }
            marks.push(mark);
        }
        remove_drafts(self.root())?;
        // A directory was made before its first record, or stays after its last.
        let mut directories = super::entries(&self.path(super::DIRECTORY))?;
        directories.retain(|path| path.is_dir());
        for directory in directories {
            remove_drafts(&directory)?;
            // Fails where there is a record.
            let _ = fs::remove_dir(&directory);
        }
        drop(lock_of_store);
        let mut needs_sweep = false;
        for layer in garbage.into_iter().flat_map(|garbage| garbage.layers) {
            needs_sweep |= !discard(&layer.staged)?;
        }
        marks.into_iter().for_each(Transit::done);
        Ok(needs_sweep)
    }

    /// Whether a crash has left an image on its way.
    pub(crate) fn has_abandoned_images(&self) -> Result<bool, Error> {
        for path in self.marks()? {
            if lock_abandoned(&path)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The images whose parts another command is about to need.
    pub(crate) fn coming_images(&self) -> Result<Vec<ImageRecord>, Error> {
        let mut coming = Vec::new();
        for path in self.marks()? {
            // One that is abandoned is garbage, and one that goes is none of these.
            if !has_suffix(&path, GOING) && lock(&path)?.is_none() {
                coming.extend(read_record(&path)?);
            }
        }
        Ok(coming)
    }

    fn mark(&self, suffix: &str) -> Result<PathBuf, Error> {
        let name = format!("{}.{suffix}", random_name()?);
        Ok(self.path(staging::DIRECTORY).join(name))
    }

    fn marks(&self) -> Result<Vec<PathBuf>, Error> {
        let mut marks = super::entries(&self.path(staging::DIRECTORY))?;
        marks.extend(super::entries(&self.path(downloads::DIRECTORY))?);
        marks.retain(|path| is_mark(path));
        Ok(marks)
    }
}

impl Transit {
    /// Takes the mark away: the image is whole, or its parts are gone.
    pub fn done(self) {
        // One that stays is reclaimed, which changes nothing then.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether a file is the mark of an image.
pub(crate) fn is_mark(path: &Path) -> bool {
    [COMING, PULLED, GOING]
        .iter()
        .any(|suffix| has_suffix(path, suffix))
}

fn has_suffix(path: &Path, suffix: &str) -> bool {
    path.extension().is_some_and(|found| found == suffix)
}

/// Whether a file is the mark of an image that a command works on, or may go on with.
pub(crate) fn is_live(path: &Path) -> bool {
    is_mark(path) && lock_abandoned(path).is_ok_and(|file| file.is_none())
}

/// Locks a mark that nobody works on, and that is not kept for the next pull.
fn lock_abandoned(path: &Path) -> Result<Option<File>, Error> {
    let file = lock(path)?;
    let is_kept = |file: &File| {
        has_suffix(path, PULLED) && file.metadata().is_ok_and(|found| !is_stale(&found))
    };
    Ok(file.filter(|file| !is_kept(file)))
}

/// Locks a file without waiting; nothing where somebody else has, or where there is none.
fn lock(path: &Path) -> Result<Option<File>, Error> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(Error::io("open", path))?,
    };
    let locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
    Ok(locked.is_ok().then_some(file))
}
