//! Removing images, one by one and all that nobody needs.

use carrier_spec::{DiffId, Digest, Platform};
use carrier_store::{ImageRecord, LastName, RemovedImages, digest_of};

use crate::engine::Engine;
use crate::error::Error;
use crate::events::Event;
use crate::images::filter::ImageFilter;
use crate::images::nearest;

/// What `rmi` may do.
#[derive(Clone, Debug, Default)]
pub struct RemoveImageOptions {
    /// Take all names of an id, and forget images that containers were made of: those keep the
    /// layers that they need.
    pub force: bool,
    /// Only the image for this platform.
    pub platform: Option<Platform>,
}

/// What became of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageChange {
    /// A name was taken away.
    Untagged(String),
    /// An image, or a layer by its chain ID, is gone.
    Deleted(String),
}

/// What `image prune` has removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Names, images and layers.
    pub changes: Vec<ImageChange>,
    /// Bytes of files that are gone.
    pub bytes: u64,
}

impl Engine {
    /// Removes the images that `word` names.
    ///
    /// # Errors
    /// When there are none, or containers were made of them, or an id has names in several
    /// repositories; then nothing was removed.
    pub fn remove_image(
        &self,
        word: &str,
        options: &RemoveImageOptions,
    ) -> Result<Vec<ImageChange>, Error> {
        let found = self.find_images(word)?;
        let by_id = found.by_id;
        let mut images = found.some(word)?;
        if let Some(wanted) = &options.platform {
            let offered = images.iter().map(|image| image.platform.clone()).collect();
            images = nearest(&images, wanted).cloned().collect();
            if images.is_empty() {
                return Err(Error::NoSuchPlatform {
                    image: word.to_owned(),
                    wanted: wanted.clone(),
                    offered,
                });
            }
        }
        if by_id && !options.force {
            check_one_repository(word, &images)?;
        }
        let removed = self.remove_records(&images, options.force)?;
        if removed.untagged.is_empty() && removed.deleted.is_empty() {
            // Somebody else was faster.
            return Err(Error::NoImageOfThatName(word.to_owned()));
        }
        Ok(changes(&removed))
    }

    /// Removes the images without a name, or `all`, that no container was made of and that `filter`
    /// lets pass.
    ///
    /// # Errors
    /// When the store cannot be read or changed.
    pub fn prune_images(&self, all: bool, filter: &ImageFilter) -> Result<Pruned, Error> {
        let users = self.image_users()?;
        let mut images = self.store.images()?;
        images.retain(|image| {
            (all || image.reference.is_none())
                && filter.accepts(image)
                && !users.iter().any(|user| user.image == image.id)
        });
        let mut pruned = Pruned::default();
        for image in images {
            match self.remove_records(std::slice::from_ref(&image), false) {
                // A container was made of it just now.
                Err(Error::Store(carrier_store::Error::ImageInUse { .. })) => {}
                Err(error) => return Err(error),
                Ok(removed) => {
                    pruned.bytes += removed.bytes;
                    pruned.changes.extend(changes(&removed));
                }
            }
        }
        Ok(pruned)
    }

    /// Removes records of images, and the files that nobody needs then.
    pub(crate) fn remove_records(
        &self,
        images: &[ImageRecord],
        force: bool,
    ) -> Result<RemovedImages, Error> {
        let last_name = if force {
            LastName::RemoveUsed
        } else {
            LastName::Remove
        };
        let users = || self.image_users();
        let removed = self.store.remove_images(images, last_name, users)?;
        if removed.needs_sweep {
            self.sweep()?;
        }
        self.emit_removed(&removed);
        Ok(removed)
    }

    /// Docker tells the id in place of the name that is gone.
    pub(super) fn emit_removed(&self, removed: &RemovedImages) {
        let lists = [("untag", &removed.untagged), ("delete", &removed.deleted)];
        for (action, images) in lists {
            for image in images {
                let id = image.id.to_string();
                self.emit(&Event::image(action, &id, &id));
            }
        }
    }
}

/// Docker's caution: who removes by id may not know of all names.
fn check_one_repository(word: &str, images: &[ImageRecord]) -> Result<(), Error> {
    let names = images.iter().filter_map(|image| image.reference.as_ref());
    let mut names: Vec<_> = names.collect();
    let Some(first) = names.first().copied() else {
        return Ok(());
    };
    if names.iter().all(|name| name.is_same_repository(first)) {
        return Ok(());
    }
    names.dedup();
    Err(Error::SeveralRepositories {
        id: word.to_owned(),
        names: names
            .into_iter()
            .map(carrier_spec::Reference::familiar)
            .collect(),
    })
}

/// What Docker tells about it, in its order.
fn changes(removed: &RemovedImages) -> Vec<ImageChange> {
    let mut changes = Vec::new();
    let names = removed
        .untagged
        .iter()
        .filter_map(|image| image.reference.as_ref());
    for name in names.map(carrier_spec::Reference::familiar) {
        let change = ImageChange::Untagged(name);
        if !changes.contains(&change) {
            changes.push(change);
        }
    }
    for image in &removed.deleted {
        if let Some(origin) = image.origin.as_ref().filter(|_| image.reference.is_some()) {
            let change = ImageChange::Untagged(origin.familiar());
            if !changes.contains(&change) {
                changes.push(change);
            }
        }
        changes.push(ImageChange::Deleted(image.id.to_string()));
    }
    for image in &removed.deleted {
        let chain = chain_ids(&image.config.rootfs.diff_ids);
        let mut gone: Vec<_> = chain
            .filter(|(id, _)| removed.layers.contains(id))
            .map(|(_, chain)| ImageChange::Deleted(chain.to_string()))
            .collect();
        gone.reverse();
        changes.extend(gone);
    }
    changes
}

/// Each layer with the identity of the stack up to it, image-spec `config.md`, "Layer ChainID".
fn chain_ids(layers: &[DiffId]) -> impl Iterator<Item = (&DiffId, Digest)> {
    layers.iter().scan(None::<Digest>, |below, id| {
        let chain = match below {
            None => id.0.clone(),
            Some(below) => digest_of(format!("{below} {id}").as_bytes()),
        };
        *below = Some(chain.clone());
        Some((id, chain))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use carrier_spec::Digest;
    use sha2::{Digest as _, Sha256};

    #[test]
    fn the_chain_of_one_layer_is_the_layer() {
        let layer = |digit: u8| DiffId(Digest::from_sha256([digit; 32]));
        let layers = [layer(1), layer(2)];
        let chain: Vec<String> = chain_ids(&layers).map(|(_, id)| id.to_string()).collect();
        assert_eq!(chain[0], layers[0].to_string());
        // printf 'sha256:0101… sha256:0202…' | sha256sum
        let text = format!("{} {}", layers[0], layers[1]);
        let expected = Digest::from_sha256(Sha256::digest(text).into());
        assert_eq!(chain[1], expected.as_str());
    }
}
