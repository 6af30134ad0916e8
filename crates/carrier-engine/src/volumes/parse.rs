//! `-v`, `--tmpfs` and `--volumes-from`.

use std::path::{Component, Path, PathBuf};

use super::error::VolumeError;
use super::mount_point::{MountPoint, MountSource, Origin, ReadOnly, VolumesFrom};
use crate::resources::size;

/// Words about whether mounts arrive.
pub(super) const PROPAGATIONS: [&str; 6] = [
    "shared", "rshared", "slave", "rslave", "private", "rprivate",
];

/// Words of mount(8) about a mount.
const FLAGS: [&str; 8] = [
    "dev", "nodev", "exec", "noexec", "suid", "nosuid", "noatime", "relatime",
];

/// Options of a tmpfs beside flags.
const TMPFS_KEYS: [&str; 9] = [
    "size",
    "mode",
    "uid",
    "gid",
    "nr_inodes",
    "nr_blocks",
    "mpol",
    "huge",
    "inode64",
];

const FORMS: &str = "forms are -v TARGET, -v VOLUME:TARGET[:OPTIONS] and -v /PATH:TARGET[:OPTIONS]";

impl MountPoint {
    /// Reads the value of `-v`; a path that begins with a dot starts at `directory`.
    ///
    /// # Errors
    /// [`VolumeError`].
    pub fn from_volume_option(text: &str, directory: &Path) -> Result<Self, VolumeError> {
        let invalid =
            || VolumeError::invalid(format!("invalid volume specification: {text:?}"), FORMS);
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, mode) = match parts.as_slice() {
            [target] => (None, *target, ""),
            [source, target] => (Some(*source), *target, ""),
            [source, target, mode] => (Some(*source), *target, *mode),
            _ => return Err(invalid()),
        };
        let is_bad =
            target.is_empty() || source == Some("") || (parts.len() == 3 && mode.is_empty());
        if is_bad {
            return Err(invalid());
        }
        let source = match source {
            None => MountSource::anonymous(),
            Some(path) if path.starts_with(['/', '.']) => MountSource::Bind {
                path: clean(&directory.join(path)),
                make: true,
                recursive: true,
            },
            Some(name) => MountSource::named(volume_name(name)?),
        };
        let mut mount = Self::new(container_path(target)?, source, Origin::Volume);
        mount.mode = mode.to_owned();
        for word in mode.split(',').filter(|word| !word.is_empty()) {
            mount.apply(word, text)?;
        }
        mount.check()?;
        Ok(mount)
    }

    /// What a word behind the second colon of `-v` does.
    fn apply(&mut self, word: &str, text: &str) -> Result<(), VolumeError> {
        let invalid = || {
            VolumeError::invalid(
                format!("invalid mode: {word} in {text:?}"),
                "options are ro, rw, z, Z, U, O, copy, nocopy, cached, delegated, consistent, dev, nodev, exec, noexec, suid, nosuid, \
                 bind, rbind, nocreate, and shared, slave and private with or without an r in front",
            )
        };
        match word {
            "ro" => self.read_only = ReadOnly::All,
            "rw" => self.read_only = ReadOnly::No,
            // Labels of SELinux: see `volumes::refuse_labels`.
            "z" | "Z" => {}
            // Docker's promises of a file system that is another machine's: here they all hold.
            "cached" | "consistent" | "delegated" => {}
            "U" => self.chown = true,
            "O" => self.overlay = true,
            "copy" | "nocopy" => match &mut self.source {
                MountSource::Volume { copy, .. } => *copy = word == "copy",
                _ => return Err(invalid()),
            },
            "nocreate" => match &mut self.source {
                MountSource::Bind { make, .. } => *make = false,
                _ => return Err(invalid()),
            },
            "bind" | "rbind" => match &mut self.source {
                MountSource::Bind { recursive, .. } => *recursive = word == "rbind",
                _ => return Err(invalid()),
            },
            "unbindable" | "runbindable" => {
                return Err(VolumeError::invalid(
                    format!(
                        "{word} in {text:?}: nothing in a container can make bind mounts of it"
                    ),
                    "use private",
                ));
            }
            word if PROPAGATIONS.contains(&word) => {
                if !matches!(self.source, MountSource::Bind { .. }) {
                    return Err(invalid());
                }
                self.propagation = Some(word.to_owned());
            }
            word if FLAGS.contains(&word) => self.flags.push(word.to_owned()),
            word if word == "idmap" || word.starts_with("idmap=") => return Err(no_id_map(text)),
            _ => return Err(invalid()),
        }
        Ok(())
    }

    /// Refuses what contradicts itself.
    pub(super) fn check(&self) -> Result<(), VolumeError> {
        if self.target == "/" {
            return Err(VolumeError::invalid(
                "invalid specification: destination can't be '/'",
                "mount it below, or make an image of it: `carrier import`",
            ));
        }
        refuse_proc(&self.target)?;
        if self.overlay && matches!(self.source, MountSource::Tmpfs { .. }) {
            return Err(VolumeError::invalid(
                format!("the overlay on {} would be one on nothing", self.target),
                "leave O out",
            ));
        }
        let is_image = matches!(self.source, MountSource::Image { .. });
        if self.chown && (self.overlay || is_image) {
            return Err(VolumeError::invalid(
                format!(
                    "the files below {} are not the container's to have",
                    self.target
                ),
                "leave U out: what is written over them is the container's anyway",
            ));
        }
        if self.overlay && self.read_only != ReadOnly::No {
            return Err(VolumeError::invalid(
                format!("{} cannot be read-only and an overlay at once", self.target),
                "leave O or ro out",
            ));
        }
        Ok(())
    }

    /// Reads the value of `--tmpfs`.
    ///
    /// # Errors
    /// [`VolumeError`].
    pub fn from_tmpfs_option(text: &str) -> Result<Self, VolumeError> {
        let (target, words) = text.split_once(':').unwrap_or((text, ""));
        let source = MountSource::Tmpfs {
            options: Vec::new(),
            copy: false,
        };
        let mut mount = Self::new(container_path(target)?, source, Origin::Tmpfs);
        mount.mode = words.to_owned();
        for word in words.split(',').filter(|word| !word.is_empty()) {
            mount.apply_to_tmpfs(word)?;
        }
        mount.check()?;
        Ok(mount)
    }

    pub(super) fn apply_to_tmpfs(&mut self, word: &str) -> Result<(), VolumeError> {
        let MountSource::Tmpfs { options, copy } = &mut self.source else {
            return Ok(());
        };
        match word {
            "ro" => self.read_only = ReadOnly::All,
            "rw" => self.read_only = ReadOnly::No,
            "tmpcopyup" => *copy = true,
            "notmpcopyup" => *copy = false,
            "U" => self.chown = true,
            // What a tmpfs has anyway.
            "defaults" | "private" | "rprivate" | "z" | "Z" => {}
            word if FLAGS.contains(&word) => self.flags.push(word.to_owned()),
            _ => options.push(tmpfs_option(word)?),
        }
        Ok(())
    }
}

/// An option as the kernel takes it, which knows neither `64mb` nor `1.5g`.
fn tmpfs_option(word: &str) -> Result<String, VolumeError> {
    let invalid = || {
        VolumeError::invalid(
            format!("invalid tmpfs option {word:?}"),
            "options are ro, rw, exec, noexec, suid, nosuid, dev, nodev, size=64m, mode=1777, uid=, gid=, \
             nr_inodes=, nr_blocks= and tmpcopyup",
        )
    };
    let (key, value) = word.split_once('=').ok_or_else(invalid)?;
    if value.is_empty() || !TMPFS_KEYS.contains(&key) {
        return Err(invalid());
    }
    let value = match key {
        // Of the memory of the host.
        "size" if value.ends_with('%') => {
            let percent = value.trim_end_matches('%').parse::<u32>();
            format!("{}%", percent.map_err(|_| invalid())?)
        }
        "size" | "nr_blocks" | "nr_inodes" => size(value).map_err(|_| invalid())?.to_string(),
        "mode" => match u32::from_str_radix(value, 8) {
            Ok(mode) if mode <= 0o7777 => value.to_owned(),
            _ => return Err(invalid()),
        },
        "uid" | "gid" => value.parse::<u32>().map_err(|_| invalid())?.to_string(),
        _ => value.to_owned(),
    };
    Ok(format!("{key}={value}"))
}

pub(super) fn no_id_map(text: &str) -> VolumeError {
    VolumeError::invalid(
        format!(
            "idmap in {text:?}: the kernel lets only root map the ids of the host's file systems"
        ),
        "--userns keep-id makes the files that the container writes yours",
    )
}

/// Files of `/proc` that others provide, as LXCFS does; runc's list.
const PROC_FILES: [&str; 8] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
];

/// What is written to `/proc` has to reach the kernel (CVE-2019-16884).
pub(super) fn refuse_proc(target: &str) -> Result<(), VolumeError> {
    let is_inside = target == "/proc" || target.starts_with("/proc/");
    if is_inside && !PROC_FILES.contains(&target) {
        return Err(VolumeError::invalid(
            format!("{target:?} cannot be mounted because it is inside /proc"),
            "mount it elsewhere",
        ));
    }
    Ok(())
}

pub(super) fn volume_name(text: &str) -> Result<carrier_spec::VolumeName, VolumeError> {
    text.parse()
        .map_err(|error: carrier_spec::ParseVolumeNameError| {
            let hint =
                "a directory of the host is named by its absolute path, or one that begins with ./";
            VolumeError::invalid(error.to_string(), hint)
        })
}

/// A place in the container.
pub(super) fn container_path(text: &str) -> Result<String, VolumeError> {
    if !text.starts_with('/') {
        return Err(VolumeError::invalid(
            format!("invalid mount path: {text:?} mount path must be absolute"),
            "begin the path in the container with a slash",
        ));
    }
    let path = clean(Path::new(text));
    match path.into_os_string().into_string() {
        Ok(path) if !path.contains('\0') => Ok(path),
        _ => Err(VolumeError::invalid(
            format!("invalid mount path: {text:?}"),
            FORMS,
        )),
    }
}

/// The path without `.` and `..`, as Docker takes it: no link is looked at.
pub(crate) fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => cleaned.push(name),
            Component::ParentDir => drop(cleaned.pop()),
            _ => {}
        }
    }
    cleaned
}

impl VolumesFrom {
    /// Reads the value of `--volumes-from`.
    ///
    /// # Errors
    /// [`VolumeError`].
    pub fn parse(text: &str) -> Result<Self, VolumeError> {
        let (container, words) = text.split_once(':').unwrap_or((text, ""));
        let (mut read_only, mut relabel) = (None, false);
        for word in words.split(',').filter(|word| !word.is_empty()) {
            match word {
                "ro" => read_only = Some(true),
                "rw" => read_only = Some(false),
                "z" => relabel = true,
                _ => {
                    return Err(VolumeError::invalid(
                        format!("invalid mode for volumes-from: {word}"),
                        "modes are ro, rw and z",
                    ));
                }
            }
        }
        if container.is_empty() {
            return Err(VolumeError::invalid(
                format!("malformed volumes-from specification: {text:?}"),
                "name a container: --volumes-from CONTAINER[:ro]",
            ));
        }
        Ok(Self {
            container: container.to_owned(),
            read_only,
            relabel,
        })
    }
}
