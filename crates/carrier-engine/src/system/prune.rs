//! `system prune`: removing what nothing needs at the moment.

use crate::engine::Engine;
use crate::error::Error;
use crate::images::{ImageChange, ImageFilter};
use crate::life::Status;
use crate::record::ContainerRecord;

/// What was removed.
#[derive(Clone, Debug, Default)]
pub struct PrunedSystem {
    /// Ids of containers.
    pub containers: Vec<String>,
    /// Names, images and layers.
    pub images: Vec<ImageChange>,
    /// Bytes of files that are gone.
    pub bytes: u64,
}

impl Engine {
    /// Removes containers that do not run, images without a name or, with `all`, that no container
    /// was made of, and what no image needs.
    ///
    /// # Errors
    /// When the store cannot be read or changed; what was removed by then is gone.
    pub fn prune_system(&self, all: bool) -> Result<PrunedSystem, Error> {
        let mut pruned = PrunedSystem::default();
        let records = self.records()?;
        let sizes = self.usage()?.containers;
        for record in records {
            match self.life(&record)?.status {
                Status::Exited => {}
                Status::Created if !self.is_young(&record) => {}
                _ => continue,
            }
            let Some(_lock) = self.store.container(&record.id).try_lock()? else {
                continue;
            };
            let size = sizes.iter().find(|one| one.summary.id == record.id);
            pruned.bytes += size.map_or(0, |one| one.bytes);
            self.remove_files(&record)?;
            pruned.containers.push(record.id.to_string());
        }
        let images = self.prune_images(all, &ImageFilter::default())?;
        pruned.bytes += images.bytes;
        pruned.images = images.changes;
        let unneeded = self.store.remove_unneeded(|| {
            let mut layers = Vec::new();
            for id in self.store.container_ids()? {
                let record = self.store.container(&id).read_record::<ContainerRecord>()?;
                layers.extend(record.into_iter().flat_map(|record| record.layers));
            }
            Ok(layers)
        })?;
        pruned.bytes += unneeded.bytes;
        self.sweep()?;
        Ok(pruned)
    }
}
