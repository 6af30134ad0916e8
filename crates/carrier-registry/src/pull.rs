//! Pulling an image: from a reference to a record in the store.

use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::time::Duration;

use carrier_spec::{
    Descriptor, DiffId, Digest, ImageConfig, ImageError, ImageId, Manifest, ManifestOrIndex,
    Platform, Reference,
};
use carrier_store::{Download, ImageRecord, Store, VerifiedBlob};
use reqwest::header::CONTENT_TYPE;
use sha2::{Digest as _, Sha256};

use crate::client::Client;
use crate::layer::{Claimed, Context, Fetched, FetchedBlob};
use crate::transfer::{Collected, Transfer, write_error};
use crate::{Error, LayerEvent, LayerSink, Progress, PullOptions, Pulled};

/// Larger documents are refused, as other clients do.
const MAX_DOCUMENT: u64 = 4 << 20;

/// An index of indexes is allowed by the specification and made by nobody.
const MAX_INDEX_DEPTH: u32 = 2;

/// Another process may remove a layer between our look at it and the image's record.
const ATTEMPTS: u32 = 3;

/// Each claim takes a descriptor, of which processes may have 1,024 where nobody says otherwise.
const MAX_CLAIMS: usize = 128;

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
        if !self
            .store
            .has_blob_of(&manifest.descriptor.digest, manifest.descriptor.size)?
        {
            downloaded = true;
            ingest.add_blob(self.blob(&manifest.descriptor, &manifest.bytes)?);
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
        let bytes = self.config_bytes(&descriptor).await?;
        check_size("an image configuration", &descriptor, bytes.len())?;
        let content = ImageConfig::parse(&bytes, manifest.layers.len())
            .map_err(|error| self.unusable(error))?;
        Ok(Document {
            content,
            descriptor,
            bytes,
        })
    }

    /// The configuration's bytes: from the store, or fetched by this or by another process.
    async fn config_bytes(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        let what = "an image configuration";
        if descriptor.size > MAX_DOCUMENT {
            return Err(Error::TooLarge {
                what: what.to_owned(),
                max: MAX_DOCUMENT,
            });
        }
        loop {
            if let Some(bytes) = self.store.read_blob(&descriptor.digest, MAX_DOCUMENT)? {
                return Ok(bytes);
            }
            let Some(mut download) = self.store.claim(&descriptor.digest)? else {
                tokio::time::sleep(LOOK_AGAIN).await;
                continue;
            };
            // It is small: what an interrupted pull has left is not worth a second request.
            let failed = |source| write_error(self.store, source);
            download.restart().map_err(failed)?;
            if self
                .store
                .read_blob(&descriptor.digest, MAX_DOCUMENT)?
                .is_some()
            {
                download.discard();
                continue;
            }
            let transfer = Transfer {
                store: self.store,
                client: self.client,
                descriptor,
            };
            let mut collected = Collected::default();
            if let Err(error) = transfer.run(&mut download, &mut collected).await {
                download.discard();
                return Err(error);
            }
            if let Err(error) = download.check(&descriptor.digest, descriptor.size) {
                download.discard();
                return Err(Error::about_blob(what, error));
            }
            let mut ingest = self.store.ingest();
            ingest.add_blob(download.verify(&descriptor.digest, descriptor.size)?);
            // Now, so that whoever waits for it can go on.
            ingest.commit()?;
            return Ok(collected.0);
        }
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

    /// Fetches what is missing; returns how many layers were.
    ///
    /// What another process fetches is waited for, and never while we hold claims that somebody
    /// could wait for in turn.
    async fn fetch_layers(&self, layers: &[Descriptor], ids: &[DiffId]) -> Result<usize, Error> {
        let mut missing = self.distinct(layers, ids)?;
        for (layer, _) in &missing {
            self.report(layer, LayerEvent::Waiting);
        }
        let mut count = 0;
        loop {
            let mut claimed = Vec::new();
            let mut later = Vec::new();
            for (layer, id) in missing {
                if self.is_here(layer, id)? {
                    self.report(layer, LayerEvent::AlreadyExists);
                } else if claimed.len() == MAX_CLAIMS {
                    later.push((layer, id));
                } else {
                    match self.claim(layer, id)? {
                        Some(claim) => claimed.push(claim),
                        None => later.push((layer, id)),
                    }
                }
            }
            if claimed.is_empty() {
                if later.is_empty() {
                    return Ok(count);
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            count += claimed.len();
            self.fetch_claimed(claimed).await?;
            missing = later;
        }
    }

    /// The layers, each blob once: a claim on it excludes ourselves too.
    fn distinct<'a>(
        &self,
        layers: &'a [Descriptor],
        ids: &'a [DiffId],
    ) -> Result<Vec<(&'a Descriptor, &'a DiffId)>, Error> {
        let mut distinct: Vec<(&Descriptor, &DiffId)> = Vec::new();
        for (layer, id) in layers.iter().zip(ids) {
            match distinct
                .iter()
                .find(|(other, _)| other.digest == layer.digest)
            {
                None => distinct.push((layer, id)),
                Some((other, other_id)) if other.size == layer.size && *other_id == id => {}
                Some(_) => {
                    let reason = "one of its layers is described in two ways";
                    return Err(self.unusable(ImageError::Ambiguous(reason)));
                }
            }
        }
        Ok(distinct)
    }

    fn is_here(&self, layer: &Descriptor, id: &DiffId) -> Result<bool, Error> {
        Ok(self.store.has_layer(id) && self.store.has_blob_of(&layer.digest, layer.size)?)
    }

    /// Claims a layer; nothing where another process has it, or has just fetched it.
    fn claim<'a>(
        &self,
        descriptor: &'a Descriptor,
        id: &'a DiffId,
    ) -> Result<Option<Claimed<'a>>, Error> {
        let Some(download) = self.store.claim(&descriptor.digest)? else {
            return Ok(None);
        };
        if self.is_here(descriptor, id)? {
            download.discard();
            return Ok(None);
        }
        Ok(Some(Claimed {
            descriptor,
            id,
            download,
        }))
    }

    /// Fetches layers three at a time, and makes them visible together.
    ///
    /// When one fails, those that are complete are kept all the same.
    async fn fetch_claimed(&self, mut claimed: Vec<Claimed<'_>>) -> Result<(), Error> {
        claimed.reverse();
        let queue = RefCell::new(claimed);
        let (done, failure) = (RefCell::new(Vec::new()), Cell::new(None));
        let work = || self.work(&queue, &done, &failure);
        tokio::join!(work(), work(), work());

        let mut ingest = self.store.ingest();
        let mut claims = Vec::new();
        for Fetched {
            blob,
            layer,
            summary,
        } in done.into_inner()
        {
            match blob {
                FetchedBlob::New(blob) => ingest.add_blob(blob),
                FetchedBlob::Stored(claim) => claims.push(claim),
            }
            ingest.add_layer(layer, &summary)?;
        }
        ingest.commit()?;
        claims.into_iter().for_each(Download::discard);
        match failure.into_inner() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Takes layers from the queue until it is empty or one has failed.
    async fn work(
        &self,
        queue: &RefCell<Vec<Claimed<'_>>>,
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
            let Some(claimed) = next else { return };
            match context.fetch(claimed).await {
                Ok(fetched) => done.borrow_mut().push(fetched),
                Err(error) => {
                    for claimed in queue.borrow_mut().drain(..) {
                        claimed.download.keep();
                    }
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

    fn report(&self, layer: &Descriptor, event: LayerEvent) {
        self.progress.layer(&layer.digest, layer.size, event);
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
