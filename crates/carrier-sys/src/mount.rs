//! Attributes of mounts, mount_setattr(2).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use crate::check;

bitflags::bitflags! {
    /// Attributes of a mount, `MOUNT_ATTR_*`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Attributes: u64 {
        /// Nothing can be written.
        const READ_ONLY = libc::MOUNT_ATTR_RDONLY;
        /// Set-user-ID bits and file capabilities count for nothing.
        const NO_SUID = libc::MOUNT_ATTR_NOSUID;
        /// Device nodes cannot be opened.
        const NO_DEVICES = libc::MOUNT_ATTR_NODEV;
        /// Nothing can be executed.
        const NO_EXEC = libc::MOUNT_ATTR_NOEXEC;
    }
}

/// Sets attributes of the mount behind `tree`, and of those below it where `recursive` says so.
/// Allocates nothing.
///
/// # Errors
/// `ENOSYS` before Linux 5.12, `EPERM` for attributes that an outer user namespace has locked.
pub fn set_attributes(tree: BorrowedFd<'_>, set: Attributes, recursive: bool) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: set.bits(),
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the descriptor is borrowed, so it is open; the path is an empty C string, and
    // `attributes` outlives the call, which is told its exact size.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}
