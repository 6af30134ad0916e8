//! `--userns`: which id of a container the caller is.
//!
//! By default he is root, and everybody else has a subordinate id. With `keep-id` he is who he is on the
//! host, so that what a program of his writes into a directory of the host is his. The files of an image
//! on the disk belong to the ids of the default; the kernel lets only root of the host map them, so that
//! such a container runs on a copy of the image's layers with other owners, which is made once and shared.

use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;

use carrier_runtime::{IdMaps, IdRange};
use carrier_spec::DiffId;
use carrier_store::{LayerSummary, Shift, copy_layer, count, digest_of};
use serde::{Deserialize, Serialize};

use crate::engine::{Engine, open_directory};
use crate::error::Error;
use crate::net::NetworkMode;
use crate::own_user::Existing;
use crate::record::ContainerRecord;
use crate::system::in_namespace;
use crate::volumes::VolumeError;

/// Which id the caller has in a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UserMode {
    /// Root.
    #[default]
    Host,
    /// These.
    KeepId {
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
    },
}

const MODES: &str =
    "modes are host (the caller is root in the container) and keep-id[:uid=N,gid=N]";

impl UserMode {
    /// Reads the value of `--userns`.
    ///
    /// # Errors
    /// [`VolumeError::Invalid`].
    pub fn parse(text: &str) -> Result<Self, VolumeError> {
        let (mode, options) = text.split_once(':').unwrap_or((text, ""));
        let refused = |reason: &str| {
            VolumeError::invalid(format!("user namespace mode {text:?}: {reason}"), MODES)
        };
        match mode {
            "" | "host" | "private" if options.is_empty() => Ok(Self::Host),
            "keep-id" => Self::keep_id(options).ok_or_else(|| refused("it has no such option")),
            "nomap" => Err(refused(
                "without the caller's id the container could not reach its own files in the store",
            )),
            "auto" => Err(refused(
                "each container would need subordinate ids of its own, and a copy of its image",
            )),
            "container" | "ns" | "path" => Err(refused("containers do not share user namespaces")),
            _ => Err(refused("there is no such mode")),
        }
    }

    fn keep_id(options: &str) -> Option<Self> {
        let mut uid = rustix::process::geteuid().as_raw();
        let mut gid = rustix::process::getegid().as_raw();
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=')? {
                ("uid", number) => uid = number.parse().ok()?,
                ("gid", number) => gid = number.parse().ok()?,
                _ => return None,
            }
        }
        Some(Self::KeepId { uid, gid })
    }

    /// Docker's and Podman's word.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::Host => String::new(),
            Self::KeepId { uid, gid } => format!("keep-id:uid={uid},gid={gid}"),
        }
    }

    /// As a user says it.
    fn option(self) -> String {
        match self {
            Self::Host => "host".to_owned(),
            Self::KeepId { .. } => self.word(),
        }
    }

    /// Who the program is where neither the user nor the image says.
    pub(crate) fn default_user(self) -> String {
        match self {
            Self::Host => String::new(),
            Self::KeepId { uid, gid } => format!("{uid}:{gid}"),
        }
    }

    /// The maps of a container on a host whose own are `host`.
    pub(crate) fn maps(self, host: &IdMaps) -> Option<IdMaps> {
        match self {
            Self::Host => Some(host.clone()),
            Self::KeepId { uid, gid } => Some(IdMaps {
                users: kept(&host.users, uid)?,
                groups: kept(&host.groups, gid)?,
            }),
        }
    }

    fn shift(self) -> Option<Shift> {
        match self {
            Self::Host => None,
            Self::KeepId { uid, gid } => Some(Shift {
                user: uid,
                group: gid,
            }),
        }
    }
}

/// The same ids of the host, in the same order, with the first of them, the caller's, at `own`; nothing
/// where there are not as many.
fn kept(host: &[IdRange], own: u32) -> Option<Vec<IdRange>> {
    let (caller, others) = host.split_first()?;
    let caller = IdRange {
        inside: own,
        outside: caller.outside,
        count: 1,
    };
    let mut ranges = Vec::new();
    let mut inside = 0;
    for other in others {
        let (mut outside, mut left) = (other.outside, other.count);
        if inside <= own && left > own - inside {
            let before = own - inside;
            if before > 0 {
                ranges.push(IdRange {
                    inside,
                    outside,
                    count: before,
                });
            }
            ranges.push(caller);
            inside = own + 1;
            outside += before;
            left -= before;
        }
        ranges.push(IdRange {
            inside,
            outside,
            count: left,
        });
        inside += left;
    }
    if inside == own {
        ranges.push(caller);
        inside += 1;
    }
    (inside > own).then_some(ranges)
}

impl Engine {
    /// The mode of a new container: whoever has another's network has its user namespace too.
    ///
    /// # Errors
    /// When another mode is asked for than that container's.
    pub(crate) fn resolve_mode(
        &self,
        asked: Option<UserMode>,
        network: &NetworkMode,
    ) -> Result<UserMode, Error> {
        let NetworkMode::Container(owner) = network else {
            return Ok(asked.unwrap_or_default());
        };
        let owner = self.container(owner)?;
        match asked {
            Some(asked) if asked != owner.userns => Err(VolumeError::invalid(
                format!(
                    "--userns {} cannot be had with the network of container {}, which has --userns {}",
                    asked.option(),
                    owner.name,
                    owner.userns.option()
                ),
                "leave --userns out: containers with one network have the same users",
            )
            .into()),
            _ => Ok(owner.userns),
        }
    }

    /// The ids of a container.
    pub(crate) fn maps_of(&self, record: &ContainerRecord) -> IdMaps {
        let maps = record.userns.maps(&self.host.maps);
        // Who has fewer ids than when the container was made is told so at its start.
        maps.unwrap_or_else(|| self.host.maps.clone())
    }

    /// The ids of a container that is about to be made or started.
    ///
    /// # Errors
    /// As [`Host::own_ids`](crate::host::Host::own_ids); when there are too few.
    pub(crate) fn ids_of(&self, record: &ContainerRecord) -> Result<IdMaps, Error> {
        let host = self.host.own_ids()?;
        let maps = record.userns.maps(host);
        Ok(maps.ok_or_else(|| {
            VolumeError::invalid(
                format!(
                    "--userns {} needs more subordinate ids than you have",
                    record.userns.word()
                ),
                if host.is_single() {
                    "`sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER` adds \
                     65536; without any, you can only be root in a container"
                } else {
                    "`sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER` adds \
                     65536; keep-id:uid=1000,gid=1000 makes you a user with a smaller number"
                },
            )
        })?)
    }

    /// Puts the layers of an image into the form that a container with other ids needs: one layer that
    /// all of them share.
    pub(crate) fn shift_layers(
        &self,
        mode: UserMode,
        layers: Vec<DiffId>,
    ) -> Result<Vec<DiffId>, Error> {
        let Some(shift) = mode.shift() else {
            return Ok(layers);
        };
        let id = shifted_id(shift, &layers);
        if self.store.has_layer(&id) {
            return Ok(vec![id]);
        }
        let staged = self.store.stage_layer()?;
        let mut opened = Vec::new();
        for layer in &layers {
            let directory = open_directory(self.store.layer_dir(layer));
            opened.push(directory.map_err(|_| Error::LayerMissing(layer.clone()))?);
        }
        let copied: Result<LayerSummary, String> = in_namespace(self.host.own_ids()?, || {
            let copy = || -> std::io::Result<LayerSummary> {
                for layer in &opened {
                    copy_layer(layer.handle.as_fd(), staged.directory())?;
                }
                shift.apply(staged.directory())?;
                let tree = count(staged.directory())?;
                Ok(LayerSummary {
                    diff_id: id.clone(),
                    entries: tree.entries,
                    bytes: tree.bytes,
                    skipped_devices: 0,
                    tree: Some(tree),
                })
            };
            copy().map_err(|error| error.to_string())
        })?;
        let copied = copied.map_err(Error::CopyRoot)?;
        // A layer that is removed meanwhile loses files first.
        if let Some(gone) = layers.iter().find(|layer| !self.store.has_layer(layer)) {
            return Err(Error::LayerMissing(gone.clone()));
        }
        staged.keep(&self.store, &copied)?;
        Ok(vec![id])
    }

    /// Makes sure that a container with other ids has its layer, and is owned by its own root.
    pub(crate) fn prepare_ids(&self, record: &ContainerRecord) -> Result<(), Error> {
        if record.userns == UserMode::Host {
            return Ok(());
        }
        if let [id] = record.layers.as_slice()
            && !self.store.has_layer(id)
        {
            let image = self.image_by_word(&record.image_id.to_string(), None)?;
            self.shift_layers(record.userns, image.config.rootfs.diff_ids)?;
        }
        let upper = self.store.container(&record.id).upper();
        let owner = fs::metadata(&upper).map(|found| found.uid());
        if !owner.is_ok_and(|uid| uid == rustix::process::geteuid().as_raw()) {
            return Ok(());
        }
        self.own_upper(record, Existing::Keep)
    }
}

/// No layer of an image has that digest.
fn shifted_id(shift: Shift, layers: &[DiffId]) -> DiffId {
    let mut text = format!("carrier keep-id {}:{}\n", shift.user, shift.group);
    for layer in layers {
        text.push_str(&layer.0.to_string());
        text.push('\n');
    }
    DiffId(digest_of(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(inside: u32, outside: u32, count: u32) -> IdRange {
        IdRange {
            inside,
            outside,
            count,
        }
    }

    #[test]
    fn the_caller_is_in_the_middle_of_his_subordinate_ids() {
        let host = [range(0, 1000, 1), range(1, 100_000, 65_536)];
        assert_eq!(
            kept(&host, 1000).unwrap(),
            [
                range(0, 100_000, 1000),
                range(1000, 1000, 1),
                range(1001, 101_000, 64_536)
            ]
        );
        assert_eq!(
            kept(&host, 0).unwrap(),
            [range(0, 1000, 1), range(1, 100_000, 65_536)]
        );
        assert_eq!(
            kept(&host, 65_536).unwrap(),
            [range(0, 100_000, 65_536), range(65_536, 1000, 1)]
        );
        assert!(kept(&host, 65_537).is_none());
        assert!(kept(&[range(0, 1000, 1)], 1000).is_none());
        assert_eq!(kept(&[range(0, 1000, 1)], 0).unwrap(), [range(0, 1000, 1)]);
        let several = [range(0, 1000, 1), range(1, 5000, 10), range(11, 7000, 10)];
        assert_eq!(
            kept(&several, 12).unwrap(),
            [
                range(0, 5000, 10),
                range(10, 7000, 2),
                range(12, 1000, 1),
                range(13, 7002, 8)
            ]
        );
    }

    #[test]
    fn modes_are_read_or_refused_with_the_reason() {
        assert_eq!(UserMode::parse("host").unwrap(), UserMode::Host);
        let kept = UserMode::parse("keep-id:uid=7,gid=8").unwrap();
        assert_eq!(kept, UserMode::KeepId { uid: 7, gid: 8 });
        for text in [
            "nomap",
            "auto",
            "container:x",
            "keep-id:size=7",
            "keep-id:uid=x",
            "frob",
        ] {
            assert!(UserMode::parse(text).is_err(), "{text}");
        }
    }
}
