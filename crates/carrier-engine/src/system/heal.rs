//! Healing: what is damaged is taken away, so that a pull makes it anew.

use carrier_spec::DiffId;
use carrier_store::ImageRecord;

use super::in_namespace;
use crate::engine::Engine;
use crate::error::Error;

impl Engine {
    /// Takes away the layers of an image whose trees have not as many entries and bytes as when they
    /// were unpacked. What a container runs on stays.
    ///
    /// # Errors
    /// When a layer cannot be taken away.
    pub fn drop_damaged_layers(&self, image: &ImageRecord) -> Result<(), Error> {
        let layers = &image.config.rootfs.diff_ids;
        let whole: Vec<bool> = in_namespace(&self.host.maps, || {
            let is_whole = |id| !self.store.has_layer(id) || self.store.is_layer_whole(id);
            layers.iter().map(is_whole).collect()
        })?;
        let damaged = layers.iter().zip(whole).filter(|(_, whole)| !whole);
        let damaged: Vec<&DiffId> = damaged.map(|(id, _)| id).collect();
        if damaged.is_empty() {
            return Ok(());
        }
        let busy = self.busy_layers()?;
        for id in damaged.into_iter().filter(|id| !busy.contains(id)) {
            if self.store.remove_layer(id)? {
                self.sweep()?;
            }
        }
        Ok(())
    }
}
