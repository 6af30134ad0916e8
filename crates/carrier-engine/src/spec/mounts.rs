//! The mounts of a container.

use std::path::{Path, PathBuf};

use oci_spec::OciSpecError;
use oci_spec::runtime::{Mount, MountBuilder};

use super::Facts;
use crate::host::Host;
use crate::net::NetworkMode;
use crate::volumes::depth;

/// The group that owns terminals, on every distribution.
const TTY_GROUP: u32 = 5;

pub(super) fn build(facts: &Facts<'_>) -> Result<Vec<Mount>, OciSpecError> {
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"])?,
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "noexec", "strictatime", "mode=755", "size=65536k"],
        )?,
        terminals(facts.host)?,
        mount(
            "/dev/shm",
            "tmpfs",
            "shm",
            &["nosuid", "noexec", "nodev", "mode=1777", &shm_size(facts)],
        )?,
        mount(
            "/dev/mqueue",
            "mqueue",
            "mqueue",
            &["nosuid", "noexec", "nodev"],
        )?,
    ];
    mounts.extend(sys(facts)?);
    for (source, destination) in facts.etc.mounts(facts.record) {
        mounts.push(bind(
            source,
            &destination,
            &["bind", "nosuid", "nodev", "noexec"],
        )?);
    }
    mounts.retain(|mount| !is_covered(mount.destination(), facts.mounts));
    mounts.extend_from_slice(facts.mounts);
    // What is mounted deeper is mounted later; else the order stays.
    mounts.sort_by_key(|mount| depth(&mount.destination().to_string_lossy()));
    Ok(mounts)
}

/// Whether the user mounts something there; with a `/dev` or `/sys` of his own, he has what is in it.
fn is_covered(place: &Path, mounts: &[Mount]) -> bool {
    let below = |root: &str, target: &Path| target == Path::new(root) && place.starts_with(root);
    let mut targets = mounts.iter().map(|mount| mount.destination().as_path());
    targets.any(|target| target == place || below("/dev", target) || below("/sys", target))
}

fn shm_size(facts: &Facts<'_>) -> String {
    match facts.record.storage.shm_size {
        Some(bytes) => format!("size={bytes}"),
        None => "size=65536k".to_owned(),
    }
}

fn terminals(host: &Host) -> Result<Mount, OciSpecError> {
    let mut options = vec![
        "nosuid",
        "noexec",
        "newinstance",
        "ptmxmode=0666",
        "mode=0620",
    ];
    if host.maps_group(TTY_GROUP) {
        options.push("gid=5");
    }
    mount("/dev/pts", "devpts", "devpts", &options)
}

/// `/sys` shows devices of one network namespace; the host's cannot be mounted anew, only bound.
fn sys(facts: &Facts<'_>) -> Result<Vec<Mount>, OciSpecError> {
    let closed = ["nosuid", "noexec", "nodev", "ro"];
    if facts.record.network == NetworkMode::Host {
        let options = ["rbind", "nosuid", "noexec", "nodev", "ro"];
        return Ok(vec![bind(PathBuf::from("/sys"), "/sys", &options)?]);
    }
    let mut mounts = vec![mount("/sys", "sysfs", "sysfs", &closed)?];
    if facts.record.resources.host_cgroups {
        let options = ["rbind", "nosuid", "noexec", "nodev", "ro"];
        mounts.push(bind(
            PathBuf::from("/sys/fs/cgroup"),
            "/sys/fs/cgroup",
            &options,
        )?);
    } else if facts.host.has_cgroup2 {
        mounts.push(mount("/sys/fs/cgroup", "cgroup2", "cgroup", &closed)?);
    }
    Ok(mounts)
}

fn mount(
    destination: &str,
    kind: &str,
    source: &str,
    options: &[&str],
) -> Result<Mount, OciSpecError> {
    MountBuilder::default()
        .destination(destination)
        .typ(kind)
        .source(source)
        .options(options.iter().map(ToString::to_string).collect::<Vec<_>>())
        .build()
}

fn bind(source: PathBuf, destination: &str, options: &[&str]) -> Result<Mount, OciSpecError> {
    MountBuilder::default()
        .destination(destination)
        .typ("bind")
        .source(source)
        .options(options.iter().map(ToString::to_string).collect::<Vec<_>>())
        .build()
}
