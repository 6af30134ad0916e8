//! Volumes, mounts of the host's files, and filesystems in memory.
//!
//! `parse` and `parse_mount` read options, `plan` decides which mounts a container gets, `provide` makes
//! what is missing when a container is made, `prepare` finds it again at each start, and `oci` says it
//! in the language of the runtime. Volumes are in the store, which see for how they stay whole.

mod describe;
mod devices;
mod driver;
mod error;
mod filter;
mod give;
mod mount_point;
mod oci;
mod parse;
mod parse_mount;
mod plan;
mod prepare;
mod provide;
#[cfg(test)]
mod tests;
mod verbs;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use carrier_spec::VolumeName;
use carrier_store::VolumeRecord;

use crate::events::Event;

pub(crate) use describe::{declared, host_config, mounts, names, targets};
pub use devices::DevicePoint;
pub use error::VolumeError;
pub use filter::VolumeFilter;
pub use mount_point::{
    ImageVolumes, MountPoint, MountSource, Origin, ReadOnly, Storage, StorageOptions, VolumesFrom,
};
pub(crate) use oci::Place;
pub(crate) use parse::clean;
pub(crate) use plan::depth;
pub use verbs::{CreateVolumeOptions, PrunedVolumes, VolumeSummary};

/// Docker's mark of volumes that nobody named.
const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// The labels that a user sees.
#[must_use]
pub fn shown_labels(record: &VolumeRecord) -> BTreeMap<String, String> {
    let mut labels = record.labels.clone();
    if record.anonymous {
        labels.insert(ANONYMOUS.to_owned(), String::new());
    }
    labels
}

/// Whether a volume is another one than what is asked for; nothing is asked for by saying nothing.
fn differs(
    there: &VolumeRecord,
    labels: &BTreeMap<String, String>,
    options: &BTreeMap<String, String>,
) -> bool {
    let other = |asked: &BTreeMap<String, String>, has| !asked.is_empty() && asked != has;
    other(labels, &there.labels) || other(options, &there.options)
}

fn event(action: &str, name: &VolumeName) -> Event {
    Event::volume(action, name.as_str())
}

/// Labels that the kernel asks for where SELinux rules: nothing here gives them.
fn refuse_labels(mounts: &[MountPoint], others: &[VolumesFrom]) -> Result<(), VolumeError> {
    let asks = |mount: &&MountPoint| mount.mode.split(',').any(|word| matches!(word, "z" | "Z"));
    let mount = mounts.iter().find(asks).map(|mount| &mount.target);
    let other = others.iter().find(|other| other.relabel);
    match mount.or(other.map(|other| &other.container)) {
        Some(place) if Path::new("/sys/fs/selinux/enforce").exists() => Err(VolumeError::invalid(
            format!("the files of {place} cannot be labelled for SELinux"),
            "label them once yourself: `chcon -R -t container_file_t DIRECTORY`",
        )),
        _ => Ok(()),
    }
}

impl fmt::Display for VolumesFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.container)?;
        let mode = self.read_only.map(|only| if only { "ro" } else { "rw" });
        let words: Vec<&str> = mode
            .into_iter()
            .chain(self.relabel.then_some("z"))
            .collect();
        match words.as_slice() {
            [] => Ok(()),
            words => write!(f, ":{}", words.join(",")),
        }
    }
}
