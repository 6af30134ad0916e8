//! An OCI image layout in an archive, image-spec `image-layout.md`: what `docker save` writes since
//! version 25, and what others call oci-archive.

use std::collections::BTreeMap;

use carrier_spec::{Descriptor, ImageConfig, ManifestOrIndex, MediaType, Platform, Reference};
use serde::Deserialize;

use super::spool::{Content, Spool, blob_path};
use super::{ArchivedImage, ArchivedLayer, BadArchive};
use crate::error::Error;

pub(super) const INDEX: &str = "index.json";
const LAYOUT: &str = "oci-layout";

/// A whole name, as containerd and Docker write it.
pub(super) const FULL_NAME: &str = "io.containerd.image.name";
/// A whole name, as Podman writes it, or only a tag.
pub(super) const NAME: &str = "org.opencontainers.image.ref.name";

/// An index of indexes is allowed by the specification and made by nobody.
const MAX_DEPTH: u32 = 2;
const MAX_ENTRIES: usize = 1000;

#[derive(Deserialize)]
struct TopIndex {
    #[serde(default)]
    manifests: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(flatten)]
    descriptor: Descriptor,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

pub(super) fn is_layout(spool: &Spool) -> bool {
    spool.has(LAYOUT) && spool.has(INDEX)
}

/// The images that `index.json` lists: for `platform`, or all that are there.
pub(super) fn images<'a>(
    spool: &'a Spool,
    platform: Option<&Platform>,
) -> Result<Vec<ArchivedImage<'a>>, Error> {
    let bytes = spool.file(INDEX)?.document(INDEX)?;
    let index: TopIndex =
        serde_json::from_slice(&bytes).map_err(|source| BadArchive::Malformed {
            path: INDEX.to_owned(),
            source,
        })?;
    if index.manifests.len() > MAX_ENTRIES {
        return Err(BadArchive::BadEntry {
            path: INDEX.to_owned(),
            reason: "it lists more than 1000 images",
        }
        .into());
    }
    let mut images = Vec::new();
    for listed in &index.manifests {
        // Signatures and the like lie beside images.
        if MediaType::from_name(&listed.descriptor.media_type).is_none() {
            continue;
        }
        let mut found = Collector {
            spool,
            platform,
            images: Vec::new(),
        };
        found.add(&listed.descriptor, None, 0)?;
        let names = names(listed.annotations.as_ref())?;
        images.extend(found.images.into_iter().map(|image| ArchivedImage {
            names: names.clone(),
            ..image
        }));
    }
    Ok(merged(images))
}

/// One image that is listed under several names.
fn merged(images: Vec<ArchivedImage<'_>>) -> Vec<ArchivedImage<'_>> {
    let mut merged: Vec<ArchivedImage<'_>> = Vec::new();
    for image in images {
        let mut known = merged.iter_mut();
        match known.find(|known| known.manifest == image.manifest) {
            Some(known) => known.names.extend(image.names),
            None => merged.push(image),
        }
    }
    merged
}

fn names(annotations: Option<&BTreeMap<String, String>>) -> Result<Vec<Reference>, Error> {
    let annotation = |name| annotations.and_then(|annotations| annotations.get(name));
    let whole = annotation(FULL_NAME).or_else(|| {
        // A tag alone is the name of no image.
        annotation(NAME).filter(|name| name.contains(['/', ':']))
    });
    let names = whole.into_iter().map(|name| name.parse());
    Ok(names.collect::<Result<_, _>>().map_err(BadArchive::from)?)
}

struct Collector<'a, 'b> {
    spool: &'a Spool,
    platform: Option<&'b Platform>,
    images: Vec<ArchivedImage<'a>>,
}

impl<'a> Collector<'a, '_> {
    /// Adds the images behind a descriptor.
    fn add(
        &mut self,
        descriptor: &Descriptor,
        index: Option<(Descriptor, &'a Content)>,
        depth: u32,
    ) -> Result<(), Error> {
        let path = blob_path(&descriptor.digest);
        let content = self.spool.blob(&descriptor.digest, descriptor.size)?;
        let bytes = content.document(&path)?;
        let unusable = |source| BadArchive::Image {
            path: path.clone(),
            source,
        };
        let document = ManifestOrIndex::parse(&bytes, Some(&descriptor.media_type));
        match document.map_err(unusable)? {
            ManifestOrIndex::Manifest(manifest) => {
                let config = &manifest.config;
                let config_content = self.spool.blob(&config.digest, config.size)?;
                let config_path = blob_path(&config.digest);
                let text = config_content.document(&config_path)?;
                let parsed = ImageConfig::parse(&text, manifest.layers.len()).map_err(unusable)?;
                let layers = manifest.layers.iter().map(|layer| {
                    Ok(ArchivedLayer {
                        compression: layer.layer_compression().map_err(unusable)?,
                        content: self.spool.blob(&layer.digest, layer.size)?,
                    })
                });
                let layers = layers.collect::<Result<_, Error>>()?;
                self.images.push(ArchivedImage {
                    names: Vec::new(),
                    config: config_content,
                    parsed,
                    manifest: bytes,
                    manifest_type: descriptor.media_type.clone(),
                    index,
                    layers,
                });
                Ok(())
            }
            ManifestOrIndex::Index(list) if depth < MAX_DEPTH => {
                let here = (descriptor.clone(), content);
                for entry in self.wanted(&list.manifests) {
                    self.add(&entry, Some(here.clone()), depth + 1)?;
                }
                Ok(())
            }
            ManifestOrIndex::Index(_) => Err(BadArchive::BadEntry {
                path,
                reason: "it is an index in an index in an index",
            }
            .into()),
        }
    }

    /// The entries of an index that are images, are here, and of which none is nearer to what is wanted: whoever saves an image may
    /// have had it for one platform only.
    fn wanted(&self, entries: &[Descriptor]) -> Vec<Descriptor> {
        let mut there = entries.to_vec();
        there.retain(|entry| {
            let platform = entry.platform.as_ref();
            // Attestations are for an unknown platform.
            platform.is_none_or(|platform| platform.os != "unknown")
                && self.spool.has(&blob_path(&entry.digest))
        });
        let Some(wanted) = self.platform else {
            return there;
        };
        let distance = |entry: &Descriptor| {
            let platform = entry.platform.as_ref();
            let platform = platform.filter(|platform| wanted.accepts(platform))?;
            wanted.distance(platform)
        };
        let least = there.iter().filter_map(distance).min();
        there.retain(|entry| {
            entry.platform.is_none() || (least.is_some() && distance(entry) == least)
        });
        there
    }
}
