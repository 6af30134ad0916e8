//! How much space containers take.

use std::collections::HashMap;
use std::os::fd::AsFd as _;

use carrier_spec::{ContainerId, ImageId};
use carrier_store::count;

use super::ContainerSummary;
use crate::engine::{Engine, open_directory};
use crate::error::Error;
use crate::record::ContainerRecord;
use crate::system::in_namespace;

/// How much space a container takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerSize {
    /// The container.
    pub id: ContainerId,
    /// Bytes that it wrote.
    pub written: u64,
    /// Bytes of its image; none where that is gone.
    pub image: u64,
}

impl Engine {
    /// How much space these containers take.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn container_sizes(
        &self,
        containers: &[ContainerSummary],
    ) -> Result<Vec<ContainerSize>, Error> {
        let ids = containers.iter().map(|one| (&one.id, &one.image_id));
        self.sizes(ids.collect())
    }

    pub(crate) fn sizes_of(
        &self,
        records: &[ContainerRecord],
    ) -> Result<Vec<ContainerSize>, Error> {
        let ids = records.iter().map(|record| (&record.id, &record.image_id));
        self.sizes(ids.collect())
    }

    /// Files of other ids can be looked at in the user namespace only.
    fn sizes(&self, ids: Vec<(&ContainerId, &ImageId)>) -> Result<Vec<ContainerSize>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let written: Vec<u64> = in_namespace(&self.host.maps, || {
            let size = |id: &ContainerId| {
                let upper = open_directory(self.store.container(id).upper()).ok()?;
                Some(count(upper.handle.as_fd()).ok()?.bytes)
            };
            ids.iter().map(|(id, _)| size(id).unwrap_or(0)).collect()
        })?;
        let images = self.store.images()?;
        let images: HashMap<ImageId, u64> = images
            .into_iter()
            .map(|image| (image.id, image.size))
            .collect();
        let sizes = ids.into_iter().zip(written);
        let sizes = sizes.map(|((id, image), written)| ContainerSize {
            id: id.clone(),
            written,
            image: images.get(image).copied().unwrap_or(0),
        });
        Ok(sizes.collect())
    }
}
