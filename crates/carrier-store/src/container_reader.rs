//! Reading what is written down about many containers: below one directory, whose path is looked up once.

use std::cell::RefCell;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use carrier_spec::ContainerId;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::de::DeserializeOwned;

use crate::atomic::{read_json_at, unless_emptied, unless_empty};
use crate::containers::{RECORD, STATE};
use crate::error::Error;
use crate::store::Store;

/// The directory of the containers, open; nothing where there is none.
#[derive(Debug)]
pub struct ContainerReader {
    path: PathBuf,
    directory: Option<OwnedFd>,
    /// For the files.
    space: RefCell<Vec<u8>>,
}

impl Store {
    /// Opens the directory of the containers.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn container_reader(&self) -> Result<ContainerReader, Error> {
        let path = self.path("containers");
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = match rustix::fs::open(&path, flags, Mode::empty()) {
            // Damage, which a check finds: it must not hide the images.
            Err(Errno::NOENT) => None,
            other => Some(other.map_err(Error::errno("open", &path))?),
        };
        Ok(ContainerReader {
            path,
            directory,
            space: RefCell::default(),
        })
    }
}

impl ContainerReader {
    /// A container's record; nothing when the container is gone, or its record was emptied.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Damaged`].
    pub fn record<T: DeserializeOwned>(&self, id: &ContainerId) -> Result<Option<T>, Error> {
        unless_empty(self.read(id, RECORD))
    }

    /// What was observed of a container; nothing before its first start.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Damaged`].
    pub fn state<T: DeserializeOwned>(&self, id: &ContainerId) -> Result<Option<T>, Error> {
        unless_emptied(self.read(id, STATE))
    }

    fn read<T: DeserializeOwned>(&self, id: &ContainerId, file: &str) -> Result<Option<T>, Error> {
        let Some(directory) = &self.directory else {
            return Ok(None);
        };
        let path = format!("{}/{file}", id.as_str());
        let space = &mut self.space.borrow_mut();
        read_json_at((directory.as_fd(), &self.path), Path::new(&path), space)
    }
}
