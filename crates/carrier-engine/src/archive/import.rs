//! From an archive of a file system to an image of one layer.

use std::io::{self, Read};

use carrier_spec::{
    DiffId, History, ImageConfig, ImageId, Manifest, MediaType, Platform, Reference, RootFs,
};
use carrier_store::{ImageRecord, VerifiedBlob, compression_of, digest_of};
use serde_json::json;

use super::changes::Changed;
use super::layers::{LayerSource, unpack};
use super::load::blob_of;
use super::{BadArchive, descriptor, manifest_json, stream};
use crate::engine::Engine;
use crate::error::Error;
use crate::unpacker::Unpacker;

/// What an imported image will be.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Its name.
    pub name: Option<Reference>,
    /// Its configuration, as instructions of a Dockerfile.
    pub changes: Vec<String>,
    /// What the history says about it.
    pub message: String,
    /// What it is for, else the host.
    pub platform: Option<Platform>,
}

impl Engine {
    /// Makes an image of a file system's archive, plain or compressed with gzip or zstd. When this
    /// returns, the image survives a power cut.
    ///
    /// # Errors
    /// When the archive or a change makes no sense, or the store cannot be written.
    pub fn import(&self, input: impl Read, options: &ImportOptions) -> Result<ImageId, Error> {
        let mut changed = Changed::default();
        for change in &options.changes {
            changed.apply(change)?;
        }
        // Before a stranger's bytes are read.
        let unpacker = Unpacker::start(self.host.own_ids()?)?;
        let (blob, size) = self.take(input)?;
        let mut start = Vec::new();
        let read = blob
            .open()
            .and_then(|file| file.take(8).read_to_end(&mut start));
        read.map_err(stream("read the archive"))?;
        if start.is_empty() {
            return Err(BadArchive::Empty.into());
        }
        let compression = compression_of(&start).map_err(BadArchive::from)?;
        let source = LayerSource {
            digest: blob.digest(),
            compression,
            expected: None,
            open: Box::new(|| blob.open()),
        };
        let unpacked = unpack(&self.store, &unpacker, &[source])?.pop();
        let (layer, summary) = unpacked.ok_or(BadArchive::Empty)?;
        let config = configuration(&changed, options, summary.diff_id.clone())?;
        let manifest = manifest_json(&Manifest {
            config: descriptor(
                "application/vnd.oci.image.config.v1+json",
                digest_of(&config),
                config.len() as u64,
            ),
            layers: vec![descriptor(
                MediaType::Layer(compression).name(),
                blob.digest().clone(),
                size,
            )],
        })?;
        let parsed =
            ImageConfig::parse(&config, 1).map_err(|error| Error::Configuration(error.into()))?;
        let kind = MediaType::OciManifest.name();
        let mut record = ImageRecord {
            schema: ImageRecord::SCHEMA,
            reference: options.name.clone(),
            origin: None,
            platform: options.platform.clone().unwrap_or_else(Platform::host),
            manifest: descriptor(kind, digest_of(&manifest), manifest.len() as u64),
            index: None,
            id: ImageId(digest_of(&config)),
            size: 0,
            config: parsed,
        };
        // A crash between the parts and the name leaves nothing but this.
        let _transit = self.store.announce_image(&record)?;
        let mut ingest = self.store.ingest();
        ingest.add_layer(layer, &summary)?;
        ingest.add_blob(blob);
        for document in [&config, &manifest] {
            ingest.add_blob(blob_of(&self.store, document)?);
        }
        ingest.commit()?;
        record.size = self.store.unpacked_size(&record.config)?;
        self.store.put_image(&record)?;
        Ok(record.id)
    }

    fn take(&self, mut input: impl Read) -> Result<(VerifiedBlob, u64), Error> {
        let mut writer = self.store.new_blob()?;
        let size = io::copy(&mut input, &mut writer).map_err(stream("copy the archive"))?;
        Ok((writer.finish(), size))
    }
}

fn configuration(
    changed: &Changed,
    options: &ImportOptions,
    layer: DiffId,
) -> Result<Vec<u8>, Error> {
    let platform = options.platform.clone().unwrap_or_else(Platform::host);
    let created = Some(jiff::Timestamp::now().to_string());
    let config = ImageConfig {
        created: created.clone(),
        architecture: platform.architecture,
        os: platform.os,
        variant: platform.variant,
        config: changed.config.clone(),
        rootfs: RootFs {
            kind: "layers".to_owned(),
            diff_ids: vec![layer],
        },
        history: vec![History {
            created,
            comment: Some(options.message.clone()),
            ..History::default()
        }],
        ..ImageConfig::default()
    };
    let wrong = |error: serde_json::Error| Error::Configuration(error.into());
    let mut json = serde_json::to_value(&config).map_err(wrong)?;
    if !changed.on_build.is_empty()
        && let Some(fields) = json
            .get_mut("config")
            .and_then(|config| config.as_object_mut())
    {
        fields.insert("OnBuild".to_owned(), json!(changed.on_build));
    }
    serde_json::to_vec(&json).map_err(wrong)
}
