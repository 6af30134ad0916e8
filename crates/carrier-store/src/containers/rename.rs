//! Changing records, and other names for containers.
//!
//! A name is a container's when its link leads to the container *and* the record says so. A new name
//! is made first, then the record changes as a whole, then the old name goes: at each moment exactly
//! one of the two is the container's. A link that a crash leaves is no name: whoever wants it takes it
//! over, and a sweep removes it.

use std::fs;

use carrier_spec::{ContainerId, ContainerName};
use rustix::fs::FlockOperation;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{RECORD, remove_if_exists};
use crate::atomic::{Durability, write_json};
use crate::error::Error;
use crate::store::Store;

/// What a record says about the name, whatever else it says.
#[derive(Deserialize)]
struct Named {
    name: ContainerName,
}

impl Store {
    /// Changes the record of container `id`, while nobody else does. Durable. Returns the record;
    /// nothing when the container is gone.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Damaged`]; nothing has changed then.
    pub fn change_record<T: Serialize + DeserializeOwned>(
        &self,
        id: &ContainerId,
        change: impl FnOnce(&mut T),
    ) -> Result<Option<T>, Error> {
        let _records = self.lock_names(FlockOperation::LockExclusive)?;
        let Some(mut record) = self.container(id).read_record::<T>()? else {
            return Ok(None);
        };
        change(&mut record);
        let path = self.container(id).path().join(RECORD);
        write_json(&path, &record, Durability::Synced)?;
        Ok(Some(record))
    }

    /// Gives container `id` another name: `change` writes it into the record. Durable. Returns the
    /// record; nothing when the container is gone.
    ///
    /// # Errors
    /// [`Error::NameTaken`], also when it is the container's own; [`Error::Io`], [`Error::Damaged`];
    /// the container has its old name then.
    pub fn rename_container<T: Serialize + DeserializeOwned>(
        &self,
        id: &ContainerId,
        new: &ContainerName,
        change: impl FnOnce(&mut T),
    ) -> Result<Option<T>, Error> {
        let _records = self.lock_names(FlockOperation::LockExclusive)?;
        let container = self.container(id);
        let old = container.read_record::<Named>()?;
        let (Some(old), Some(mut record)) = (old, container.read_record::<T>()?) else {
            return Ok(None);
        };
        if !self.take_name(id, new)? {
            if let Some(by) = self.name_owner(new)? {
                let name = new.clone();
                return Err(Error::NameTaken { name, by });
            }
            remove_if_exists(&self.name_path(new))?;
            self.take_name(id, new)?;
        }
        change(&mut record);
        let written = self
            .sync_directory("names")
            .and_then(|()| write_json(&container.path().join(RECORD), &record, Durability::Synced));
        match written {
            Ok(()) => self.release_name(id, &old.name),
            Err(_) => self.release_name(id, new),
        }
        written.map(|()| Some(record))
    }

    /// The container whose name this is.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn name_owner(&self, name: &ContainerName) -> Result<Option<ContainerId>, Error> {
        let Some(id) = self.container_named(name)? else {
            return Ok(None);
        };
        let container = self.container(&id);
        if !container.path().exists() || container.is_emptied() {
            return Ok(None);
        }
        // A damaged record takes no name away.
        let said = container.read_record::<Named>().ok().flatten();
        Ok(said.is_none_or(|said| said.name == *name).then_some(id))
    }

    /// Removes links that are no container's names. Does nothing where nothing is wrong at a glance,
    /// and while a container is being made.
    pub(crate) fn sweep_names(&self) -> Result<usize, Error> {
        let directory = self.path("names");
        let entries = || match fs::read_dir(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Error::io("read", &directory)(error)),
            Ok(entries) => Ok(entries.filter_map(Result::ok).collect::<Vec<_>>()),
        };
        if entries()?.len() <= self.container_ids()?.len() {
            return Ok(0);
        }
        let Ok(_names) = self.lock_names(FlockOperation::NonBlockingLockExclusive) else {
            return Ok(0);
        };
        let mut removed = 0;
        for entry in entries()? {
            // What is no link was never a name, and is for a check to find.
            if !entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                continue;
            }
            let name = entry.file_name().into_string().ok();
            let name = name.and_then(|name| name.parse::<ContainerName>().ok());
            if let Some(name) = name
                && self.name_owner(&name)?.is_none()
            {
                remove_if_exists(&entry.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Record {
        name: ContainerName,
        number: u8,
    }

    fn store() -> (tempfile::TempDir, Store) {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(&home.path().join("store")).unwrap();
        (home, store)
    }

    fn id(byte: u8) -> ContainerId {
        ContainerId::from_random([byte; 32])
    }

    fn name(text: &str) -> ContainerName {
        text.parse().unwrap()
    }

    fn record(text: &str, number: u8) -> Record {
        Record {
            name: name(text),
            number,
        }
    }

    fn create(store: &Store, text: &str, number: u8) {
        let created = store.create_container(
            &id(number),
            &name(text),
            &record(text, number),
            Durability::Cached,
        );
        created.unwrap();
    }

    fn names(store: &Store) -> Vec<String> {
        let entries = fs::read_dir(store.path("names")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names
    }

    fn rename(store: &Store, number: u8, to: &str) -> Result<Option<Record>, Error> {
        let new = name(to);
        store.rename_container(&id(number), &new, |record: &mut Record| {
            record.name = name(to);
        })
    }

    #[test]
    fn a_renamed_container_has_one_name() {
        let (_home, store) = store();
        create(&store, "old", 1);
        let renamed = rename(&store, 1, "new").unwrap();
        assert_eq!(renamed, Some(record("new", 1)));
        assert_eq!(names(&store), ["new"]);
        let read = store.container(&id(1)).read_record::<Record>().unwrap();
        assert_eq!(read, renamed);
        assert_eq!(rename(&store, 9, "other").unwrap(), None);
        create(&store, "old", 2);
        assert_eq!(names(&store), ["new", "old"]);
    }

    #[test]
    fn a_name_in_use_is_not_taken() {
        let (_home, store) = store();
        create(&store, "one", 1);
        create(&store, "two", 2);
        let taken = rename(&store, 1, "two");
        assert!(matches!(taken, Err(Error::NameTaken { by, .. }) if by == id(2)));
        let own = rename(&store, 1, "one");
        assert!(matches!(own, Err(Error::NameTaken { by, .. }) if by == id(1)));
        assert_eq!(names(&store), ["one", "two"]);
        let read = store.container(&id(1)).read_record::<Record>().unwrap();
        assert_eq!(read, Some(record("one", 1)));
    }

    #[test]
    fn a_crash_after_the_new_name_was_made_leaves_the_old_one() {
        let (_home, store) = store();
        create(&store, "old", 1);
        assert!(store.take_name(&id(1), &name("new")).unwrap());
        assert_eq!(store.name_owner(&name("old")).unwrap(), Some(id(1)));
        assert_eq!(store.name_owner(&name("new")).unwrap(), None);
        create(&store, "new", 2);
        assert_eq!(store.name_owner(&name("new")).unwrap(), Some(id(2)));
    }

    #[test]
    fn a_crash_after_the_record_was_written_leaves_the_new_one() {
        let (_home, store) = store();
        create(&store, "old", 1);
        assert!(store.take_name(&id(1), &name("new")).unwrap());
        let path = store.container(&id(1)).path().join(RECORD);
        write_json(&path, &record("new", 1), Durability::Cached).unwrap();
        assert_eq!(store.name_owner(&name("old")).unwrap(), None);
        assert_eq!(store.name_owner(&name("new")).unwrap(), Some(id(1)));
        assert_eq!(store.sweep_names().unwrap(), 1);
        assert_eq!(names(&store), ["new"]);
    }

    #[test]
    fn a_sweep_leaves_names_alone_while_a_container_is_made() {
        let (_home, store) = store();
        assert!(store.take_name(&id(1), &name("soon")).unwrap());
        let maker = store.lock_names(FlockOperation::LockShared).unwrap();
        assert_eq!(store.sweep_names().unwrap(), 0);
        drop(maker);
        assert_eq!(store.sweep_names().unwrap(), 1);
    }

    #[test]
    fn no_change_of_a_record_is_lost() {
        let (_home, store) = store();
        create(&store, "counter", 0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        let add = |record: &mut Record| record.number += 1;
                        store.change_record(&id(0), add).unwrap();
                    }
                });
            }
        });
        let read = store.container(&id(0)).read_record::<Record>().unwrap();
        assert_eq!(read, Some(record("counter", 40)));
    }

    #[test]
    fn of_many_who_want_a_name_one_gets_it() {
        let (_home, store) = store();
        for number in 1..=8 {
            create(&store, &format!("c{number}"), number);
        }
        let winners = std::thread::scope(|scope| {
            let store = &store;
            let rename = |number: u8| scope.spawn(move || rename(store, number, "wanted").is_ok());
            let threads: Vec<_> = (1..=8).map(rename).collect();
            let results = threads.into_iter().map(|thread| thread.join().unwrap());
            results.filter(|won| *won).count()
        });
        assert_eq!(winners, 1);
        assert_eq!(names(&store).len(), 8);
    }
}
