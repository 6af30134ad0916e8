//! Taking names away, and with the last name the image.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use carrier_spec::{DiffId, ImageId};

use crate::error::Error;
use crate::images::ImageRecord;
use crate::images::transit::Transit;
use crate::staging::Staged;
use crate::store::Store;
use crate::tree::RemoveError;

/// A container, as far as its image is concerned.
#[derive(Clone, Debug)]
pub struct ImageUser {
    /// The container's name.
    pub name: String,
    /// The image that it was made of.
    pub image: ImageId,
    /// The layers that it needs.
    pub layers: Vec<DiffId>,
}

/// What becomes of an image that has lost its last name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastName {
    /// It stays without a name.
    Keep,
    /// It is removed, unless a container was made of it.
    Remove,
    /// It is removed; containers keep the layers that they need.
    RemoveUsed,
}

/// What was removed.
#[derive(Clone, Debug, Default)]
pub struct RemovedImages {
    /// The names that were taken away.
    pub untagged: Vec<ImageRecord>,
    /// The images that are gone, one record each.
    pub deleted: Vec<ImageRecord>,
    /// The layers that are gone.
    pub layers: Vec<DiffId>,
    /// Bytes of files that are gone.
    pub bytes: u64,
    /// Whether some files could not be deleted: those of other ids are left to a sweep in the user
    /// namespace.
    pub needs_sweep: bool,
}

/// What is on its way out of the store.
#[derive(Default)]
pub(super) struct Garbage {
    pub(super) layers: Vec<TakenLayer>,
    /// Containers that were made meanwhile are among them.
    users: Vec<ImageUser>,
}

/// A layer that is out of sight, and not deleted yet.
pub(super) struct TakenLayer {
    id: DiffId,
    bytes: u64,
    pub(super) staged: Staged,
}

impl Store {
    /// Takes names away; with the last name of an image go the layers and blobs that nobody else
    /// needs. What means another image by now is left alone. Survives a power cut that follows at
    /// once, and needs no space on the disk unless images are to stay without a name.
    ///
    /// # Errors
    /// [`Error::ImageInUse`]: then nothing was removed. [`Error::Io`].
    pub fn remove_images(
        &self,
        records: &[ImageRecord],
        last_name: LastName,
        users: impl Fn() -> Result<Vec<ImageUser>, Error>,
    ) -> Result<RemovedImages, Error> {
        let lock = self.lock()?;
        let (gone, stays): (Vec<_>, Vec<_>) = self.images()?.into_iter().partition(|image| {
            let is = |record: &ImageRecord| record.is_at(image) && record.id == image.id;
            records.iter().any(is)
        });
        let mut named: HashSet<&ImageId> = stays.iter().map(|image| &image.id).collect();
        let last = gone.iter().filter(|image| named.insert(&image.id));
        let last: Vec<ImageRecord> = last.cloned().collect();
        // While nothing has changed: a record of a container may be damaged.
        let known = users()?;
        let deleted = if last_name == LastName::Keep {
            for image in &last {
                self.keep_untagged(image)?;
            }
            Vec::new()
        } else {
            if last_name == LastName::Remove {
                check_unused(&last, &known)?;
            }
            last
        };
        // Until their parts are gone too, a crash leaves the records as marks of what is to be done.
        let mut transits = self.take_untagged(&deleted)?;
        let named = gone.iter().filter(|image| image.reference.is_some());
        let untagged: Vec<ImageRecord> = named.cloned().collect();
        for image in &untagged {
            let path = self.record_path(image);
            transits.extend(self.take_record(&path)?);
            self.sync_record(&path)?;
        }
        let garbage = self.take_layers(&deleted, known, &users)?;
        if last_name == LastName::Remove
            && let Err(used) = check_unused(&deleted, &garbage.users)
        {
            self.put_back(&gone, garbage)?;
            transits.into_iter().for_each(Transit::done);
            return Err(used);
        }
        let blobs = self.remove_blobs(&gone)?;
        self.refresh_index();
        // Deleting takes long; the names are gone already.
        drop(lock);
        let mut removed = RemovedImages {
            untagged,
            deleted,
            bytes: blobs,
            ..RemovedImages::default()
        };
        for layer in garbage.layers {
            removed.needs_sweep |= !discard(&layer.staged)?;
            removed.bytes += layer.bytes;
            removed.layers.push(layer.id);
        }
        transits.into_iter().for_each(Transit::done);
        Ok(removed)
    }

    /// Undoes the removal of images of which a container was made meanwhile.
    fn put_back(&self, records: &[ImageRecord], garbage: Garbage) -> Result<(), Error> {
        for layer in garbage.layers {
            layer.staged.put_back(&self.layer_path(&layer.id))?;
        }
        for record in records {
            self.write_record(record)?;
        }
        self.refresh_index();
        Ok(())
    }

    /// Takes the records by which images stay without a name, durably. A name may still have them, so
    /// that this comes first.
    fn take_untagged(&self, images: &[ImageRecord]) -> Result<Vec<Transit>, Error> {
        let mut taken = Vec::new();
        for image in images {
            taken.extend(self.take_record(&self.untagged_path(&image.id))?);
        }
        if !taken.is_empty() {
            self.sync_directory(Path::new(super::DIRECTORY).join(super::UNTAGGED))?;
        }
        Ok(taken)
    }

    /// Removes a record of a name, durably, and the name's directory with its last platform.
    pub(super) fn unlink_record(&self, record: &ImageRecord) -> Result<(), Error> {
        let path = self.record_path(record);
        unlink(&path)?;
        self.sync_record(&path)
    }

    /// Makes it last that a record is gone, and removes its directory with the last one.
    fn sync_record(&self, path: &Path) -> Result<(), Error> {
        let Some(directory) = path.parent() else {
            return Ok(());
        };
        remove_drafts(directory)?;
        match fs::remove_dir(directory) {
            // The name has other platforms.
            Err(_) => fs::File::open(directory)
                .and_then(|directory| directory.sync_all())
                .map_err(Error::io("sync", directory)),
            Ok(()) => self.sync_directory(super::DIRECTORY),
        }
    }

    /// Takes the layers out of sight that only the images in `deleted`, which have no records any more,
    /// had.
    ///
    /// Whoever makes a container takes no lock: he looks for its layers when it can be seen. So either
    /// he misses them, or the second look at the users, with the layers gone, finds his container.
    pub(super) fn take_layers(
        &self,
        deleted: &[ImageRecord],
        known: Vec<ImageUser>,
        users: &impl Fn() -> Result<Vec<ImageUser>, Error>,
    ) -> Result<Garbage, Error> {
        let mut garbage = Garbage::default();
        if deleted.is_empty() {
            return Ok(garbage);
        }
        let mut needed: HashSet<DiffId> = layers_of(known).collect();
        for image in self.needed_images()? {
            needed.extend(image.config.rootfs.diff_ids);
        }
        for image in deleted {
            for id in &image.config.rootfs.diff_ids {
                if !needed.insert(id.clone()) {
                    continue;
                }
                // A layer without a summary was damaged, and its size is anybody's guess.
                let bytes = self.layer_bytes(id).unwrap_or(0);
                if let Some(staged) = Staged::take(self, &self.layer_path(id))? {
                    let id = id.clone();
                    garbage.layers.push(TakenLayer { id, bytes, staged });
                }
            }
        }
        let later = users();
        let is_needed = |layer: &mut TakenLayer| match &later {
            Ok(users) => users.iter().any(|user| user.layers.contains(&layer.id)),
            Err(_) => true,
        };
        for layer in garbage.layers.extract_if(.., is_needed) {
            layer.staged.put_back(&self.layer_path(&layer.id))?;
        }
        garbage.users = later?;
        Ok(garbage)
    }

    /// The images that are here, and those that come.
    pub(crate) fn needed_images(&self) -> Result<Vec<ImageRecord>, Error> {
        let mut images = self.images()?;
        images.extend(self.coming_images()?);
        Ok(images)
    }

    /// Deletes the blobs that only the records in `gone`, which are gone, had needed; returns how
    /// many bytes that were.
    pub(super) fn remove_blobs(&self, gone: &[ImageRecord]) -> Result<u64, Error> {
        let mut unneeded = HashSet::new();
        for record in gone {
            unneeded.extend(self.blobs_of(record)?);
        }
        if unneeded.is_empty() {
            return Ok(0);
        }
        for image in self.needed_images()? {
            for digest in self.blobs_of(&image)? {
                unneeded.remove(&digest);
            }
        }
        let mut bytes = 0;
        for digest in unneeded {
            let path = self.blob_path(&digest)?;
            bytes += fs::symlink_metadata(&path).map_or(0, |meta| meta.len());
            unlink(&path)?;
        }
        Ok(bytes)
    }
}

fn layers_of(users: Vec<ImageUser>) -> impl Iterator<Item = DiffId> {
    users.into_iter().flat_map(|user| user.layers)
}

fn check_unused(images: &[ImageRecord], users: &[ImageUser]) -> Result<(), Error> {
    for image in images {
        let used_by = users.iter().filter(|user| user.image == image.id);
        let names: Vec<String> = used_by.map(|user| user.name.clone()).collect();
        if !names.is_empty() {
            return Err(Error::ImageInUse {
                image: image.familiar(),
                users: names,
            });
        }
    }
    Ok(())
}

fn unlink(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(Error::io("remove", path)),
    }
}

/// Removes what a crash has left of the writing of records or of the list of them; nobody else writes
/// them now.
pub(super) fn remove_drafts(directory: &Path) -> Result<(), Error> {
    let paths = super::entries(directory)?.into_iter();
    for path in paths.filter(|path| super::is_hidden(path)) {
        unlink(&path)?;
    }
    Ok(())
}

/// Says whether all files could be deleted.
pub(super) fn discard(layer: &Staged) -> Result<bool, Error> {
    match layer.discard() {
        Ok(()) => Ok(true),
        Err(RemoveError::Foreign { .. }) => Ok(false),
        Err(RemoveError::Io { path, source }) => Err(Error::Io {
            action: "remove",
            path,
            source,
        }),
    }
}
