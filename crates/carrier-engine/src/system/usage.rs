//! `system df`: what everything takes on the disk.

use std::collections::{BTreeMap, HashSet};
use std::os::fd::AsFd as _;

use carrier_spec::{DiffId, ImageId};
use carrier_store::{ImageRecord, SpaceTaken, count};

use super::in_namespace;
use crate::engine::{Engine, open_directory};
use crate::error::Error;
use crate::list::ContainerSummary;
use crate::record::ContainerRecord;
use crate::volumes::{VolumeFilter, VolumeSummary};

/// What the store takes on the disk.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// The images.
    pub images: Vec<ImageUsage>,
    /// The containers.
    pub containers: Vec<ContainerUsage>,
    /// The volumes.
    pub volumes: Vec<VolumeUsage>,
    /// Bytes of all images together: what they share is counted once, and each layer twice, as it
    /// came and unpacked.
    pub image_bytes: u64,
    /// Bytes of those that would go with images that no container was made of, and of what no image
    /// needs.
    pub reclaimable_image_bytes: u64,
}

/// What an image takes.
#[derive(Clone, Debug)]
pub struct ImageUsage {
    /// The image.
    pub record: ImageRecord,
    /// Bytes of all that it consists of.
    pub bytes: u64,
    /// Bytes of what other images have too.
    pub shared: u64,
    /// How many containers were made of it.
    pub containers: usize,
}

/// What a volume takes.
#[derive(Clone, Debug)]
pub struct VolumeUsage {
    /// The volume.
    pub summary: VolumeSummary,
    /// Bytes of its files.
    pub bytes: u64,
}

/// What a container takes.
#[derive(Clone, Debug)]
pub struct ContainerUsage {
    /// The container.
    pub summary: ContainerSummary,
    /// Bytes that it wrote.
    pub bytes: u64,
    /// Whether it runs.
    pub running: bool,
}

impl Engine {
    /// Adds up what everything takes on the disk.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn usage(&self) -> Result<Usage, Error> {
        let records = self.records()?;
        let used: HashSet<&ImageId> = records.iter().map(|record| &record.image_id).collect();
        let layers_used: HashSet<DiffId> = records
            .iter()
            .flat_map(ContainerRecord::needed_layers)
            .collect();
        let (images, taken) = self.store.space_taken()?;
        let total: u64 = taken.values().map(|part| part.bytes).sum();
        let busy = |place: &usize| images.get(*place).is_some_and(|it| used.contains(&it.id));
        let kept = taken.values().filter(|part| {
            let layer = part.layer.as_ref();
            part.users.iter().any(busy) || layer.is_some_and(|id| layers_used.contains(id))
        });
        let kept: u64 = kept.map(|part| part.bytes).sum();
        Ok(Usage {
            images: image_usage(images, &taken, &records),
            containers: self.container_usage()?,
            volumes: self.volume_usage()?,
            image_bytes: total,
            reclaimable_image_bytes: total - kept,
        })
    }

    fn volume_usage(&self) -> Result<Vec<VolumeUsage>, Error> {
        let volumes = self.volumes(&VolumeFilter::default())?;
        let names: Vec<_> = volumes
            .iter()
            .map(|volume| volume.record.name.clone())
            .collect();
        let sizes = self.volume_sizes(&names)?;
        let pairs = volumes.into_iter().zip(sizes);
        Ok(pairs
            .map(|(summary, bytes)| VolumeUsage { summary, bytes })
            .collect())
    }

    fn container_usage(&self) -> Result<Vec<ContainerUsage>, Error> {
        let summaries = self.containers(true)?;
        if summaries.is_empty() {
            return Ok(Vec::new());
        }
        let sizes: Vec<u64> = in_namespace(&self.host.maps, || {
            let size = |summary: &ContainerSummary| {
                let upper = open_directory(self.store.container(&summary.id).upper()).ok()?;
                Some(count(upper.handle.as_fd()).ok()?.bytes)
            };
            let sizes = summaries.iter();
            sizes.map(|summary| size(summary).unwrap_or(0)).collect()
        })?;
        let pairs = summaries.into_iter().zip(sizes);
        Ok(pairs
            .map(|(summary, bytes)| ContainerUsage {
                running: summary.life.status.is_alive(),
                summary,
                bytes,
            })
            .collect())
    }
}

fn image_usage(
    images: Vec<ImageRecord>,
    taken: &BTreeMap<String, SpaceTaken>,
    containers: &[ContainerRecord],
) -> Vec<ImageUsage> {
    let usage = |(place, record): (usize, ImageRecord)| {
        let parts = taken.values().filter(|part| part.users.contains(&place));
        let (mut bytes, mut shared) = (0, 0);
        for part in parts {
            bytes += part.bytes;
            if part.users.len() > 1 {
                shared += part.bytes;
            }
        }
        let made = containers.iter().filter(|one| one.image_id == record.id);
        ImageUsage {
            containers: made.count(),
            record,
            bytes,
            shared,
        }
    };
    images.into_iter().enumerate().map(usage).collect()
}
