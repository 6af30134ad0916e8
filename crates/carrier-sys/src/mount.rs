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
        /// Reading changes no time.
        const NO_ACCESS_TIME = libc::MOUNT_ATTR_NOATIME;
        /// Reading always changes the time.
        const STRICT_ACCESS_TIME = libc::MOUNT_ATTR_STRICTATIME;
        /// Reading a directory changes no time.
        const NO_DIRECTORY_ACCESS_TIME = libc::MOUNT_ATTR_NODIRATIME;
        /// Links in the filesystem lead nowhere.
        const NO_SYMLINKS = libc::MOUNT_ATTR_NOSYMFOLLOW;
    }
}

/// Both bits of the field that says when access times change, `MOUNT_ATTR__ATIME`.
const ACCESS_TIME: u64 = 0x70;

/// What to change of a mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Attributes that it gets.
    pub set: Attributes,
    /// Attributes that it loses.
    pub clear: Attributes,
    /// `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED` or `MS_UNBINDABLE`; zero leaves it as it is.
    pub propagation: u64,
}

impl Change {
    /// Whether nothing is to be changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn clears(&self) -> u64 {
        let times = Attributes::NO_ACCESS_TIME | Attributes::STRICT_ACCESS_TIME;
        // One time replaces another only when the whole field is cleared, mount_setattr(2).
        if (self.set | self.clear).intersects(times) {
            (self.clear.difference(times)).bits() | ACCESS_TIME
        } else {
            self.clear.bits()
        }
    }
}

/// Sets attributes of the mount behind `tree`, and of those below it where `recursive` says so.
/// Allocates nothing.
///
/// # Errors
/// Those of [`change`].
pub fn set_attributes(tree: BorrowedFd<'_>, set: Attributes, recursive: bool) -> io::Result<()> {
    let wanted = Change {
        set,
        ..Change::default()
    };
    change(tree, wanted, recursive)
}

/// Changes the mount behind `tree`, and those below it where `recursive` says so. Allocates nothing.
///
/// # Errors
/// `ENOSYS` before Linux 5.12, `EPERM` for attributes that an outer user namespace has locked.
pub fn change(tree: BorrowedFd<'_>, change: Change, recursive: bool) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: change.set.bits(),
        attr_clr: change.clears(),
        propagation: change.propagation,
        userns_fd: 0,
    };
    set(tree, &attributes, recursive)
}

/// Gives the files below `tree`, a tree that is mounted nowhere, the owners that the map of the user
/// namespace `users` says; with `recursive` those of the mounts below it too.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN` in the user namespace of the filesystem, or where ids are mapped
/// already; `EINVAL` for a filesystem that cannot do it.
pub fn map_ids(tree: BorrowedFd<'_>, users: BorrowedFd<'_>, recursive: bool) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        // An open descriptor is not negative.
        userns_fd: u64::from(users.as_raw_fd().unsigned_abs()),
    };
    set(tree, &attributes, recursive)
}

fn set(tree: BorrowedFd<'_>, attributes: &libc::mount_attr, recursive: bool) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the descriptor is borrowed, so it is open; the path is an empty C string, and
    // `attributes` outlives the call, which is told its exact size. A descriptor in it is borrowed by
    // the callers, or not looked at.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attributes),
            size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}
