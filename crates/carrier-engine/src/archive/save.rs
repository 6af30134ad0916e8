//! From images of the store to an archive.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write;

use carrier_spec::{
    Compression, Descriptor, DiffId, Digest, Manifest, ManifestOrIndex, Platform, Reference,
};
use carrier_store::ImageRecord;
use serde_json::{Value, json};

use super::write::{Header, Writer};
use super::{MAX_DOCUMENT, docker, oci, stream};
use crate::engine::Engine;
use crate::error::Error;

/// How images are archived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// What every Docker and Podman loads: layers are not compressed.
    #[default]
    Docker,
    /// An OCI image layout: manifests and layers as they came.
    Oci,
}

/// What is saved, and how.
#[derive(Clone, Debug, Default)]
pub struct SaveOptions {
    /// The format.
    pub format: ArchiveFormat,
    /// The platform, else the host's, else whichever there is.
    pub platform: Option<Platform>,
}

/// An image to save.
struct Saved {
    record: ImageRecord,
    manifest: Manifest,
    /// Its names in the archive: none where it was asked for by id.
    names: Vec<String>,
}

impl Engine {
    /// Writes images as an archive. That all are here and whole is known before the first byte is
    /// written.
    ///
    /// # Errors
    /// When there is no such image, or a part of it is missing; when `output` cannot be written.
    pub fn save(
        &self,
        words: &[String],
        options: &SaveOptions,
        output: impl Write,
    ) -> Result<(), Error> {
        let mut images: Vec<Saved> = Vec::new();
        for word in words {
            self.add(&mut images, word, options.platform.as_ref())?;
        }
        let mut writer = Writer::new(output);
        match options.format {
            ArchiveFormat::Docker => self.save_docker(&images, &mut writer)?,
            ArchiveFormat::Oci => self.save_oci(&images, &mut writer)?,
        }
        writer.finish().map_err(stream("write the archive"))?;
        Ok(())
    }

    /// Adds what a word names: by a repository alone, the images of all its tags, as in Docker.
    fn add(
        &self,
        images: &mut Vec<Saved>,
        word: &str,
        platform: Option<&Platform>,
    ) -> Result<(), Error> {
        let mut names: Vec<Reference> = match word.parse::<Reference>() {
            Ok(name) if Reference::is_repository(word) => {
                let all = self.store.images()?.into_iter();
                let tagged = all.filter_map(|image| image.reference);
                tagged
                    .filter(|it| it.tag().is_some() && it.is_same_repository(&name))
                    .collect()
            }
            _ => Vec::new(),
        };
        if names.is_empty() {
            return self.add_one(images, word, platform);
        }
        names.sort_by_key(ToString::to_string);
        names.dedup();
        for name in names {
            self.add_one(images, &name.to_string(), platform)?;
        }
        Ok(())
    }

    fn add_one(
        &self,
        images: &mut Vec<Saved>,
        word: &str,
        platform: Option<&Platform>,
    ) -> Result<(), Error> {
        let record = self.image_by_word(word, platform)?;
        // As in Docker: by an id, an image is saved without a name.
        let by_id = self.find_images(word)?.by_id;
        let name = record
            .reference
            .as_ref()
            .filter(|name| !by_id && name.tag().is_some());
        let name = name.map(ToString::to_string);
        if let Some(known) = images
            .iter_mut()
            .find(|known| known.record.manifest == record.manifest)
        {
            known.names.extend(name);
            known.names.sort_unstable();
            known.names.dedup();
            return Ok(());
        }
        let bytes = self.document(&record, &record.manifest.digest)?;
        let media_type = Some(record.manifest.media_type.as_str());
        match ManifestOrIndex::parse(&bytes, media_type) {
            Ok(ManifestOrIndex::Manifest(manifest)) => images.push(Saved {
                names: name.into_iter().collect(),
                record,
                manifest,
            }),
            _ => return Err(damaged(&record, &record.manifest.digest)),
        }
        Ok(())
    }

    fn document(&self, record: &ImageRecord, digest: &Digest) -> Result<Vec<u8>, Error> {
        let bytes = self.store.read_blob(digest, MAX_DOCUMENT)?;
        bytes.ok_or_else(|| damaged(record, digest))
    }

    /// The layout that `manifest.json` describes.
    fn save_docker(&self, images: &[Saved], writer: &mut Writer<impl Write>) -> Result<(), Error> {
        let sizes = self.measure(images)?;
        let mut written = HashSet::new();
        let (mut listed, mut repositories) = (Vec::new(), BTreeMap::new());
        for image in images {
            let diff_ids = &image.record.config.rootfs.diff_ids;
            let layers: Vec<String> = diff_ids.iter().map(layer_path).collect();
            for ((layer, id), path) in image.manifest.layers.iter().zip(diff_ids).zip(&layers) {
                if written.insert(path.clone()) {
                    let size = sizes.get(id).copied().unwrap_or_default();
                    self.append_plain(writer, image, layer, path, size)?;
                }
            }
            let config = format!("{}.json", image.record.id.0.hex());
            if written.insert(config.clone()) {
                let bytes = self.document(&image.record, &image.record.id.0)?;
                append(writer, &config, &bytes)?;
            }
            let names: Vec<String> = image.names.iter().map(|name| familiar(name)).collect();
            let top = diff_ids.last().map(|id| id.0.hex().to_owned());
            for name in &names {
                // Only readers of before 2016 look there.
                if let (Some((repository, tag)), Some(top)) = (name.rsplit_once(':'), &top) {
                    let tags: &mut BTreeMap<String, String> =
                        repositories.entry(repository.to_owned()).or_default();
                    tags.insert(tag.to_owned(), top.clone());
                }
            }
            let names = if names.is_empty() {
                Value::Null
            } else {
                json!(names)
            };
            listed.push(json!({ "Config": config, "RepoTags": names, "Layers": layers }));
        }
        append(writer, docker::MANIFEST, &bytes_of(&Value::from(listed)))?;
        if !repositories.is_empty() {
            append(writer, "repositories", &bytes_of(&json!(repositories)))?;
        }
        Ok(())
    }

    /// How long the layers are when they are not compressed. That takes one more reading of each, and
    /// shows that all are whole.
    fn measure(&self, images: &[Saved]) -> Result<HashMap<DiffId, u64>, Error> {
        let mut sizes = HashMap::new();
        for image in images {
            let ids = &image.record.config.rootfs.diff_ids;
            for (layer, id) in image.manifest.layers.iter().zip(ids) {
                if sizes.contains_key(id) {
                    continue;
                }
                let broken = || damaged(&image.record, &layer.digest);
                let compression = layer.layer_compression().map_err(|_| broken())?;
                let stream = self
                    .store
                    .plain_layer(layer, compression)?
                    .ok_or_else(broken)?;
                let (size, actual) = stream.measure().map_err(|_| broken())?;
                if actual != *id {
                    return Err(broken());
                }
                sizes.insert(id.clone(), size);
            }
        }
        Ok(sizes)
    }

    fn append_plain(
        &self,
        writer: &mut Writer<impl Write>,
        image: &Saved,
        layer: &Descriptor,
        path: &str,
        size: u64,
    ) -> Result<(), Error> {
        let broken = || damaged(&image.record, &layer.digest);
        let compression: Compression = layer.layer_compression().map_err(|_| broken())?;
        let content = self
            .store
            .plain_layer(layer, compression)?
            .ok_or_else(broken)?;
        let header = Header::file(path, size);
        match writer.append(&header, content) {
            Ok(true) => Ok(()),
            // It was whole when it was measured.
            Ok(false) => Err(broken()),
            Err(error) => Err(stream("write the archive")(error)),
        }
    }

    /// The layout of image-spec `image-layout.md`.
    fn save_oci(&self, images: &[Saved], writer: &mut Writer<impl Write>) -> Result<(), Error> {
        let mut blobs: Vec<(&Saved, &Digest)> = Vec::new();
        for image in images {
            let layers = image.manifest.layers.iter().map(|layer| &layer.digest);
            let documents = [&image.record.manifest.digest, &image.record.id.0];
            blobs.extend(
                documents
                    .into_iter()
                    .chain(layers)
                    .map(|digest| (image, digest)),
            );
        }
        let mut known = HashSet::new();
        blobs.retain(|(_, digest)| known.insert(*digest));
        for (image, digest) in &blobs {
            if !self.store.is_intact(digest)? {
                return Err(damaged(&image.record, digest));
            }
        }
        append(writer, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        append(writer, oci::INDEX, &bytes_of(&top_index(images)))?;
        for directory in ["blobs", "blobs/sha256"] {
            let header = Header::directory(directory);
            let written = writer.append(&header, std::io::empty());
            written.map_err(stream("write the archive"))?;
        }
        for (image, digest) in blobs {
            let file = self.store.open_blob(digest)?;
            let file = file.ok_or_else(|| damaged(&image.record, digest))?;
            let meta = file.metadata().map_err(stream("read the image"))?;
            let path = super::spool::blob_path(digest);
            let header = Header::file(&path, meta.len());
            let written = writer.append(&header, file);
            if !written.map_err(stream("write the archive"))? {
                return Err(damaged(&image.record, digest));
            }
        }
        Ok(())
    }
}

fn top_index(images: &[Saved]) -> Value {
    let mut entries = Vec::new();
    for image in images {
        let entry = |annotations: Value| {
            let mut entry = json!({
                "mediaType": image.record.manifest.media_type,
                "digest": image.record.manifest.digest,
                "size": image.record.manifest.size,
                "platform": image.record.platform,
            });
            if let (Some(fields), false) = (entry.as_object_mut(), annotations.is_null()) {
                fields.insert("annotations".to_owned(), annotations);
            }
            entry
        };
        let named = image.names.iter();
        entries.extend(named.map(|name| entry(json!({ oci::FULL_NAME: name, oci::NAME: name }))));
        if image.names.is_empty() {
            entries.push(entry(Value::Null));
        }
    }
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": entries,
    })
}

fn layer_path(id: &DiffId) -> String {
    format!("{}.tar", id.0.hex())
}

/// Names of Docker Hub are short in Docker's archives.
fn familiar(name: &str) -> String {
    let parsed = name.parse::<Reference>();
    parsed.map_or_else(|_| name.to_owned(), |name| name.familiar())
}

fn bytes_of(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn append(writer: &mut Writer<impl Write>, path: &str, bytes: &[u8]) -> Result<(), Error> {
    let header = Header::file(path, bytes.len() as u64);
    writer
        .append(&header, bytes)
        .map(drop)
        .map_err(stream("write the archive"))
}

fn damaged(record: &ImageRecord, part: &Digest) -> Error {
    Error::ImageDamaged {
        image: record.familiar(),
        part: part.clone(),
    }
}
