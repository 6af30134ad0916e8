//! Removing containers and images.

use std::fs::File;
use std::time::Duration;

use carrier_spec::ContainerId;
use carrier_store::{ImageUser, TakenContainer};
use rustix::process::Signal;

use crate::engine::Engine;
use crate::error::Error;
use crate::events::Event;
use crate::images::{ImageChange, RemoveImageOptions};
use crate::moment::Moment;
use crate::monitor::Peer;
use crate::record::ContainerRecord;
use crate::stop::{Fate, try_to_remove};
use crate::system::in_namespace;
use crate::unpacker;

/// What `rm` may do.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemoveOptions {
    /// Kill containers that run; forget images that containers were made of.
    pub force: bool,
    /// Take the word for a container only.
    pub containers_only: bool,
    /// Also remove the anonymous volumes of containers.
    pub volumes: bool,
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
                self.remove_container(&record, options.force, options.volumes)?;
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
    pub fn remove_all_containers(&self, force: bool, volumes: bool) -> Result<Vec<Removed>, Error> {
        /// So many end at once: their connections are open files.
        const BATCH: usize = 64;
        let mut removed = Vec::new();
        for batch in self.records()?.chunks(BATCH) {
            let asked: Result<Vec<_>, Error> = batch
                .iter()
                .map(|record| match force && self.runs(&record.id)? {
                    true => self.ask_to_be_killed(record),
                    false => Ok(None),
                })
                .collect();
            for (record, asked) in batch.iter().zip(asked?) {
                match self.remove_asked(record, (force, volumes), asked) {
                    Err(Error::NoSuchContainer(_)) => continue,
                    other => other?,
                }
                removed.push(Removed::Container(record.name.to_string()));
            }
        }
        Ok(removed)
    }

    /// A container that was made in these seconds may belong to a command that is just starting it.
    pub(crate) fn is_young(&self, created: Moment) -> bool {
        const GRACE: Duration = Duration::from_secs(5);
        created.elapsed() < GRACE
    }

    /// Removes a container unless somebody has it in his hands.
    pub(crate) fn remove_abandoned(&self, record: &ContainerRecord) -> Result<(), Error> {
        match self.take(record)? {
            Some(_lock) => self.remove_files(record),
            None => Ok(()),
        }
    }

    fn remove_container(
        &self,
        record: &ContainerRecord,
        force: bool,
        volumes: bool,
    ) -> Result<(), Error> {
        self.remove_asked(record, (force, volumes), None)
    }

    fn ask_to_be_killed(&self, record: &ContainerRecord) -> Result<Option<Peer>, Error> {
        let (signal, patience) = (Signal::KILL.as_raw(), Some(Duration::ZERO));
        self.ask_to_end(record, signal, patience, Fate::OfItsOwn)
    }

    /// Removes a container whose monitor may have been asked to end it.
    fn remove_asked(
        &self,
        record: &ContainerRecord,
        (force, volumes): (bool, bool),
        asked: Option<Peer>,
    ) -> Result<(), Error> {
        let was_asked = asked.is_some();
        let lock = match self.end_and_lock(record, force, asked) {
            Err(_) if !self.store.container(&record.id).path().exists() => match was_asked {
                true => return Ok(()),
                // Somebody else was faster.
                false => return Err(Error::NoSuchContainer(record.name.to_string())),
            },
            other => other?,
        };
        let Some(lock) = lock else {
            return Ok(());
        };
        let taken = self.take_files_and(record, volumes || record.remove);
        let removed = taken.and_then(|taken| self.delete(&record.id, &taken));
        drop(lock);
        removed
    }

    /// Takes a container into the caller's hands, by force also one that runs; nothing where its monitor
    /// has removed it.
    fn end_and_lock(
        &self,
        record: &ContainerRecord,
        force: bool,
        asked: Option<Peer>,
    ) -> Result<Option<File>, Error> {
        let container = self.store.container(&record.id);
        if let Some(lock) = container.try_lock()? {
            return Ok(Some(lock));
        }
        if !force {
            return Err(Error::ContainerRuns(record.name.to_string()));
        }
        let life = self.settled_life(record)?;
        let asked = match asked {
            None => self.ask_to_be_killed(record)?,
            asked => asked,
        };
        self.await_end(record, &life, asked, Some(Duration::ZERO))?;
        if !container.path().exists() {
            return Ok(None);
        }
        self.seize(record).map(Some)
    }

    /// Removes a container that was just made, with its anonymous volumes.
    pub(crate) fn remove_unstarted(&self, record: &ContainerRecord) -> Result<(), Error> {
        let taken = self.take_files_and(record, true)?;
        self.delete(&record.id, &taken)
    }

    /// Removes a container that does not run; its anonymous volumes stay, unless it was to be removed
    /// when it ends. One whose cgroup cannot be removed yet is left to whoever comes next.
    pub(crate) fn remove_files(&self, record: &ContainerRecord) -> Result<(), Error> {
        match self.take_files(record)? {
            Some(taken) => self.delete(&record.id, &taken),
            None => Ok(()),
        }
    }

    /// The first half of [`Engine::remove_files`]: nobody sees the container any more, and only its
    /// files are left to be deleted.
    pub(crate) fn take_files(
        &self,
        record: &ContainerRecord,
    ) -> Result<Option<TakenContainer>, Error> {
        let left = self.cgroup_left(&record.id)?.and_then(try_to_remove);
        match left {
            Some(_) => Ok(None),
            None => self.take_files_and(record, record.remove).map(Some),
        }
    }

    /// The second half.
    pub(crate) fn delete(&self, id: &ContainerId, taken: &TakenContainer) -> Result<(), Error> {
        self.remove_etc(id);
        if taken.delete()? {
            return Ok(());
        }
        // Nobody else's while it is held here, which a sweep would not see.
        let deleted: Result<bool, String> = in_namespace(&self.host.maps, || {
            taken.delete().map_err(|error| error.to_string())
        })?;
        match deleted {
            Ok(true) => Ok(()),
            _ => self.sweep(),
        }
    }

    fn take_files_and(
        &self,
        record: &ContainerRecord,
        volumes: bool,
    ) -> Result<TakenContainer, Error> {
        self.remove_cgroup(&record.id)?;
        self.release_volumes(record, !volumes)?;
        let taken = self.store.take_container(&record.id, &record.name)?;
        self.emit(&Event::container("destroy", record));
        if volumes {
            self.remove_anonymous_volumes(record)?;
        }
        Ok(taken)
    }

    /// The containers, as far as their images are concerned.
    pub(crate) fn image_users(&self) -> Result<Vec<ImageUser>, carrier_store::Error> {
        let mut users = Vec::new();
        for id in self.store.container_ids()? {
            let record = self.store.container(&id).read_record::<ContainerRecord>()?;
            users.extend(record.map(|record| ImageUser {
                layers: record.needed_layers(),
                name: record.name.to_string(),
                image: record.image_id,
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
