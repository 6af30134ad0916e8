//! Images by their names: finding, tagging, removing and describing them.

mod details;
mod filter;
mod find;
mod history;
mod remove;

use carrier_spec::{ImageId, Platform, Reference};
use carrier_store::{ImageRecord, LastName};

use crate::engine::Engine;
use crate::error::Error;
use crate::events::Event;

pub use details::ImageDetails;
pub use filter::{FilterError, ImageFilter};
pub(crate) use filter::{known_filters, split_filter};
pub use history::HistoryStep;
pub use remove::{ImageChange, Pruned, RemoveImageOptions};

impl Engine {
    /// Makes `name` mean the image that `word` names, on all its platforms.
    ///
    /// # Errors
    /// When there is no such image, or `name` has a digest.
    pub fn tag_image(&self, word: &str, name: &Reference) -> Result<(), Error> {
        if name.digest().is_some() {
            return Err(Error::TagWithDigest(name.clone()));
        }
        let images = self.find_images(word)?.some(word)?;
        let images = distinct(images);
        self.store.tag_image(&images, name)?;
        if let Some(image) = images.first() {
            self.emit(&Event::image("tag", image.id.0.as_str(), &name.familiar()));
        }
        Ok(())
    }

    /// Takes names from the image that `word` names, all of them where none is said; the image stays
    /// even without a name. Returns the names.
    ///
    /// # Errors
    /// When there is no such image, or a name is not one of its.
    pub fn untag_image(&self, word: &str, names: &[Reference]) -> Result<Vec<Reference>, Error> {
        let found = self.find_images(word)?.some(word)?;
        let ids: Vec<&ImageId> = found.iter().map(|image| &image.id).collect();
        let mut taken = self.store.images()?;
        taken.retain(|image| image.reference.is_some() && ids.contains(&&image.id));
        let is_known = |name: &&Reference| {
            let mut known = taken.iter().filter_map(|image| image.reference.as_ref());
            known.any(|known| known == *name)
        };
        if let Some(name) = names.iter().find(|name| !is_known(name)) {
            return Err(Error::NotATag {
                name: name.clone(),
                image: word.to_owned(),
            });
        }
        let is_asked_for = |name: &Reference| names.is_empty() || names.contains(name);
        taken.retain(|image| image.reference.as_ref().is_some_and(is_asked_for));
        let users = || self.image_users();
        let removed = self.store.remove_images(&taken, LastName::Keep, users)?;
        self.emit_removed(&removed);
        let names = removed.untagged.into_iter();
        let mut names: Vec<Reference> = names.filter_map(|image| image.reference).collect();
        names.dedup();
        Ok(names)
    }

    /// Whether `word` names an image.
    ///
    /// # Errors
    /// When the store cannot be read, or `word` fits several images.
    pub fn image_exists(&self, word: &str) -> Result<bool, Error> {
        Ok(!self.find_images(word)?.images.is_empty())
    }

    /// The one image that `word` names, by name or id: for `platform`, or where none is named for the
    /// host's, else for whichever there is.
    ///
    /// # Errors
    /// When there is none.
    pub fn image_by_word(
        &self,
        word: &str,
        platform: Option<&Platform>,
    ) -> Result<ImageRecord, Error> {
        let images = self.find_images(word)?.some(word)?;
        let wanted = platform.cloned().unwrap_or_else(Platform::host);
        let fitting = nearest(&images, &wanted).next();
        let found = fitting.or_else(|| images.first().filter(|_| platform.is_none()));
        found.cloned().ok_or_else(|| Error::NoSuchPlatform {
            image: word.to_owned(),
            wanted,
            offered: images.into_iter().map(|image| image.platform).collect(),
        })
    }
}

/// The images for `platform`, or for the highest of the variants below.
fn nearest<'a>(
    images: &'a [ImageRecord],
    platform: &'a Platform,
) -> impl Iterator<Item = &'a ImageRecord> {
    let fits = |image: &&ImageRecord| platform.accepts(&image.platform);
    let distance = |image: &ImageRecord| platform.distance(&image.platform);
    let least = images.iter().filter(fits).filter_map(distance).min();
    let is_nearest = move |image: &&ImageRecord| least.is_some() && distance(image) == least;
    images.iter().filter(is_nearest)
}

/// One record for each platform, though an image may have several names.
fn distinct(images: Vec<ImageRecord>) -> Vec<ImageRecord> {
    let mut distinct: Vec<ImageRecord> = Vec::new();
    for image in images {
        if !distinct
            .iter()
            .any(|known| known.platform == image.platform)
        {
            distinct.push(image);
        }
    }
    distinct
}
