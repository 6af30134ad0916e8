//! The same image with its layers compressed in another way: other blobs, another manifest, the same
//! configuration and so the same image ID.

use std::sync::Arc;

use carrier_spec::{Compression, DiffId, Manifest, MediaType};
use carrier_store::{ImageRecord, Store, digest_of};
use serde_json::{Value, json};

use super::plan::{Document, MAX_MANIFEST, Plan, damaged, name_of};
use super::upload::Blob;
use super::{PushEvent, PushProgress, Recompress};
use crate::Error;

const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

impl Plan {
    /// Compresses the layers anew. The result depends on nothing but the image and the options.
    pub(super) fn recompressed(
        self,
        store: &Store,
        image: &ImageRecord,
        wanted: Recompress,
        progress: &dyn PushProgress,
    ) -> Result<Self, Error> {
        let digest = &image.manifest.digest;
        let bytes = store.read_blob(digest, MAX_MANIFEST)?;
        let bytes = bytes.ok_or_else(|| damaged("manifest", digest, image))?;
        let read = |error: serde_json::Error| Error::Image {
            image: name_of(image),
            source: carrier_spec::ImageError::Malformed {
                document: "manifest",
                source: error,
            },
        };
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(read)?;
        let mut document: Value = serde_json::from_slice(&bytes).map_err(read)?;
        let mut layers = Vec::new();
        let mut blobs: Vec<Blob> = Vec::new();
        let old = document.get("layers").and_then(Value::as_array).cloned();
        let entries = manifest.layers.iter().zip(old.unwrap_or_default());
        for ((layer, entry), id) in entries.zip(&image.config.rootfs.diff_ids) {
            let format = layer.layer_compression().map_err(|source| Error::Image {
                image: name_of(image),
                source,
            })?;
            let kept = self.layers.iter().find(|blob| blob.digest == layer.digest);
            let (blob, entry) = match kept {
                Some(blob) if format == wanted.format && wanted.level.is_none() => {
                    (blob.clone(), typed(entry, wanted.format))
                }
                _ => {
                    progress.blob(&layer.digest, layer.size, PushEvent::Compressing);
                    let blob = compress(store, image, layer, id, wanted)?;
                    // What is noted about a layer is noted about its old bytes: tables of contents.
                    let entry = json!({
                        "mediaType": MediaType::Layer(wanted.format).name(),
                        "digest": blob.digest, "size": blob.size,
                    });
                    (blob, entry)
                }
            };
            layers.push(entry);
            if !blobs.iter().any(|other| other.digest == blob.digest) {
                blobs.push(blob);
            }
        }
        document["schemaVersion"] = json!(2);
        document["mediaType"] = json!(MediaType::OciManifest.name());
        document["config"]["mediaType"] = json!(OCI_CONFIG);
        document["layers"] = Value::Array(layers);
        let bytes = document.to_string().into_bytes();
        Ok(Self {
            layers: blobs,
            configs: self.configs,
            manifests: Vec::new(),
            top: Document {
                media_type: MediaType::OciManifest.name().to_owned(),
                digest: digest_of(&bytes),
                bytes,
            },
        })
    }
}

/// The entry of a layer that stays as it is, with OCI's name for its type.
fn typed(mut entry: Value, format: Compression) -> Value {
    entry["mediaType"] = json!(MediaType::Layer(format).name());
    entry
}

fn compress(
    store: &Store,
    image: &ImageRecord,
    layer: &carrier_spec::Descriptor,
    id: &DiffId,
    wanted: Recompress,
) -> Result<Blob, Error> {
    let made = store.recompress(layer, wanted.format, wanted.level)?;
    let made = made.filter(|made| made.diff_id == *id);
    let made = made.ok_or_else(|| damaged("layer", &layer.digest, image))?;
    Ok(Blob {
        digest: made.digest,
        size: made.size,
        file: Arc::new(made.file),
        elsewhere: Vec::new(),
    })
}
