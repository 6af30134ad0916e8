//! Layers: unpacked once, in overlay's format, shared by every image that has them.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use carrier_spec::DiffId;
use rustix::fs::{Mode, OFlags};

use crate::atomic::{Durability, write_json};
use crate::error::Error;
use crate::staging::Staged;
use crate::store::Store;
use crate::unpack::LayerSummary;

const FILES: &str = "fs";
const SUMMARY: &str = "layer.json";

impl Store {
    pub(crate) fn layer_path(&self, id: &DiffId) -> PathBuf {
        self.path("layers").join(id.0.hex())
    }

    /// Whether the layer is here, whole.
    #[must_use]
    pub fn has_layer(&self, id: &DiffId) -> bool {
        self.layer_path(id).join(SUMMARY).exists()
    }

    /// Whether the layer's tree has as many entries and bytes as when it was unpacked; for a process
    /// that may see files of the caller's other ids.
    #[must_use]
    pub fn is_layer_whole(&self, id: &DiffId) -> bool {
        let summary = crate::atomic::read_json(&self.layer_path(id).join(SUMMARY));
        let Ok(Some(summary)) = summary else {
            return false;
        };
        crate::check::check_tree(&self.layer_dir(id), &summary, None).is_none()
    }

    /// Takes a layer out of sight, and removes it as far as its files allow; says whether a sweep in
    /// the user namespace has to go on.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove_layer(&self, id: &DiffId) -> Result<bool, Error> {
        self.take_out(&self.layer_path(id))
    }

    /// The directory with the layer's files, whether it exists or not.
    #[must_use]
    pub fn layer_dir(&self, id: &DiffId) -> PathBuf {
        self.layer_path(id).join(FILES)
    }

    /// Bytes of the layer's files.
    ///
    /// # Errors
    /// [`Error::LayerMissing`], or when its summary cannot be read.
    pub fn layer_bytes(&self, id: &DiffId) -> Result<u64, Error> {
        let path = self.layer_path(id).join(SUMMARY);
        let summary: Option<LayerSummary> = crate::atomic::read_json(&path)?;
        summary
            .map(|summary| summary.bytes)
            .ok_or_else(|| Error::LayerMissing(id.clone()))
    }

    /// Makes an empty directory for a layer, which becomes a layer when it is ingested.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn stage_layer(&self) -> Result<StagedLayer, Error> {
        let staged = Staged::new(self)?;
        let path = staged.path.join(FILES);
        let make = || {
            rustix::fs::mkdirat(&staged.directory, FILES, Mode::from_raw_mode(0o755))?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::openat(&staged.directory, FILES, flags, Mode::empty())
        };
        let files = make().map_err(Error::errno("make", path))?;
        Ok(StagedLayer {
            staged: Some(staged),
            files,
        })
    }
}

/// A layer that is being unpacked. Dropped, it is removed as far as its files allow; a sweep in the
/// user namespace removes the rest.
#[derive(Debug)]
pub struct StagedLayer {
    staged: Option<Staged>,
    files: OwnedFd,
}

impl StagedLayer {
    /// Where the layer's files go.
    #[must_use]
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.files.as_fd()
    }

    /// Makes the layer visible under the id that its summary says, once it is on the disk.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn keep(self, store: &Store, summary: &LayerSummary) -> Result<(), Error> {
        self.write_summary(summary)?;
        store.sync()?;
        self.publish(store, &summary.diff_id)
    }

    pub(crate) fn write_summary(&self, summary: &LayerSummary) -> Result<(), Error> {
        match &self.staged {
            Some(staged) => write_json(&staged.path.join(SUMMARY), summary, Durability::Cached),
            None => Ok(()),
        }
    }

    /// Makes the layer visible. Whoever comes second drops his own; what has lost its summary is no
    /// layer, and makes room.
    pub(crate) fn publish(mut self, store: &Store, id: &DiffId) -> Result<(), Error> {
        use rustix::io::Errno;
        let Some(staged) = &self.staged else {
            return Ok(());
        };
        let path = store.layer_path(id);
        let publish = || rustix::fs::rename(&staged.path, &path);
        let published = match publish() {
            Err(Errno::EXIST | Errno::NOTEMPTY) if store.has_layer(id) => return Ok(()),
            Err(Errno::EXIST | Errno::NOTEMPTY) => {
                if let Some(damaged) = Staged::take(store, &path)? {
                    // What cannot be removed here is left to a sweep.
                    let _ = damaged.discard();
                }
                publish()
            }
            other => other,
        };
        published.map_err(Error::errno("publish layer", path))?;
        self.staged = None;
        Ok(())
    }
}

impl Drop for StagedLayer {
    fn drop(&mut self) {
        if let Some(staged) = &self.staged {
            // What cannot be removed here is left to a sweep, which the lock keeps away until now.
            let _ = staged.discard();
        }
    }
}
