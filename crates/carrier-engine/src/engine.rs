//! The engine: a store, a directory that dies with a boot, and a host.

use std::cmp::Reverse;
use std::path::PathBuf;
use std::sync::Mutex;

use carrier_runtime::state::ProcessIdentity;
use carrier_runtime::{Directory, OuterIds};
use carrier_spec::{ContainerId, ContainerName, Platform, Reference};
use carrier_store::{ContainerReader, ImageRecord, Store};

use crate::error::Error;
use crate::etc_files::EtcFiles;
use crate::host::{Host, runtime_dir};
use crate::places;
use crate::record::ContainerRecord;

/// All that the use cases work on.
#[derive(Debug)]
pub struct Engine {
    pub(crate) store: Store,
    pub(crate) runtime: PathBuf,
    pub(crate) host: Host,
    pub(crate) outer_ids: Mutex<Option<OuterIds>>,
}

impl Engine {
    /// Opens the caller's store, `$XDG_DATA_HOME/carrier`, and runtime directory,
    /// `$XDG_RUNTIME_DIR/carrier`, making them where they do not exist.
    ///
    /// # Errors
    /// When either cannot be made, or belongs to somebody else.
    pub fn open() -> Result<Self, Error> {
        Ok(Self {
            store: Store::open(&data_dir()?)?,
            runtime: runtime_dir()?,
            host: Host::detect()?,
            outer_ids: Mutex::default(),
        })
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The image that `reference` means here: for `platform`, or for the host's where none is named.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn image(
        &self,
        reference: &Reference,
        platform: Option<&Platform>,
    ) -> Result<Option<ImageRecord>, Error> {
        Ok(self.store.image(reference, platform)?)
    }

    /// Where the files of `/etc` are that a container which runs has. Not in the store: the container
    /// reads in its mount table where a file comes from, and of the runtime directory, which is a file
    /// system of its own, only the place in it.
    pub(crate) fn etc_dir(&self, id: &ContainerId) -> PathBuf {
        self.runtime.join(id.as_str())
    }

    /// Removes them.
    pub(crate) fn remove_etc(&self, id: &ContainerId) {
        let directory = self.etc_dir(id);
        for name in EtcFiles::NAMES {
            // They die with the boot at the latest, and may have gone with a session.
            let _ = std::fs::remove_file(directory.join(name));
        }
        let _ = std::fs::remove_dir(directory);
    }

    /// Whether somebody takes care of a container.
    pub(crate) fn runs(&self, id: &ContainerId) -> Result<bool, Error> {
        Ok(self.life_of(id)?.status.is_alive())
    }

    /// The container that `word` names.
    ///
    /// # Errors
    /// [`Error::NoSuchContainer`].
    pub fn container(&self, word: &str) -> Result<ContainerRecord, Error> {
        let unknown = || Error::NoSuchContainer(word.to_owned());
        self.find_container(word)?.ok_or_else(unknown)
    }

    /// The first process of a container that runs.
    pub(crate) fn live_process(&self, id: &ContainerId) -> Result<Option<ProcessIdentity>, Error> {
        let life = self.life_of(id)?;
        let process = life.first_process().cloned();
        Ok(process.filter(ProcessIdentity::is_alive))
    }

    /// Whether there is a container that `word` names.
    ///
    /// # Errors
    /// When the store cannot be read, or the beginning of an id has several meanings.
    pub fn container_exists(&self, word: &str) -> Result<bool, Error> {
        Ok(self.find_container(word)?.is_some())
    }

    /// The containers, the youngest first. One that is removed meanwhile is left out, and so is one
    /// whose record is damaged: it must not hide the others.
    pub(crate) fn records(&self) -> Result<Vec<ContainerRecord>, Error> {
        self.records_by(&self.store.container_reader()?)
    }

    /// [`Engine::records`], from an open directory.
    pub(crate) fn records_by(
        &self,
        reader: &ContainerReader,
    ) -> Result<Vec<ContainerRecord>, Error> {
        let mut records = Vec::new();
        for id in self.store.container_ids()? {
            match reader.record::<ContainerRecord>(&id) {
                Err(carrier_store::Error::Damaged { .. }) => {}
                record => records.extend(record?),
            }
        }
        // Records are large: each is moved once.
        records.sort_by_cached_key(|record| Reverse((record.created, record.id.clone())));
        Ok(records)
    }

    /// Finds a container by name, id, or the beginning of its id, in this order.
    pub(crate) fn find_container(&self, word: &str) -> Result<Option<ContainerRecord>, Error> {
        let read = |id: &ContainerId| self.store.container(id).read_record::<ContainerRecord>();
        if let Ok(name) = word.parse::<ContainerName>()
            && let Some(id) = self.store.container_named(&name)?
            // A link that a crash in a rename has left is no name.
            && let Some(record) = read(&id)?.filter(|record| record.name == name)
        {
            return Ok(Some(record));
        }
        if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let mut ids = self.store.container_ids()?;
        ids.retain(|id| id.as_str().starts_with(word));
        match ids.as_slice() {
            [] => Ok(None),
            [id] => Ok(read(id)?),
            several => Err(Error::AmbiguousId {
                prefix: word.to_owned(),
                count: several.len(),
            }),
        }
    }
}

/// Where the store is or will be.
///
/// # Errors
/// When neither `$XDG_DATA_HOME` nor `$HOME` is an absolute path.
pub(crate) fn data_dir() -> Result<PathBuf, Error> {
    if let Some(root) = places::root() {
        return Ok(root.to_owned());
    }
    let data = absolute("XDG_DATA_HOME").map(|data| data.join("carrier"));
    data.or_else(usual_data_dir).ok_or(Error::NoHome)
}

/// Where the store is of a user who says nothing about it.
pub(crate) fn usual_data_dir() -> Option<PathBuf> {
    absolute("HOME").map(|home| home.join(".local/share/carrier"))
}

/// A variable that holds an absolute path; others mean nothing, XDG Base Directory Specification.
pub(crate) fn absolute(name: &str) -> Option<PathBuf> {
    let value = std::env::var_os(name).map(PathBuf::from);
    value.filter(|path| path.is_absolute())
}

pub(crate) fn open_directory(path: PathBuf) -> Result<Directory, Error> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::open(&path, flags, Mode::empty()) {
        Ok(handle) => Ok(Directory { path, handle }),
        Err(errno) => Err(Error::Open {
            path,
            source: errno.into(),
        }),
    }
}

/// Random bytes of the kernel, for ids and names.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    use rustix::rand::{GetRandomFlags, getrandom};
    let mut bytes = [0; N];
    let failed = |errno: rustix::io::Errno| Error::Open {
        path: PathBuf::from("/dev/urandom"),
        source: errno.into(),
    };
    getrandom(&mut bytes, GetRandomFlags::empty()).map_err(failed)?;
    Ok(bytes)
}
