//! Making verified things visible.

use std::rc::Rc;

use carrier_spec::DiffId;

use crate::blobs::VerifiedBlob;
use crate::error::Error;
use crate::layers::StagedLayer;
use crate::store::Store;
use crate::unpack::LayerSummary;

/// Blobs and layers that become visible together, after one sync of the file system: a power cut
/// right after [`Ingest::commit`] loses nothing, and one before it leaves nothing.
#[derive(Debug)]
#[must_use = "nothing is visible before commit"]
pub struct Ingest<'a> {
    store: &'a Store,
    blobs: Vec<Rc<VerifiedBlob>>,
    layers: Vec<(StagedLayer, DiffId)>,
}

impl Store {
    /// Starts a collection of things to make visible.
    pub fn ingest(&self) -> Ingest<'_> {
        Ingest {
            store: self,
            blobs: Vec::new(),
            layers: Vec::new(),
        }
    }
}

impl Ingest<'_> {
    /// Adds a blob.
    pub fn add_blob(&mut self, blob: impl Into<Rc<VerifiedBlob>>) {
        self.blobs.push(blob.into());
    }

    /// Adds a layer that was unpacked completely.
    ///
    /// # Errors
    /// [`Error::Io`] when its summary cannot be written.
    pub fn add_layer(&mut self, layer: StagedLayer, summary: &LayerSummary) -> Result<(), Error> {
        layer.write_summary(summary)?;
        self.layers.push((layer, summary.diff_id.clone()));
        Ok(())
    }

    /// Syncs, and gives everything its name.
    ///
    /// # Errors
    /// [`Error::Io`]; what had its name by then keeps it.
    pub fn commit(self) -> Result<(), Error> {
        if self.blobs.is_empty() && self.layers.is_empty() {
            return Ok(());
        }
        self.store.sync()?;
        for blob in &self.blobs {
            self.store.link_blob(blob)?;
        }
        for (layer, id) in self.layers {
            layer.publish(self.store, &id)?;
        }
        self.store.sync_directory("blobs/sha256")?;
        self.store.sync_directory("layers")
    }
}
