//! What a push consists of, all of it looked for before anything is sent.

use std::sync::Arc;

use carrier_spec::{Descriptor, Digest, Manifest, ManifestOrIndex};
use carrier_store::{ImageRecord, Store};

use super::upload::Blob;
use crate::Error;

/// Registries refuse larger manifests, distribution-spec.
pub(super) const MAX_MANIFEST: u64 = 4 << 20;

/// Everything that a push sends, in the order of sending.
pub(super) struct Plan {
    pub(super) layers: Vec<Blob>,
    pub(super) configs: Vec<Blob>,
    /// The images that an index lists, each known by its digest.
    pub(super) manifests: Vec<Document>,
    /// What gets the tag.
    pub(super) top: Document,
}

/// A manifest or an index.
pub(super) struct Document {
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) bytes: Vec<u8>,
}

impl Plan {
    /// A push of one image for one platform, byte for byte.
    pub(super) fn of_image(store: &Store, image: &ImageRecord) -> Result<Self, Error> {
        let digest = &image.manifest.digest;
        let missing = || damaged("manifest", digest, image);
        let bytes = store.read_blob(digest, MAX_MANIFEST)?.ok_or_else(missing)?;
        let parsed = ManifestOrIndex::parse(&bytes, Some(&image.manifest.media_type));
        let manifest = match parsed {
            Ok(ManifestOrIndex::Manifest(manifest)) => manifest,
            Ok(ManifestOrIndex::Index(_)) => return Err(missing()),
            Err(source) => {
                let image = name_of(image);
                return Err(Error::Image { image, source });
            }
        };
        let mut plan = Self {
            layers: Vec::new(),
            configs: Vec::new(),
            manifests: Vec::new(),
            top: Document {
                media_type: image.manifest.media_type.clone(),
                digest: digest.clone(),
                bytes,
            },
        };
        plan.add_blobs(store, image, &manifest)?;
        Ok(plan)
    }

    /// A push of an index with all that it lists; nothing where not all of that is here.
    pub(super) fn of_index(
        store: &Store,
        image: &ImageRecord,
        index: &Descriptor,
    ) -> Result<Option<Self>, Error> {
        let Some(bytes) = store.read_blob(&index.digest, MAX_MANIFEST)? else {
            return Ok(None);
        };
        let Ok(ManifestOrIndex::Index(list)) = ManifestOrIndex::parse(&bytes, None) else {
            return Ok(None);
        };
        let mut plan = Self {
            layers: Vec::new(),
            configs: Vec::new(),
            manifests: Vec::new(),
            top: Document {
                media_type: index.media_type.clone(),
                digest: index.digest.clone(),
                bytes,
            },
        };
        for entry in list.manifests {
            let Some(bytes) = store.read_blob(&entry.digest, MAX_MANIFEST)? else {
                return Ok(None);
            };
            let parsed = ManifestOrIndex::parse(&bytes, Some(&entry.media_type));
            let Ok(ManifestOrIndex::Manifest(manifest)) = parsed else {
                return Ok(None);
            };
            match plan.add_blobs(store, image, &manifest) {
                Err(Error::DamagedBlob { .. }) => return Ok(None),
                other => other?,
            }
            plan.manifests.push(Document {
                media_type: entry.media_type,
                digest: entry.digest,
                bytes,
            });
        }
        Ok(Some(plan))
    }

    fn add_blobs(
        &mut self,
        store: &Store,
        image: &ImageRecord,
        manifest: &Manifest,
    ) -> Result<(), Error> {
        let config = &manifest.config;
        if !self
            .configs
            .iter()
            .any(|other| other.digest == config.digest)
        {
            let what = "image configuration";
            self.configs.push(blob(store, image, what, config)?);
        }
        for layer in &manifest.layers {
            if !self.layers.iter().any(|other| other.digest == layer.digest) {
                self.layers.push(blob(store, image, "layer", layer)?);
            }
        }
        Ok(())
    }
}

/// Finds a blob of the image in the store.
pub(super) fn blob(
    store: &Store,
    image: &ImageRecord,
    what: &'static str,
    descriptor: &Descriptor,
) -> Result<Blob, Error> {
    let file = store.open_blob(&descriptor.digest)?;
    let whole = file.filter(|file| {
        file.metadata()
            .is_ok_and(|found| found.is_file() && found.len() == descriptor.size)
    });
    let file = whole.ok_or_else(|| damaged(what, &descriptor.digest, image))?;
    Ok(Blob {
        digest: descriptor.digest.clone(),
        size: descriptor.size,
        file: Arc::new(file),
        elsewhere: Vec::new(),
    })
}

pub(super) fn damaged(what: &'static str, digest: &Digest, image: &ImageRecord) -> Error {
    Error::DamagedBlob {
        what,
        digest: digest.clone(),
        image: name_of(image),
    }
}

pub(super) fn name_of(image: &ImageRecord) -> String {
    image.familiar()
}
