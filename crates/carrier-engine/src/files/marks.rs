//! Names in what a container wrote that are not the container's.

use std::ffi::{CStr, CString};

use rustix::fs::{FileType, Stat};

/// `fuse-overlayfs` makes this file in a directory that hides what lies below it.
pub(super) const OPAQUE: &CStr = c".wh..wh..opq";

/// What it says of a name that is gone.
const WHITEOUT: &[u8] = b".wh.";

/// The name that is gone where this is the mark of one.
pub(super) fn unmarked(name: CString) -> CString {
    let gone = name.to_bytes().strip_prefix(WHITEOUT);
    gone.and_then(|gone| CString::new(gone).ok())
        .unwrap_or(name)
}

/// What the runtime makes to mount something on it, where the image has nothing there.
const MOUNT_POINTS: [&[u8]; 7] = [
    b"/dev",
    b"/proc",
    b"/sys",
    b"/etc/hosts",
    b"/etc/hostname",
    b"/etc/resolv.conf",
    b"/run/.containerenv",
];

/// Whether this is nothing but a place for a mount.
pub(super) fn is_mount_point(path: &[u8], stat: &Stat) -> bool {
    let kind = FileType::from_raw_mode(stat.st_mode);
    let is_empty = kind == FileType::Directory || stat.st_size == 0;
    is_empty && MOUNT_POINTS.contains(&path)
}
