//! Owners, modes, extended attributes and times.

use std::ffi::{CStr, CString};
use std::os::fd::BorrowedFd;

use rustix::fs::{Mode, OFlags, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;

use super::archive::Entry;
use super::entry::refused;
use super::{UnpackError, printable};

const CAPABILITY: &CStr = c"security.capability";

/// What the kernel gives to new files, so that only what differs costs a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Birth {
    pub(super) owner: (u32, u32),
    /// Permission bits that creation takes away.
    masked: u32,
}

impl Birth {
    /// Finds out with a file that never gets a name: the process's mask can only be read by changing
    /// it, and a default ACL or the set-group-ID bit of the directory have a say too.
    pub(super) fn observe(directory: BorrowedFd<'_>) -> Result<Self, Errno> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(directory, c".", flags, Mode::from_raw_mode(0o777)) {
            Err(Errno::OPNOTSUPP | Errno::ISDIR) => return Ok(Self::unknown()),
            other => other?,
        };
        let stat = rustix::fs::fstat(&file)?;
        Ok(Self {
            owner: (stat.st_uid, stat.st_gid),
            masked: 0o777 & !stat.st_mode,
        })
    }

    /// Every mode has to be set then, and every owner but the caller.
    fn unknown() -> Self {
        let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
        Self {
            owner: (user.as_raw(), group.as_raw()),
            masked: 0o777,
        }
    }

    /// The mode of a file that is made with `requested`.
    pub(super) fn mode(self, requested: u32) -> u32 {
        requested & 0o777 & !self.masked
    }
}

/// Sets the extended attributes of an entry.
pub(super) fn set_attributes(file: BorrowedFd<'_>, entry: &Entry) -> Result<(), UnpackError> {
    for (name, value) in attributes(entry) {
        if name.as_c_str() == CAPABILITY {
            set_capability(file, value, entry)?;
            continue;
        }
        rustix::fs::fsetxattr(file, &*name, value, XattrFlags::empty())
            .map_err(|errno| refused(&entry.path, errno))?;
    }
    Ok(())
}

/// [`set_attributes`] on a file system that may know nothing of them: then the file goes without.
pub(crate) fn set_possible_attributes(
    file: BorrowedFd<'_>,
    entry: &Entry,
) -> Result<(), UnpackError> {
    for (name, value) in attributes(entry) {
        if name.as_c_str() == CAPABILITY {
            set_capability(file, value, entry)?;
            continue;
        }
        match rustix::fs::fsetxattr(file, &*name, value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(errno) => return Err(refused(&entry.path, errno)),
        }
    }
    Ok(())
}

/// Sets a file capability, capabilities(7). It is stored as that of root of this user namespace: the
/// kernel adds whose root it is. The root that an archive names is one of the builder's host.
fn set_capability(file: BorrowedFd<'_>, value: &[u8], entry: &Entry) -> Result<(), UnpackError> {
    const VERSION_2: u8 = 2;
    const VERSION_3: u8 = 3;
    const LENGTH: usize = 20;
    let malformed = || UnpackError::Capability {
        name: printable(&entry.path),
    };
    // Little-endian words: flags and version, permitted and inheritable, twice, and the root id.
    let version = value.get(3).copied().ok_or_else(malformed)?;
    let mut stored = [0; LENGTH];
    match (version, value.len()) {
        (VERSION_2, 20) | (VERSION_3, 24) => stored.copy_from_slice(&value[..LENGTH]),
        _ => return Err(malformed()),
    }
    stored[3] = VERSION_2;
    match rustix::fs::fsetxattr(file, CAPABILITY, &stored, XattrFlags::empty()) {
        // File systems without them, and processes without the right to set them, do without.
        Err(Errno::OPNOTSUPP | Errno::PERM) => Ok(()),
        result => result.map_err(|errno| refused(&entry.path, errno)),
    }
}

/// Attributes that mean the same in every store. Those of overlayfs, fuse-overlayfs and security
/// modules do not, and would let a layer show one thing to a scanner and another to a container.
fn attributes(entry: &Entry) -> impl Iterator<Item = (CString, &[u8])> {
    const BOOKKEEPING: [&[u8]; 3] = [
        b"user.overlay.",
        b"user.fuseoverlayfs.",
        b"user.containers.",
    ];
    entry.xattrs.iter().filter_map(|(name, value)| {
        let bookkeeping = BOOKKEEPING.iter().any(|prefix| name.starts_with(prefix));
        let user = name.starts_with(b"user.") && !bookkeeping;
        let wanted = user || name == CAPABILITY.to_bytes();
        let name = CString::new(name.as_slice()).ok().filter(|_| wanted)?;
        Some((name, value.as_slice()))
    })
}

pub(crate) fn times((seconds, nanos): (i64, u32)) -> Timestamps {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanos.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}
