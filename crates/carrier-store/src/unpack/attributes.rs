//! Owners, permissions, extended attributes and times.
//!
//! The order is the kernel's: a change of owner drops set-user-id bits and file capabilities, so the
//! owner comes first, then the mode, then the attributes; anything else touches the times, so they
//! come last. Everything goes through descriptors, or does not follow links (CVE-2026-33056).

use std::os::fd::BorrowedFd;

use rustix::fs::{self, AtFlags, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::{self, Errno};

use super::Ownership;
use super::archive::Member;
use super::error::{MemberName, UnpackError};

/// Bits that creation does not grant reliably, or that a change of owner takes away.
const SPECIAL_BITS: u32 = 0o7000;

/// What the kernel gives to entries as they are made, so that only what differs costs a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Birth {
    uid: u32,
    gid: u32,
    /// Permission bits that creation takes away.
    masked: u32,
}

impl Birth {
    /// Finds out with a file that never gets a name: the process's file mode creation mask could
    /// only be read by changing it, and a default ACL of the directory would replace it.
    pub(super) fn observe(directory: BorrowedFd<'_>) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        match fs::openat(directory, c".", flags, Mode::from(0o777)) {
            Ok(file) => {
                let stat = fs::fstat(&file)?;
                Ok(Self {
                    uid: stat.st_uid,
                    gid: stat.st_gid,
                    masked: 0o777 & !stat.st_mode,
                })
            }
            // A file system without nameless files: assume the owner, set every mode.
            Err(Errno::OPNOTSUPP | Errno::ISDIR) => Ok(Self {
                uid: rustix::process::geteuid().as_raw(),
                gid: rustix::process::getegid().as_raw(),
                masked: 0o777,
            }),
            Err(errno) => Err(errno),
        }
    }
}

/// An entry's owner, as far as it has to be changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    uid: Option<u32>,
    gid: Option<u32>,
}

impl Owner {
    /// What is to be done so that an entry that belongs to `uid` and `gid` belongs to the member's
    /// owner. Ids that no Linux user can have are an error.
    pub(super) fn change(
        member: &Member,
        ownership: Ownership,
        (uid, gid): (u32, u32),
    ) -> Result<Self, UnpackError> {
        if ownership == Ownership::Ignore {
            return Ok(Self { uid: None, gid: None });
        }
        let wanted = |id: i64| {
            // The highest id means "unchanged" to chown(2).
            u32::try_from(id)
                .ok()
                .filter(|id| *id != u32::MAX)
                .ok_or_else(|| UnpackError::IdNotMapped {
                    id,
                    name: MemberName::new(&member.name),
                })
        };
        Ok(Self {
            uid: Some(wanted(member.uid)?).filter(|wanted| *wanted != uid),
            gid: Some(wanted(member.gid)?).filter(|wanted| *wanted != gid),
        })
    }

    pub(super) fn of_new(
        member: &Member,
        ownership: Ownership,
        birth: Birth,
    ) -> Result<Self, UnpackError> {
        Self::change(member, ownership, (birth.uid, birth.gid))
    }

    fn is_right(self) -> bool {
        self.uid.is_none() && self.gid.is_none()
    }

    /// Calls `chown` for what differs. `EINVAL` means that an id has no counterpart outside the user
    /// namespace; the user id is blamed if it fails alone.
    fn apply(
        self,
        name: &[u8],
        chown: impl Fn(Option<Uid>, Option<Gid>) -> io::Result<()>,
    ) -> Result<(), UnpackError> {
        if self.is_right() {
            return Ok(());
        }
        let uid = self.uid.map(Uid::from_raw);
        let gid = self.gid.map(Gid::from_raw);
        chown(uid, gid).map_err(|errno| match (errno, self.uid, self.gid) {
            (Errno::INVAL, Some(id), None) => not_mapped(id, name),
            (Errno::INVAL, None, Some(id)) => not_mapped(id, name),
            (Errno::INVAL, Some(user), Some(group)) => match chown(uid, None) {
                Err(_) => not_mapped(user, name),
                Ok(()) => not_mapped(group, name),
            },
            _ => UnpackError::member("change the owner of", name)(errno),
        })
    }
}

fn not_mapped(id: u32, name: &[u8]) -> UnpackError {
    UnpackError::IdNotMapped {
        id: i64::from(id),
        name: MemberName::new(name),
    }
}

/// Gives a file or FIFO that was just made its owner, mode, attributes and times.
pub(super) fn finish_file(
    file: BorrowedFd<'_>,
    member: &Member,
    owner: Owner,
    birth: Birth,
) -> Result<(), UnpackError> {
    let name = &member.name;
    owner.apply(name, |uid, gid| fs::fchown(file, uid, gid))?;
    if member.mode & (birth.masked | SPECIAL_BITS) != 0 {
        fs::fchmod(file, Mode::from(member.mode))
            .map_err(UnpackError::member("change the mode of", name))?;
    }
    set_xattrs(file, member)?;
    fs::futimens(file, &times(member.mtime))
        .map_err(UnpackError::member("set the times of", name))
}

/// Gives a symbolic link its owner and times; it has nothing else.
pub(super) fn finish_symlink(
    parent: BorrowedFd<'_>,
    leaf: &[u8],
    member: &Member,
    owner: Owner,
) -> Result<(), UnpackError> {
    let name = &member.name;
    owner.apply(name, |uid, gid| {
        fs::chownat(parent, leaf, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
    })?;
    fs::utimensat(parent, leaf, &times(member.mtime), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(UnpackError::member("set the times of", name))
}

/// Brings a directory, whose present state is `stat`, to its owner, mode and times.
pub(super) fn finish_directory(
    directory: BorrowedFd<'_>,
    name: &[u8],
    stat: &Stat,
    wanted: &DirectoryAttributes,
) -> Result<(), UnpackError> {
    let owner = Owner {
        uid: wanted.owner.uid.filter(|uid| *uid != stat.st_uid),
        gid: wanted.owner.gid.filter(|gid| *gid != stat.st_gid),
    };
    owner.apply(name, |uid, gid| fs::fchown(directory, uid, gid))?;
    if stat.st_mode & 0o7777 != wanted.mode || !owner.is_right() {
        fs::fchmod(directory, Mode::from(wanted.mode))
            .map_err(UnpackError::member("change the mode of", name))?;
    }
    fs::futimens(directory, &times(wanted.mtime))
        .map_err(UnpackError::member("set the times of", name))
}

/// What a directory gets once everything is in it: its own mode might forbid to fill it, and every
/// entry that is made in it changes its time.
#[derive(Clone, Copy, Debug)]
pub(super) struct DirectoryAttributes {
    owner: Owner,
    mode: u32,
    mtime: Timespec,
}

impl DirectoryAttributes {
    pub(super) fn of(member: &Member, ownership: Ownership) -> Result<Self, UnpackError> {
        Ok(Self {
            // No id is `u32::MAX`, so both ids are kept.
            owner: Owner::change(member, ownership, (u32::MAX, u32::MAX))?,
            mode: member.mode,
            mtime: member.mtime,
        })
    }
}

/// Sets the extended attributes that a layer may carry.
pub(super) fn set_xattrs(entry: BorrowedFd<'_>, member: &Member) -> Result<(), UnpackError> {
    for (key, value) in &member.xattrs {
        let is_capability = key == b"security.capability";
        if !is_capability && !is_plain_user_attribute(key) {
            continue;
        }
        match fs::fsetxattr(entry, key.as_slice(), value, XattrFlags::empty()) {
            // Outside of a user namespace, and on file systems that keep none.
            Err(Errno::PERM | Errno::OPNOTSUPP) if is_capability => {}
            result => result.map_err(UnpackError::member(
                "set an extended attribute of",
                &member.name,
            ))?,
        }
    }
    Ok(())
}

/// Attributes with which overlayfs and fuse-overlayfs keep their books would make the merged view
/// differ from the archive; `trusted.*` and labels of security modules are the host's business.
fn is_plain_user_attribute(key: &[u8]) -> bool {
    const BOOKKEEPING: [&[u8]; 3] = [
        b"user.overlay.",
        b"user.fuseoverlayfs.",
        b"user.containers.",
    ];
    key.starts_with(b"user.") && !BOOKKEEPING.iter().any(|prefix| key.starts_with(prefix))
}

fn times(mtime: Timespec) -> Timestamps {
    Timestamps {
        last_access: mtime,
        last_modification: mtime,
    }
}
