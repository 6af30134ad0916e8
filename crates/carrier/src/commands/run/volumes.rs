//! What a container mounts, from its options.

use std::path::{Path, PathBuf};

use carrier_engine::{
    DevicePoint, ImageVolumes, MountPoint, StorageOptions, UserMode, VolumeError, VolumesFrom, size,
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
    let shm_size = args.shm_size.as_deref().map(size).transpose();
    let shm_size = shm_size.map_err(super::resources::refuse)?;
    Ok(StorageOptions {
        mounts,
        volumes_from: others.collect::<Result<_, _>>().map_err(failure)?,
        image_volumes: match args.image_volume {
            ImageVolumeFate::Anonymous => ImageVolumes::Volumes,
            ImageVolumeFate::Tmpfs => ImageVolumes::Tmpfs,
            ImageVolumeFate::Ignore => ImageVolumes::Ignore,
        },
        // Docker takes none for the default, the kernel for no limit.
        shm_size: shm_size.filter(|bytes| *bytes > 0),
        devices: devices.collect::<Result<_, _>>().map_err(failure)?,
        read_only_tmpfs: args.read_only_tmpfs,
    })
}

pub(super) fn user_mode(args: &StorageArgs) -> Result<Option<UserMode>, Failure> {
    let asked = args.userns.as_deref().filter(|mode| !mode.is_empty());
    asked.map(UserMode::parse).transpose().map_err(failure)
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

fn failure(error: VolumeError) -> Failure {
    carrier_engine::Error::from(error).into()
}
