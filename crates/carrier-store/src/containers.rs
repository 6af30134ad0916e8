//! Containers: a record and the directories that the container writes to.

mod rename;

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use carrier_spec::{ContainerId, ContainerName};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::atomic::{
    Durability, overwrite_json, read_json, unless_emptied, unless_empty, write_json,
};
use crate::error::Error;
use crate::staging::Staged;
use crate::store::Store;
use crate::tree::RemoveError;

pub(crate) const RECORD: &str = "container.json";
pub(crate) const STATE: &str = "state.json";
const OVERLAYS: &str = "mounts";

/// Marks a container whose layers were copied into what it writes.
pub const COPIED: &str = "copied";

/// The directory of one container, whether it exists or not.
#[derive(Clone, Debug)]
pub struct ContainerDir(PathBuf);

impl ContainerDir {
    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What the container writes: overlay's upper directory.
    #[must_use]
    pub fn upper(&self) -> PathBuf {
        self.0.join("upper")
    }

    /// Overlay's scratch space.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    /// Whether what the container writes is all that it has: its layers were copied.
    #[must_use]
    pub fn is_copied(&self) -> bool {
        self.0.join(COPIED).exists()
    }

    /// Whether somebody else than the kernel has mounted the layers on each other, whose marks of what
    /// is gone are files.
    #[must_use]
    pub fn is_served(&self) -> bool {
        !self.is_copied() && self.0.join("merged").exists()
    }

    /// Makes a place for whoever else than the kernel mounts the layers on each other.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn make_merged(&self) -> Result<PathBuf, Error> {
        let path = self.0.join("merged");
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other.map_err(Error::io("make", &path))?,
        }
        Ok(path)
    }

    /// Reads the container's record; nothing when the container is gone, or as good as that since it
    /// [was emptied](Self::is_emptied).
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Damaged`].
    pub fn read_record<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        unless_empty(read_json(&self.0.join(RECORD)))
    }

    /// Whether a power cut has emptied the record, which is not synced where the container is removed at
    /// its end: nobody knows more about it than that it has ended.
    #[must_use]
    pub fn is_emptied(&self) -> bool {
        fs::metadata(self.0.join(RECORD)).is_ok_and(|found| found.len() == 0)
    }

    /// Replaces the container's record: afterwards it survives a power cut. Whoever does so holds the
    /// lock of [`Store::lock_records`].
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_record<T: Serialize>(&self, record: &T) -> Result<(), Error> {
        write_json(&self.0.join(RECORD), record, Durability::Synced)
    }

    /// Writes what was observed of the container, also to a disk that is full: how a container ended
    /// must not be lost for that.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_state<T: Serialize>(
        &self,
        state: &T,
        durability: Durability,
    ) -> Result<(), Error> {
        let path = self.0.join(STATE);
        match write_json(&path, state, durability) {
            Err(error) if error.is_no_space() => overwrite_json(&path, state).or(Err(error)),
            other => other,
        }
    }

    /// Reads what was observed of the container; nothing when it was never started.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Damaged`].
    pub fn read_state<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        unless_emptied(read_json(&self.0.join(STATE)))
    }

    /// Takes the container's life into one's hands, until the file is closed by all who inherited
    /// it: who starts a container, takes care of it or removes it. Nothing while somebody else has
    /// it, and nothing to be had of a container that is gone.
    ///
    /// # Errors
    /// [`Error::Io`], also when the container is gone.
    pub fn try_lock(&self) -> Result<Option<fs::File>, Error> {
        // Not the container's own directory, which whoever removes it locks once more, and no place
        // that the container could close to us.
        let path = self.work();
        let file = fs::File::open(&path).map_err(Error::io("open", &path))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(Error::errno("lock", &path)(errno)),
        }
        // Somebody may have removed it between the two calls.
        let (ours, there) = (file.metadata(), fs::metadata(&path));
        match (ours, there) {
            (Ok(ours), Ok(there)) if ours.ino() == there.ino() => Ok(Some(file)),
            (Err(error), _) | (_, Err(error)) => Err(Error::io("open", &path)(error)),
            _ => Err(Error::errno("open", &path)(Errno::NOENT)),
        }
    }
}

impl Store {
    /// The directory of container `id`.
    #[must_use]
    pub fn container(&self, id: &ContainerId) -> ContainerDir {
        ContainerDir(self.path("containers").join(id.as_str()))
    }

    /// Makes a container: afterwards its record is there, whole, and its name taken.
    ///
    /// # Errors
    /// [`Error::NameTaken`], [`Error::Io`]; nothing is left then, but of a disk that cannot be synced.
    pub fn create_container<T: Serialize>(
        &self,
        id: &ContainerId,
        name: &ContainerName,
        record: &T,
        durability: Durability,
    ) -> Result<ContainerDir, Error> {
        let staged = Staged::new(self)?;
        let published = fill_container(&staged.path, record, durability)
            .and_then(|()| self.publish(&staged.path, id, name));
        match published {
            Ok(()) => {
                if durability == Durability::Synced {
                    self.sync_directory("containers")?;
                    self.sync_directory("names")?;
                }
                Ok(self.container(id))
            }
            Err(error) => {
                // A sweep takes what stays.
                let _ = staged.discard();
                Err(error)
            }
        }
    }

    /// Takes the name, then gives the container its place.
    ///
    /// A crash between the two leaves a name of nothing. Whoever makes a container holds a shared
    /// lock meanwhile, so that with the exclusive lock such a name is known to be a crash's, and
    /// nobody else takes it over at the same time.
    fn publish(&self, made: &Path, id: &ContainerId, name: &ContainerName) -> Result<(), Error> {
        let shared = self.lock_names(FlockOperation::LockShared)?;
        if self.take_name(id, name)? {
            return self.place(made, id, name);
        }
        drop(shared);
        let _exclusive = self.lock_names(FlockOperation::LockExclusive)?;
        let path = self.name_path(name);
        match self.name_owner(name)? {
            Some(by) => {
                return Err(Error::NameTaken {
                    name: name.clone(),
                    by,
                });
            }
            None => remove_if_exists(&path)?,
        }
        self.take_name(id, name)?;
        self.place(made, id, name)
    }

    fn place(&self, made: &Path, id: &ContainerId, name: &ContainerName) -> Result<(), Error> {
        let container = self.container(id);
        fs::rename(made, container.path()).map_err(|error| {
            self.release_name(id, name);
            Error::io("make", container.path())(error)
        })
    }

    /// A link is made with its content in one step, and only where no name is: false where one is.
    fn take_name(&self, id: &ContainerId, name: &ContainerName) -> Result<bool, Error> {
        let path = self.name_path(name);
        match std::os::unix::fs::symlink(id.as_str(), &path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(Error::io("write", path)(error)),
        }
    }

    /// Keeps containers from being made, named and changed by others: briefly.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn lock_records(&self) -> Result<fs::File, Error> {
        self.lock_names(FlockOperation::LockExclusive)
    }

    fn lock_names(&self, operation: FlockOperation) -> Result<fs::File, Error> {
        let path = self.path("names");
        let file = fs::File::open(&path).map_err(Error::io("open", &path))?;
        rustix::fs::flock(&file, operation).map_err(Error::errno("lock", &path))?;
        Ok(file)
    }

    /// The container called `name`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn container_named(&self, name: &ContainerName) -> Result<Option<ContainerId>, Error> {
        self.read_name(&self.name_path(name))
    }

    fn name_path(&self, name: &ContainerName) -> PathBuf {
        self.path("names").join(name.as_str())
    }

    fn read_name(&self, path: &Path) -> Result<Option<ContainerId>, Error> {
        match fs::read_link(path) {
            Ok(target) => Ok(target.to_str().and_then(|text| text.parse().ok())),
            // What is no link is damage, and nobody's name.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::InvalidInput
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }

    fn release_name(&self, id: &ContainerId, name: &ContainerName) {
        let path = self.name_path(name);
        if self.read_name(&path).ok().flatten().as_ref() == Some(id) {
            // A name of nothing is taken over by the next container.
            let _ = fs::remove_file(path);
        }
    }

    /// All containers, in no order.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn container_ids(&self) -> Result<Vec<ContainerId>, Error> {
        let path = self.path("containers");
        let entries = match fs::read_dir(&path) {
            // Damage, which a check finds: it must not hide the images.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(Error::io("read", &path))?,
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter_map(|name| name.parse().ok()).collect())
    }

    /// Makes a place for what is written over something that container `id` mounts: an empty directory,
    /// and overlay's scratch space.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn make_overlay(
        &self,
        id: &ContainerId,
        number: usize,
    ) -> Result<(PathBuf, PathBuf), Error> {
        let place = self.container(id).0.join(OVERLAYS).join(number.to_string());
        let (upper, work) = (place.join("upper"), place.join("work"));
        for path in [&upper, &work] {
            fs::create_dir_all(path).map_err(Error::io("make", path))?;
        }
        Ok((upper, work))
    }

    /// Throws away what was written to the places of [`Store::make_overlay`]; says whether a sweep in the
    /// user namespace has to go on.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn clear_overlays(&self, id: &ContainerId) -> Result<bool, Error> {
        let path = self.container(id).0.join(OVERLAYS);
        if !path.exists() {
            return Ok(false);
        }
        self.take_out(&path)
    }

    /// Removes a container, and says whether all of its files could be deleted: those of other ids
    /// are left to a sweep in the user namespace. Needs no space on the disk.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove_container(&self, id: &ContainerId, name: &ContainerName) -> Result<bool, Error> {
        self.take_container(id, name)?.delete()
    }

    /// Removes a container from everybody's sight, and gives its name back; its files are still there.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn take_container(
        &self,
        id: &ContainerId,
        name: &ContainerName,
    ) -> Result<TakenContainer, Error> {
        let taken = self.take_nameless_container(id)?;
        self.release_name(id, name);
        Ok(taken)
    }

    /// The same for a container whose name nobody knows: a sweep finds that it is nobody's.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn take_nameless_container(&self, id: &ContainerId) -> Result<TakenContainer, Error> {
        let staged = Staged::take(self, self.container(id).path())?;
        Ok(TakenContainer(staged))
    }
}

/// A container that is as good as removed; a sweep deletes the files of one that was forgotten.
#[derive(Debug)]
#[must_use]
pub struct TakenContainer(Option<Staged>);

impl TakenContainer {
    /// Deletes the files; see [`Store::remove_container`].
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn delete(&self) -> Result<bool, Error> {
        match self.0.as_ref().map_or(Ok(()), Staged::discard) {
            Ok(()) => Ok(true),
            Err(RemoveError::Foreign { .. }) => Ok(false),
            Err(RemoveError::Io { path, source }) => Err(Error::Io {
                action: "remove",
                path,
                source,
            }),
        }
    }
}

/// Fills a directory that has no place yet: nobody can see the record half written.
fn fill_container<T: Serialize>(
    directory: &Path,
    record: &T,
    durability: Durability,
) -> Result<(), Error> {
    let make = |path: PathBuf| fs::create_dir(&path).map_err(Error::io("make", path));
    make(directory.join("upper"))?;
    make(directory.join("work"))?;
    let path = directory.join(RECORD);
    let write = || {
        let bytes = serde_json::to_vec(record)?;
        let mut file = fs::File::create(&path)?;
        file.write_all(&bytes)?;
        match durability {
            Durability::Synced => file.sync_data(),
            Durability::Cached => Ok(()),
        }
    };
    write().map_err(Error::io("write", &path))
}

fn remove_if_exists(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(Error::io("remove", path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(&home.path().join("store")).unwrap();
        (home, store)
    }

    fn id(byte: u8) -> ContainerId {
        ContainerId::from_random([byte; 32])
    }

    #[test]
    fn a_container_is_made_and_removed_as_a_whole() {
        let (_home, store) = store();
        let name: ContainerName = "web".parse().unwrap();
        let container = store
            .create_container(&id(1), &name, &"record", Durability::Cached)
            .unwrap();
        assert_eq!(
            container.read_record::<String>().unwrap().unwrap(),
            "record"
        );
        assert_eq!(store.container_named(&name).unwrap(), Some(id(1)));
        assert_eq!(store.container_ids().unwrap(), [id(1)]);
        assert!(store.remove_container(&id(1), &name).unwrap());
        assert!(store.container_ids().unwrap().is_empty());
        assert_eq!(store.container_named(&name).unwrap(), None);
        assert_eq!(fs::read_dir(store.path("staging")).unwrap().count(), 0);
    }

    #[test]
    fn a_state_that_a_power_cut_has_emptied_is_none() {
        let (_home, store) = store();
        let name = "web".parse().unwrap();
        let made = store.create_container(&id(1), &name, &1, Durability::Synced);
        fs::write(made.unwrap().path().join(STATE), "").unwrap();
        let read = store.container(&id(1)).read_state::<String>();
        assert_eq!(read.unwrap(), None);
        let reader = store.container_reader().unwrap();
        assert_eq!(reader.state::<String>(&id(1)).unwrap(), None);
    }

    #[test]
    fn a_record_that_a_power_cut_has_emptied_is_none_and_half_a_record_is_damage() {
        let (_home, store) = store();
        let name: ContainerName = "web".parse().unwrap();
        let made = store.create_container(&id(1), &name, &"record", Durability::Cached);
        let path = made.unwrap().path().join(RECORD);
        let container = store.container(&id(1));
        let reader = store.container_reader().unwrap();
        fs::write(&path, "\"rec").unwrap();
        assert!(!container.is_emptied() && container.read_record::<String>().is_err());
        assert!(reader.record::<String>(&id(1)).is_err());
        assert_eq!(store.name_owner(&name).unwrap(), Some(id(1)));
        fs::write(&path, "").unwrap();
        assert!(container.is_emptied());
        assert_eq!(container.read_record::<String>().unwrap(), None);
        assert_eq!(reader.record::<String>(&id(1)).unwrap(), None);
        store
            .create_container(&id(2), &name, &"other", Durability::Cached)
            .unwrap();
        assert_eq!(store.container_named(&name).unwrap(), Some(id(2)));
    }

    #[test]
    fn a_state_can_be_written_over_the_one_that_is_there() {
        let (_home, store) = store();
        let container = store
            .create_container(&id(1), &"web".parse().unwrap(), &1, Durability::Cached)
            .unwrap();
        container
            .write_state(&"a long state", Durability::Cached)
            .unwrap();
        overwrite_json(&container.path().join(STATE), &"short").unwrap();
        assert_eq!(container.read_state::<String>().unwrap().unwrap(), "short");
        overwrite_json(&container.path().join(STATE), &"longer than before").unwrap();
        assert_eq!(
            container.read_state::<String>().unwrap().unwrap(),
            "longer than before"
        );
    }

    #[test]
    fn a_name_belongs_to_one_container() {
        let (_home, store) = store();
        let name: ContainerName = "web".parse().unwrap();
        store
            .create_container(&id(1), &name, &1, Durability::Cached)
            .unwrap();
        let taken = store.create_container(&id(2), &name, &2, Durability::Cached);
        assert!(matches!(taken, Err(Error::NameTaken { by, .. }) if by == id(1)));
        assert_eq!(store.container_ids().unwrap(), [id(1)]);
        assert_eq!(fs::read_dir(store.path("staging")).unwrap().count(), 0);
    }

    #[test]
    fn a_name_that_a_crash_left_is_taken_over() {
        let (_home, store) = store();
        let name: ContainerName = "web".parse().unwrap();
        std::os::unix::fs::symlink(id(9).as_str(), store.name_path(&name)).unwrap();
        store
            .create_container(&id(1), &name, &1, Durability::Cached)
            .unwrap();
        assert_eq!(store.container_named(&name).unwrap(), Some(id(1)));
    }

    #[test]
    fn a_damaged_name_is_taken_over() {
        let (_home, store) = store();
        let name: ContainerName = "web".parse().unwrap();
        std::os::unix::fs::symlink("../nonsense", store.name_path(&name)).unwrap();
        store
            .create_container(&id(1), &name, &1, Durability::Cached)
            .unwrap();
        assert_eq!(store.container_named(&name).unwrap(), Some(id(1)));
    }

    #[test]
    fn of_many_who_want_a_name_that_a_crash_left_one_gets_it() {
        let (_home, store) = store();
        let name: ContainerName = "web".parse().unwrap();
        for round in 0..20 {
            let dead = ContainerId::from_random([200 + round; 32]);
            std::os::unix::fs::symlink(dead.as_str(), store.name_path(&name)).unwrap();
            let winners = std::thread::scope(|scope| {
                let create = |n: u8| {
                    store
                        .create_container(&id(n), &name, &n, Durability::Cached)
                        .is_ok()
                };
                let threads: Vec<_> = (0..8).map(|n| scope.spawn(move || create(n))).collect();
                let results = threads.into_iter().map(|thread| thread.join().unwrap());
                results.filter(|won| *won).count()
            });
            assert_eq!(winners, 1);
            let winner = store.container_named(&name).unwrap().unwrap();
            assert_eq!(
                store.container_ids().unwrap(),
                std::slice::from_ref(&winner)
            );
            assert!(store.remove_container(&winner, &name).unwrap());
        }
    }
}
