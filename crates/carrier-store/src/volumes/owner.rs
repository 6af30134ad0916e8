//! Giving a tree to somebody: `:U`.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;

use crate::inventory::names;

/// Gives the tree in `root` to a user and a group, itself too, for a process that may do so. No link is
/// followed, and what is mounted in the tree is not part of it.
///
/// # Errors
/// When a directory cannot be read, or an entry is not the caller's to give.
pub fn change_owner(root: &OwnedFd, user: u32, group: u32) -> io::Result<()> {
    let owner = Owner { user, group };
    if let Some(directory) = open(root, c".")? {
        owner.take_entries(&directory)?;
    }
    let (user, group) = owner.ids();
    // Also by a descriptor that allows no more than to say which file it is.
    Ok(rustix::fs::chownat(
        root,
        c"",
        user,
        group,
        AtFlags::EMPTY_PATH,
    )?)
}

struct Owner {
    user: u32,
    group: u32,
}

impl Owner {
    fn ids(&self) -> (Option<Uid>, Option<Gid>) {
        (
            Some(Uid::from_raw(self.user)),
            Some(Gid::from_raw(self.group)),
        )
    }

    /// Each level holds a descriptor: who makes a tree that is too deep has only his own `:U` end.
    fn take_entries(&self, directory: &OwnedFd) -> io::Result<()> {
        let unfollowed = AtFlags::SYMLINK_NOFOLLOW;
        for name in names(directory)? {
            let stat = match rustix::fs::statat(directory, &name, unfollowed) {
                Err(Errno::NOENT) => continue,
                other => other?,
            };
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                match open(directory, &name)? {
                    Some(child) => self.take_entries(&child)?,
                    None => continue,
                }
            }
            if (stat.st_uid, stat.st_gid) != (self.user, self.group) {
                let (user, group) = self.ids();
                match rustix::fs::chownat(directory, &name, user, group, unfollowed) {
                    Err(Errno::NOENT) => {}
                    other => other?,
                }
            }
        }
        Ok(())
    }
}

/// Nothing where something is mounted, or no directory is any more.
fn open(parent: &OwnedFd, name: &CStr) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let below = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    match rustix::fs::openat2(parent.as_fd(), name, flags, Mode::empty(), below) {
        Err(Errno::XDEV | Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        other => Ok(Some(other?)),
    }
}
