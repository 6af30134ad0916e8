//! Manifests, indexes and image configurations: fetched, verified, understood.

use carrier_spec::{
    Descriptor, Digest, ImageConfig, ImageError, Index, Manifest, ManifestOrIndex, MediaType,
};
use carrier_store::digest_of;
use reqwest::header::CONTENT_TYPE;

use super::{LOOK_AGAIN, Puller};
use crate::Error;
use crate::client::backoff;
use crate::transfer::{Collected, Transfer, write_error};

/// Larger documents are refused, as other clients do.
const MAX_DOCUMENT: u64 = 4 << 20;

/// An index of indexes is allowed by the specification and made by nobody.
const MAX_INDEX_DEPTH: u32 = 2;

/// A document that was verified, and its bytes for the store.
pub(super) struct Document<T> {
    pub(super) content: T,
    pub(super) descriptor: Descriptor,
    pub(super) bytes: Vec<u8>,
}

/// What a reference means.
pub(super) struct Resolved {
    /// The digest of the index, or of the manifest where there is none.
    pub(super) digest: Digest,
    /// The outermost index that the manifest was found in.
    pub(super) index: Option<Document<()>>,
    pub(super) manifest: Document<Manifest>,
}

impl Resolved {
    /// The documents that the image's parts are known by, with their bytes.
    pub(super) fn documents(&self) -> Vec<(&Descriptor, &[u8])> {
        let index = self.index.as_ref();
        let index = index.map(|index| (&index.descriptor, index.bytes.as_slice()));
        let manifest = (&self.manifest.descriptor, self.manifest.bytes.as_slice());
        index.into_iter().chain([manifest]).collect()
    }
}

impl<T> Document<T> {
    /// What the bytes mean, and the rest.
    fn split(self) -> (T, Document<()>) {
        let rest = Document {
            content: (),
            descriptor: self.descriptor,
            bytes: self.bytes,
        };
        (self.content, rest)
    }
}

impl Document<()> {
    fn with<T>(self, content: T) -> Document<T> {
        Document {
            content,
            descriptor: self.descriptor,
            bytes: self.bytes,
        }
    }
}

impl Puller<'_> {
    /// Finds the manifest for the platform, through an index where the reference means one.
    pub(super) async fn resolve(&self) -> Result<Resolved, Error> {
        let asked = self.reference.tag_or_digest();
        let mut document = self.manifest(asked, self.reference.digest()).await?;
        let digest = document.descriptor.digest.clone();
        let policy = self.client.policy();
        policy.check(self.client, self.reference, &digest).await?;
        let mut outermost = None;
        for _ in 0..=MAX_INDEX_DEPTH {
            let (kind, rest) = document.split();
            let index = match kind {
                ManifestOrIndex::Manifest(manifest) => {
                    return Ok(Resolved {
                        digest,
                        index: outermost,
                        manifest: rest.with(manifest),
                    });
                }
                ManifestOrIndex::Index(index) => index,
            };
            outermost = outermost.or(Some(rest));
            document = match index.select(&self.options.platform) {
                Some(chosen) => self.entry(chosen).await?,
                None => self.choose_by_configuration(&index).await?,
            };
        }
        Err(self.unusable(ImageError::Ambiguous("its indexes point to indexes")))
    }

    async fn entry(&self, chosen: &Descriptor) -> Result<Document<ManifestOrIndex>, Error> {
        let name = chosen.digest.as_str();
        let document = self.manifest(name, Some(&chosen.digest)).await?;
        check_size("a manifest", chosen, document.bytes.len())?;
        Ok(document)
    }

    /// The first of the entries that do not say what they are for whose configuration says the platform,
    /// or is as silent. Some may be no images.
    async fn choose_by_configuration(
        &self,
        index: &Index,
    ) -> Result<Document<ManifestOrIndex>, Error> {
        let platform = &self.options.platform;
        let mut offered = index.platforms();
        for entry in index.silent() {
            let document = self.entry(entry).await?;
            let ManifestOrIndex::Manifest(manifest) = &document.content else {
                return Ok(document);
            };
            match self.config(manifest).await {
                Ok(config) => match config.content.platform() {
                    Some(other) if platform.distance(&other).is_none() => {
                        offered.push(other.to_string());
                    }
                    _ => return Ok(document),
                },
                Err(Error::Image { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::NoPlatform {
            image: self.reference.familiar(),
            wanted: platform.to_string(),
            offered,
        })
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
            None => self.fetch_manifest(name).await?,
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
        let by_shape = match content {
            ManifestOrIndex::Manifest(_) => MediaType::OciManifest,
            ManifestOrIndex::Index(_) => MediaType::OciIndex,
        };
        let descriptor = Descriptor {
            media_type: media_type_of(&bytes, media_type, by_shape),
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

    /// Asks for a manifest, again where the connection breaks: it is small, and comes at once.
    async fn fetch_manifest(&self, name: &str) -> Result<(Vec<u8>, Option<String>), Error> {
        let mut attempt = 1;
        loop {
            let response = self.client.manifest(name).await?;
            let header = response.headers().get(CONTENT_TYPE);
            let media_type = header
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned);
            match self.client.body(response, "manifest", MAX_DOCUMENT).await {
                Ok(bytes) => return Ok((bytes, media_type)),
                Err(error) if attempt >= self.client.attempts() || !error.is_transient() => {
                    return Err(error);
                }
                Err(_) => tokio::time::sleep(backoff(attempt)).await,
            }
            attempt += 1;
        }
    }

    pub(super) async fn config(&self, manifest: &Manifest) -> Result<Document<ImageConfig>, Error> {
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
fn media_type_of(bytes: &[u8], header: Option<String>, by_shape: MediaType) -> String {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        media_type: Option<String>,
    }
    let typed: Option<Typed> = serde_json::from_slice(bytes).ok();
    let own = typed.and_then(|typed| typed.media_type);
    own.or(header).unwrap_or_else(|| by_shape.to_string())
}
