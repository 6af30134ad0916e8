//! From what a user typed to images.

use carrier_spec::Reference;
use carrier_store::ImageRecord;

use crate::engine::Engine;
use crate::error::Error;

/// Fewer digits are no id.
const MIN_DIGITS: usize = 4;

/// Images that one word names.
#[derive(Debug)]
pub(crate) struct Found {
    /// The records: of one name on several platforms, or of one id under several names.
    pub(crate) images: Vec<ImageRecord>,
    /// Whether the word is an id.
    pub(crate) by_id: bool,
}

impl Found {
    /// The images, of which there must be some.
    pub(crate) fn some(self, word: &str) -> Result<Vec<ImageRecord>, Error> {
        if self.images.is_empty() {
            return Err(Error::NoImageOfThatName(word.to_owned()));
        }
        Ok(self.images)
    }
}

impl Engine {
    /// Whether an image has this name, on whichever platform.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn is_name(&self, reference: &Reference) -> Result<bool, Error> {
        let all = self.store.images()?;
        Ok(all
            .iter()
            .any(|image| image.reference.as_ref() == Some(reference)))
    }

    /// Finds images by reference, by repository and digest, by id, or by the beginning of an id, in
    /// this order.
    pub(crate) fn find_images(&self, word: &str) -> Result<Found, Error> {
        let all = self.store.images()?;
        if let Ok(reference) = word.parse::<Reference>() {
            let named = by_name(&all, &reference);
            if !named.is_empty() {
                return Ok(Found {
                    images: named,
                    by_id: false,
                });
            }
        }
        Ok(Found {
            images: by_id(all, word)?,
            by_id: true,
        })
    }
}

fn by_name(all: &[ImageRecord], reference: &Reference) -> Vec<ImageRecord> {
    let matching = |wanted: &dyn Fn(&ImageRecord) -> bool| -> Vec<ImageRecord> {
        all.iter().filter(|image| wanted(image)).cloned().collect()
    };
    let named = matching(&|image| image.reference.as_ref() == Some(reference));
    if !named.is_empty() || reference.digest().is_none() {
        return named;
    }
    // The digest decides; a tag beside it is for readers.
    let at_digest = reference.digest().map(|digest| reference.at_digest(digest));
    matching(&|image| image.origin.is_some() && image.origin == at_digest)
}

fn by_id(all: Vec<ImageRecord>, word: &str) -> Result<Vec<ImageRecord>, Error> {
    let prefix = word.strip_prefix("sha256:").unwrap_or(word);
    if prefix.len() < MIN_DIGITS || !prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(Vec::new());
    }
    let mut found = all;
    found.retain(|image| image.id.0.hex().starts_with(prefix));
    let mut ids: Vec<_> = found.iter().map(|image| &image.id).collect();
    ids.sort_unstable();
    ids.dedup();
    match ids.len() {
        0 | 1 => Ok(found),
        count => Err(Error::AmbiguousId {
            prefix: word.to_owned(),
            count,
        }),
    }
}
