//! What a container mounts, from its options.

use std::path::{Path, PathBuf};

use carrier_engine::{
    DevicePoint, ImageVolumes, MountPoint, StorageOptions, UserMode, VolumeError, VolumesFrom,
};

use crate::cli::volumes::{ImageVolumeFate, StorageArgs};
use crate::progress::warn;
use crate::report::Failure;

pub(super) fn storage(args: &StorageArgs) -> Result<StorageOptions, Failure> {
    let directory = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let mut mounts = Vec::new();
    let of_volumes = args.volume.iter();
    let of_volumes = of_volumes.map(|text| MountPoint::from_volume_option(text, &directory));
    let of_mounts = args.mount.iter();
    let of_mounts = of_mounts.map(|text| MountPoint::from_mount_option(text, &directory));
    let of_tmpfs = args
        .tmpfs
        .iter()
        .map(|text| MountPoint::from_tmpfs_option(text));
    for mount in of_volumes.chain(of_mounts).chain(of_tmpfs) {
        let mount = mount.map_err(failure)?;
        tell_of_sharing(&mount);
        mounts.push(mount);
    }
    let others = args
        .volumes_from
        .iter()
        .map(|text| VolumesFrom::parse(text));
    let devices = args.device.iter().map(|text| DevicePoint::parse(text));
    Ok(StorageOptions {
        mounts,
        volumes_from: others.collect::<Result<_, _>>().map_err(failure)?,
        image_volumes: match args.image_volume {
            ImageVolumeFate::Anonymous => ImageVolumes::Volumes,
            ImageVolumeFate::Tmpfs => ImageVolumes::Tmpfs,
            ImageVolumeFate::Ignore => ImageVolumes::Ignore,
        },
        shm_size: args.shm_size.as_deref().map(bytes).transpose()?,
        devices: devices.collect::<Result<_, _>>().map_err(failure)?,
        read_only_tmpfs: args.read_only_tmpfs,
    })
}

pub(super) fn user_mode(args: &StorageArgs) -> Result<UserMode, Failure> {
    UserMode::parse(args.userns.as_deref().unwrap_or_default()).map_err(failure)
}

pub(super) fn groups(args: &StorageArgs) -> Result<Vec<String>, Failure> {
    let keeps = args.group_add.iter().any(|group| group == "keep-groups");
    if keeps && args.group_add.len() > 1 {
        return Err(Failure::with_hint(
            "the '--group-add keep-groups' option is not allowed with any other --group-add options",
            "leave the others out: the kernel lets nobody add to groups that are not mapped",
        ));
    }
    Ok(args.group_add.clone())
}

/// The host's mounts are another user's, whom no mount of a container reaches.
fn tell_of_sharing(mount: &MountPoint) {
    if let Some(word @ ("shared" | "rshared")) = mount.propagation.as_deref() {
        warn(&format!(
            "{word} on {}: what is mounted in the container is not seen on the host",
            Path::new(&mount.target).display()
        ));
    }
}

pub(super) fn failure(error: VolumeError) -> Failure {
    carrier_engine::Error::from(error).into()
}

/// A number of bytes, with b, k, m or g behind it as in Docker.
pub(super) fn bytes(text: &str) -> Result<u64, Failure> {
    let lower = text.to_ascii_lowercase();
    let number = lower.trim_end_matches('b').trim_end_matches('i');
    let (digits, shift) = match number.char_indices().last() {
        Some((at, unit @ ('k' | 'm' | 'g' | 't'))) => {
            let shift = match unit {
                'k' => 10,
                'm' => 20,
                'g' => 30,
                _ => 40,
            };
            (&number[..at], shift)
        }
        _ => (number, 0),
    };
    let size = digits.parse::<u64>().ok();
    let size = size.and_then(|size| size.checked_mul(1 << shift));
    size.filter(|size| *size > 0).ok_or_else(|| {
        Failure::with_hint(
            format!("invalid size: {text:?}"),
            "sizes are numbers of bytes, or look like 512k, 64m and 1g",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_dockers() {
        for (text, expected) in [
            ("1", 1),
            ("10b", 10),
            ("64k", 65_536),
            ("64M", 64 << 20),
            ("1gb", 1 << 30),
            ("2GiB", 2 << 30),
        ] {
            assert_eq!(bytes(text).unwrap(), expected, "{text}");
        }
        for text in ["", "0", "-1", "1x", "m", "99999999999g"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
