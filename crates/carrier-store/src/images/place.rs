//! Making names mean images.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use carrier_spec::{ImageId, Reference};

use crate::atomic::{Durability, write_json};
use crate::error::Error;
use crate::images::remove::remove_drafts;
use crate::images::{DIRECTORY, ImageRecord, records_in};
use crate::store::Store;

impl Store {
    /// Makes a reference mean an image on one platform; what it means on others stays. Survives a
    /// power cut that follows at once. Returns the image that lost its last name by this, which stays
    /// without a name.
    ///
    /// # Errors
    /// [`Error::LayerMissing`], [`Error::BlobMissing`] when somebody removed a part of the image
    /// meanwhile: pull it again.
    pub fn put_image(&self, record: &ImageRecord) -> Result<Option<ImageRecord>, Error> {
        let _lock = self.lock()?;
        self.check_complete(record)?;
        let Some(reference) = &record.reference else {
            self.write_record(record)?;
            self.refresh_index();
            return Ok(None);
        };
        let here = records_in(&self.image_dir(reference))?;
        let replaced: Vec<_> = here.into_iter().filter(|old| old.is_at(record)).collect();
        let displaced = self.replace_records(std::slice::from_ref(record), &replaced)?;
        Ok(displaced.into_iter().next())
    }

    /// Makes `name` mean what `images`, which are for several platforms, are, and nothing else.
    /// Survives a power cut that follows at once. Returns the images that lost their last name by
    /// this, which stay without a name.
    ///
    /// # Errors
    /// As [`Store::put_image`].
    pub fn tag_image(
        &self,
        images: &[ImageRecord],
        name: &Reference,
    ) -> Result<Vec<ImageRecord>, Error> {
        let _lock = self.lock()?;
        let records: Vec<ImageRecord> = images.iter().map(|image| renamed(image, name)).collect();
        for record in &records {
            self.check_complete(record)?;
        }
        self.replace_records(&records, &records_in(&self.image_dir(name))?)
    }

    /// Puts records of one name where `replaced`, records of that name, are.
    fn replace_records(
        &self,
        records: &[ImageRecord],
        replaced: &[ImageRecord],
    ) -> Result<Vec<ImageRecord>, Error> {
        let displaced = self.displaced(records, replaced)?;
        for old in &displaced {
            self.keep_untagged(old)?;
        }
        for record in records {
            self.write_record(record)?;
        }
        let gone = |old: &&ImageRecord| !records.iter().any(|record| record.is_at(old));
        for old in replaced.iter().filter(gone) {
            self.unlink_record(old)?;
        }
        let stale = replaced.iter().filter(|old| !records.contains(old));
        self.remove_blobs(&stale.cloned().collect::<Vec<_>>())?;
        self.refresh_index();
        Ok(displaced)
    }

    /// Which of the images in `replaced` no name will mean when `records` are in their place.
    fn displaced(
        &self,
        records: &[ImageRecord],
        replaced: &[ImageRecord],
    ) -> Result<Vec<ImageRecord>, Error> {
        if replaced
            .iter()
            .all(|old| records.iter().any(|new| new.id == old.id))
        {
            return Ok(Vec::new());
        }
        let all = self.images()?;
        let stays = all
            .iter()
            .filter(|image| image.reference.is_some() && !replaced.contains(image));
        let mut named: HashSet<&ImageId> = stays.chain(records).map(|image| &image.id).collect();
        // A name can have one image for several platforms that a configuration does not tell apart.
        let lost = replaced.iter().filter(|old| named.insert(&old.id));
        Ok(lost.cloned().collect())
    }

    /// Writes the record by which an image stays when it loses its last name.
    pub(super) fn keep_untagged(&self, image: &ImageRecord) -> Result<(), Error> {
        self.write_record(&ImageRecord {
            schema: ImageRecord::SCHEMA,
            reference: None,
            ..image.clone()
        })
    }

    pub(super) fn write_record(&self, record: &ImageRecord) -> Result<(), Error> {
        let path = self.record_path(record);
        if let Some(directory) = path.parent() {
            self.make_record_dir(directory)?;
            // With the store's lock, those of crashes.
            remove_drafts(directory)?;
        }
        write_json(&path, record, Durability::Synced)
    }

    fn make_record_dir(&self, directory: &Path) -> Result<(), Error> {
        match fs::create_dir(directory) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            other => {
                other.map_err(Error::io("make", directory))?;
                self.sync_directory(DIRECTORY)
            }
        }
    }

    /// Whoever made the record looked at layers and blobs before he had the lock.
    fn check_complete(&self, record: &ImageRecord) -> Result<(), Error> {
        let mut layers = record.config.rootfs.diff_ids.iter();
        if let Some(id) = layers.find(|id| !self.has_layer(id)) {
            return Err(Error::LayerMissing(id.clone()));
        }
        for digest in self.blobs_of(record)? {
            if !self.has_blob(&digest)? {
                return Err(Error::BlobMissing(digest));
            }
        }
        Ok(())
    }
}

/// What the registry knows an image by holds for one repository only.
fn renamed(image: &ImageRecord, name: &Reference) -> ImageRecord {
    let origin = image.origin.clone();
    ImageRecord {
        schema: ImageRecord::SCHEMA,
        reference: Some(name.clone()),
        origin: origin.filter(|origin| origin.is_same_repository(name)),
        ..image.clone()
    }
}
