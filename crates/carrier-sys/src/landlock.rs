//! Giving up rights to files, the network and other processes for good, landlock(7).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use crate::check;

bitflags::bitflags! {
    /// What may be done to files, `LANDLOCK_ACCESS_FS_*`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Access: u64 {
        /// Execute a file.
        const EXECUTE = 1;
        /// Open a file for writing.
        const WRITE_FILE = 1 << 1;
        /// Open a file for reading.
        const READ_FILE = 1 << 2;
        /// List a directory.
        const READ_DIR = 1 << 3;
        /// Remove a directory, or move it away.
        const REMOVE_DIR = 1 << 4;
        /// Remove a file, or move it away.
        const REMOVE_FILE = 1 << 5;
        /// Make a character device.
        const MAKE_CHAR = 1 << 6;
        /// Make a directory.
        const MAKE_DIR = 1 << 7;
        /// Make a regular file.
        const MAKE_REG = 1 << 8;
        /// Make a socket.
        const MAKE_SOCK = 1 << 9;
        /// Make a pipe.
        const MAKE_FIFO = 1 << 10;
        /// Make a block device.
        const MAKE_BLOCK = 1 << 11;
        /// Make a symbolic link.
        const MAKE_SYM = 1 << 12;
        /// Link or move a file to another directory.
        const REFER = 1 << 13;
        /// Truncate a file.
        const TRUNCATE = 1 << 14;
        /// Control a device.
        const IOCTL_DEV = 1 << 15;
    }
}

/// `struct landlock_ruleset_attr`.
#[repr(C)]
struct RulesetAttributes {
    files: u64,
    network: u64,
    scoped: u64,
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: i32,
}

const VERSION: u32 = 1;
const PATH_BENEATH: u32 = 1;
/// Binding and connecting of TCP sockets.
const NETWORK: u64 = 3;
/// Abstract Unix sockets, and signals to processes outside.
const SCOPED: u64 = 3;

/// The version of Landlock that the kernel speaks; nothing where it is absent or switched off.
#[must_use]
pub fn version() -> Option<u32> {
    let none: *const RulesetAttributes = std::ptr::null();
    // SAFETY: with this flag the call takes a null pointer and a size of zero, and makes nothing.
    let answer =
        check(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, VERSION) });
    answer.ok().and_then(|version| u32::try_from(version).ok())
}

/// Leaves the calling process nothing but `allowed` beneath `directory`: what else this `version` of
/// Landlock knows is forbidden from now on. Needs no-new-privileges.
///
/// Version 1 is refused: it forbids every link and move to another directory.
///
/// # Errors
/// `EPERM` without no-new-privileges, `EINVAL` for a version that the kernel does not speak.
pub fn confine_to(directory: BorrowedFd<'_>, allowed: Access, version: u32) -> io::Result<()> {
    let known = match version {
        ..=1 => return Err(io::ErrorKind::InvalidInput.into()),
        2 => Access::all() - Access::TRUNCATE - Access::IOCTL_DEV,
        3 | 4 => Access::all() - Access::IOCTL_DEV,
        _ => Access::all(),
    };
    let ruleset = create(&RulesetAttributes {
        files: known.bits(),
        network: if version >= 4 { NETWORK } else { 0 },
        scoped: if version >= 6 { SCOPED } else { 0 },
    })?;
    let rule = PathBeneath {
        allowed: (allowed & known).bits(),
        parent: directory.as_raw_fd(),
    };
    // SAFETY: both descriptors are open; `rule` has the layout that this type of rule asks for, and
    // outlives the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            PATH_BENEATH,
            &raw const rule,
            0,
        )
    })?;
    restrict(&ruleset)
}

/// Forbids the calling process signals to processes that it does not make, and sockets by name of
/// others than those; files it leaves alone. Needs no-new-privileges.
///
/// # Errors
/// `EPERM` without no-new-privileges, `EOPNOTSUPP` before version 6 of Landlock.
pub fn leave_others_alone() -> io::Result<()> {
    if version().is_none_or(|version| version < 6) {
        return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
    }
    let ruleset = create(&RulesetAttributes {
        files: 0,
        network: 0,
        scoped: SCOPED,
    })?;
    restrict(&ruleset)
}

fn restrict(ruleset: &OwnedFd) -> io::Result<()> {
    // SAFETY: the descriptor is open; the call changes what the process may do, and no memory.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) })
        .map(drop)
}

fn create(attributes: &RulesetAttributes) -> io::Result<OwnedFd> {
    // SAFETY: `attributes` outlives the call, which is told its exact size; older kernels take a
    // longer structure whose unknown fields are zero.
    let number = check(unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::from_ref(attributes),
            size_of::<RulesetAttributes>(),
            0,
        )
    })?;
    let number = i32::try_from(number).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: the kernel returned a new descriptor, which nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::fd::AsFd as _;
    use std::path::Path;

    #[test]
    fn what_is_beneath_the_directory_is_all_there_is() {
        let Some(version) = version().filter(|version| *version > 1) else {
            println!("skipped: the kernel has no Landlock, or an old one");
            return;
        };
        let home = std::env::temp_dir().join(format!("landlock-{}", std::process::id()));
        fs::create_dir(&home).unwrap();
        let place = home.clone();
        // Landlock confines a thread and its children: the one of this test has to clean up.
        let confined = std::thread::Builder::new().spawn(move || attempt(&place, version));
        let result = confined.unwrap().join();
        fs::remove_dir(&home).unwrap();
        result.unwrap();
    }

    fn attempt(home: &Path, version: u32) {
        let directory = fs::File::open(home).unwrap();
        rustix::thread::set_no_new_privs(true).unwrap();
        confine_to(directory.as_fd(), Access::all() - Access::EXECUTE, version).unwrap();
        fs::write(home.join("file"), "x").unwrap();
        assert_eq!(fs::read(home.join("file")).unwrap(), b"x");
        fs::remove_file(home.join("file")).unwrap();
        let read = fs::read("/etc/passwd").unwrap_err();
        assert_eq!(read.kind(), io::ErrorKind::PermissionDenied);
        assert!(fs::write(home.with_extension("outside"), "x").is_err());
        assert!(std::process::Command::new("true").status().is_err());
    }
}
