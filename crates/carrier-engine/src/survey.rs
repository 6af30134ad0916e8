//! Going through all containers: what there is, and what a crash has left.

use carrier_spec::{ContainerId, DiffId, ImageId, Platform, Reference};
use carrier_store::Durability;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::engine::Engine;
use crate::error::Error;
use crate::life::Life;
use crate::moment::Moment;
use crate::net::{NetworkMode, PortSpec};
use crate::record::ContainerRecord;
use crate::restart::RestartPolicy;
use crate::stop::try_to_remove;
use crate::volumes::Storage;

/// What is read of each container's record: there may be a thousand, and most of a record is not for
/// lists.
pub(crate) trait Surveyed: DeserializeOwned {
    /// When the container was made.
    fn created(&self) -> Moment;

    /// Whether it is removed when it ends.
    fn is_removed_at_end(&self) -> bool;

    /// The same without the record of a container that runs, where its state tells enough.
    fn of_running(_id: &ContainerId, _life: &Life) -> Option<Self> {
        None
    }
}

/// Which container it is.
#[derive(Debug, Deserialize)]
pub(crate) struct RecordHead {
    pub(crate) id: ContainerId,
    created: Moment,
    remove: bool,
}

impl Surveyed for RecordHead {
    fn created(&self) -> Moment {
        self.created
    }

    fn is_removed_at_end(&self) -> bool {
        self.remove
    }

    fn of_running(id: &ContainerId, life: &Life) -> Option<Self> {
        Some(Self {
            id: id.clone(),
            created: life.created?,
            // It is asked of containers that have ended.
            remove: false,
        })
    }
}

/// What [`ContainerSummary`](crate::ContainerSummary) tells of a [`ContainerRecord`].
#[derive(Debug, Deserialize)]
pub(crate) struct ListedRecord {
    pub(crate) id: ContainerId,
    pub(crate) name: carrier_spec::ContainerName,
    pub(crate) created: Moment,
    pub(crate) image: Option<Reference>,
    pub(crate) image_word: Option<String>,
    pub(crate) image_id: ImageId,
    pub(crate) platform: Platform,
    pub(crate) layers: Vec<DiffId>,
    pub(crate) arguments: Vec<String>,
    pub(crate) remove: bool,
    pub(crate) network: NetworkMode,
    #[serde(default)]
    pub(crate) networking: ListedNetworking,
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) restart: RestartPolicy,
    #[serde(default)]
    pub(crate) storage: Storage,
}

/// The same of its ports.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ListedNetworking {
    pub(crate) exposed: Vec<PortSpec>,
}

impl From<ContainerRecord> for ListedRecord {
    fn from(record: ContainerRecord) -> Self {
        Self {
            id: record.id,
            name: record.name,
            created: record.created,
            image: record.image,
            image_word: record.image_word,
            image_id: record.image_id,
            platform: record.platform,
            layers: record.layers,
            arguments: record.arguments,
            remove: record.remove,
            network: record.network,
            networking: ListedNetworking {
                exposed: record.networking.exposed,
            },
            labels: record.labels,
            restart: record.restart,
            storage: record.storage,
        }
    }
}

impl Surveyed for ListedRecord {
    fn created(&self) -> Moment {
        self.created
    }

    fn is_removed_at_end(&self) -> bool {
        self.remove
    }
}

impl Engine {
    /// Brings everything into the state that it would be in without crashes: containers whose monitor
    /// was killed have ended, those that were to be removed then are, and so is what was half made.
    ///
    /// # Errors
    /// When the store cannot be read or changed.
    pub fn repair(&self) -> Result<(), Error> {
        self.survey::<RecordHead>().map(drop)
    }

    /// Does what [`Engine::repair`] does, and tells what there is, the youngest first. A container whose
    /// record is damaged is left out: it must not hide the others.
    pub(crate) fn survey<R: Surveyed>(&self) -> Result<Vec<(R, Life)>, Error> {
        let mut found = Vec::new();
        let reader = self.store.container_reader()?;
        for id in self.store.container_ids()? {
            let written: Option<Life> = reader.state(&id)?;
            let was_started = written.is_some();
            let written = written.unwrap_or_default();
            let status = written.status;
            let mut life = written.now();
            let runs = life.status.is_alive();
            let known = runs.then(|| R::of_running(&id, &life)).flatten();
            let record = match known.map_or_else(|| reader.record(&id), |known| Ok(Some(known))) {
                Err(carrier_store::Error::Damaged { .. }) => None,
                other => other?,
            };
            // It may just have been removed.
            let Some(record): Option<R> = record else {
                self.remove_emptied(&id)?;
                continue;
            };
            let is_stale = life.status != status;
            let is_abandoned = record.is_removed_at_end()
                && !life.is_kept()
                && (was_started || !self.is_young(record.created()));
            if is_stale || (!runs && (is_abandoned || life.cgroup.is_some())) {
                match self.put_in_order(&id, is_stale)? {
                    Some(now) => life = now,
                    None => continue,
                }
            }
            found.push((record, life));
        }
        self.repair_volumes()?;
        self.sweep()?;
        found.sort_by_cached_key(|(record, _)| Reverse(record.created()));
        Ok(found)
    }

    /// Removes a container whose record a power cut has emptied, unless somebody has it in his hands.
    fn remove_emptied(&self, id: &ContainerId) -> Result<(), Error> {
        let container = self.store.container(id);
        if !container.is_emptied() {
            return Ok(());
        }
        let Ok(Some(_lock)) = container.try_lock() else {
            return Ok(());
        };
        self.remove_cgroup(id)?;
        let taken = self.store.take_nameless_container(id)?;
        self.delete(id, &taken)
    }

    /// Ends what is left of a container's life; how it is then, unless it is gone.
    fn put_in_order(&self, id: &ContainerId, is_stale: bool) -> Result<Option<Life>, Error> {
        let container = self.store.container(id);
        let Some(record) = container.read_record::<ContainerRecord>()? else {
            return Ok(None);
        };
        if is_stale {
            self.bury(&record)?;
        } else if record.remove
            && let Some(_lock) = self.take(&record)?
            && !self.life(&record)?.is_kept()
        {
            self.remove_files(&record)?;
        }
        if !container.path().exists() {
            return Ok(None);
        }
        let life = self.life(&record)?;
        if life.cgroup.is_some() && !life.status.is_alive() {
            return self.leave_cgroup(&record, life).map(Some);
        }
        Ok(Some(life))
    }

    /// Removes the control group of a container whose monitor was killed before the program ran.
    fn leave_cgroup(&self, record: &ContainerRecord, life: Life) -> Result<Life, Error> {
        let Some(_lock) = self.take(record)? else {
            return Ok(life);
        };
        // Nobody changes it any more.
        let life = self.life(record)?;
        if life.status.is_alive() {
            return Ok(life);
        }
        let had = life.cgroup.is_some();
        let cgroup = life.cgroup.and_then(try_to_remove);
        let is_gone = had && cgroup.is_none();
        let life = Life { cgroup, ..life };
        if is_gone {
            self.store
                .container(&record.id)
                .write_state(&life, Durability::Cached)?;
        }
        Ok(life)
    }
}
