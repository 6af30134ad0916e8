//! Opening a store.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};

use crate::error::Error;

/// A store, opened. Cheap to open when it exists: nothing is scanned.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    directory: OwnedFd,
}

pub(crate) const DIRECTORIES: [&str; 9] = [
    "blobs",
    "blobs/sha256",
    "downloads",
    "layers",
    "images",
    "containers",
    "names",
    "staging",
    "volumes",
];

/// Written last, so that a store that has it is complete.
pub(crate) const MARK: &str = "oci-layout";

/// image-spec `image-layout.md`
pub(crate) const MARK_TEXT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

impl Store {
    /// Opens the store at `root`, an absolute path, and makes it where there is none.
    ///
    /// # Errors
    /// [`Error::NotPrivate`] when the directory belongs to somebody else or others can write it;
    /// [`Error::Io`] when it cannot be made.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let directory = match open_directory(root) {
            Err(rustix::io::Errno::NOENT) => {
                make_private(root).map_err(Error::io("make", root))?;
                open_directory(root)
            }
            other => other,
        };
        let directory = directory.map_err(Error::errno("open", root))?;
        let store = Self::in_own(root, directory)?;
        if !store.is_laid_out() {
            store.lay_out()?;
        }
        Ok(store)
    }

    /// Opens the store at `root` and makes nothing; none where there is none, or not yet.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn look(root: &Path) -> Result<Option<Self>, Error> {
        let directory = match open_directory(root) {
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            other => other.map_err(Error::errno("open", root))?,
        };
        let store = Self::in_own(root, directory)?;
        Ok(Some(store).filter(Self::is_laid_out))
    }

    fn in_own(root: &Path, directory: OwnedFd) -> Result<Self, Error> {
        let stat = rustix::fs::fstat(&directory).map_err(Error::errno("look at", root))?;
        if stat.st_uid != rustix::process::geteuid().as_raw() || stat.st_mode & 0o022 != 0 {
            return Err(Error::NotPrivate(root.to_owned()));
        }
        Ok(Self {
            root: root.to_owned(),
            directory,
        })
    }

    fn is_laid_out(&self) -> bool {
        rustix::fs::statat(&self.directory, MARK, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Where the store is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join(relative)
    }

    fn lay_out(&self) -> Result<(), Error> {
        for name in DIRECTORIES {
            let path = self.path(name);
            make_private(&path).map_err(Error::io("make", &path))?;
        }
        let mark = self.path(MARK);
        fs::write(&mark, MARK_TEXT).map_err(Error::io("write", &mark))
    }

    /// Waits for the right to change images. Never held across a wait for anything else.
    pub(crate) fn lock(&self) -> Result<fs::File, Error> {
        let path = self.path("lock");
        let lock = || {
            let file = fs::File::options().create(true).append(true).open(&path)?;
            file.lock()?;
            Ok(file)
        };
        lock().map_err(Error::io("lock", &path))
    }

    /// Brings everything that was written on the store's file system to the disk.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sync(&self) -> Result<(), Error> {
        // syncfs(2) takes no O_PATH descriptor.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(&self.root, flags, Mode::empty())
            .and_then(|root| rustix::fs::syncfs(&root))
            .map_err(Error::errno("sync", &self.root))
    }

    /// Brings the names in one directory to the disk.
    pub(crate) fn sync_directory(&self, relative: impl AsRef<Path>) -> Result<(), Error> {
        let path = self.path(relative);
        fs::File::open(&path)
            .and_then(|directory| directory.sync_all())
            .map_err(Error::io("sync", &path))
    }
}

impl AsFd for Store {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

pub(crate) fn open_directory(path: &Path) -> Result<OwnedFd, rustix::io::Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// Makes a directory and its parents, all closed to others as the XDG specification has it.
pub(crate) fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_store_is_closed_to_others() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("deep/carrier");
        let store = Store::open(&root).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(store.root()), 0o700);
        assert_eq!(mode(&store.path("layers")), 0o700);
        assert!(Store::open(&root).is_ok());
    }

    #[test]
    fn a_store_that_others_can_write_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("carrier");
        drop(Store::open(&root).unwrap());
        fs::set_permissions(&root, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(Store::open(&root), Err(Error::NotPrivate(_))));
    }
}
