//! From an archive to images of the store.

use std::collections::HashSet;
use std::io::{Read, Write as _};
use std::rc::Rc;

use carrier_spec::{Descriptor, Digest, ImageId, Platform, Reference};
use carrier_store::{ImageRecord, Store, VerifiedBlob, digest_of};

use super::layers::{LayerSource, unpack};
use super::spool::{Bytes, Content, Spool};
use super::{ArchivedImage, BadArchive, descriptor, docker, oci};
use crate::engine::Engine;
use crate::error::Error;
use crate::unpacker::Unpacker;

/// What `load` may do.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Only images for this platform.
    pub platform: Option<Platform>,
}

/// An image that was loaded, under one name or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The name.
    pub name: Option<Reference>,
    /// The image.
    pub id: ImageId,
    /// The image that had the name until now.
    pub replaced: Option<ImageId>,
}

impl Engine {
    /// Loads all images of an archive, or none. When this returns, they survive a power cut.
    ///
    /// # Errors
    /// [`BadArchive`]; when the store cannot be written.
    pub fn load(&self, input: impl Read, options: &LoadOptions) -> Result<Vec<Loaded>, Error> {
        // Before a stranger's bytes are read.
        let unpacker = Unpacker::start(self.host.own_ids()?)?;
        let spool = Spool::read(&self.store, input)?;
        let images = images(&spool, options.platform.as_ref())?;
        // A crash between the parts and the names leaves nothing but these.
        let mut transits = Vec::new();
        for image in &images {
            transits.push(self.store.announce_image(&record(image))?);
        }
        let loaded = self.ingest(&unpacker, &images).and_then(|()| {
            let named = images.iter().map(|image| self.name(image));
            named.collect::<Result<Vec<_>, _>>()
        });
        let loaded = self.arrived(transits, loaded)?;
        Ok(loaded.into_iter().flatten().collect())
    }

    /// Unpacks what is not here, and makes all parts of the images visible.
    fn ingest(&self, unpacker: &Unpacker, images: &[ArchivedImage<'_>]) -> Result<(), Error> {
        let mut sources = Vec::new();
        let mut known = HashSet::new();
        let mut contents: Vec<&Content> = Vec::new();
        for image in images {
            contents.push(image.config);
            contents.extend(image.index.iter().map(|(_, content)| *content));
            let diff_ids = &image.parsed.rootfs.diff_ids;
            for (layer, diff_id) in image.layers.iter().zip(diff_ids) {
                contents.push(layer.content);
                // That a compressed layer is the one that is here shows when it is unpacked.
                let is_here = self.store.has_layer(diff_id) && layer.content.digest == diff_id.0;
                if !is_here && known.insert((&layer.content.digest, diff_id)) {
                    sources.push(LayerSource {
                        digest: &layer.content.digest,
                        compression: layer.compression,
                        expected: Some(diff_id),
                        open: Box::new(|| reader(&self.store, layer.content)),
                    });
                }
            }
        }
        let mut ingest = self.store.ingest();
        for (layer, summary) in unpack(&self.store, unpacker, &sources)? {
            ingest.add_layer(layer, &summary)?;
        }
        let mut added: HashSet<Digest> = HashSet::new();
        for content in contents {
            if added.insert(content.digest.clone()) {
                ingest.add_blob(blob(&self.store, content)?);
            }
        }
        for image in images {
            let digest = digest_of(&image.manifest);
            if added.insert(digest) {
                ingest.add_blob(blob_of(&self.store, &image.manifest)?);
            }
        }
        Ok(ingest.commit()?)
    }

    /// Gives an image its names.
    fn name(&self, image: &ArchivedImage<'_>) -> Result<Vec<Loaded>, Error> {
        let record = ImageRecord {
            size: self.store.unpacked_size(&image.parsed)?,
            ..record(image)
        };
        let mut loaded = Vec::new();
        if image.names.is_empty() {
            self.store.put_image(&record)?;
            loaded.push(Loaded {
                name: None,
                id: record.id.clone(),
                replaced: None,
            });
        }
        for name in &image.names {
            let before = self.store.image(name, Some(&record.platform))?;
            self.store.put_image(&ImageRecord {
                reference: Some(name.clone()),
                ..record.clone()
            })?;
            // One for a lower variant keeps the name.
            let before = before.filter(|before| before.platform == record.platform);
            let replaced = before.map(|before| before.id);
            loaded.push(Loaded {
                name: Some(name.clone()),
                id: record.id.clone(),
                replaced: replaced.filter(|replaced| *replaced != record.id),
            });
        }
        Ok(loaded)
    }
}

/// The record of an image without a name, whose size is not known yet.
fn record(image: &ArchivedImage<'_>) -> ImageRecord {
    let size = image.manifest.len() as u64;
    ImageRecord {
        schema: ImageRecord::SCHEMA,
        reference: None,
        origin: None,
        platform: image.platform(),
        manifest: descriptor(&image.manifest_type, digest_of(&image.manifest), size),
        index: image.index.as_ref().map(|(index, _)| Descriptor {
            platform: None,
            ..index.clone()
        }),
        id: ImageId(image.config.digest.clone()),
        size: 0,
        config: image.parsed.clone(),
    }
}

/// The images that an archive holds, for the platform that was asked for.
pub(super) fn images<'a>(
    spool: &'a Spool,
    platform: Option<&Platform>,
) -> Result<Vec<ArchivedImage<'a>>, Error> {
    let mut images = if oci::is_layout(spool) {
        oci::images(spool, platform)?
    } else if spool.has(docker::MANIFEST) {
        docker::images(spool)?
    } else if spool.has("repositories") {
        return Err(BadArchive::TooOld.into());
    } else {
        return Err(BadArchive::NoImages.into());
    };
    let offered: Vec<String> = images
        .iter()
        .map(|image| image.platform().to_string())
        .collect();
    if let Some(wanted) = platform {
        images.retain(|image| wanted.accepts(&image.platform()));
    }
    match (images.is_empty(), platform) {
        (false, _) => Ok(images),
        (true, Some(wanted)) if !offered.is_empty() => Err(BadArchive::NoPlatform {
            wanted: wanted.clone(),
            offered,
        }
        .into()),
        (true, _) => Err(BadArchive::NoImages.into()),
    }
}

fn reader(store: &Store, content: &Content) -> std::io::Result<std::fs::File> {
    match &content.bytes {
        Bytes::File(blob) => blob.open(),
        Bytes::Memory(bytes) => {
            let blob = blob_of(store, bytes).map_err(std::io::Error::other)?;
            blob.open()
        }
    }
}

fn blob(store: &Store, content: &Content) -> Result<Rc<VerifiedBlob>, Error> {
    match &content.bytes {
        Bytes::File(blob) => Ok(Rc::clone(blob)),
        Bytes::Memory(bytes) => Ok(Rc::new(blob_of(store, bytes)?)),
    }
}

/// A blob of bytes in memory.
pub(super) fn blob_of(store: &Store, bytes: &[u8]) -> Result<VerifiedBlob, Error> {
    let mut writer = store.new_blob()?;
    writer.write_all(bytes).map_err(|source| Error::Write {
        path: store.root().to_owned(),
        source,
    })?;
    Ok(writer.finish())
}
