//! Files of an image, for containers in which the caller keeps his own id.
//!
//! A layer's files belong to the ids of a namespace whose root is the caller. Where another id is the
//! caller's, everybody moves up to make room for him: a copy of the layers has other owners.

use std::collections::HashSet;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, XattrFlags};
use rustix::io::Errno;

use crate::inventory::{names, open_directory};

const CAPABILITIES: &CStr = c"security.capability";

/// The ids that the caller has in a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    /// As a user.
    pub user: u32,
    /// As a group.
    pub group: u32,
}

impl Shift {
    /// Gives the tree in `root` to whom it belongs then, for a process that is root of a namespace where
    /// the caller is root.
    ///
    /// # Errors
    /// When something cannot be read or given away.
    pub fn apply(self, root: BorrowedFd<'_>) -> io::Result<()> {
        let mut linked = HashSet::new();
        let directory = open_directory(root, c".")?;
        self.entries(&directory, &mut linked)?;
        let stat = rustix::fs::fstat(&directory)?;
        self.give(root, c".", &stat)
    }

    fn entries(self, directory: &OwnedFd, linked: &mut HashSet<(u64, u64)>) -> io::Result<()> {
        for name in names(directory)? {
            let stat = rustix::fs::statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW)?;
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if is_directory {
                self.entries(&open_directory(directory.as_fd(), &name)?, linked)?;
            } else if stat.st_nlink > 1 && !linked.insert((stat.st_dev, stat.st_ino)) {
                // By another name it was given away already.
                continue;
            }
            self.give(directory.as_fd(), &name, &stat)?;
        }
        Ok(())
    }

    /// A change of owner takes set-user-ID bits and capabilities away, chown(2).
    fn give(self, parent: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> io::Result<()> {
        let user = Uid::from_raw(moved(stat.st_uid, self.user));
        let group = Gid::from_raw(moved(stat.st_gid, self.group));
        let unfollowed = AtFlags::SYMLINK_NOFOLLOW;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let file = if is_file {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            Some(rustix::fs::openat(parent, name, flags, Mode::empty())?)
        } else {
            None
        };
        let capabilities = match &file {
            Some(file) => capabilities(file, moved(0, self.user))?,
            None => None,
        };
        rustix::fs::chownat(parent, name, Some(user), Some(group), unfollowed)?;
        let Some(file) = file else {
            return Ok(());
        };
        rustix::fs::fchmod(&file, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
        if let Some(value) = capabilities {
            rustix::fs::fsetxattr(&file, CAPABILITIES, &value, XattrFlags::empty())?;
        }
        Ok(())
    }
}

/// Which id of the caller's namespace is `id` of one where `own` is the caller.
fn moved(id: u32, own: u32) -> u32 {
    match id.cmp(&own) {
        std::cmp::Ordering::Less => id + 1,
        std::cmp::Ordering::Equal => 0,
        std::cmp::Ordering::Greater => id,
    }
}

/// The capabilities of a file, valid where `root` is root: capabilities(7), "Namespaced file
/// capabilities".
fn capabilities(file: &OwnedFd, root: u32) -> io::Result<Option<Vec<u8>>> {
    const VERSION_2: u32 = 0x0200_0000;
    const VERSION_3: u32 = 0x0300_0000;
    const FLAGS: u32 = 0x00ff_ffff;
    const LENGTH: usize = 20;
    let mut value = vec![0; 64];
    let length = match rustix::fs::fgetxattr(file, CAPABILITIES, &mut value) {
        Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(None),
        other => other?,
    };
    value.truncate(length);
    let Some(Ok(magic)) = value.get(..4).map(<[u8; 4]>::try_from) else {
        return Ok(None);
    };
    let magic = u32::from_le_bytes(magic);
    if magic & !FLAGS != VERSION_2 && magic & !FLAGS != VERSION_3 {
        return Ok(None);
    }
    let mut written = (VERSION_3 | (magic & FLAGS)).to_le_bytes().to_vec();
    written.extend_from_slice(value.get(4..LENGTH).unwrap_or_default());
    written.extend_from_slice(&root.to_le_bytes());
    Ok(Some(written))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    #[test]
    fn everybody_below_the_caller_moves_up() {
        let ids: Vec<u32> = [0, 1, 999, 1000, 1001, 65_536]
            .map(|id| moved(id, 1000))
            .into();
        assert_eq!(ids, [1, 2, 1000, 0, 1001, 65_536]);
        assert_eq!(moved(0, 0), 0);
    }

    #[test]
    fn each_file_is_given_away_once_and_keeps_its_mode() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        fs::create_dir(path("d")).unwrap();
        fs::write(path("d/program"), "x").unwrap();
        fs::set_permissions(path("d/program"), fs::Permissions::from_mode(0o4755)).unwrap();
        fs::hard_link(path("d/program"), path("twin")).unwrap();
        symlink("/etc/passwd", path("link")).unwrap();
        let root = fs::File::open(home.path()).unwrap();
        Shift { user: 7, group: 0 }.apply(root.as_fd()).unwrap();
        for name in ["", "d", "d/program", "twin", "link"] {
            let found = fs::symlink_metadata(path(name)).unwrap();
            assert_eq!((found.uid(), found.gid()), (1, 0), "{name:?}");
        }
        assert_eq!(fs::metadata(path("twin")).unwrap().mode() & 0o7777, 0o4755);
        assert_eq!(fs::metadata("/etc/passwd").unwrap().uid(), 0);
    }
}
