//! What there is: containers and images.

use std::cmp::Reverse;

use carrier_runtime::state::Status;
use carrier_spec::{ContainerId, ContainerName, Digest, ImageId, Platform, Reference};

use crate::engine::Engine;
use crate::error::Error;
use crate::images::ImageFilter;
use crate::record::{ContainerRecord, ExitRecord};

/// One line about a container.
#[derive(Clone, Debug)]
pub struct ContainerSummary {
    /// The container.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// The name of the image, or its id.
    pub image: String,
    /// Words of the command.
    pub command: Vec<String>,
    /// Seconds since 1970.
    pub created: u64,
    /// How it is.
    pub status: ContainerStatus,
}

/// How a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerStatus {
    /// Made, and never started or not yet.
    Created,
    /// Its program runs.
    Running,
    /// Its program has ended.
    Exited {
        /// The code that it left with; unknown when Carrier was killed too.
        code: Option<u8>,
        /// When, in seconds since 1970.
        finished: Option<u64>,
    },
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
    /// The containers, the youngest first; only those that run unless `all` are asked for.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn containers(&self, all: bool) -> Result<Vec<ContainerSummary>, Error> {
        let mut summaries = Vec::new();
        for record in self.records()? {
            let status = self.status(&record)?;
            if all || status == ContainerStatus::Running {
                summaries.push(summary(record, status));
            }
        }
        Ok(summaries)
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

    pub(crate) fn status(&self, record: &ContainerRecord) -> Result<ContainerStatus, Error> {
        let exit: Option<ExitRecord> = self.store.container(&record.id).read_exit()?;
        if let Some(exit) = exit {
            let finished = Some(exit.finished);
            return Ok(ContainerStatus::Exited {
                code: Some(exit.code),
                finished,
            });
        }
        let state = self.state(&record.id)?;
        Ok(match state.map(|state| state.status_now()) {
            None | Some(Status::Created) => ContainerStatus::Created,
            Some(Status::Running | Status::Paused) => ContainerStatus::Running,
            Some(Status::Stopped) => ContainerStatus::Exited {
                code: None,
                finished: None,
            },
        })
    }
}

impl ContainerRecord {
    /// The name of the image as users write it, else the beginning of its id.
    #[must_use]
    pub fn image_name(&self) -> String {
        let short = || self.image_id.0.short().to_owned();
        self.image.as_ref().map_or_else(short, Reference::familiar)
    }
}

fn summary(record: ContainerRecord, status: ContainerStatus) -> ContainerSummary {
    ContainerSummary {
        image: record.image_name(),
        id: record.id,
        name: record.name,
        command: record.arguments,
        created: record.created,
        status,
    }
}
