//! `system check`: looking for damage, and making it right.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use carrier_spec::DiffId;
use carrier_store::{
    CheckedLayer, ContainerDir, Depth, Finding, ImageUser, LayerSummary, Remedy, Repaired,
    StagedLayer, UnpackReport, check_tree,
};

use super::in_namespace;
use crate::engine::Engine;
use crate::error::Error;
use crate::record::ContainerRecord;
use crate::unpacker::Unpacker;

/// How to check.
#[derive(Clone, Copy, Debug)]
pub struct CheckOptions {
    /// How hard to look.
    pub depth: Depth,
    /// Whether to make right what can be made right.
    pub repair: bool,
}

/// What a check has brought.
#[derive(Debug)]
pub struct CheckReport {
    /// What is wrong, or was before the repair, and whether it was made right.
    pub findings: Vec<(Finding, bool)>,
    /// How many images were looked at.
    pub images: usize,
    /// How many layers.
    pub layers: usize,
    /// How many blobs.
    pub blobs: usize,
}

impl Engine {
    /// Looks for damage in the store, and repairs it where that is asked for.
    ///
    /// # Errors
    /// When the store cannot be read at all, or a repair fails.
    pub fn check(&self, options: CheckOptions) -> Result<CheckReport, Error> {
        let read = |directory: &ContainerDir| {
            let record = directory.read_record::<ContainerRecord>()?;
            Ok(record.map(|record| ImageUser {
                layers: record.needed_layers(),
                name: record.name.to_string(),
                image: record.image_id,
            }))
        };
        let checked = self.store.check(options.depth, &read)?;
        let mut findings = checked.findings;
        let damaged: HashSet<PathBuf> = findings.iter().map(|one| one.path.clone()).collect();
        let trees = match options.depth {
            Depth::Quick => self.look_at_trees(&checked.layers)?,
            Depth::Deep => self.compare_trees(&checked.layers, &damaged)?,
        };
        findings.extend(trees);
        findings.sort_by(|a, b| a.path.cmp(&b.path));
        let repaired = if options.repair {
            self.repair_findings(&findings)?
        } else {
            vec![false; findings.len()]
        };
        Ok(CheckReport {
            findings: findings.into_iter().zip(repaired).collect(),
            images: checked.images,
            layers: checked.layers.len(),
            blobs: checked.blobs,
        })
    }

    /// Compares the trees with what was said about them, all in one process.
    fn look_at_trees(&self, layers: &[CheckedLayer]) -> Result<Vec<Finding>, Error> {
        if layers.is_empty() {
            return Ok(Vec::new());
        }
        let problems: Vec<Option<String>> = in_namespace(&self.host.maps, || {
            let look = |layer: &CheckedLayer| {
                let directory = self.store.layer_dir(&layer.summary.diff_id);
                check_tree(&directory, &layer.summary, None)
            };
            layers.iter().map(look).collect()
        })?;
        let found = layers.iter().zip(problems);
        Ok(found
            .filter_map(|(layer, problem)| Some(self.finding(layer, problem?)))
            .collect())
    }

    /// Unpacks every layer again beside the old one, and compares the two.
    fn compare_trees(
        &self,
        layers: &[CheckedLayer],
        damaged: &HashSet<PathBuf>,
    ) -> Result<Vec<Finding>, Error> {
        let mut findings = Vec::new();
        if layers.is_empty() {
            return Ok(findings);
        }
        let unpacker = Unpacker::start(self.host.own_ids()?)?;
        for layer in layers {
            let fresh = self.unpack_again(&unpacker, layer, damaged)?;
            let problem = in_namespace(&self.host.maps, || {
                let directory = self.store.layer_dir(&layer.summary.diff_id);
                let fresh = fresh.as_ref().map(|(staged, summary)| {
                    let path = format!("/proc/self/fd/{}", staged.directory().as_raw_fd());
                    (PathBuf::from(path), summary)
                });
                let fresh = fresh
                    .as_ref()
                    .map(|(path, summary)| (path.as_path(), *summary));
                check_tree(&directory, &layer.summary, fresh)
            })?;
            findings.extend(problem.map(|problem| self.finding(layer, problem)));
            if fresh.is_some() {
                drop(fresh);
                self.sweep()?;
            }
        }
        Ok(findings)
    }

    /// Unpacks the blob of a layer into a directory of its own; nothing where there is no good blob.
    fn unpack_again(
        &self,
        unpacker: &Unpacker,
        layer: &CheckedLayer,
        damaged: &HashSet<PathBuf>,
    ) -> Result<Option<(StagedLayer, LayerSummary)>, Error> {
        let Some(source) = &layer.source else {
            return Ok(None);
        };
        let path = Path::new("blobs/sha256").join(source.digest.hex());
        let (false, Ok(compression)) = (damaged.contains(&path), source.layer_compression()) else {
            return Ok(None);
        };
        let Some(blob) = self.store.open_blob(&source.digest)? else {
            return Ok(None);
        };
        let failed = |source: io::Error| Error::Unpacker {
            action: "talk to",
            source,
        };
        let staged = self.store.stage_layer()?;
        let channel = unpacker
            .begin(staged.directory(), compression)
            .map_err(failed)?;
        feed(blob, File::from(channel.input));
        let mut control = BufReader::new(File::from(channel.control));
        let mut line = String::new();
        control.read_line(&mut line).map_err(failed)?;
        match serde_json::from_str(&line) {
            Ok(UnpackReport::Ok(summary)) => {
                control.get_mut().write_all(b"k").map_err(failed)?;
                Ok(Some((staged, summary)))
            }
            // What cannot be unpacked now could be once: the disk is full, perhaps.
            Ok(UnpackReport::Error(reason)) => Err(failed(io::Error::other(reason))),
            Err(_) => Err(failed(io::Error::other("it has died"))),
        }
    }

    fn finding(&self, layer: &CheckedLayer, problem: String) -> Finding {
        let id = &layer.summary.diff_id;
        Finding {
            path: Path::new("layers").join(id.0.hex()).join("fs"),
            problem,
            remedy: Remedy::RemoveLayer(id.clone()),
            images: layer.images.clone(),
        }
    }

    /// Makes right what can be made right; says for each finding whether it was.
    fn repair_findings(&self, findings: &[Finding]) -> Result<Vec<bool>, Error> {
        let busy = self.busy_layers()?;
        let mut repaired = Vec::new();
        for finding in findings {
            // What a container runs on is not taken from under it.
            let in_use = matches!(&finding.remedy, Remedy::RemoveLayer(id) if busy.contains(id));
            if in_use {
                repaired.push(false);
                continue;
            }
            let done = self.store.repair_finding(finding)?;
            if done == Repaired::Done(true) {
                self.sweep()?;
            }
            repaired.push(done != Repaired::Nothing);
        }
        Ok(repaired)
    }

    /// The layers of containers that run.
    pub(super) fn busy_layers(&self) -> Result<HashSet<DiffId>, Error> {
        let mut busy = HashSet::new();
        for id in self.store.container_ids()? {
            // A record that cannot be read is a finding, and no container that was started.
            let record = self.store.container(&id).read_record::<ContainerRecord>();
            if let Ok(Some(record)) = record
                && self.runs(&record.id)?
            {
                busy.extend(record.needed_layers());
            }
        }
        Ok(busy)
    }
}

/// Gives a blob to the unpacking process, which may not want all of it.
fn feed(mut blob: File, mut input: File) {
    let mut buffer = vec![0; 256 * 1024];
    while let Ok(count) = blob.read(&mut buffer) {
        let chunk = buffer.get(..count).unwrap_or_default();
        if chunk.is_empty() || input.write_all(chunk).is_err() {
            return;
        }
    }
}
