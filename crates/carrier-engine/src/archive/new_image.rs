//! An image that is made here: a layer out of an archive, and documents that name it.

use std::io::{self, Read};

use carrier_spec::{
    Compression, Descriptor, ImageConfig, ImageId, Manifest, MediaType, Platform, Reference,
};
use carrier_store::{
    ImageRecord, LayerSummary, StagedLayer, Transit, VerifiedBlob, compression_of, digest_of,
};

use super::layers::{LayerSource, unpack};
use super::load::blob_of;
use super::{BadArchive, descriptor, manifest_json, stream};
use crate::engine::Engine;
use crate::error::Error;
use crate::unpacker::Unpacker;

/// A layer that has no place yet: the archive, and what was unpacked of it.
pub(crate) struct NewLayer {
    blob: VerifiedBlob,
    size: u64,
    compression: Compression,
    staged: StagedLayer,
    pub(crate) summary: LayerSummary,
}

/// An image that has no place yet.
pub(crate) struct NewImage {
    pub(crate) name: Option<Reference>,
    pub(crate) platform: Platform,
    /// The configuration, a document.
    pub(crate) config: Vec<u8>,
    /// Layers that the store has already, the lowest first.
    pub(crate) base: Vec<Descriptor>,
    pub(crate) layer: Option<NewLayer>,
}

impl Engine {
    /// Takes an archive in, plain or compressed with gzip or zstd, and unpacks it.
    pub(crate) fn new_layer(
        &self,
        unpacker: &Unpacker,
        mut input: impl Read,
    ) -> Result<NewLayer, Error> {
        let mut writer = self.store.new_blob()?;
        let size = io::copy(&mut input, &mut writer).map_err(stream("copy the archive"))?;
        let blob = writer.finish();
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
        let unpacked = unpack(&self.store, unpacker, &[source])?.pop();
        let (staged, summary) = unpacked.ok_or(BadArchive::Empty)?;
        Ok(NewLayer {
            blob,
            size,
            compression,
            staged,
            summary,
        })
    }

    /// Gives an image its place. When this returns, it survives a power cut.
    pub(crate) fn add_image(&self, new: NewImage) -> Result<ImageId, Error> {
        let mut layers = new.base;
        layers.extend(new.layer.as_ref().map(|layer| {
            let kind = MediaType::Layer(layer.compression).name();
            descriptor(kind, layer.blob.digest().clone(), layer.size)
        }));
        let parsed = ImageConfig::parse(&new.config, layers.len())
            .map_err(|error| Error::Configuration(error.into()))?;
        let id = digest_of(&new.config);
        let kind = "application/vnd.oci.image.config.v1+json";
        let manifest = manifest_json(&Manifest {
            config: descriptor(kind, id.clone(), new.config.len() as u64),
            layers,
        })?;
        let kind = MediaType::OciManifest.name();
        let mut record = ImageRecord {
            schema: ImageRecord::SCHEMA,
            reference: new.name,
            origin: None,
            platform: new.platform,
            manifest: descriptor(kind, digest_of(&manifest), manifest.len() as u64),
            index: None,
            id: ImageId(id),
            size: 0,
            config: parsed,
        };
        // A crash between the parts and the name leaves nothing but this.
        let transit = self.store.announce_image(&record)?;
        let put = self.put_parts(&mut record, new.layer, [&new.config, &manifest]);
        self.arrived(vec![transit], put)?;
        Ok(record.id)
    }

    fn put_parts(
        &self,
        record: &mut ImageRecord,
        layer: Option<NewLayer>,
        documents: [&Vec<u8>; 2],
    ) -> Result<(), Error> {
        let mut ingest = self.store.ingest();
        if let Some(layer) = layer {
            ingest.add_layer(layer.staged, &layer.summary)?;
            ingest.add_blob(layer.blob);
        }
        for document in documents {
            ingest.add_blob(blob_of(&self.store, document)?);
        }
        ingest.commit()?;
        record.size = self.store.unpacked_size(&record.config)?;
        self.store.put_image(record)?;
        Ok(())
    }

    /// Ends the way of images. Where they have no names, what has come of them goes at once.
    pub(super) fn arrived<T>(
        &self,
        transits: Vec<Transit>,
        result: Result<T, Error>,
    ) -> Result<T, Error> {
        if result.is_ok() {
            transits.into_iter().for_each(Transit::done);
        } else {
            drop(transits);
            // The error that the user has to read is the first, and the next sweep is another chance.
            let _ = self.sweep();
        }
        result
    }
}
