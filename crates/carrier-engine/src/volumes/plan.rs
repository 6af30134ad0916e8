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
        if options.image_volumes == ImageVolumes::Ignore {
            break;
        }
        // As Docker: images name directories below the root.
        let target = container_path(&format!("/{text}"))?;
        let mount = image_volume(&target, options.image_volumes);
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

fn image_volume(target: &str, fate: ImageVolumes) -> MountPoint {
    let source = match fate {
        ImageVolumes::Tmpfs => MountSource::Tmpfs {
            options: Vec::new(),
            copy: true,
        },
        ImageVolumes::Volumes | ImageVolumes::Ignore => MountSource::anonymous(),
    };
    MountPoint::new(target.to_owned(), source, Origin::Image)
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
        // Whose files they are and what they begin with is the other one's.
        mount.chown = false;
        if let MountSource::Volume { copy, .. } = &mut mount.source {
            *copy = false;
        }
        // As Docker: what he may only read nobody else writes by him.
        if read_only == Some(true) {
            mount.read_only = ReadOnly::All;
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
        for volume in ["/proc", "proc/self/attr", "/", ""] {
            let asked = StorageOptions::default();
            assert!(
                combine(&asked, Vec::new(), [volume], false).is_err(),
                "{volume}"
            );
        }
    }

    #[test]
    fn directories_of_an_image_are_below_its_root_or_of_no_concern() {
        let mut asked = StorageOptions::default();
        let mounts = combine(&asked, Vec::new(), ["data/x"], false).unwrap();
        assert_eq!(mounts.first().unwrap().target, "/data/x");
        asked.image_volumes = ImageVolumes::Ignore;
        let mounts = combine(&asked, Vec::new(), ["/proc", "data"], false).unwrap();
        assert!(mounts.is_empty());
    }

    #[test]
    fn mounts_of_others_are_theirs_to_fill_give_away_and_protect() {
        let theirs = [option("theirs:/a:ro,U"), option("/h:/b")];
        for (asked, expected) in [
            (None, [ReadOnly::All, ReadOnly::No]),
            (Some(false), [ReadOnly::All, ReadOnly::No]),
            (Some(true), [ReadOnly::All, ReadOnly::All]),
        ] {
            let mounts = inherited(&theirs, asked);
            let found: Vec<ReadOnly> = mounts.iter().map(|mount| mount.read_only).collect();
            assert_eq!(found, expected, "{asked:?}");
            let keeps = |mount: &MountPoint| {
                mount.chown || matches!(mount.source, MountSource::Volume { copy: true, .. })
            };
            assert!(!mounts.iter().any(keeps));
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
