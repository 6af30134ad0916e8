//! Removing containers and images.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;

use carrier_runtime::state::State;
use carrier_spec::{ContainerId, Reference};
use carrier_store::{ImageRecord, ImageUser, LastName};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use crate::engine::Engine;
use crate::error::Error;
use crate::record::ContainerRecord;
use crate::unpacker;

/// What `rm` may do.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemoveOptions {
    /// Kill containers that run; forget images that containers were made of.
    pub force: bool,
    /// Take the word for a container only.
    pub containers_only: bool,
    /// Take the word for an image only.
    pub images_only: bool,
}

/// What was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// The container that the word named.
    Container(String),
    /// The image that the word named.
    Image(String),
}

impl Engine {
    /// Removes the container or image that `word` names: containers by name, id or the beginning of
    /// it, images by reference or the beginning of their id.
    ///
    /// # Errors
    /// When there is none, or both, or it is in use.
    pub fn remove(&self, word: &str, options: RemoveOptions) -> Result<Removed, Error> {
        let container = if options.images_only {
            None
        } else {
            self.find_container(word)?
        };
        let images = if options.containers_only {
            Vec::new()
        } else {
            self.find_images(word)?
        };
        match (container, images.as_slice()) {
            (None, []) if options.containers_only => Err(Error::NoSuchContainer(word.to_owned())),
            (None, []) => Err(Error::NoSuchObject(word.to_owned())),
            (Some(_), [_, ..]) => Err(Error::ContainerAndImage(word.to_owned())),
            (Some(record), []) => {
                self.remove_container(&record, options.force)?;
                Ok(Removed::Container(word.to_owned()))
            }
            (None, images) => {
                self.remove_images(images, options.force)?;
                Ok(Removed::Image(word.to_owned()))
            }
        }
    }

    /// Removes every container; those that run only by force.
    ///
    /// # Errors
    /// As [`Engine::remove`], for the first that cannot be removed.
    pub fn remove_all_containers(&self, force: bool) -> Result<Vec<Removed>, Error> {
        let remove = |record: ContainerRecord| {
            self.remove_container(&record, force)?;
            Ok(Removed::Container(record.name.to_string()))
        };
        self.records()?.into_iter().map(remove).collect()
    }

    /// Removes what crashes have left: things half made, state of dead containers, and containers
    /// that were to be removed when they ended.
    ///
    /// # Errors
    /// When the store cannot be read or changed.
    pub fn repair(&self) -> Result<(), Error> {
        for record in self.records()? {
            let started = self.state_dir(&record.id).path().exists();
            if record.remove && started && !self.runs(&record.id)? && !self.is_young(&record) {
                self.remove_files(&record)?;
            }
        }
        self.sweep()
    }

    /// A container that was made in these seconds may belong to a command that is just starting it.
    fn is_young(&self, record: &ContainerRecord) -> bool {
        const GRACE: u64 = 5;
        let starting = self.state(&record.id).is_ok_and(|state| state.is_none());
        starting && crate::engine::now().abs_diff(record.created) < GRACE
    }

    fn remove_container(&self, record: &ContainerRecord, force: bool) -> Result<(), Error> {
        if self.runs(&record.id)? {
            if !force {
                return Err(Error::ContainerRuns(record.name.to_string()));
            }
            if let Some(state) = self.state(&record.id)? {
                kill(&state).map_err(|source| Error::Wait {
                    id: record.id.clone(),
                    source,
                })?;
            }
        }
        self.remove_files(record)
    }

    /// Removes a container that does not run.
    pub(crate) fn remove_files(&self, record: &ContainerRecord) -> Result<(), Error> {
        let clean = self.store.remove_container(&record.id, &record.name)?;
        self.remove_state(&record.id)?;
        if clean { Ok(()) } else { self.sweep() }
    }

    pub(crate) fn remove_state(&self, id: &ContainerId) -> Result<(), Error> {
        let path = self.state_dir(id).path().to_owned();
        match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(Error::Write { path, source }),
            Ok(entries) => {
                for entry in entries.filter_map(Result::ok) {
                    // What stays makes the next call fail.
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
        match fs::remove_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(|source| Error::Write { path, source }),
        }
    }

    pub(crate) fn remove_images(&self, images: &[ImageRecord], force: bool) -> Result<(), Error> {
        let last_name = if force {
            LastName::RemoveUsed
        } else {
            LastName::Remove
        };
        let removed = self
            .store
            .remove_images(images, last_name, || self.image_users())?;
        if removed.needs_sweep {
            self.sweep()?;
        }
        Ok(())
    }

    /// The containers, as far as their images are concerned.
    pub(crate) fn image_users(&self) -> Result<Vec<ImageUser>, carrier_store::Error> {
        let mut users = Vec::new();
        for id in self.store.container_ids()? {
            let record = self.store.container(&id).read_record::<ContainerRecord>()?;
            users.extend(record.map(|record| ImageUser {
                name: record.name.to_string(),
                image: record.image_id,
                layers: record.layers,
            }));
        }
        Ok(users)
    }

    fn find_images(&self, word: &str) -> Result<Vec<ImageRecord>, Error> {
        let images = self.store.images()?;
        if let Ok(reference) = word.parse::<Reference>() {
            let named: Vec<ImageRecord> = images
                .iter()
                .filter(|image| image.reference.as_ref() == Some(&reference))
                .cloned()
                .collect();
            if !named.is_empty() {
                return Ok(named);
            }
        }
        let prefix = word.strip_prefix("sha256:").unwrap_or(word);
        if prefix.len() < 4 || !prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Vec::new());
        }
        let mut found = images;
        found.retain(|image| image.id.0.hex().starts_with(prefix));
        let mut ids: Vec<_> = found.iter().map(|image| &image.id).collect();
        ids.sort_unstable();
        ids.dedup();
        match ids.len() {
            0 | 1 => Ok(found),
            count => Err(Error::AmbiguousId {
                prefix: word.to_owned(),
                count,
            }),
        }
    }

    /// Removes what nobody works on, in the user namespace where files of other ids are left.
    pub(crate) fn sweep(&self) -> Result<(), Error> {
        if self.store.sweep()?.foreign > 0 {
            unpacker::sweep_in_namespace(&self.store, &self.host.maps)?;
        }
        Ok(())
    }
}

/// Kills a container's first process, and with it all others; waits for its end.
fn kill(state: &State) -> io::Result<()> {
    let pid = i32::try_from(state.process.pid)
        .ok()
        .and_then(Pid::from_raw);
    let Some(pid) = pid else { return Ok(()) };
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        other => other?,
    };
    // Looked at again now that the descriptor holds on to whatever process has the number.
    if !state.process.is_alive() {
        return Ok(());
    }
    carrier_sys::process::signal_process(pidfd.as_fd(), Signal::KILL.as_raw())?;
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    loop {
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map(drop).map_err(Into::into),
        }
    }
}
