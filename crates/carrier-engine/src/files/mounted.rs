//! Volumes and files of the host in a container that does not run: `cp` sees them there too.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use carrier_sys::mount::{Attributes, Change};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, MoveMountFlags, OpenTreeFlags};

use crate::engine::Engine;
use crate::error::Error;
use crate::record::ContainerRecord;
use crate::volumes::{MountSource, Place, ReadOnly};

const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// A volume, or a file or directory of the host.
pub(super) struct Part {
    source: PathBuf,
    subpath: Option<String>,
    target: String,
    recursive: bool,
    read_only: bool,
}

impl Engine {
    /// What a container that does not run has of volumes and of the host. What is in memory is gone, and
    /// what is written over images and directories was thrown away.
    pub(super) fn parts(&self, record: &ContainerRecord) -> Result<Vec<Part>, Error> {
        let mut parts = Vec::new();
        for mount in record.storage.mounts.iter().filter(|mount| !mount.overlay) {
            let (source, recursive) = match &mount.source {
                MountSource::Bind {
                    path, recursive, ..
                } => (path.clone(), *recursive),
                MountSource::Volume { .. } => match self.locate_volume(mount)? {
                    Place::Path {
                        path, recursive, ..
                    } => (path, recursive),
                    _ => continue,
                },
                _ => continue,
            };
            parts.push(Part {
                source,
                subpath: mount.subpath.clone(),
                target: mount.target.clone(),
                recursive,
                read_only: mount.read_only != ReadOnly::No,
            });
        }
        Ok(parts)
    }
}

impl Part {
    /// Mounts it below `root`, by descriptor; `writable` is whether places are made that do not exist.
    pub(super) fn mount(&self, root: &OwnedFd, writable: bool) -> io::Result<()> {
        let tree = match self.open() {
            // Nothing is there any more.
            Err(Errno::NOENT) => return Ok(()),
            other => other?,
        };
        let mut change = Change {
            propagation: MountPropagationFlags::PRIVATE.bits().into(),
            ..Change::default()
        };
        if self.read_only || !writable {
            change.set = Attributes::READ_ONLY;
        }
        carrier_sys::mount::change(tree.as_fd(), change, true)?;
        let is_directory =
            FileType::from_raw_mode(rustix::fs::fstat(&tree)?.st_mode) == FileType::Directory;
        let place = match place(root, &self.target) {
            Err(Errno::NOENT) if writable && is_directory => make(root, &self.target),
            other => other,
        };
        let place = match place {
            Err(Errno::NOENT) => return Ok(()),
            other => other?,
        };
        let flags =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        match rustix::mount::move_mount(&tree, c"", &place, c"", flags) {
            // The image has something else there: then the container cannot start either.
            Err(Errno::NOTDIR) => Ok(()),
            other => Ok(other?),
        }
    }

    fn open(&self) -> Result<OwnedFd, Errno> {
        let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        flags.set(OpenTreeFlags::AT_RECURSIVE, self.recursive);
        let Some(subpath) = &self.subpath else {
            return rustix::mount::open_tree(CWD, &self.source, flags);
        };
        let path = OFlags::PATH | OFlags::CLOEXEC;
        let whole = rustix::fs::open(&self.source, path, Mode::empty())?;
        let part = rustix::fs::openat2(&whole, subpath.as_str(), path, Mode::empty(), INSIDE)?;
        rustix::mount::open_tree(&part, c"", flags)
    }
}

/// The place of a path of the container's.
fn place(root: &OwnedFd, path: &str) -> Result<OwnedFd, Errno> {
    let path = path.trim_start_matches('/');
    rustix::fs::openat2(
        root,
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        INSIDE,
    )
}

/// [`place`], making the directories that are missing, as a start would.
fn make(root: &OwnedFd, path: &str) -> Result<OwnedFd, Errno> {
    let mut walked = Vec::new();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        let parent = openat(root, &walked)?;
        let name = CString::new(name).map_err(|_| Errno::INVAL)?;
        match rustix::fs::mkdirat(&parent, &*name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        append(&mut walked, &name);
    }
    openat(root, &walked)
}

fn append(walked: &mut Vec<u8>, name: &CStr) {
    if !walked.is_empty() {
        walked.push(b'/');
    }
    walked.extend_from_slice(name.to_bytes());
}

fn openat(root: &OwnedFd, walked: &[u8]) -> Result<OwnedFd, Errno> {
    let path = if walked.is_empty() { b"." } else { walked };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat2(root, OsStr::from_bytes(path), flags, Mode::empty(), INSIDE)
}
