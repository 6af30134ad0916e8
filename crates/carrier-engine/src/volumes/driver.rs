//! Options of the driver `local`: what is behind a volume.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::VolumeError;
use super::mount_point::{MountPoint, MountSource, Origin};

/// What is behind a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Backing {
    /// A directory in the store.
    Directory,
    /// A directory of the host.
    Bind {
        path: PathBuf,
        recursive: bool,
        flags: Vec<String>,
    },
    /// A filesystem in memory, each container's own while it runs.
    Tmpfs {
        options: Vec<String>,
        flags: Vec<String>,
    },
}

const KEYS: &str =
    "options are type=none,o=bind,device=/PATH and type=tmpfs,o=size=...,device=tmpfs";

impl Backing {
    /// Reads the options.
    pub(crate) fn of(options: &BTreeMap<String, String>) -> Result<Self, VolumeError> {
        if let Some(key) = options
            .keys()
            .find(|key| !matches!(key.as_str(), "type" | "o" | "device"))
        {
            let reason = match key.as_str() {
                "size" => "quota of a volume: no file system of an ordinary user has any",
                _ => "invalid option",
            };
            return Err(VolumeError::invalid(format!("{reason}: {key:?}"), KEYS));
        }
        let get = |key: &str| options.get(key).map_or("", String::as_str);
        let (kind, words, device) = (get("type"), get("o"), get("device"));
        if kind.is_empty() && words.is_empty() && device.is_empty() {
            return Ok(Self::Directory);
        }
        let words: Vec<&str> = words.split(',').filter(|word| !word.is_empty()).collect();
        let binds = words.iter().any(|word| matches!(*word, "bind" | "rbind"));
        match kind {
            "" | "none" | "bind" if binds || kind == "bind" => bind(&words, device),
            "tmpfs" => tmpfs(&words),
            "" | "none" => Err(VolumeError::invalid(
                format!("missing type or o=bind in volume options for device {device:?}"),
                KEYS,
            )),
            other => Err(VolumeError::invalid(
                format!("volumes of type {other:?}: the kernel lets only root mount them"),
                "have it mounted on the host, and use that directory: -v /PATH:TARGET",
            )),
        }
    }
}

fn bind(words: &[&str], device: &str) -> Result<Backing, VolumeError> {
    if !Path::new(device).is_absolute() {
        return Err(VolumeError::invalid(
            format!("missing device in volume options: {device:?} is no absolute path"),
            "add --opt device=/PATH",
        ));
    }
    let mut flags = Vec::new();
    for word in words {
        match *word {
            "bind" | "rbind" | "rw" | "defaults" => {}
            "ro" | "nosuid" | "suid" | "nodev" | "dev" | "noexec" | "exec" => {
                flags.push((*word).to_owned());
            }
            other => {
                return Err(VolumeError::invalid(
                    format!("invalid option {other:?} of a bind mount"),
                    "options are bind, rbind, ro, nosuid, nodev and noexec",
                ));
            }
        }
    }
    Ok(Backing::Bind {
        path: PathBuf::from(device),
        recursive: !words.contains(&"bind"),
        flags,
    })
}

fn tmpfs(words: &[&str]) -> Result<Backing, VolumeError> {
    let source = MountSource::Tmpfs {
        options: Vec::new(),
        copy: false,
    };
    let mut mount = MountPoint::new("/volume".to_owned(), source, Origin::Volume);
    for word in words {
        if *word == "ro" {
            mount.flags.push("ro".to_owned());
        } else {
            mount.apply_to_tmpfs(word)?;
        }
    }
    let MountSource::Tmpfs { options, .. } = mount.source else {
        return Ok(Backing::Directory);
    };
    Ok(Backing::Tmpfs {
        options,
        flags: mount.flags,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(options: &[(&str, &str)]) -> Result<Backing, String> {
        let pairs = options.iter();
        let options = pairs.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Backing::of(&options.collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_volume_is_a_directory_unless_its_options_say_otherwise() {
        assert_eq!(of(&[]), Ok(Backing::Directory));
        let bind = of(&[("type", "none"), ("o", "bind,ro"), ("device", "/srv")]);
        let expected = Backing::Bind {
            path: "/srv".into(),
            recursive: false,
            flags: vec!["ro".to_owned()],
        };
        assert_eq!(bind, Ok(expected));
        let memory = of(&[
            ("type", "tmpfs"),
            ("o", "size=1m,noexec"),
            ("device", "tmpfs"),
        ]);
        let expected = Backing::Tmpfs {
            options: vec!["size=1048576".to_owned()],
            flags: vec!["noexec".to_owned()],
        };
        assert_eq!(memory, Ok(expected));
    }

    #[test]
    fn what_only_root_could_mount_is_refused() {
        for (options, expected) in [
            (&[("type", "nfs"), ("device", ":/x")][..], "only root"),
            (&[("type", "ext4"), ("device", "/dev/sda1")], "only root"),
            (&[("size", "1g")], "quota"),
            (&[("colour", "red")], "invalid option"),
            (&[("device", "/srv")], "missing type"),
            (
                &[("type", "none"), ("o", "bind"), ("device", "srv")],
                "missing device",
            ),
            (
                &[("type", "tmpfs"), ("o", "colour")],
                "invalid tmpfs option",
            ),
        ] {
            let refused = of(options).unwrap_err();
            assert!(refused.contains(expected), "{refused}");
        }
    }
}
