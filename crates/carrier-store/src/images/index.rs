//! `index.json`, for other tools: Carrier never reads it.

use std::fs;

use serde_json::json;

use crate::atomic::{Durability, write_json};
use crate::error::Error;
use crate::images::ImageRecord;
use crate::images::remove::remove_drafts;
use crate::store::Store;

const INDEX: &str = "index.json";
const NAME: &str = "org.opencontainers.image.ref.name";

impl Store {
    /// Brings `index.json` up to date. A full disk may forbid that, but not the change of an image: no
    /// list is better than a wrong one then.
    pub(crate) fn refresh_index(&self) {
        if self.write_index().is_err() {
            let _ = fs::remove_file(self.path(INDEX));
        }
    }

    /// Writes `index.json`, image-spec `image-layout.md`.
    fn write_index(&self) -> Result<(), Error> {
        write_json(&self.path(INDEX), &self.index()?, Durability::Synced)
    }

    /// Writes `index.json` anew where a crash came between an image and it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn repair_index(&self) -> Result<(), Error> {
        let _lock = self.lock()?;
        remove_drafts(self.root())?;
        let is_right = fs::read(self.path(INDEX))
            .is_ok_and(|found| self.index_text().is_ok_and(|expected| found == expected));
        if !is_right {
            self.refresh_index();
        }
        Ok(())
    }

    /// What should be in `index.json`.
    pub(crate) fn index_text(&self) -> Result<Vec<u8>, Error> {
        let text = serde_json::to_vec(&self.index()?);
        text.map_err(|error| Error::io("write", self.path(INDEX))(error.into()))
    }

    fn index(&self) -> Result<serde_json::Value, Error> {
        let manifests: Vec<_> = self.images()?.iter().map(entry).collect();
        Ok(json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": manifests,
        }))
    }
}

fn entry(image: &ImageRecord) -> serde_json::Value {
    let mut entry = json!({
        "mediaType": image.manifest.media_type,
        "digest": image.manifest.digest,
        "size": image.manifest.size,
        "platform": image.platform,
    });
    if let (Some(reference), Some(fields)) = (&image.reference, entry.as_object_mut()) {
        fields.insert("annotations".to_owned(), json!({ NAME: reference }));
    }
    entry
}
