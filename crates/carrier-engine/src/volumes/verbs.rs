//! The verbs of volumes.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::AsFd as _;
use std::time::Duration;

use carrier_spec::VolumeName;
use carrier_store::{VolumeRecord, count};
use serde_json::{Value, json};

use super::driver::Backing;
use super::error::VolumeError;
use super::filter::VolumeFilter;
use crate::engine::{Engine, open_directory, random};
use crate::error::Error;
use crate::moment::Moment;
use crate::record::ContainerRecord;
use crate::system::in_namespace;

/// What `volume create` shall make.
#[derive(Clone, Debug, Default)]
pub struct CreateVolumeOptions {
    /// Its name; none makes an anonymous one.
    pub name: Option<VolumeName>,
    /// What the user says about it.
    pub labels: BTreeMap<String, String>,
    /// Options of the driver `local`.
    pub options: BTreeMap<String, String>,
}

/// A volume, and who has it.
#[derive(Clone, Debug)]
pub struct VolumeSummary {
    /// What it is.
    pub record: VolumeRecord,
    /// Where its files are.
    pub mountpoint: String,
    /// Names of the containers that have it.
    pub users: Vec<String>,
}

/// What `volume prune` removed.
#[derive(Clone, Debug, Default)]
pub struct PrunedVolumes {
    /// Names.
    pub names: Vec<VolumeName>,
    /// Bytes of files that are gone.
    pub bytes: u64,
}

impl Engine {
    /// Makes a volume, which then survives a power cut. One of that name is left as it is.
    ///
    /// # Errors
    /// [`VolumeError`]; when it cannot be made.
    pub fn create_volume(&self, options: &CreateVolumeOptions) -> Result<VolumeName, Error> {
        Backing::of(&options.options)?;
        let name = match &options.name {
            Some(name) => name.clone(),
            None => VolumeName::from_random(random()?),
        };
        let record = VolumeRecord {
            name: name.clone(),
            created: Moment::now().nanoseconds(),
            labels: options.labels.clone(),
            options: options.options.clone(),
            anonymous: options.name.is_none(),
            container: None,
        };
        loop {
            if self.store.create_volume(&record, true)? {
                self.emit(&super::event("create", &name));
                return Ok(name);
            }
            // It may have gone a moment ago.
            if let Some(there) = self.store.volume(&name).read_record()? {
                return if super::differs(&there, &options.labels, &options.options) {
                    Err(VolumeError::Differs(name).into())
                } else {
                    Ok(name)
                };
            }
        }
    }

    /// The volumes that `filter` lets pass, in the order of their names. One whose record is damaged is
    /// left out: it must not hide the others.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn volumes(&self, filter: &VolumeFilter) -> Result<Vec<VolumeSummary>, Error> {
        let mut users = self.users_of_volumes()?;
        let mut volumes = Vec::new();
        for name in self.store.volume_names()? {
            let record = match self.store.volume(&name).read_record() {
                Ok(Some(record)) => record,
                Ok(None) | Err(carrier_store::Error::Damaged { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let summary = VolumeSummary {
                mountpoint: self.store.volume(&name).data().display().to_string(),
                users: users.remove(&name).unwrap_or_default(),
                record,
            };
            if filter.accepts(&summary) {
                volumes.push(summary);
            }
        }
        Ok(volumes)
    }

    /// The volume that `word` names.
    ///
    /// # Errors
    /// [`VolumeError::NoSuchVolume`].
    pub fn volume(&self, word: &str) -> Result<VolumeRecord, Error> {
        let unknown = || VolumeError::NoSuchVolume(word.to_owned());
        let name: VolumeName = word.parse().map_err(|_| unknown())?;
        let record = self.store.volume(&name).read_record()?;
        Ok(record.ok_or_else(unknown)?)
    }

    /// All that is known about a volume, in the shape of Docker's `GET /volumes/{name}`.
    ///
    /// # Errors
    /// As [`Engine::volume`].
    pub fn inspect_volume(&self, word: &str) -> Result<Value, Error> {
        let record = self.volume(word)?;
        let or_null = |map: &BTreeMap<String, String>| match map.is_empty() {
            true => Value::Null,
            false => json!(map),
        };
        Ok(json!({
            "CreatedAt": Moment::from(Duration::from_nanos(record.created)).whole_seconds(),
            "Driver": "local",
            "Labels": or_null(&super::shown_labels(&record)),
            "Mountpoint": self.store.volume(&record.name).data().display().to_string(),
            "Name": record.name,
            "Options": or_null(&record.options),
            "Scope": "local",
        }))
    }

    /// Removes the volume that `word` names; with `force` one that does not exist is no error.
    ///
    /// # Errors
    /// [`VolumeError::NoSuchVolume`], [`VolumeError::InUse`].
    pub fn remove_volume(&self, word: &str, force: bool) -> Result<(), Error> {
        let unknown = || VolumeError::NoSuchVolume(word.to_owned());
        let name: Option<VolumeName> = word.parse().ok();
        let lock = match &name {
            Some(name) => self.store.lock_volume(name)?,
            None => None,
        };
        let Some(lock) = lock else {
            return if force { Ok(()) } else { Err(unknown().into()) };
        };
        let users = self.volume_users(lock.name())?;
        if !users.is_empty() {
            let name = lock.name().clone();
            return Err(VolumeError::InUse { name, users }.into());
        }
        self.destroy_volume(lock)
    }

    /// Removes the volumes that no container has and that `filter` lets pass: anonymous ones, with `all`
    /// also those that somebody named.
    ///
    /// # Errors
    /// When the store cannot be read or changed; what was removed by then is gone.
    pub fn prune_volumes(&self, all: bool, filter: &VolumeFilter) -> Result<PrunedVolumes, Error> {
        let mut volumes = self.volumes(filter)?;
        volumes.retain(|volume| volume.users.is_empty() && (all || volume.record.anonymous));
        let names: Vec<VolumeName> = volumes
            .into_iter()
            .map(|volume| volume.record.name)
            .collect();
        let sizes = self.volume_sizes(&names)?;
        let mut pruned = PrunedVolumes::default();
        for (name, bytes) in names.into_iter().zip(sizes) {
            if self.remove_volume_unless_used(&name)? {
                pruned.bytes += bytes;
                pruned.names.push(name);
            }
        }
        Ok(pruned)
    }

    /// Bytes of the files of each volume.
    ///
    /// # Errors
    /// When the process that looks cannot be started.
    pub fn volume_sizes(&self, names: &[VolumeName]) -> Result<Vec<u64>, Error> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        in_namespace(&self.host.maps, || {
            let size = |name: &VolumeName| {
                let data = open_directory(self.store.volume(name).data()).ok()?;
                Some(count(data.handle.as_fd()).ok()?.bytes)
            };
            names.iter().map(|name| size(name).unwrap_or(0)).collect()
        })
    }

    /// Names of the containers that have a volume.
    ///
    /// # Errors
    /// When a record cannot be read or is damaged: nobody knows what that container has.
    pub(crate) fn volume_users(&self, name: &VolumeName) -> Result<Vec<String>, Error> {
        let mut users = Vec::new();
        for id in self.store.container_ids()? {
            let record = self.store.container(&id).read_record::<ContainerRecord>()?;
            let user = record.filter(|record| record.storage.volumes().any(|it| it == name));
            users.extend(user.map(|record| record.name.to_string()));
        }
        users.sort_unstable();
        Ok(users)
    }

    /// As far as it can be told: nothing is removed by that.
    fn users_of_volumes(&self) -> Result<HashMap<VolumeName, Vec<String>>, Error> {
        let mut users: HashMap<VolumeName, Vec<String>> = HashMap::new();
        for record in self.records()? {
            for volume in record.storage.volumes() {
                let names = users.entry(volume.clone()).or_default();
                names.push(record.name.to_string());
            }
        }
        for names in users.values_mut() {
            names.sort_unstable();
            names.dedup();
        }
        Ok(users)
    }
}
