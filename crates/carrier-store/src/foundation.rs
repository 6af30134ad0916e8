//! What is below the layers of every image: empty places for what is mounted into each container. An
//! image that has none of its own needs no copy of its directories for them.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
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
        let mode = |name| fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777;
        assert!(DIRECTORIES.into_iter().all(|name| mode(name) == 0o755));
        assert!(FILES.into_iter().all(|name| mode(name) == 0o644));
        assert_eq!(store.foundation().unwrap(), path);
        assert_eq!(fs::read_dir(store.path("staging")).unwrap().count(), 0);
    }
}
