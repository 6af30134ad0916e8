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

const BUFFER: usize = 256 * 1024;

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

    /// Whether the blob is here with as many bytes as it should have: what a disk has lost, it lost
    /// in whole blocks.
    ///
    /// # Errors
    /// [`Error::UnsupportedDigest`].
    pub fn has_blob_of(&self, digest: &Digest, size: u64) -> Result<bool, Error> {
        let path = self.blob_path(digest)?;
        let is_whole = |found: std::fs::Metadata| found.is_file() && found.len() == size;
        Ok(std::fs::symlink_metadata(path).is_ok_and(is_whole))
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

    /// Whether a blob is here and its bytes are what its name says. Reads all of them.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::UnsupportedDigest`].
    pub fn is_intact(&self, digest: &Digest) -> Result<bool, Error> {
        let Some(mut file) = self.open_blob(digest)? else {
            return Ok(false);
        };
        let mut hash = Sha256::new();
        let mut buffer = vec![0; BUFFER];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(Digest::from_sha256(hash.finalize().into()) == *digest),
                Ok(count) => hash.update(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read", self.blob_path(digest)?)(error)),
            }
        }
    }

    /// Whether a blob that is here has its digest. Reads all of it.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be opened, [`Error::UnsupportedDigest`].
    pub fn blob_is_whole(&self, digest: &Digest) -> Result<bool, Error> {
        let Some(mut file) = self.open_blob(digest)? else {
            return Ok(false);
        };
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => hash.update(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Ok(false),
            }
        }
        Ok(Digest::from_sha256(hash.finalize().into()) == *digest)
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
        match &blob.draft.place {
            Place::Staged(staged) => rustix::fs::rename(staged.path.join(DRAFT), &path),
            Place::Download(download) => {
                // In this order: a kill in between leaves a download that can be gone on with.
                rustix::fs::rename(download, &path)
                    .and_then(|()| rustix::fs::fchmod(&blob.draft.file, Mode::from_raw_mode(0o444)))
            }
            Place::Nameless => match blob.draft.link(&path) {
                Err(Errno::EXIST) => {
                    let staged = Staged::new(self)?;
                    let replaced = blob
                        .draft
                        .link(&staged.path.join(DRAFT))
                        .and_then(|()| rustix::fs::rename(staged.path.join(DRAFT), &path));
                    // An empty directory that stays is a sweep's.
                    let _ = staged.discard();
                    replaced
                }
                linked => linked,
            },
        }
        .map_err(failed)
    }
}

/// The bytes of a blob that has no name yet.
#[derive(Debug)]
struct Draft {
    file: File,
    place: Place,
}

/// Where the bytes of a draft are.
#[derive(Debug)]
enum Place {
    Nameless,
    /// On a file system without nameless files.
    Staged(Staged),
    /// Where they were downloaded to.
    Download(PathBuf),
}

impl Draft {
    fn new(store: &Store) -> Result<Self, Error> {
        let directory = store.path(DIRECTORY);
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::open(&directory, flags, Mode::from_raw_mode(0o444)) {
            Ok(file) => Ok(Self {
                file: file.into(),
                place: Place::Nameless,
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
            place: Place::Staged(staged),
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
        if let Place::Staged(staged) = &self.place {
            // What cannot be removed here is left to a sweep.
            let _ = staged.discard();
        }
    }
}

/// The SHA-256 digest of `bytes`.
#[must_use]
pub fn digest_of(bytes: &[u8]) -> Digest {
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

    /// Takes what was written for what it is, when nobody has promised anything.
    #[must_use]
    pub fn finish(self) -> VerifiedBlob {
        VerifiedBlob {
            draft: self.draft,
            digest: Digest::from_sha256(self.hash.finalize().into()),
        }
    }

    /// Checks what was written.
    ///
    /// # Errors
    /// [`Error::WrongSize`], [`Error::WrongDigest`]: the bytes are gone then.
    pub fn verify(self, expected: &Digest, size: u64) -> Result<VerifiedBlob, Error> {
        let actual = Digest::from_sha256(self.hash.finalize().into());
        check(&actual, self.written, expected, size)?;
        Ok(VerifiedBlob {
            draft: self.draft,
            digest: actual,
        })
    }
}

impl VerifiedBlob {
    /// What its bytes hash to.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Opens it for reading, from its beginning.
    ///
    /// # Errors
    /// When descriptors are used up.
    pub fn open(&self) -> io::Result<File> {
        // A descriptor of its own: whoever gets it can neither write the file nor move our offset.
        let path = format!("/proc/self/fd/{}", self.draft.file.as_raw_fd());
        File::open(path)
    }

    /// A blob that was downloaded to `path`.
    pub(crate) fn downloaded(file: File, path: PathBuf, digest: Digest) -> Self {
        let place = Place::Download(path);
        Self {
            draft: Draft { file, place },
            digest,
        }
    }
}

/// Whether a blob is what was promised.
pub(crate) fn check(
    actual: &Digest,
    written: u64,
    expected: &Digest,
    size: u64,
) -> Result<(), Error> {
    if written != size {
        return Err(Error::WrongSize {
            digest: expected.clone(),
            expected: size,
            actual: written,
        });
    }
    if actual != expected {
        return Err(Error::WrongDigest {
            expected: expected.clone(),
            actual: actual.clone(),
        });
    }
    Ok(())
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
        assert!(!store.is_intact(&digest).unwrap());
        assert!(store.has_blob_of(&digest, 5).unwrap() && !store.has_blob_of(&digest, 4).unwrap());
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
