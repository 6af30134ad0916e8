//! Pulling an image: from a reference to a record in the store.

use std::cell::{Cell, RefCell};
use std::io::Write as _;

use carrier_spec::{
    Descriptor, DiffId, Digest, ImageConfig, ImageError, ImageId, Manifest, ManifestOrIndex,
    Platform, Reference,
};
use carrier_store::{ImageRecord, Store, VerifiedBlob};
use reqwest::header::CONTENT_TYPE;
use sha2::{Digest as _, Sha256};

use crate::client::Client;
use crate::layer::{Context, Fetched};
use crate::{Error, LayerEvent, LayerSink, Progress, PullOptions, Pulled};

/// Larger documents are refused, as other clients do.
const MAX_DOCUMENT: u64 = 4 << 20;

/// An index of indexes is allowed by the specification and made by nobody.
const MAX_INDEX_DEPTH: u32 = 2;

/// Another process may remove a layer between our look at it and the image's record.
const ATTEMPTS: u32 = 3;

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
    if let Some(digest) = reference.digest()
        && let Some(record) = store.image(reference, Some(&options.platform))?
        && is_whole(store, &record)
    {
        return Ok(Pulled {
            digest: digest.clone(),
            record,
            downloaded: false,
            warning: None,
        });
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Client(error.to_string()))?;
    let client = Client::new(reference, options.insecure)?;
    let puller = Puller {
        store,
        reference,
        options,
        client: &client,
        sink,
        progress,
    };
    runtime.block_on(async {
        let mut attempt = 1;
        loop {
            match puller.pull().await {
                Err(Error::Store(carrier_store::Error::LayerMissing(_))) if attempt < ATTEMPTS => {
                    attempt += 1;
                }
                other => return other,
            }
        }
    })
}

fn is_whole(store: &Store, record: &ImageRecord) -> bool {
    record
        .config
        .rootfs
        .diff_ids
        .iter()
        .all(|id| store.has_layer(id))
}

struct Puller<'a> {
    store: &'a Store,
    reference: &'a Reference,
    options: &'a PullOptions,
    client: &'a Client,
    sink: &'a dyn LayerSink,
    progress: &'a dyn Progress,
}

/// A document that was verified, and its bytes for the store.
struct Document<T> {
    content: T,
    descriptor: Descriptor,
    bytes: Vec<u8>,
}

impl Puller<'_> {
    async fn pull(&self) -> Result<Pulled, Error> {
        let (digest, manifest) = self.resolve().await?;
        let config = self.config(&manifest.content).await?;
        let warning = self.check_platform(&config.content)?;
        let layers = &manifest.content.layers;
        let diff_ids = &config.content.rootfs.diff_ids;
        let fetched = self.fetch_layers(layers, diff_ids).await?;
        let mut downloaded = fetched > 0;

        let mut ingest = self.store.ingest();
        let documents = [
            (&manifest.descriptor, &manifest.bytes),
            (&manifest.content.config, &config.bytes),
        ];
        for (descriptor, bytes) in documents {
            if !self.store.has_blob(&descriptor.digest)? {
                downloaded = true;
                ingest.add_blob(self.blob(descriptor, bytes)?);
            }
        }
        ingest.commit()?;
        let record = self.record(manifest, config)?;
        let known = self.store.image(self.reference, Some(&record.platform))?;
        if known.as_ref() != Some(&record) {
            self.store.put_image(&record)?;
        }
        Ok(Pulled {
            record,
            digest,
            downloaded,
            warning,
        })
    }

    /// Finds the manifest for the platform, through an index where the reference means one.
    async fn resolve(&self) -> Result<(Digest, Document<Manifest>), Error> {
        let asked = self.reference.tag_or_digest();
        let mut document = self.manifest(asked, self.reference.digest()).await?;
        let digest = document.descriptor.digest.clone();
        for _ in 0..=MAX_INDEX_DEPTH {
            let index = match document.content {
                ManifestOrIndex::Manifest(content) => {
                    let Document {
                        descriptor, bytes, ..
                    } = document;
                    return Ok((
                        digest,
                        Document {
                            content,
                            descriptor,
                            bytes,
                        },
                    ));
                }
                ManifestOrIndex::Index(index) => index,
            };
            let chosen = index
                .select(&self.options.platform)
                .ok_or_else(|| Error::NoPlatform {
                    image: self.reference.familiar(),
                    wanted: self.options.platform.to_string(),
                    offered: index.platforms(),
                })?;
            document = self
                .manifest(chosen.digest.as_str(), Some(&chosen.digest))
                .await?;
            check_size("a manifest", chosen, document.bytes.len())?;
        }
        Err(self.unusable(ImageError::Ambiguous("its indexes point to indexes")))
    }

    /// Fetches a manifest or index. The registry's own word on its digest counts for nothing.
    async fn manifest(
        &self,
        name: &str,
        expected: Option<&Digest>,
    ) -> Result<Document<ManifestOrIndex>, Error> {
        let stored = match expected {
            Some(digest) => self.store.read_blob(digest, MAX_DOCUMENT)?,
            None => None,
        };
        let (bytes, media_type) = match stored {
            Some(bytes) => (bytes, None),
            None => {
                let response = self.client.manifest(name).await?;
                let header = response.headers().get(CONTENT_TYPE);
                let media_type = header
                    .and_then(|value| value.to_str().ok())
                    .map(str::to_owned);
                (
                    self.client.body(response, "manifest", MAX_DOCUMENT).await?,
                    media_type,
                )
            }
        };
        let digest = digest_of(&bytes);
        if let Some(expected) = expected.filter(|expected| **expected != digest) {
            let expected = expected.clone();
            return Err(Error::WrongDigest {
                what: "a manifest",
                expected,
                actual: digest,
            });
        }
        let content = ManifestOrIndex::parse(&bytes, media_type.as_deref())
            .map_err(|error| self.unusable(error))?;
        let descriptor = Descriptor {
            media_type: media_type_of(&bytes, media_type),
            digest,
            size: bytes.len() as u64,
            platform: None,
        };
        Ok(Document {
            content,
            descriptor,
            bytes,
        })
    }

    async fn config(&self, manifest: &Manifest) -> Result<Document<ImageConfig>, Error> {
        let descriptor = manifest.config.clone();
        let bytes = match self.store.read_blob(&descriptor.digest, MAX_DOCUMENT)? {
            Some(bytes) => bytes,
            None => {
                let response = self.client.blob(descriptor.digest.as_str()).await?;
                self.client
                    .body(response, "image configuration", MAX_DOCUMENT)
                    .await?
            }
        };
        check_size("an image configuration", &descriptor, bytes.len())?;
        let actual = digest_of(&bytes);
        if actual != descriptor.digest {
            let expected = descriptor.digest;
            return Err(Error::WrongDigest {
                what: "an image configuration",
                expected,
                actual,
            });
        }
        let content = ImageConfig::parse(&bytes, manifest.layers.len())
            .map_err(|error| self.unusable(error))?;
        Ok(Document {
            content,
            descriptor,
            bytes,
        })
    }

    /// An image for another platform than the one that was asked for is an error; one that is just
    /// not for this host may still run under an emulator.
    fn check_platform(&self, config: &ImageConfig) -> Result<Option<String>, Error> {
        let wanted = &self.options.platform;
        match config.platform() {
            Some(platform) if !wanted.accepts(&platform) => {
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

    /// Fetches what is missing, three layers at a time; returns how many were.
    ///
    /// When one fails, those that are complete are kept all the same.
    async fn fetch_layers(&self, layers: &[Descriptor], ids: &[DiffId]) -> Result<usize, Error> {
        let mut missing: Vec<(&Descriptor, &DiffId)> = Vec::new();
        for (layer, id) in layers.iter().zip(ids) {
            if self.store.has_layer(id) && self.store.has_blob(&layer.digest)? {
                self.progress
                    .layer(&layer.digest, layer.size, LayerEvent::AlreadyExists);
            } else if !missing.iter().any(|(_, other)| *other == id) {
                self.progress
                    .layer(&layer.digest, layer.size, LayerEvent::Waiting);
                missing.push((layer, id));
            }
        }
        let count = missing.len();
        missing.reverse();
        let queue = RefCell::new(missing);
        let (done, failure) = (RefCell::new(Vec::new()), Cell::new(None));
        let work = || self.work(&queue, &done, &failure);
        tokio::join!(work(), work(), work());

        let mut ingest = self.store.ingest();
        for Fetched {
            blob,
            layer,
            summary,
        } in done.into_inner()
        {
            if let Some(blob) = blob {
                ingest.add_blob(blob);
            }
            ingest.add_layer(layer, &summary)?;
        }
        ingest.commit()?;
        match failure.into_inner() {
            Some(error) => Err(error),
            None => Ok(count),
        }
    }

    /// Takes layers from the queue until it is empty or one has failed.
    async fn work(
        &self,
        queue: &RefCell<Vec<(&Descriptor, &DiffId)>>,
        done: &RefCell<Vec<Fetched>>,
        failure: &Cell<Option<Error>>,
    ) {
        let context = Context {
            store: self.store,
            client: self.client,
            sink: self.sink,
            progress: self.progress,
        };
        loop {
            let next = queue.borrow_mut().pop();
            let Some((layer, id)) = next else { return };
            match context.fetch(layer, id).await {
                Ok(fetched) => done.borrow_mut().push(fetched),
                Err(error) => {
                    queue.borrow_mut().clear();
                    failure.set(Some(error));
                    return;
                }
            }
        }
    }

    fn record(
        &self,
        manifest: Document<Manifest>,
        config: Document<ImageConfig>,
    ) -> Result<ImageRecord, Error> {
        let config_platform: Option<Platform> = config
            .content
            .platform()
            .and_then(|platform| platform.to_string().parse().ok());
        Ok(ImageRecord {
            reference: self.reference.clone(),
            platform: config_platform.unwrap_or_else(|| self.options.platform.clone()),
            manifest: manifest.descriptor,
            id: ImageId(config.descriptor.digest),
            size: self.store.unpacked_size(&config.content)?,
            config: config.content,
        })
    }

    fn blob(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<VerifiedBlob, Error> {
        let mut writer = self.store.new_blob()?;
        writer
            .write_all(bytes)
            .map_err(|source| carrier_store::Error::Io {
                action: "write in",
                path: self.store.root().to_owned(),
                source,
            })?;
        Ok(writer.verify(&descriptor.digest, bytes.len() as u64)?)
    }

    fn unusable(&self, source: ImageError) -> Error {
        Error::Image {
            image: self.reference.familiar(),
            source,
        }
    }
}

fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_sha256(Sha256::digest(bytes).into())
}

fn check_size(what: &'static str, descriptor: &Descriptor, actual: usize) -> Result<(), Error> {
    let (expected, actual) = (descriptor.size, actual as u64);
    if actual == expected {
        Ok(())
    } else {
        Err(Error::WrongSize {
            what,
            expected,
            actual,
        })
    }
}

/// What the document calls itself, else what the registry calls it.
fn media_type_of(bytes: &[u8], header: Option<String>) -> String {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        media_type: Option<String>,
    }
    let typed: Option<Typed> = serde_json::from_slice(bytes).ok();
    let own = typed.and_then(|typed| typed.media_type);
    own.or(header)
        .unwrap_or_else(|| carrier_spec::MediaType::OciManifest.to_string())
}
