//! Pulling an image: from a reference to a record in the store.

mod document;
mod layers;

use std::cell::RefCell;
use std::io::Write as _;
use std::time::Duration;

use carrier_spec::{Descriptor, ImageConfig, ImageError, ImageId, Platform, Reference};
use carrier_store::{Error as StoreError, ImageRecord, Ingest, Store, Transit, VerifiedBlob};

use crate::client::Client;
use crate::runtime;
use crate::transfer::write_error;
use crate::write_behind::write_behind;
use crate::{Error, LayerSink, Progress, PullOptions, Pulled};
use document::{Document, Resolved};

/// Another process may remove a layer between our look at it and the image's record.
const ATTEMPTS: u32 = 3;

/// How long until we look again whether another process has fetched what we wait for.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Fetches what is missing of the image `reference`, and makes the reference mean it. When this
/// returns, the image survives a power cut.
///
/// # Errors
/// [`Error`]; then nothing but complete layers and blobs has been added to the store.
pub fn pull(
    store: &Store,
    reference: &Reference,
    options: &PullOptions,
    sink: &dyn LayerSink,
    progress: &dyn Progress,
) -> Result<Pulled, Error> {
    let notes = |text: &str| progress.note(text);
    let client = Client::for_pull(reference, options, &notes)?;
    let puller = Puller {
        store,
        reference,
        options,
        client: &client,
        sink,
        progress,
    };
    let runtime = runtime()?;
    let pull = async {
        let mut attempt = 1;
        loop {
            match puller.pull().await {
                Err(Error::Store(StoreError::LayerMissing(_) | StoreError::BlobMissing(_)))
                    if attempt < ATTEMPTS =>
                {
                    attempt += 1;
                }
                other => return other,
            }
        }
    };
    write_behind(store, || runtime.block_on(pull))
}

/// An image on its way.
struct Arrival<'a> {
    record: ImageRecord,
    /// Whether no record has its parts yet.
    is_new: bool,
    documents: Vec<(&'a Descriptor, &'a [u8])>,
    /// From the first layer on.
    mark: RefCell<Option<Transit>>,
}

struct Puller<'a> {
    store: &'a Store,
    reference: &'a Reference,
    options: &'a PullOptions,
    client: &'a Client<'a>,
    sink: &'a dyn LayerSink,
    progress: &'a dyn Progress,
}

impl Puller<'_> {
    async fn pull(&self) -> Result<Pulled, Error> {
        let resolved = self.resolve().await?;
        let manifest = &resolved.manifest;
        let config = self.config(&manifest.content).await?;
        let warning = self.check_platform(&config.content)?;
        let layers = &manifest.content.layers;
        let diff_ids = &config.content.rootfs.diff_ids;
        let mut record = self.record(&resolved, &config);
        let known = self.store.image(self.reference, Some(&record.platform))?;
        let is_new = known.is_none_or(|known| known.manifest.digest != record.manifest.digest);
        let arrival = Arrival {
            record: record.clone(),
            is_new,
            documents: resolved.documents(),
            mark: RefCell::default(),
        };
        let fetched = self.fetch_layers(layers, diff_ids, &arrival).await?;
        let mut ingest = self.store.ingest();
        let downloaded = self.add_documents(&mut ingest, &arrival)? || fetched > 0;
        ingest.commit()?;
        record.size = self.store.unpacked_size(&record.config)?;
        let known = self.store.image(self.reference, Some(&record.platform))?;
        if known.as_ref() != Some(&record) {
            self.store.put_image(&record)?;
        } else {
            self.store.repair_index()?;
        }
        self.store.forget_pull(&record);
        Ok(Pulled {
            record,
            digest: resolved.digest,
            downloaded,
            warning,
        })
    }

    /// An image for another platform than the one that was asked for is an error; one that is just
    /// not for this host may still run under an emulator.
    fn check_platform(&self, config: &ImageConfig) -> Result<Option<String>, Error> {
        let wanted = &self.options.platform;
        match config.platform() {
            Some(platform) if wanted.distance(&platform).is_none() => {
                if self.options.platform_requested {
                    return Err(Error::NoPlatform {
                        image: self.reference.familiar(),
                        wanted: wanted.to_string(),
                        offered: vec![platform.to_string()],
                    });
                }
                Ok(Some(format!(
                    "the image is for {platform}, this host is {wanted}"
                )))
            }
            Some(_) => Ok(None),
            None => Ok(Some(
                "the image does not say which platform it is for".to_owned(),
            )),
        }
    }

    /// The record of an image whose size is not known yet.
    fn record(&self, resolved: &Resolved, config: &Document<ImageConfig>) -> ImageRecord {
        let config_platform: Option<Platform> = config
            .content
            .platform()
            .and_then(|platform| platform.to_string().parse().ok());
        let index = resolved.index.as_ref();
        ImageRecord {
            schema: ImageRecord::SCHEMA,
            reference: Some(self.reference.clone()),
            origin: Some(self.reference.at_digest(&resolved.digest)),
            index: index.map(|index| index.descriptor.clone()),
            platform: config_platform.unwrap_or_else(|| self.options.platform.clone()),
            manifest: resolved.manifest.descriptor.clone(),
            id: ImageId(config.descriptor.digest.clone()),
            size: 0,
            config: config.content.clone(),
        }
    }

    /// Before the first layer becomes visible: whoever is interrupted before the record is written leaves
    /// nothing for good but this, and the documents that name the layers.
    fn announce(&self, ingest: &mut Ingest<'_>, arrival: &Arrival<'_>) -> Result<(), Error> {
        if arrival.is_new && arrival.mark.borrow().is_none() {
            let mark = self.store.announce_pull(&arrival.record)?;
            arrival.mark.replace(mark);
        }
        self.add_documents(ingest, arrival).map(drop)
    }

    /// Adds the documents that are not here; returns whether there were some.
    fn add_documents(&self, ingest: &mut Ingest<'_>, arrival: &Arrival<'_>) -> Result<bool, Error> {
        let mut are_missing = false;
        for (descriptor, bytes) in &arrival.documents {
            if !self.store.is_intact(&descriptor.digest)? {
                are_missing = true;
                ingest.add_blob(self.blob(descriptor, bytes)?);
            }
        }
        Ok(are_missing)
    }

    fn blob(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<VerifiedBlob, Error> {
        let mut writer = self.store.new_blob()?;
        writer
            .write_all(bytes)
            .map_err(|source| write_error(self.store, source))?;
        Ok(writer.verify(&descriptor.digest, bytes.len() as u64)?)
    }

    fn unusable(&self, source: ImageError) -> Error {
        Error::Image {
            image: self.reference.familiar(),
            source,
        }
    }
}
