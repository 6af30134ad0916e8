//! Removing containers and images.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;

use carrier_runtime::state::State;
use carrier_spec::ContainerId;
use carrier_store::ImageUser;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use crate::engine::Engine;
use crate::error::Error;
use crate::images::{ImageChange, RemoveImageOptions};
use crate::record::ContainerRecord;
use crate::unpacker;

/// What `rm` may do.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemoveOptions {
    /// Kill containers that run; forget images that containers were made of.
    pub force: bool,
    /// Take the word for a container only.
    pub containers_only: bool,
}

/// What was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// The container that the word named.
    Container(String),
    /// Names of an image, and perhaps the image.
    Image(Vec<ImageChange>),
}

impl Engine {
    /// Removes the container or image that `word` names: containers by name, id or the beginning of
    /// it, images by reference or the beginning of their id.
    ///
    /// # Errors
    /// When there is none, or both, or it is in use.
    pub fn remove(&self, word: &str, options: RemoveOptions) -> Result<Removed, Error> {
        let container = self.find_container(word)?;
        let is_image = !options.containers_only && self.image_exists(word)?;
        match (container, is_image) {
            (None, false) if options.containers_only => {
                Err(Error::NoSuchContainer(word.to_owned()))
            }
            (None, false) => Err(Error::NoSuchObject(word.to_owned())),
            (Some(_), true) => Err(Error::ContainerAndImage(word.to_owned())),
            (Some(record), false) => {
                self.remove_container(&record, options.force)?;
                Ok(Removed::Container(word.to_owned()))
            }
            (None, true) => {
                let options = RemoveImageOptions {
                    force: options.force,
                    platform: None,
                };
                Ok(Removed::Image(self.remove_image(word, &options)?))
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
    pub(crate) fn is_young(&self, record: &ContainerRecord) -> bool {
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

    /// Removes what nobody works on, in the user namespace where files of other ids are left.
    pub(crate) fn sweep(&self) -> Result<(), Error> {
        let mut sweep = self.store.sweep()?;
        if sweep.images && self.store.reclaim_images(|| self.image_users())? {
            sweep.foreign += 1;
        }
        if sweep.foreign > 0 {
            unpacker::sweep_in_namespace(&self.store, &self.host.maps)?;
        }
        Ok(())
    }
}

/// Kills a container's first process, and with it all others; waits for its end.
pub(crate) fn kill(state: &State) -> io::Result<()> {
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
