//! Devices of the host: the node is mounted, since only the host's root can make one.

use std::ffi::OsString;
use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use oci_spec::OciSpecError;
use oci_spec::runtime::{Mount, MountBuilder};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::error::VolumeError;
use super::parse::{clean, refuse_proc};
use crate::fallback::words;

/// A device of the host, or a directory of devices, and where it is in the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevicePoint {
    /// On the host: an absolute path.
    pub host: PathBuf,
    /// In the container.
    pub target: String,
    /// Docker's letters: what may be done.
    pub permissions: String,
}

const FORMS: &str = "the form is --device /dev/HOST[:/dev/CONTAINER[:rwm]]";

/// Deeper trees of devices are no real ones.
const MAX_DEPTH: usize = 8;

impl DevicePoint {
    /// Reads the value of `--device`.
    ///
    /// # Errors
    /// [`VolumeError`].
    pub fn parse(text: &str) -> Result<Self, VolumeError> {
        let invalid =
            |reason: &str| VolumeError::invalid(format!("device {text:?}: {reason}"), FORMS);
        let parts: Vec<&str> = text.split(':').collect();
        let (host, target, permissions) = match parts.as_slice() {
            [host] => (*host, *host, "rwm"),
            [host, letters] if is_permissions(letters) => (*host, *host, *letters),
            [host, target] => (*host, *target, "rwm"),
            [host, target, letters] => (*host, *target, *letters),
            _ => return Err(invalid("it has too many parts")),
        };
        if !host.starts_with('/') && host.contains('=') {
            return Err(VolumeError::invalid(
                format!("device {text:?}: devices of CDI are not available"),
                "name the nodes: --device /dev/...",
            ));
        }
        if !host.starts_with('/') || !target.starts_with('/') {
            return Err(invalid("its paths must be absolute"));
        }
        if !is_permissions(permissions) {
            return Err(invalid("permissions are letters of rwm"));
        }
        if !permissions.contains('r') || !permissions.contains('w') {
            return Err(VolumeError::invalid(
                format!(
                    "device {text:?}: only root of the host can forbid a container to read or to write a device"
                ),
                "leave the permissions out, and change the mode of the node on the host",
            ));
        }
        let target = clean(Path::new(target)).display().to_string();
        refuse_proc(&target)?;
        Ok(Self {
            host: clean(Path::new(host)),
            target,
            permissions: permissions.to_owned(),
        })
    }

    /// The nodes that there are, each with its place in the container.
    pub(super) fn nodes(&self) -> Result<Vec<(PathBuf, String)>, VolumeError> {
        let refused = |reason: String| {
            VolumeError::invalid(
                format!(
                    "error gathering device information while adding custom device {:?}: {reason}",
                    self.host.display()
                ),
                "name a device of the host: `ls -l /dev`",
            )
        };
        // A link is a name for a device, such as those in /dev/disk.
        let real = real_path(&self.host).map_err(|errno| refused(words(errno)))?;
        let mut nodes = Vec::new();
        collect(&real, Path::new(&self.target), MAX_DEPTH, &mut nodes)
            .map_err(|error| refused(error.to_string()))?;
        if nodes.is_empty() {
            return Err(refused("not a device node".to_owned()));
        }
        Ok(nodes)
    }
}

/// The name that the kernel has for what is at a path.
fn real_path(path: &Path) -> Result<PathBuf, Errno> {
    let found = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let link = format!("/proc/self/fd/{}", found.as_raw_fd());
    let name = rustix::fs::readlink(link, Vec::new())?;
    Ok(PathBuf::from(OsString::from_vec(name.into_bytes())))
}

fn is_permissions(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| "rwm".contains(letter))
}

fn collect(
    host: &Path,
    target: &Path,
    depth: usize,
    nodes: &mut Vec<(PathBuf, String)>,
) -> std::io::Result<()> {
    let kind = fs::symlink_metadata(host)?.file_type();
    if kind.is_char_device() || kind.is_block_device() {
        nodes.push((host.to_owned(), target.display().to_string()));
    } else if kind.is_dir() && depth > 0 {
        for entry in fs::read_dir(host)? {
            let name = entry?.file_name();
            collect(&host.join(&name), &target.join(&name), depth - 1, nodes)?;
        }
    }
    Ok(())
}

/// The mount of one node.
pub(super) fn mount_of(host: PathBuf, target: &str) -> Result<Mount, OciSpecError> {
    let words = ["bind", "rprivate", "nosuid", "noexec"].map(str::to_owned);
    MountBuilder::default()
        .destination(target)
        .typ("bind")
        .source(host)
        .options(words.to_vec())
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_in_docker() {
        for (text, host, target, letters) in [
            ("/dev/fuse", "/dev/fuse", "/dev/fuse", "rwm"),
            ("/dev/fuse:rw", "/dev/fuse", "/dev/fuse", "rw"),
            ("/dev/a:/dev/b", "/dev/a", "/dev/b", "rwm"),
            ("/dev/a:/dev/../x:wr", "/dev/a", "/x", "wr"),
        ] {
            let read = DevicePoint::parse(text).unwrap();
            let expected = DevicePoint {
                host: host.into(),
                target: target.to_owned(),
                permissions: letters.to_owned(),
            };
            assert_eq!(read, expected);
        }
        for text in [
            "",
            "fuse",
            "/dev/a:b",
            "/dev/a:/dev/b:x",
            "/dev/a:r",
            "/a:/b:c:d",
            "x/y=z",
            "/dev/a:/proc/x",
        ] {
            assert!(DevicePoint::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_directory_gives_its_nodes_and_a_file_none() {
        let of = |path: &str| DevicePoint::parse(path).unwrap().nodes();
        assert_eq!(
            of("/dev/null").unwrap(),
            [("/dev/null".into(), "/dev/null".to_owned())]
        );
        assert!(
            of("/dev:/devices")
                .unwrap()
                .contains(&("/dev/null".into(), "/devices/null".to_owned()))
        );
        for path in ["/etc/passwd", "/no/such"] {
            assert!(of(path).is_err(), "{path}");
        }
    }
}
