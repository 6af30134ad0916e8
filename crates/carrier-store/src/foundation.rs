//! What is below the layers of every image: empty places for what is mounted into each container. An
//! image that has none of its own needs no copy of its directories for them.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::staging::Staged;
use crate::store::Store;

pub(crate) const DIRECTORY: &str = "foundation";

const DIRECTORIES: [&str; 5] = ["", "dev", "etc", "proc", "sys"];
const FILES: [&str; 3] = ["etc/hosts", "etc/hostname", "etc/resolv.conf"];

impl Store {
    /// The lowest layer, which is made where it is missing.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn foundation(&self) -> Result<PathBuf, Error> {
        let path = self.path(DIRECTORY);
        if path.exists() {
            return Ok(path);
        }
        let staged = Staged::new(self)?;
        fill(&staged.path).map_err(Error::io("make", &path))?;
        match fs::rename(&staged.path, &path) {
            // Another command was faster; a sweep takes this one.
            Err(_) if path.exists() => Ok(path),
            made => made.map(|()| path.clone()).map_err(Error::io("make", path)),
        }
    }
}

/// Whether all of it is there, and nothing else.
pub(crate) fn is_whole(root: &Path) -> bool {
    let is = |name: &str, mode: u32| {
        let found = fs::symlink_metadata(root.join(name));
        found.is_ok_and(|found| found.mode() == mode && (found.is_dir() || found.len() == 0))
    };
    let count = |name: &str| fs::read_dir(root.join(name)).map_or(0, Iterator::count);
    DIRECTORIES.into_iter().all(|name| is(name, 0o4_0755))
        && FILES.into_iter().all(|name| is(name, 0o10_0644))
        && DIRECTORIES.into_iter().map(count).sum::<usize>() == DIRECTORIES.len() - 1 + FILES.len()
}

fn fill(root: &Path) -> io::Result<()> {
    for name in DIRECTORIES {
        let path = root.join(name);
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
    }
    for name in FILES {
        let file = fs::File::create(root.join(name))?;
        file.set_permissions(Permissions::from_mode(0o644))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foundation_is_made_once_and_as_a_whole() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(&home.path().join("store")).unwrap();
        let path = store.foundation().unwrap();
        assert!(is_whole(&path));
        assert_eq!(store.foundation().unwrap(), path);
        assert_eq!(fs::read_dir(store.path("staging")).unwrap().count(), 0);
        fs::write(path.join("dev/stray"), "").unwrap();
        assert!(!is_whole(&path));
    }
}
