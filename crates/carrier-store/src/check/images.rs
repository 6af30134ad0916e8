//! The records of images, and what they need.

use std::fs;
use std::path::Path;

use carrier_spec::{Descriptor, ImageConfig, Manifest, ManifestOrIndex, MediaType};

use super::places::{digest_of_name, entries};
use super::{Checker, Remedy};
use crate::error::Error;
use crate::images::{ImageRecord, MAX_MANIFEST};

const UNTAGGED: &str = "untagged";

impl Checker<'_> {
    pub(super) fn check_images(&mut self) -> Result<(), Error> {
        for directory in entries(&self.store.root().join("images"))? {
            let untagged = directory.ends_with(UNTAGGED);
            if !directory.is_dir() || !untagged && digest_of_name(&directory).is_none() {
                self.find_stray(&directory);
                continue;
            }
            self.check_directory(&directory);
            let records = entries(&directory)?;
            if records.is_empty() && !untagged {
                self.find(&directory, "is empty", Remedy::Remove);
            }
            for path in records {
                self.check_record(&path)?;
            }
        }
        Ok(())
    }

    fn check_record(&mut self, path: &Path) -> Result<(), Error> {
        let is_record = path
            .extension()
            .is_some_and(|extension| extension == "json");
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes()[0] == b'.');
        if !is_record || hidden || !path.is_file() {
            self.find_stray(path);
            return Ok(());
        }
        if !self.check_file(path) {
            return Ok(());
        }
        let record = fs::read(path).ok().and_then(|bytes| read_record(&bytes));
        let Some(record) = record else {
            let problem = "cannot be read: pull the image again";
            self.find(path, problem, Remedy::Remove);
            return Ok(());
        };
        if record.schema > ImageRecord::SCHEMA {
            let problem = "was written by a newer version";
            self.find(path, problem, Remedy::Fetch);
            return Ok(());
        }
        self.checked.images += 1;
        let name = record.familiar();
        if let Err(problem) = self.check_facts(path, &record)? {
            let images = vec![name.clone()];
            self.find_in(path, problem, Remedy::Remove, images);
        }
        self.note_needs(&record, &name)
    }

    /// Compares the record with what it was made of.
    fn check_facts(&self, path: &Path, record: &ImageRecord) -> Result<Result<(), String>, Error> {
        if self.store.record_path(record) != path {
            return Ok(Err("is about another image than its name".to_owned()));
        }
        let manifest = self
            .store
            .read_blob(&record.manifest.digest, MAX_MANIFEST)?;
        let config = self.store.read_blob(&record.id.0, MAX_MANIFEST)?;
        // What is missing or damaged is a finding about the blob.
        let (Some(manifest), Some(config)) = (manifest, config) else {
            return Ok(Ok(()));
        };
        let kinds = media_types(&manifest, record);
        let wrong = |what: &str| Ok(Err(format!("does not agree with {what}")));
        let size = manifest.len() as u64;
        let kind = Some(record.manifest.media_type.as_str());
        let Ok(ManifestOrIndex::Manifest(manifest)) = ManifestOrIndex::parse(&manifest, kind)
        else {
            return wrong("the manifest");
        };
        let config_agrees = ImageConfig::parse(&config, manifest.layers.len())
            .is_ok_and(|config| config == record.config);
        let same = manifest.config.digest == record.id.0 && size == record.manifest.size;
        if !same || !kinds {
            return wrong("the manifest");
        }
        if !config_agrees {
            return wrong("the image's configuration");
        }
        let known = |digest| {
            let index = record.index.as_ref().map(|index| &index.digest);
            digest == Some(&record.manifest.digest) || digest == index
        };
        let home = |origin: &carrier_spec::Reference| {
            let same = |name: &carrier_spec::Reference| origin.is_same_repository(name);
            record.reference.as_ref().is_none_or(same)
        };
        if let Some(origin) = &record.origin
            && !(home(origin) && known(origin.digest()))
        {
            return wrong("where the image came from");
        }
        match self.store.unpacked_size(&record.config) {
            Ok(size) if size != record.size => wrong("the size of its layers"),
            // A layer that is missing is a finding of its own.
            _ => Ok(Ok(())),
        }
    }

    fn note_needs(&mut self, record: &ImageRecord, name: &str) -> Result<(), Error> {
        self.need_blob(&record.manifest, name);
        if let Some(index) = &record.index {
            self.need_blob(index, name);
        }
        let manifest = self
            .store
            .read_blob(&record.manifest.digest, MAX_MANIFEST)?;
        let manifest = manifest.and_then(|bytes| serde_json::from_slice::<Manifest>(&bytes).ok());
        if let Some(manifest) = &manifest {
            self.need_blob(&manifest.config, name);
            for layer in &manifest.layers {
                self.need_blob(layer, name);
            }
        }
        for (place, id) in record.config.rootfs.diff_ids.iter().enumerate() {
            let users = self.needs.layers.entry(id.clone()).or_default();
            if !users.iter().any(|known| known == name) {
                users.push(name.to_owned());
            }
            let source = manifest
                .as_ref()
                .and_then(|manifest| manifest.layers.get(place));
            if let Some(source) = source {
                self.needs.sources.insert(id.clone(), source.clone());
            }
        }
        Ok(())
    }

    fn need_blob(&mut self, blob: &Descriptor, name: &str) {
        let entry = self.needs.blobs.entry(blob.digest.clone());
        let (_, users) = entry.or_insert_with(|| (blob.size, Vec::new()));
        if !users.iter().any(|known| known == name) {
            users.push(name.to_owned());
        }
    }
}

/// Reads a record of which every byte means something: one that would be written otherwise was not
/// written so.
fn read_record(bytes: &[u8]) -> Option<ImageRecord> {
    let record: ImageRecord = serde_json::from_slice(bytes).ok()?;
    // What had no version was written without some of the fields.
    let versioned = bytes.windows(9).any(|part| part == b"\"schema\":");
    let good = match record.schema {
        0 => !versioned,
        ImageRecord::SCHEMA => serde_json::to_vec(&record).is_ok_and(|again| again == bytes),
        _ => true,
    };
    good.then_some(record)
}

/// Whether the record names the types that the documents have.
fn media_types(manifest: &[u8], record: &ImageRecord) -> bool {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        media_type: Option<String>,
    }
    let own = serde_json::from_slice::<Typed>(manifest).ok();
    let own = own.and_then(|typed| typed.media_type);
    let named = MediaType::from_name(&record.manifest.media_type);
    let index = record.index.as_ref();
    let index = index.is_none_or(|index| {
        MediaType::from_name(&index.media_type).is_some_and(MediaType::is_index)
    });
    let manifest = own.map_or(named.is_some_and(|kind| !kind.is_index()), |own| {
        own == record.manifest.media_type
    });
    manifest && index
}
