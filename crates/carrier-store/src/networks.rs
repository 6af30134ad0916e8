//! Networks of the user: a small file each, `networks/NAME.json`.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use carrier_spec::NetworkName;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::atomic::read_json;
use crate::error::Error;
use crate::store::{Store, make_private};

const DIRECTORY: &str = "networks";
const SUFFIX: &str = ".json";

/// The right to make networks, until it is dropped.
#[derive(Debug)]
pub struct NetworksLock(fs::File);

impl Store {
    /// Waits until nobody else makes a network. What a crash has left half made goes away.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn lock_networks(&self) -> Result<NetworksLock, Error> {
        let path = self.path(DIRECTORY);
        let lock = || {
            make_private(&path)?;
            let directory = fs::File::open(&path)?;
            directory.lock()?;
            for entry in fs::read_dir(&path)? {
                let entry = entry?;
                if entry.file_name().to_string_lossy().starts_with('.') {
                    fs::remove_file(entry.path())?;
                }
            }
            Ok(directory)
        };
        lock().map(NetworksLock).map_err(Error::io("lock", &path))
    }

    /// Writes a network down, for good; whether there was none of that name.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create_network<T: Serialize>(
        &self,
        lock: &NetworksLock,
        name: &NetworkName,
        network: &T,
    ) -> Result<bool, Error> {
        let path = self.network_file(name);
        let temporary = path.with_file_name(format!(".{name}"));
        let create = || {
            let mut file = fs::File::create(&temporary)?;
            file.write_all(&serde_json::to_vec(network)?)?;
            file.sync_data()?;
            let linked = fs::hard_link(&temporary, &path);
            fs::remove_file(&temporary)?;
            match linked {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
                other => other?,
            }
            lock.0.sync_all()?;
            Ok(true)
        };
        create().map_err(|error| {
            // A full disk is no reason to leave one.
            let _ = fs::remove_file(&temporary);
            Error::io("write", &path)(error)
        })
    }

    /// The network of that name.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn network<T: DeserializeOwned>(&self, name: &NetworkName) -> Result<Option<T>, Error> {
        read_json(&self.network_file(name))
    }

    /// The names of all networks, in order.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn network_names(&self) -> Result<Vec<NetworkName>, Error> {
        let path = self.path(DIRECTORY);
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(Error::io("read", &path))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(Error::io("read", &path))?;
            names.extend(name_of(&entry.path()));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Where networks are written down. The engine keeps a directory of its own there.
    #[must_use]
    pub fn networks_directory(&self) -> PathBuf {
        self.path(DIRECTORY)
    }

    /// Where a network is written down.
    #[must_use]
    pub fn network_file(&self, name: &NetworkName) -> PathBuf {
        self.path(DIRECTORY).join(format!("{name}{SUFFIX}"))
    }

    /// Forgets a network, for good; whether there was one.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove_network(&self, lock: &NetworksLock, name: &NetworkName) -> Result<bool, Error> {
        let path = self.network_file(name);
        let remove = || {
            let existed = match fs::remove_file(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => false,
                other => other.map(|()| true)?,
            };
            // Also of one that somebody else has unlinked.
            lock.0.sync_all()?;
            Ok(existed)
        };
        remove().map_err(Error::io("remove", &path))
    }
}

/// The name of the network that a file is about, if it is about one.
pub(crate) fn name_of(path: &Path) -> Option<NetworkName> {
    let file = path.file_name()?.to_str()?;
    file.strip_suffix(SUFFIX)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_given_once() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(&home.path().join("carrier")).unwrap();
        let name = |text: &str| text.parse::<NetworkName>().unwrap();
        assert_eq!(store.network_names().unwrap(), []);
        let lock = store.lock_networks().unwrap();
        assert!(store.create_network(&lock, &name("web"), &1).unwrap());
        assert!(!store.create_network(&lock, &name("web"), &2).unwrap());
        assert_eq!(store.network::<u32>(&name("web")).unwrap(), Some(1));
        assert_eq!(store.network_names().unwrap(), [name("web")]);
        assert!(store.remove_network(&lock, &name("web")).unwrap());
        assert!(!store.remove_network(&lock, &name("web")).unwrap());
        assert_eq!(store.network::<u32>(&name("web")).unwrap(), None);
    }

    #[test]
    fn what_a_crash_left_is_no_network() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(&home.path().join("carrier")).unwrap();
        drop(store.lock_networks().unwrap());
        fs::write(store.path("networks/.web"), "{").unwrap();
        assert_eq!(store.network_names().unwrap(), []);
        drop(store.lock_networks().unwrap());
        assert_eq!(fs::read_dir(store.path("networks")).unwrap().count(), 0);
    }
}
