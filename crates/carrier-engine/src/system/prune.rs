//! `system prune`: removing what nothing needs at the moment.

use carrier_spec::VolumeName;

use crate::engine::Engine;
use crate::error::Error;
use crate::images::{ImageChange, ImageFilter};
use crate::life::{Life, Status};
use crate::list::{ContainerFilter, summary};
use crate::record::ContainerRecord;
use crate::volumes::VolumeFilter;

/// What `system prune` is to remove.
#[derive(Clone, Debug, Default)]
pub struct PruneOptions {
    /// Also images that have a name.
    pub all: bool,
    /// Also anonymous volumes.
    pub volumes: bool,
    /// Only what meets these, `NAME=VALUE` each: `label`, `label!` and, without volumes, `until`.
    pub filters: Vec<String>,
}

/// [`PruneOptions`] of which the filters were read.
#[derive(Clone, Debug)]
pub struct SystemPrune {
    all: bool,
    containers: ContainerFilter,
    images: ImageFilter,
    /// None where they are left alone.
    volumes: Option<VolumeFilter>,
    /// Whether what belongs to nobody goes too: it has neither age nor labels.
    everything: bool,
}

/// What was removed.
#[derive(Clone, Debug, Default)]
pub struct PrunedSystem {
    /// Ids of containers.
    pub containers: Vec<String>,
    /// Names, images and layers.
    pub images: Vec<ImageChange>,
    /// Names of anonymous volumes.
    pub volumes: Vec<VolumeName>,
    /// Bytes of files that are gone.
    pub bytes: u64,
}

/// What `container prune` removed.
#[derive(Clone, Debug, Default)]
pub struct PrunedContainers {
    /// Ids of containers.
    pub ids: Vec<String>,
    /// Bytes of files that are gone.
    pub bytes: u64,
}

impl Engine {
    /// Removes the containers that do not run and that `filter` lets pass.
    ///
    /// # Errors
    /// When the store cannot be read or changed; what was removed by then is gone.
    pub fn prune_containers(&self, filter: &ContainerFilter) -> Result<PrunedContainers, Error> {
        let mut records = self.records()?;
        let mut kept = Ok(());
        records.retain(|record| {
            let is_idle = self.is_idle(record).unwrap_or_else(|error| {
                kept = Err(error);
                false
            });
            is_idle && filter.accepts(&summary(record.clone().into(), Life::default()))
        });
        kept?;
        let mut pruned = PrunedContainers::default();
        for (record, size) in records.iter().zip(self.sizes_of(&records)?) {
            let Some(_lock) = self.store.container(&record.id).try_lock()? else {
                continue;
            };
            self.remove_files(record)?;
            if self.store.container(&record.id).path().exists() {
                continue;
            }
            pruned.bytes += size.written;
            pruned.ids.push(record.id.to_string());
        }
        self.sweep()?;
        Ok(pruned)
    }

    /// Whether nobody is about to start it either.
    fn is_idle(&self, record: &ContainerRecord) -> Result<bool, Error> {
        Ok(match self.life(record)?.status {
            Status::Exited => true,
            Status::Created => !self.is_young(record.created),
            _ => false,
        })
    }

    /// Reads what `system prune` is to remove.
    ///
    /// # Errors
    /// When a filter makes no sense.
    pub fn system_prune(&self, options: &PruneOptions) -> Result<SystemPrune, Error> {
        let filters = &options.filters;
        let volumes = options
            .volumes
            .then(|| VolumeFilter::parse_for_prune(filters));
        Ok(SystemPrune {
            all: options.all,
            containers: self.container_prune_filter(filters)?,
            images: self.prune_filter(filters)?,
            volumes: volumes.transpose()?,
            everything: filters.is_empty(),
        })
    }

    /// Removes containers that do not run, images without a name or, where all are meant, that no container
    /// was made of, anonymous volumes without a container where they are meant, and what no image needs.
    ///
    /// # Errors
    /// When the store cannot be read or changed; what was removed by then is gone.
    pub fn prune_system(&self, prune: &SystemPrune) -> Result<PrunedSystem, Error> {
        let mut pruned = PrunedSystem::default();
        let containers = self.prune_containers(&prune.containers)?;
        pruned.bytes += containers.bytes;
        pruned.containers = containers.ids;
        if let Some(filter) = &prune.volumes {
            let volumes = self.prune_volumes(false, filter)?;
            pruned.bytes += volumes.bytes;
            pruned.volumes = volumes.names;
        }
        let images = self.prune_images(prune.all, &prune.images)?;
        pruned.bytes += images.bytes;
        pruned.images = images.changes;
        if prune.everything {
            pruned.bytes += self.remove_unneeded()?;
        }
        self.sweep()?;
        Ok(pruned)
    }

    /// Removes blobs and layers that no image and no container needs; tells their bytes.
    fn remove_unneeded(&self) -> Result<u64, Error> {
        let unneeded = self.store.remove_unneeded(|| {
            let mut layers = Vec::new();
            for id in self.store.container_ids()? {
                let record = self.store.container(&id).read_record::<ContainerRecord>()?;
                layers.extend(record.into_iter().flat_map(|record| record.needed_layers()));
            }
            Ok(layers)
        })?;
        Ok(unneeded.bytes)
    }
}
