//! Which mounts a container gets: those of other containers, of the user, and of the image; pure.

use std::collections::HashMap;

use super::error::VolumeError;
use super::mount_point::{ImageVolumes, MountPoint, MountSource, Origin, ReadOnly, StorageOptions};
use super::parse::container_path;

/// Where programs may write in a root that they may not, and who may: Podman's places.
const WRITABLE: [(&str, &str); 3] = [("/run", "755"), ("/tmp", "1777"), ("/var/tmp", "1777")];

/// Puts the mounts together, in the order of their targets: the user's are stronger than those of other
/// containers, and both than the image's.
pub(super) fn combine<'a>(
    options: &StorageOptions,
    others: Vec<MountPoint>,
    image_volumes: impl IntoIterator<Item = &'a str>,
    read_only_root: bool,
) -> Result<Vec<MountPoint>, VolumeError> {
    let mut mounts: HashMap<String, MountPoint> = HashMap::new();
    for other in others {
        mounts.insert(other.target.clone(), other);
    }
    for mount in &options.mounts {
        let before = mounts.insert(mount.target.clone(), mount.clone());
        if before.is_some_and(|before| before.origin != Origin::VolumesFrom) {
            return Err(VolumeError::Duplicate(mount.target.clone()));
        }
    }
    for text in image_volumes {
        let target = container_path(text)?;
        let Some(mount) = image_volume(&target, options.image_volumes) else {
            continue;
        };
        mount.check()?;
        mounts.entry(target).or_insert(mount);
    }
    if read_only_root && options.read_only_tmpfs {
        for (target, mode) in WRITABLE {
            let fresh = || writable(target, mode);
            mounts.entry(target.to_owned()).or_insert_with(fresh);
        }
    }
    let mut mounts: Vec<MountPoint> = mounts.into_values().collect();
    mounts.sort_by(|a, b| {
        depth(&a.target)
            .cmp(&depth(&b.target))
            .then(a.target.cmp(&b.target))
    });
    Ok(mounts)
}

/// How many names are in a path: what is mounted deeper is mounted later.
pub(crate) fn depth(path: &str) -> usize {
    path.split('/').filter(|name| !name.is_empty()).count()
}

fn image_volume(target: &str, fate: ImageVolumes) -> Option<MountPoint> {
    let source = match fate {
        ImageVolumes::Ignore => return None,
        ImageVolumes::Volumes => MountSource::anonymous(),
        ImageVolumes::Tmpfs => MountSource::Tmpfs {
            options: Vec::new(),
            copy: true,
        },
    };
    Some(MountPoint::new(target.to_owned(), source, Origin::Image))
}

fn writable(target: &str, mode: &str) -> MountPoint {
    let source = MountSource::Tmpfs {
        options: vec![format!("mode={mode}")],
        copy: true,
    };
    let mut mount = MountPoint::new(target.to_owned(), source, Origin::ReadOnly);
    // Programs unpack themselves there.
    mount.flags.push("exec".to_owned());
    mount
}

/// The mounts of another container, as this one gets them.
pub(super) fn inherited(mounts: &[MountPoint], read_only: Option<bool>) -> Vec<MountPoint> {
    let shared = mounts.iter().filter(|mount| {
        matches!(
            mount.source,
            MountSource::Bind { .. } | MountSource::Volume { .. }
        )
    });
    let inherit = |mount: &MountPoint| {
        let mut mount = mount.clone();
        mount.origin = Origin::VolumesFrom;
        match read_only {
            Some(true) => mount.read_only = ReadOnly::All,
            Some(false) => mount.read_only = ReadOnly::No,
            None => {}
        }
        mount
    };
    shared.map(inherit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(text: &str) -> MountPoint {
        MountPoint::from_volume_option(text, std::path::Path::new("/work")).unwrap()
    }

    fn options(texts: &[&str]) -> StorageOptions {
        StorageOptions {
            mounts: texts.iter().map(|text| option(text)).collect(),
            ..StorageOptions::default()
        }
    }

    #[test]
    fn the_users_mounts_are_stronger_than_those_of_others_and_of_the_image() {
        let others = inherited(&[option("theirs:/a"), option("theirs:/b")], Some(true));
        let asked = options(&["own:/b"]);
        let mounts = combine(&asked, others, ["/b", "/c/d", "/c"], false).unwrap();
        let shown: Vec<String> = mounts
            .iter()
            .map(|mount| {
                let name = mount.volume().map_or("new", |name| name.as_str());
                format!("{} {name} {:?}", mount.target, mount.read_only)
            })
            .collect();
        assert_eq!(
            shown,
            ["/a theirs All", "/b own No", "/c new No", "/c/d new No"]
        );
    }

    #[test]
    fn two_mounts_at_one_place_are_refused() {
        let asked = options(&["one:/a", "two:/b/../a"]);
        let refused = combine(&asked, Vec::new(), [], false).unwrap_err();
        assert_eq!(refused.to_string(), "duplicate mount point: /a");
    }

    #[test]
    fn an_image_cannot_ask_for_what_a_user_cannot() {
        for volume in ["/proc", "/proc/self/attr", "/", "relative"] {
            let asked = StorageOptions::default();
            assert!(
                combine(&asked, Vec::new(), [volume], false).is_err(),
                "{volume}"
            );
        }
    }

    #[test]
    fn a_read_only_root_has_places_to_write_where_that_is_asked_for() {
        let asked = StorageOptions {
            read_only_tmpfs: true,
            ..options(&["own:/tmp"])
        };
        let targets = |read_only| -> Vec<String> {
            let mounts = combine(&asked, Vec::new(), [], read_only).unwrap();
            mounts.into_iter().map(|mount| mount.target).collect()
        };
        assert_eq!(targets(true), ["/run", "/tmp", "/var/tmp"]);
        assert_eq!(targets(false), ["/tmp"]);
    }
}
