//! `docker save` before version 25, and what Podman and Skopeo call docker-archive: `manifest.json`
//! names a configuration and layers for each image.

use carrier_spec::{Compression, ImageConfig, Manifest, MediaType};
use carrier_store::compression_of;
use serde::Deserialize;

use super::spool::{Content, Spool};
use super::{ArchivedImage, ArchivedLayer, BadArchive, descriptor, manifest_json};
use crate::error::Error;

pub(super) const MANIFEST: &str = "manifest.json";

/// As many as an index may list.
const MAX_IMAGES: usize = 1000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// The images that `manifest.json` lists.
pub(super) fn images(spool: &Spool) -> Result<Vec<ArchivedImage<'_>>, Error> {
    let bytes = spool.file(MANIFEST)?.document(MANIFEST)?;
    let listed: Vec<Listed> =
        serde_json::from_slice(&bytes).map_err(|source| BadArchive::Malformed {
            path: MANIFEST.to_owned(),
            source,
        })?;
    if listed.is_empty() || listed.len() > MAX_IMAGES {
        return Err(BadArchive::BadEntry {
            path: MANIFEST.to_owned(),
            reason: "it lists no images, or more than 1000",
        }
        .into());
    }
    listed.into_iter().map(|image| read(spool, image)).collect()
}

fn read(spool: &Spool, listed: Listed) -> Result<ArchivedImage<'_>, Error> {
    let config = spool.file(&listed.config)?;
    check_name(&listed.config, config)?;
    let paths = listed.layers.unwrap_or_default();
    let layers = paths.iter().map(|path| layer(spool, path));
    let layers: Vec<ArchivedLayer<'_>> = layers.collect::<Result<_, _>>()?;
    let parsed = ImageConfig::parse(&config.document(&listed.config)?, layers.len());
    let parsed = parsed.map_err(|source| BadArchive::Image {
        path: listed.config.clone(),
        source,
    })?;
    let names = listed.repo_tags.unwrap_or_default();
    let names = names.iter().map(|name| name.parse());
    let manifest = Manifest {
        config: descriptor(
            "application/vnd.oci.image.config.v1+json",
            config.digest.clone(),
            config.size,
        ),
        layers: layers.iter().map(describe).collect(),
    };
    Ok(ArchivedImage {
        names: names.collect::<Result<_, _>>().map_err(BadArchive::from)?,
        config,
        parsed,
        manifest: manifest_json(&manifest)?,
        manifest_type: MediaType::OciManifest.name().to_owned(),
        index: None,
        layers,
    })
}

fn layer<'a>(spool: &'a Spool, path: &str) -> Result<ArchivedLayer<'a>, Error> {
    let content = spool.linked_file(path)?;
    check_name(path, content)?;
    // Most are not compressed, some tools' are, and nothing tells.
    let compression = compression_of(&content.start()?).map_err(BadArchive::from)?;
    Ok(ArchivedLayer {
        compression,
        content,
    })
}

fn describe(layer: &ArchivedLayer<'_>) -> carrier_spec::Descriptor {
    let compression: Compression = layer.compression;
    descriptor(
        MediaType::Layer(compression).name(),
        layer.content.digest.clone(),
        layer.content.size,
    )
}

/// A file that is named as a blob must be that blob.
fn check_name(path: &str, content: &Content) -> Result<(), Error> {
    let Some(name) = path.strip_prefix("blobs/sha256/") else {
        return Ok(());
    };
    if name == content.digest.hex() {
        return Ok(());
    }
    Err(BadArchive::BadEntry {
        path: path.to_owned(),
        reason: "its bytes are not what its name says",
    }
    .into())
}
