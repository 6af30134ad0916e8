//! Layers: their places, and their trees.

use std::fs;
use std::os::fd::AsFd as _;
use std::path::Path;

use carrier_spec::{Descriptor, DiffId};

use super::places::{digest_of_name, entries};
use super::{Checker, Remedy};
use crate::error::Error;
use crate::inventory::{count, fingerprints, first_difference};
use crate::store::open_directory;
use crate::unpack::LayerSummary;

/// A layer whose tree can be looked at.
#[derive(Clone, Debug)]
pub struct CheckedLayer {
    /// What was said about it when it was unpacked.
    pub summary: LayerSummary,
    /// The blob that it was unpacked from, where an image knows it.
    pub source: Option<Descriptor>,
    /// The images that need it.
    pub images: Vec<String>,
}

impl Checker<'_> {
    pub(super) fn check_layers(&mut self) -> Result<(), Error> {
        for path in entries(&self.store.root().join("layers"))? {
            let id = digest_of_name(&path).map(DiffId);
            let Some(id) = id.filter(|_| path.is_dir()) else {
                self.find_stray(&path);
                continue;
            };
            if self.check_directory(&path) {
                self.check_layer(&path, &id)?;
            }
        }
        for (id, images) in self.needs.layers.clone() {
            if !self.store.layer_path(&id).exists() {
                let path = self.store.layer_path(&id);
                self.find_in(path, "is missing", Remedy::Fetch, images);
            }
        }
        Ok(())
    }

    fn check_layer(&mut self, path: &Path, id: &DiffId) -> Result<(), Error> {
        let (files, summary) = (path.join("fs"), path.join("layer.json"));
        for stray in entries(path)? {
            if stray != files && stray != summary {
                self.find_stray(&stray);
            }
        }
        let images = self.needs.layers.get(id).cloned().unwrap_or_default();
        if !self.check_file(&summary) {
            return Ok(());
        }
        let read = fs::read(&summary).ok();
        let read = read.and_then(|bytes| read_summary(&bytes));
        let Some(read) = read.filter(|summary| summary.diff_id == *id) else {
            let problem = "is missing or damaged";
            let remedy = Remedy::RemoveLayer(id.clone());
            self.find_in(&summary, problem, remedy, images);
            return Ok(());
        };
        if !files.is_dir() {
            let remedy = Remedy::RemoveLayer(id.clone());
            self.find_in(&files, "is missing", remedy, images);
            return Ok(());
        }
        let source = self.needs.sources.get(id).cloned();
        self.checked.layers.push(CheckedLayer {
            summary: read,
            source,
            images,
        });
        Ok(())
    }
}

/// Reads a summary of which every byte means something.
fn read_summary(bytes: &[u8]) -> Option<LayerSummary> {
    let summary: LayerSummary = serde_json::from_slice(bytes).ok()?;
    let again = serde_json::to_vec(&summary).ok()?;
    (again == bytes).then_some(summary)
}

/// Compares a layer's tree with what was said about it, and with a tree that was unpacked just now;
/// for a process that may see the files of other ids. Says what is wrong.
#[must_use]
pub fn check_tree(
    layer: &Path,
    summary: &LayerSummary,
    fresh: Option<(&Path, &LayerSummary)>,
) -> Option<String> {
    let compare = || -> std::io::Result<Option<String>> {
        let tree = open_directory(layer)?;
        if let Some(expected) = summary.tree {
            let found = count(tree.as_fd())?;
            if found.entries != expected.entries {
                let (found, expected) = (found.entries, expected.entries);
                return Ok(Some(format!("has {found} entries, not {expected}")));
            }
            if found.bytes != expected.bytes {
                let (found, expected) = (found.bytes, expected.bytes);
                return Ok(Some(format!("has {found} bytes of files, not {expected}")));
            }
        }
        let Some((fresh, expected)) = fresh else {
            return Ok(None);
        };
        if summary != expected {
            return Ok(Some(
                "was not summarized so when it was unpacked".to_owned(),
            ));
        }
        let (here, there) = (fingerprints(tree.as_fd())?, open_directory(fresh)?);
        let difference = first_difference(&here, &fingerprints(there.as_fd())?);
        Ok(difference.map(|path| {
            let path = String::from_utf8_lossy(&path).into_owned();
            format!("differs from its blob at {path:?}")
        }))
    };
    compare().unwrap_or_else(|error| Some(format!("cannot be read: {error}")))
}
