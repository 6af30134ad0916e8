//! Containers as the OCI command line knows them: runtime-spec `runtime.md`, sections "Lifecycle" and
//! "Operations".
//!
//! Each has a directory below the runtime's root: its record, a copy of its configuration and, until
//! it is started, the gate at which its process waits. Who changes a container holds the lock of its
//! directory, which the kernel releases; who only reads waits for nobody.

mod console;
mod create;
mod exec;
mod home;
mod hooks;
mod lifecycle;
mod listing;
mod options;
mod record;
mod resources;
pub(crate) mod warnings;

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::error::Error;
pub use listing::ContainerProcess;
pub use options::{CgroupManager, CreateOptions, ExecOptions, ProcessChange};
pub use record::Record;

const CONFIG: &str = "config.json";
const GATE: &str = "start.sock";

/// All containers below one root.
#[derive(Debug)]
pub struct Runtime {
    root: PathBuf,
    cgroups: CgroupManager,
}

impl Runtime {
    /// Containers below `root`, which is made with the first of them.
    #[must_use]
    pub fn new(root: PathBuf, cgroups: CgroupManager) -> Self {
        Self { root, cgroups }
    }

    /// Where containers are when nobody says: `/run/carrier-runtime` for root, a directory of the
    /// same name in the user's runtime directory for others.
    #[must_use]
    pub fn default_root() -> PathBuf {
        const NAME: &str = "carrier-runtime";
        let user = rustix::process::geteuid();
        match std::env::var_os("XDG_RUNTIME_DIR") {
            Some(directory) if Path::new(&directory).is_absolute() => {
                Path::new(&directory).join(NAME)
            }
            _ if user.is_root() => Path::new("/run").join(NAME),
            _ => PathBuf::from(format!("/tmp/{NAME}-{}", user.as_raw())),
        }
    }

    fn directory(&self, id: &str) -> Result<Directory, Error> {
        check_id(id)?;
        Ok(Directory(self.root.join(id)))
    }

    /// The directory of a container that exists, locked until it is dropped.
    fn lock(&self, id: &str) -> Result<(Directory, Record, Lock), Error> {
        let directory = self.directory(id)?;
        let unknown = || Error::UnknownContainer { id: id.to_owned() };
        let lock = match directory.lock() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(unknown()),
            other => other.map_err(|source| Error::File {
                action: "lock",
                path: directory.0.clone(),
                source,
            })?,
        };
        // Whoever had the lock before may have deleted the container.
        let record = directory.read()?.ok_or_else(unknown)?;
        Ok((directory, record, lock))
    }

    /// The record of a container.
    ///
    /// # Errors
    /// [`Error::UnknownContainer`].
    pub fn record(&self, id: &str) -> Result<Record, Error> {
        let record = self.directory(id)?.read()?;
        record.ok_or_else(|| Error::UnknownContainer { id: id.to_owned() })
    }

    /// The records of all containers, by id.
    ///
    /// # Errors
    /// When the root cannot be read.
    pub fn list(&self) -> Result<Vec<Record>, Error> {
        let entries = match std::fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|source| Error::File {
                action: "read",
                path: self.root.clone(),
                source,
            })?,
        };
        let directories = entries.flatten().map(|entry| Directory(entry.path()));
        // One that is just being made or deleted has no record.
        let mut records: Vec<Record> = directories
            .filter_map(|directory| directory.read().ok().flatten())
            .collect();
        records.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(records)
    }

    fn make_root(&self) -> Result<(), Error> {
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&self.root);
        let checked = made.and_then(|()| is_ours(&self.root));
        checked.map_err(|source| Error::File {
            action: "use",
            path: self.root.clone(),
            source,
        })
    }
}

/// In a directory of all users somebody else may have been first.
fn is_ours(path: &Path) -> io::Result<()> {
    let metadata = std::fs::symlink_metadata(path)?;
    let owner = metadata.uid() == rustix::process::geteuid().as_raw();
    if metadata.is_dir() && owner {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it is not a directory of the caller",
        ))
    }
}

/// Ids become names of directories and cgroups.
fn check_id(id: &str) -> Result<(), Error> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
    if id.bytes().all(allowed) && !matches!(id, "" | "." | "..") && id.len() <= 255 {
        Ok(())
    } else {
        Err(Error::InvalidId { id: id.to_owned() })
    }
}

/// The directory of one container.
#[derive(Clone, Debug)]
struct Directory(PathBuf);

/// The right to change a container.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // By hand: the container's process may hold a copy of the descriptor until its program runs.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

impl Directory {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn lock(&self) -> io::Result<Lock> {
        let directory = File::open(&self.0)?;
        loop {
            match rustix::fs::flock(&directory, FlockOperation::LockExclusive) {
                Err(rustix::io::Errno::INTR) => {}
                other => return other.map(|()| Lock(directory)).map_err(io::Error::from),
            }
        }
    }

    /// Removes the directory and its files; it has no directories.
    fn remove(&self) -> Result<(), Error> {
        let remove = || {
            for entry in std::fs::read_dir(&self.0)? {
                std::fs::remove_file(entry?.path())?;
            }
            std::fs::remove_dir(&self.0)
        };
        match remove() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::File {
                action: "remove",
                path: self.0.clone(),
                source: error,
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_name_of_a_directory_and_nothing_else() {
        for good in ["a", "web-1", "x.y_z+1", "0"] {
            check_id(good).unwrap();
        }
        for bad in ["", ".", "..", "a/b", "a b", "a\n", "\u{1b}[m", "ä"] {
            assert!(check_id(bad).is_err(), "{bad:?}");
        }
    }
}
