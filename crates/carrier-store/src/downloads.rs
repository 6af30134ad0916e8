//! Blobs that are coming in: claimed by one process at a time, and kept when it is interrupted.
//!
//! What has come of a blob is in `downloads/<hex>`. Whoever adds to that file holds a lock on it,
//! which the kernel releases when he dies: others wait for him, so that a blob is fetched once, and
//! go on where he stopped. Nothing here is trusted before all of it has the right digest.

use std::fs::{self, File};
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use carrier_spec::Digest;
use rustix::fs::{Advice, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use crate::blobs::{VerifiedBlob, check};
use crate::error::Error;
use crate::images::is_mark;
use crate::store::Store;

pub(crate) const DIRECTORY: &str = "downloads";

/// How long what a broken pull has fetched is kept for the next one.
const KEPT: Duration = Duration::from_hours(24);

/// How much is written before the disk is told to begin with it: what is on the disk when the last
/// byte comes, nobody has to wait for then.
const WRITE_BEHIND: u64 = 8 << 20;

/// The right to fetch a blob, and what has come of it.
///
/// What was there before must be [replayed](Self::replay) first: it belongs to the digest too.
#[derive(Debug)]
pub struct Download {
    file: File,
    path: PathBuf,
    /// Of the first `hashed` bytes.
    hash: Sha256,
    hashed: u64,
    length: u64,
    /// How many connections brought them.
    pieces: u32,
}

impl Store {
    /// Claims the blob `digest`; nothing while another process fetches it.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::UnsupportedDigest`].
    pub fn claim(&self, digest: &Digest) -> Result<Option<Download>, Error> {
        self.blob_path(digest)?;
        let path = self.path(DIRECTORY).join(digest.hex());
        loop {
            let file = self.open_download(&path)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(errno) => return Err(Error::errno("lock", path)(errno)),
            }
            let opened = file.metadata().map_err(Error::io("look at", &path))?;
            // Whoever had the lock before may have named the blob, or dropped what had come of it.
            if !is_at(&path, &opened) {
                continue;
            }
            return Ok(Some(Download {
                file,
                path,
                hash: Sha256::new(),
                hashed: 0,
                length: opened.len(),
                pieces: u32::from(opened.len() > 0),
            }));
        }
    }

    fn open_download(&self, path: &PathBuf) -> Result<File, Error> {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || rustix::fs::open(path, flags, Mode::from_raw_mode(0o600)).map(File::from);
        match open() {
            // A store of a version that could not resume.
            Err(Errno::NOENT) => {
                let directory = self.path(DIRECTORY);
                crate::store::make_private(&directory).map_err(Error::io("make", directory))?;
                open()
            }
            other => other,
        }
        .map_err(Error::errno("open", path))
    }

    /// Removes what no pull has gone on with for a day, and what holds nothing.
    pub(crate) fn sweep_downloads(&self) -> Result<usize, Error> {
        let directory = self.path(DIRECTORY);
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            other => other.map_err(Error::io("read", directory))?,
        };
        let mut removed = 0;
        for entry in entries.filter_map(Result::ok) {
            let path = entry.path();
            if is_mark(&path) {
                continue;
            }
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let Ok(file) = rustix::fs::open(&path, flags, Mode::empty()).map(File::from) else {
                continue;
            };
            let lock = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
            // By now another file, which somebody else has claimed, may have the name.
            let is_garbage = |found: &fs::Metadata| is_stale(found) && is_at(&path, found);
            if lock.is_ok() && file.metadata().is_ok_and(|found| is_garbage(&found)) {
                removed += usize::from(fs::remove_file(path).is_ok());
            }
        }
        Ok(removed)
    }
}

/// Whether a path leads to a file that was opened.
fn is_at(path: &Path, opened: &fs::Metadata) -> bool {
    fs::symlink_metadata(path).is_ok_and(|named| named.ino() == opened.ino())
}

/// Whether it holds nothing, or nobody has written to it for a day.
pub(crate) fn is_stale(found: &fs::Metadata) -> bool {
    let now = SystemTime::now();
    let age = |written: SystemTime| {
        // A clock that was set back says nothing about an age.
        now.duration_since(written)
            .or_else(|_| written.duration_since(now))
            .unwrap_or_default()
    };
    found.len() == 0 || found.modified().map_or(KEPT, age) >= KEPT
}

impl Download {
    /// Reads on in what had come before, at most a buffer full; 0 when all of it was read.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn replay(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.hashed == self.length {
            return Ok(0);
        }
        let count = self.file.read_at(buffer, self.hashed)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.hash.update(buffer.get(..count).unwrap_or_default());
        self.hashed += count as u64;
        Ok(count)
    }

    /// How many bytes have come.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Says that another connection brings what follows.
    pub fn begin_piece(&mut self) {
        self.pieces += 1;
    }

    /// Whether they came over several connections, perhaps to another process, and need not fit
    /// together.
    #[must_use]
    pub fn is_pieced(&self) -> bool {
        self.pieces > 1
    }

    /// Forgets what has come.
    ///
    /// # Errors
    /// When the file cannot be cut.
    pub fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.hash = Sha256::new();
        (self.hashed, self.length, self.pieces) = (0, 0, 0);
        Ok(())
    }

    /// Checks what has come.
    ///
    /// # Errors
    /// [`Error::WrongSize`], also where what was there before was not replayed;
    /// [`Error::WrongDigest`].
    pub fn check(&self, expected: &Digest, size: u64) -> Result<(), Error> {
        check(&self.digest(), self.hashed, expected, size)
    }

    /// Checks what has come, which then waits for its name.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn verify(self, expected: &Digest, size: u64) -> Result<VerifiedBlob, Error> {
        self.check(expected, size)?;
        let digest = expected.clone();
        Ok(VerifiedBlob::downloaded(self.file, self.path, digest))
    }

    /// Has the kernel begin to write what came since `start`, and forget it when that is done: it is
    /// not read again.
    fn start_writing(&self, start: u64) {
        let length = NonZeroU64::new(self.length - start);
        // Nothing but time depends on it.
        let _ = rustix::fs::fadvise(&self.file, start, length, Advice::DontNeed);
    }

    fn digest(&self) -> Digest {
        Digest::from_sha256(self.hash.clone().finalize().into())
    }

    /// Gives the claim up; what has come stays for the next pull.
    pub fn keep(self) {
        if self.length == 0 {
            self.discard();
        }
    }

    /// Gives the claim up, and removes what has come.
    pub fn discard(self) {
        // Whatever stays is a sweep's.
        let _ = fs::remove_file(&self.path);
    }
}

impl Write for Download {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.hashed != self.length {
            return Err(io::Error::other("what had come before was not replayed"));
        }
        let count = self.file.write_at(bytes, self.length)?;
        self.hash.update(bytes.get(..count).unwrap_or_default());
        let before = self.length;
        self.hashed += count as u64;
        self.length = self.hashed;
        if before / WRITE_BEHIND < self.length / WRITE_BEHIND {
            self.start_writing(before / WRITE_BEHIND * WRITE_BEHIND);
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blobs::digest_of;

    fn store() -> (tempfile::TempDir, Store) {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(&home.path().join("store")).unwrap();
        (home, store)
    }

    fn names(store: &Store) -> usize {
        fs::read_dir(store.path(DIRECTORY)).unwrap().count()
    }

    #[test]
    fn a_blob_is_claimed_by_one_at_a_time() {
        let (_home, store) = store();
        let digest = digest_of(b"hello");
        let first = store.claim(&digest).unwrap().unwrap();
        assert!(store.claim(&digest).unwrap().is_none());
        assert!(store.claim(&digest_of(b"other")).unwrap().is_some());
        first.keep();
        assert!(store.claim(&digest).unwrap().is_some());
    }

    #[test]
    fn what_has_come_is_gone_on_with() {
        let (_home, store) = store();
        let digest = digest_of(b"hello");
        let mut first = store.claim(&digest).unwrap().unwrap();
        first.write_all(b"hel").unwrap();
        drop(first);
        let mut second = store.claim(&digest).unwrap().unwrap();
        second.begin_piece();
        assert!(second.is_pieced());
        assert!(second.write(b"lo").is_err(), "before it was replayed");
        let mut buffer = [0; 2];
        assert_eq!(second.replay(&mut buffer).unwrap(), 2);
        assert_eq!(second.replay(&mut buffer).unwrap(), 1);
        assert_eq!(second.replay(&mut buffer).unwrap(), 0);
        second.write_all(b"lo").unwrap();
        let blob = second.verify(&digest, 5).unwrap();
        store.link_blob(&blob).unwrap();
        assert_eq!(store.read_blob(&digest, 5).unwrap().unwrap(), b"hello");
        assert_eq!(names(&store), 0);
    }

    #[test]
    fn whoever_waited_finds_the_blob_and_not_the_download() {
        let (_home, store) = store();
        let digest = digest_of(b"hello");
        let mut first = store.claim(&digest).unwrap().unwrap();
        first.write_all(b"hello").unwrap();
        let blob = first.verify(&digest, 5).unwrap();
        assert!(
            store.claim(&digest).unwrap().is_none(),
            "it has no name yet"
        );
        store.link_blob(&blob).unwrap();
        let second = store.claim(&digest).unwrap().unwrap();
        assert_eq!(second.length(), 0);
        second.keep();
        assert_eq!(names(&store), 0);
    }

    #[test]
    fn wrong_bytes_can_be_fetched_again() {
        let (_home, store) = store();
        let digest = digest_of(b"hello");
        let mut download = store.claim(&digest).unwrap().unwrap();
        download.write_all(b"hullo").unwrap();
        let error = download.check(&digest, 5).unwrap_err();
        assert!(matches!(error, Error::WrongDigest { .. }));
        download.restart().unwrap();
        download.write_all(b"hello").unwrap();
        assert!(download.verify(&digest, 5).is_ok());
    }

    #[test]
    fn only_what_is_old_or_empty_is_swept() {
        let (_home, store) = store();
        let [old, young, empty, claimed] = [b"a", b"b", b"c", b"d"].map(|b| digest_of(b));
        let path = |digest: &Digest| store.path(DIRECTORY).join(digest.hex());
        for digest in [&old, &young] {
            store
                .claim(digest)
                .unwrap()
                .unwrap()
                .write_all(b"x")
                .unwrap();
        }
        drop(store.claim(&empty).unwrap());
        let claim = store.claim(&claimed).unwrap();
        let yesterday = SystemTime::now() - KEPT;
        File::options()
            .write(true)
            .open(path(&old))
            .and_then(|file| file.set_modified(yesterday))
            .unwrap();
        assert_eq!(store.sweep_downloads().unwrap(), 2);
        assert!(path(&young).exists() && path(&claimed).exists());
        drop(claim);
    }
}
