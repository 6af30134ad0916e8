//! What everything takes on the disk, and what nobody needs.

use std::collections::{BTreeMap, HashSet};
use std::fs;

use carrier_spec::{DiffId, Digest};

use crate::error::Error;
use crate::images::ImageRecord;
use crate::staging::Staged;
use crate::store::Store;
use crate::tree::RemoveError;

/// A blob or a layer, and who needs it.
#[derive(Clone, Debug, Default)]
pub struct SpaceTaken {
    /// Its bytes.
    pub bytes: u64,
    /// The layer, where it is one.
    pub layer: Option<DiffId>,
    /// Places of images in the list that came with it.
    pub users: Vec<usize>,
}

/// What was removed because nobody needed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unneeded {
    /// Bytes of files that are gone.
    pub bytes: u64,
    /// Whether files of other ids are left to a sweep in the user namespace.
    pub needs_sweep: bool,
}

impl Store {
    /// The images, and every blob, layer and unfinished download by its place in the store.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn space_taken(&self) -> Result<(Vec<ImageRecord>, BTreeMap<String, SpaceTaken>), Error> {
        let images = self.images()?;
        let mut taken: BTreeMap<String, SpaceTaken> = BTreeMap::new();
        for place in ["blobs/sha256", "downloads"] {
            for (name, bytes) in self.files_in(place) {
                let part = SpaceTaken {
                    bytes,
                    ..SpaceTaken::default()
                };
                taken.insert(format!("{place}/{name}"), part);
            }
        }
        for id in self.layer_ids() {
            let part = SpaceTaken {
                bytes: self.layer_bytes(&id).unwrap_or(0),
                layer: Some(id.clone()),
                users: Vec::new(),
            };
            taken.insert(format!("layers/{}", id.0.hex()), part);
        }
        for (place, image) in images.iter().enumerate() {
            let blobs = self.blobs_of(image)?.into_iter();
            let blobs = blobs.map(|digest| blob_place(&digest));
            let layers: HashSet<&DiffId> = image.config.rootfs.diff_ids.iter().collect();
            let layers = layers
                .into_iter()
                .map(|id| format!("layers/{}", id.0.hex()));
            for part in blobs.chain(layers) {
                if let Some(part) = taken.get_mut(&part) {
                    part.users.push(place);
                }
            }
        }
        Ok((images, taken))
    }

    /// Removes blobs that no image has, and layers that neither an image nor one of `in_use` has. A
    /// pull that is just going on fetches what it misses then again.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove_unneeded(
        &self,
        in_use: impl Fn() -> Result<Vec<DiffId>, Error>,
    ) -> Result<Unneeded, Error> {
        let lock = self.lock()?;
        let (_, taken) = self.space_taken()?;
        let mut needed: HashSet<DiffId> = in_use()?.into_iter().collect();
        let mut blobs_in_use = HashSet::new();
        for image in self.coming_images()? {
            blobs_in_use.extend(self.blobs_of(&image)?.iter().map(blob_place));
            needed.extend(image.config.rootfs.diff_ids);
        }
        let mut removed = Unneeded::default();
        let mut layers = Vec::new();
        for (name, part) in taken {
            if !part.users.is_empty() {
                continue;
            }
            match part.layer {
                Some(id) if needed.contains(&id) => {}
                Some(id) => {
                    if let Some(staged) = Staged::take(self, &self.layer_path(&id))? {
                        layers.push((id, staged, part.bytes));
                    }
                }
                // What a broken pull has fetched is its own to remove.
                None if name.starts_with("downloads/") || blobs_in_use.contains(&name) => {}
                None => {
                    let path = self.path(&name);
                    fs::remove_file(&path).map_err(Error::io("remove", &path))?;
                    removed.bytes += part.bytes;
                }
            }
        }
        // Of containers that were made meanwhile: as in `take_layers` of images.
        needed.extend(in_use()?);
        for (id, layer, _) in layers.extract_if(.., |(id, ..)| needed.contains(id)) {
            layer.put_back(&self.layer_path(&id))?;
        }
        drop(lock);
        for (_, layer, bytes) in layers {
            removed.bytes += bytes;
            match layer.discard() {
                Ok(()) => {}
                Err(RemoveError::Foreign { .. }) => removed.needs_sweep = true,
                Err(RemoveError::Io { path, source }) => {
                    let action = "remove";
                    return Err(Error::Io {
                        action,
                        path,
                        source,
                    });
                }
            }
        }
        Ok(removed)
    }

    fn files_in(&self, place: &str) -> Vec<(String, u64)> {
        let entries = fs::read_dir(self.path(place)).into_iter().flatten();
        let entries = entries.filter_map(|entry| {
            let entry = entry.ok()?;
            let found = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((entry.file_name().into_string().ok()?, found.len()))
        });
        entries.collect()
    }

    /// The layers that have a place here, whole or not.
    fn layer_ids(&self) -> Vec<DiffId> {
        let entries = fs::read_dir(self.path("layers")).into_iter().flatten();
        let ids = entries.filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            format!("sha256:{name}").parse::<Digest>().ok().map(DiffId)
        });
        ids.collect()
    }
}

fn blob_place(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
