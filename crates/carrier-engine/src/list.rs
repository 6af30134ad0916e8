//! What there is: containers and images.

mod filter;
mod size;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use carrier_spec::{ContainerId, ContainerName, DiffId, Digest, ImageId, Platform, Reference};

use crate::engine::Engine;
use crate::error::Error;
use crate::images::ImageFilter;
use crate::life::Life;
use crate::moment::Moment;
use crate::net::PortSpec;
use crate::record::image_name;
use crate::restart::RestartPolicy;
use crate::survey::{ListedRecord, RecordHead};
use crate::volumes;

pub use filter::ContainerFilter;
pub use size::ContainerSize;

/// One line about a container.
#[derive(Clone, Debug)]
pub struct ContainerSummary {
    /// The container.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// The name of the image, or its id.
    pub image: String,
    /// The image, as it was when the container was made.
    pub image_id: ImageId,
    /// What the image runs on.
    pub platform: Platform,
    /// The image's layers, lowest first.
    pub layers: Vec<DiffId>,
    /// Words of the command.
    pub command: Vec<String>,
    /// When it was made.
    pub created: Moment,
    /// How it is.
    pub life: Life,
    /// The image's labels and the user's.
    pub labels: BTreeMap<String, String>,
    /// The network that it is in.
    pub network: String,
    /// Names of volumes, and directories of the host.
    pub mounts: Vec<String>,
    /// How many of them are volumes.
    pub volumes: usize,
    /// Where they are mounted in the container.
    pub mount_targets: Vec<String>,
    /// Ports that it says it listens on.
    pub exposed: Vec<PortSpec>,
    /// When it is started again.
    pub restart: RestartPolicy,
}

impl ContainerSummary {
    /// Docker's word for how well it is; nothing where nobody looks.
    #[must_use]
    pub fn health(&self) -> Option<&'static str> {
        Some(self.life.health.as_ref()?.status.as_str())
    }
}

/// One line about an image.
#[derive(Clone, Debug)]
pub struct ImageSummary {
    /// The name; none when it means another image by now.
    pub reference: Option<Reference>,
    /// The repository that it came from, with the digest that it has there.
    pub origin: Option<Reference>,
    /// What it runs on.
    pub platform: Platform,
    /// Its identity.
    pub id: ImageId,
    /// The digest of its manifest.
    pub manifest: Digest,
    /// When it was made, RFC 3339.
    pub created: Option<String>,
    /// Bytes of its unpacked layers.
    pub size: u64,
}

impl Engine {
    /// The containers, the youngest first; only those that run unless `all` are asked for. What a
    /// crash has left is put in order first, as by [`Engine::repair`].
    ///
    /// # Errors
    /// When the store cannot be read or changed.
    pub fn containers(&self, all: bool) -> Result<Vec<ContainerSummary>, Error> {
        let mut found = self.survey::<ListedRecord>()?;
        found.retain(|(_, life)| all || life.status.is_alive());
        let summaries = found.into_iter();
        Ok(summaries
            .map(|(record, life)| summary(record, life))
            .collect())
    }

    /// The ids of [`Engine::containers`], for whoever needs no more.
    ///
    /// # Errors
    /// As that.
    pub fn container_ids(&self, all: bool) -> Result<Vec<ContainerId>, Error> {
        let found = self.survey::<RecordHead>()?.into_iter();
        let found = found.filter(|(_, life)| all || life.status.is_alive());
        Ok(found.map(|(record, _)| record.id).collect())
    }

    /// The images that `filter` lets pass, the youngest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn images(&self, filter: &ImageFilter) -> Result<Vec<ImageSummary>, Error> {
        let mut images = self.store.images()?;
        images.retain(|image| filter.accepts(image));
        let mut images: Vec<_> = images
            .into_iter()
            .map(|image| ImageSummary {
                reference: image.reference,
                origin: image.origin,
                platform: image.platform,
                id: image.id,
                manifest: image.manifest.digest,
                created: image.config.created,
                size: image.size,
            })
            .collect();
        images.sort_by_cached_key(|image| {
            let created: Option<jiff::Timestamp> =
                image.created.as_deref().and_then(|text| text.parse().ok());
            let name = image.reference.as_ref().map(Reference::familiar);
            let platform = image.platform.to_string();
            (Reverse(created), name.is_none(), name, platform)
        });
        Ok(images)
    }
}

pub(crate) fn summary(record: ListedRecord, life: Life) -> ContainerSummary {
    ContainerSummary {
        mounts: volumes::names(&record.storage),
        volumes: record.storage.volumes().count(),
        mount_targets: volumes::targets(&record.storage),
        image: image_name(
            record.image_word.as_deref(),
            record.image.as_ref(),
            &record.image_id,
        ),
        id: record.id,
        name: record.name,
        image_id: record.image_id,
        platform: record.platform,
        layers: record.layers,
        command: record.arguments,
        created: record.created,
        life,
        labels: record.labels,
        network: record.network.name(),
        exposed: record.networking.exposed,
        restart: record.restart,
    }
}
