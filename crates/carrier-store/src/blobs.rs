//! Blobs, named by the digest of their bytes.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use carrier_spec::{Algorithm, Digest};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::staging::Staged;
use crate::store::Store;

const DIRECTORY: &str = "blobs/sha256";

/// The name of a blob's bytes in a staging directory.
const DRAFT: &str = "blob";

impl Store {
    pub(crate) fn blob_path(&self, digest: &Digest) -> Result<PathBuf, Error> {
        match digest.algorithm() {
            Algorithm::Sha256 => Ok(self.path(DIRECTORY).join(digest.hex())),
            Algorithm::Sha512 => Err(Error::UnsupportedDigest(digest.clone())),
        }
    }

    /// Whether the blob is here.
    ///
    /// # Errors
    /// [`Error::UnsupportedDigest`].
    pub fn has_blob(&self, digest: &Digest) -> Result<bool, Error> {
        let path = self.blob_path(digest)?;
        // A link, which no command makes, could lead anywhere.
        Ok(std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file()))
    }

    /// Opens a blob; nothing where it is not here.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::UnsupportedDigest`].
    pub fn open_blob(&self, digest: &Digest) -> Result<Option<File>, Error> {
        let path = self.blob_path(digest)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(file) => Ok(Some(file.into())),
            Err(Errno::NOENT | Errno::LOOP) => Ok(None),
            Err(errno) => Err(Error::errno("open", path)(errno)),
        }
    }

    /// Reads a small blob of at most `max` bytes, and checks its digest again. One that is damaged
    /// counts as absent, so that it is fetched anew.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::UnsupportedDigest`].
    pub fn read_blob(&self, digest: &Digest, max: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(file) = self.open_blob(digest)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let read = file.take(max + 1).read_to_end(&mut bytes);
        read.map_err(Error::io("read", self.blob_path(digest)?))?;
        let whole = bytes.len() as u64 <= max && digest_of(&bytes) == *digest;
        Ok(whole.then_some(bytes))
    }

    /// Starts a blob, which has no name until it is verified and ingested.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn new_blob(&self) -> Result<BlobWriter, Error> {
        Ok(BlobWriter {
            draft: Draft::new(self)?,
            hash: Sha256::new(),
            written: 0,
        })
    }

    /// Gives a verified blob its name. What has that name already should be the same; where it is
    /// not, because the disk was, it is replaced.
    pub(crate) fn link_blob(&self, blob: &VerifiedBlob) -> Result<(), Error> {
        let path = self.blob_path(&blob.digest)?;
        let failed = Error::errno("name blob", &path);
        let staged = match &blob.draft.staged {
            Some(staged) => staged,
            None => match blob.draft.link(&path) {
                Err(Errno::EXIST) => {
                    let staged = Staged::new(self)?;
                    let replaced = blob
                        .draft
                        .link(&staged.path.join(DRAFT))
                        .and_then(|()| rustix::fs::rename(staged.path.join(DRAFT), &path));
                    // An empty directory that stays is a sweep's.
                    let _ = staged.discard();
                    return replaced.map_err(failed);
                }
                linked => return linked.map_err(failed),
            },
        };
        rustix::fs::rename(staged.path.join(DRAFT), &path).map_err(failed)
    }
}

/// The bytes of a blob that has no name yet.
#[derive(Debug)]
struct Draft {
    file: File,
    /// Where they are, on a file system without nameless files.
    staged: Option<Staged>,
}

impl Draft {
    fn new(store: &Store) -> Result<Self, Error> {
        let directory = store.path(DIRECTORY);
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::open(&directory, flags, Mode::from_raw_mode(0o444)) {
            Ok(file) => Ok(Self {
                file: file.into(),
                staged: None,
            }),
            // NFS, and overlayfs before Linux 6.1.
            Err(Errno::OPNOTSUPP | Errno::ISDIR) => Self::staged(store),
            Err(errno) => Err(Error::errno("write in", directory)(errno)),
        }
    }

    fn staged(store: &Store) -> Result<Self, Error> {
        let staged = Staged::new(store)?;
        let path = staged.path.join(DRAFT);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        let file = rustix::fs::open(&path, flags, Mode::from_raw_mode(0o444))
            .map_err(Error::errno("make", path))?;
        Ok(Self {
            file: file.into(),
            staged: Some(staged),
        })
    }

    /// Names a nameless file: open(2), O_TMPFILE, tells how to do that without privileges.
    fn link(&self, path: &Path) -> Result<(), Errno> {
        let nameless = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        rustix::fs::linkat(CWD, &nameless, CWD, path, AtFlags::SYMLINK_FOLLOW)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(staged) = &self.staged {
            // What cannot be removed here is left to a sweep.
            let _ = staged.discard();
        }
    }
}

/// The SHA-256 digest of `bytes`.
pub(crate) fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_sha256(Sha256::digest(bytes).into())
}

/// A blob on its way into the store, hashed as it is written.
#[derive(Debug)]
pub struct BlobWriter {
    draft: Draft,
    hash: Sha256,
    written: u64,
}

/// A blob whose bytes are what they should be, still without a name.
#[derive(Debug)]
pub struct VerifiedBlob {
    draft: Draft,
    digest: Digest,
}

impl BlobWriter {
    /// How many bytes have been written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Checks what was written.
    ///
    /// # Errors
    /// [`Error::WrongSize`], [`Error::WrongDigest`]: the bytes are gone then.
    pub fn verify(self, expected: &Digest, size: u64) -> Result<VerifiedBlob, Error> {
        if self.written != size {
            let digest = expected.clone();
            return Err(Error::WrongSize {
                digest,
                expected: size,
                actual: self.written,
            });
        }
        let actual = Digest::from_sha256(self.hash.finalize().into());
        if actual == *expected {
            Ok(VerifiedBlob {
                draft: self.draft,
                digest: actual,
            })
        } else {
            Err(Error::WrongDigest {
                expected: expected.clone(),
                actual,
            })
        }
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.draft.file.write(bytes)?;
        self.hash.update(bytes.get(..count).unwrap_or_default());
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(&home.path().join("store")).unwrap();
        (home, store)
    }

    fn written(store: &Store, bytes: &[u8]) -> BlobWriter {
        let mut writer = store.new_blob().unwrap();
        writer.write_all(bytes).unwrap();
        writer
    }

    #[test]
    fn a_blob_appears_under_its_digest_and_not_before() {
        let (_home, store) = store();
        let digest = digest_of(b"hello");
        let blob = written(&store, b"hello").verify(&digest, 5).unwrap();
        assert!(!store.has_blob(&digest).unwrap());
        store.link_blob(&blob).unwrap();
        store.link_blob(&blob).unwrap();
        assert_eq!(store.read_blob(&digest, 5).unwrap().unwrap(), b"hello");
    }

    #[test]
    fn wrong_bytes_leave_nothing() {
        let (_home, store) = store();
        let digest = digest_of(b"hello");
        assert!(matches!(
            written(&store, b"hullo").verify(&digest, 5),
            Err(Error::WrongDigest { .. })
        ));
        assert!(matches!(
            written(&store, b"hello!").verify(&digest, 5),
            Err(Error::WrongSize { actual: 6, .. })
        ));
        assert_eq!(std::fs::read_dir(store.path(DIRECTORY)).unwrap().count(), 0);
    }

    #[test]
    fn a_damaged_blob_counts_as_absent() {
        let (_home, store) = store();
        let digest = digest_of(b"hello");
        std::fs::write(store.blob_path(&digest).unwrap(), b"hellO").unwrap();
        assert_eq!(store.read_blob(&digest, 5).unwrap(), None);
        assert_eq!(store.read_blob(&digest, 4).unwrap(), None);
    }

    #[test]
    fn a_damaged_blob_is_replaced_when_it_comes_again() {
        let (_home, store) = store();
        let digest = digest_of(b"hello");
        std::fs::write(store.blob_path(&digest).unwrap(), b"").unwrap();
        let blob = written(&store, b"hello").verify(&digest, 5).unwrap();
        store.link_blob(&blob).unwrap();
        assert_eq!(store.read_blob(&digest, 5).unwrap().unwrap(), b"hello");
        assert_eq!(std::fs::read_dir(store.path("staging")).unwrap().count(), 0);
    }

    #[test]
    fn a_file_system_without_nameless_files_will_do() {
        let (_home, store) = store();
        let digest = digest_of(b"hello");
        let writer = || BlobWriter {
            draft: Draft::staged(&store).unwrap(),
            hash: Sha256::new(),
            written: 0,
        };
        let mut good = writer();
        good.write_all(b"hello").unwrap();
        store.link_blob(&good.verify(&digest, 5).unwrap()).unwrap();
        assert_eq!(store.read_blob(&digest, 5).unwrap().unwrap(), b"hello");
        assert!(writer().verify(&digest, 5).is_err());
        assert_eq!(std::fs::read_dir(store.path("staging")).unwrap().count(), 0);
    }

    #[test]
    fn r13_a_link_is_no_blob() {
        let (home, store) = store();
        let digest = digest_of(b"hello");
        let target = home.path().join("outside");
        std::fs::write(&target, b"hello").unwrap();
        let path = store.blob_path(&digest).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
        assert!(!store.has_blob(&digest).unwrap());
        assert!(store.open_blob(&digest).unwrap().is_none());
        assert_eq!(store.read_blob(&digest, 5).unwrap(), None);
    }
}
