//! Images: what a reference means on a platform, and images that no reference means any more.
//!
//! A record holds all that running the image takes, so that a cached run reads one small file.
//!
//! An image whose last name was given to another one stays, without a name, until it is removed:
//! its record is then `images/untagged/<id>.json`. Such a record is written before the name moves,
//! and counts for nothing while some name has the image: so a reader, who reads names first, and a
//! power cut find the image under its name or without one, and never not at all.

mod index;
mod place;
mod remove;
mod transit;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use carrier_spec::{
    Descriptor, Digest, ImageConfig, ImageId, ManifestOrIndex, Platform, Reference,
};
use serde::{Deserialize, Serialize};

use crate::atomic::read_json;
use crate::blobs::digest_of;
use crate::error::Error;
use crate::store::Store;

pub use remove::{ImageUser, LastName, RemovedImages};
pub use transit::Transit;
pub(crate) use transit::{is_live, is_mark};

const DIRECTORY: &str = "images";
const UNTAGGED: &str = "untagged";

/// Registries refuse larger manifests, distribution-spec.
pub(crate) const MAX_MANIFEST: u64 = 4 << 20;

/// An image for one platform, under one name or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// The version of this type, [`ImageRecord::SCHEMA`]; 0 is what had no version.
    #[serde(default)]
    pub schema: u32,
    /// The name; none when it means another image by now.
    pub reference: Option<Reference>,
    /// The repository that the image was pulled from or pushed to, with the digest, of a manifest
    /// or an index, by which it is known there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Reference>,
    /// What the image runs on.
    pub platform: Platform,
    /// The manifest.
    pub manifest: Descriptor,
    /// The index that the manifest was found in, where it was in one: a blob of the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<Descriptor>,
    /// The image's identity.
    pub id: ImageId,
    /// The image's configuration.
    pub config: ImageConfig,
    /// Bytes of the unpacked layers.
    pub size: u64,
}

impl ImageRecord {
    /// The version that this program writes.
    pub const SCHEMA: u32 = 1;

    /// The name as Docker prints it, or the id of an image without one.
    #[must_use]
    pub fn familiar(&self) -> String {
        match &self.reference {
            Some(reference) => reference.familiar(),
            None => self.id.to_string(),
        }
    }

    /// Whether both are records of the same name and platform; of the same image where there is no
    /// name.
    fn is_at(&self, other: &Self) -> bool {
        self.reference == other.reference
            && self.platform == other.platform
            && (self.reference.is_some() || self.id == other.id)
    }
}

impl Store {
    /// The image that `reference` means for `platform`; where none is named, for the host, else for
    /// whichever platform it was pulled. A damaged record counts as none, so that the image is pulled
    /// anew.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::NewerRecord`].
    pub fn image(
        &self,
        reference: &Reference,
        platform: Option<&Platform>,
    ) -> Result<Option<ImageRecord>, Error> {
        let wanted = platform.cloned().unwrap_or_else(Platform::host);
        let directory = self.image_dir(reference);
        let exact = directory.join(file_name(&wanted));
        if let Some(record) = read_record(&exact)? {
            return Ok(Some(record));
        }
        let mut others = records_in(&directory)?;
        others.retain(|record| platform.is_none_or(|wanted| wanted.accepts(&record.platform)));
        let distance = |record: &ImageRecord| wanted.distance(&record.platform).unwrap_or(u8::MAX);
        Ok(others.into_iter().min_by_key(distance))
    }

    /// All images, those without a name last. One whose record is damaged is not among them: it must
    /// not hide the others, nor keep them from being changed, and pulling it again writes its record
    /// anew.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::NewerRecord`].
    pub fn images(&self) -> Result<Vec<ImageRecord>, Error> {
        let mut records = Vec::new();
        for directory in entries(&self.path(DIRECTORY))? {
            if !directory.ends_with(UNTAGGED) {
                records.extend(records_in(&directory)?);
            }
        }
        let named: HashSet<ImageId> = records.iter().map(|record| record.id.clone()).collect();
        let untagged = records_in(&self.untagged_dir())?.into_iter();
        records.extend(untagged.filter(|record| !named.contains(&record.id)));
        Ok(records)
    }

    /// Bytes of the layers of an image with this configuration.
    ///
    /// # Errors
    /// [`Error::LayerMissing`].
    pub fn unpacked_size(&self, config: &ImageConfig) -> Result<u64, Error> {
        let ids = config.rootfs.diff_ids.iter();
        ids.map(|id| self.layer_bytes(id)).sum()
    }

    /// Every blob that the image consists of; a damaged manifest tells of none but itself.
    pub(crate) fn blobs_of(&self, image: &ImageRecord) -> Result<HashSet<Digest>, Error> {
        let mut blobs = HashSet::from([image.manifest.digest.clone(), image.id.0.clone()]);
        blobs.extend(image.index.iter().map(|index| index.digest.clone()));
        if let Some(bytes) = self.read_blob(&image.manifest.digest, MAX_MANIFEST)?
            && let Ok(ManifestOrIndex::Manifest(manifest)) = ManifestOrIndex::parse(&bytes, None)
        {
            blobs.extend(manifest.layers.into_iter().map(|layer| layer.digest));
        }
        Ok(blobs)
    }

    /// Where the record is, or would be.
    pub(crate) fn record_path(&self, record: &ImageRecord) -> PathBuf {
        match &record.reference {
            Some(reference) => self.image_dir(reference).join(file_name(&record.platform)),
            None => self.untagged_path(&record.id),
        }
    }

    /// References hold characters that file names do not.
    fn image_dir(&self, reference: &Reference) -> PathBuf {
        let key = digest_of(reference.to_string().as_bytes());
        self.path(DIRECTORY).join(key.hex())
    }

    fn untagged_dir(&self) -> PathBuf {
        self.path(DIRECTORY).join(UNTAGGED)
    }

    fn untagged_path(&self, id: &ImageId) -> PathBuf {
        self.untagged_dir().join(format!("{}.json", id.0.hex()))
    }
}

fn file_name(platform: &Platform) -> String {
    format!("{}.json", platform.file_stem())
}

/// What every version of a record has.
#[derive(Deserialize)]
struct Versioned {
    #[serde(default)]
    schema: u32,
}

/// A damaged record means nothing, as a missing one does; one of a newer version means something
/// that this program does not know, and must not be taken for nothing.
fn read_record(path: &Path) -> Result<Option<ImageRecord>, Error> {
    let newer = |schema| {
        Err(Error::NewerRecord {
            path: path.to_owned(),
            schema,
        })
    };
    match read_json::<ImageRecord>(path) {
        Ok(Some(record)) if record.schema > ImageRecord::SCHEMA => newer(record.schema),
        Err(Error::Damaged { .. }) => match read_json::<Versioned>(path) {
            Ok(Some(record)) if record.schema > ImageRecord::SCHEMA => newer(record.schema),
            _ => Ok(None),
        },
        other => other,
    }
}

/// The records in one directory.
fn records_in(directory: &Path) -> Result<Vec<ImageRecord>, Error> {
    let mut records = Vec::new();
    for path in entries(directory)? {
        let is_record = path.extension().is_some_and(|name| name == "json") && path.is_file();
        if is_record && !is_hidden(&path) {
            records.extend(read_record(&path)?);
        }
    }
    Ok(records)
}

/// Whether a file is one that is being written.
fn is_hidden(path: &Path) -> bool {
    let name = path.file_name();
    name.is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// What is in a directory, in the order of names; nothing in what is none.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = match fs::read_dir(directory) {
        // What is no directory does not belong here, and must not hide what does.
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        other => other.map_err(Error::io("read", directory))?,
    };
    let mut paths: Vec<PathBuf> = read.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort_unstable();
    Ok(paths)
}

#[cfg(test)]
mod tests;
