//! One tree of several layers, copied: for hosts where nothing can mount them on each other.
//!
//! The rules are overlay's, as in [`crate::LayerView`]. Both sides are walked by descriptor, in
//! directories that only the caller can change, and nothing is followed.

use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use crate::inventory::{names, open_directory};
use crate::tree;

/// Overlay's own attributes mean nothing in a merged tree.
const OVERLAY_PREFIX: &[u8] = b"user.overlay.";
const OPAQUE: &CStr = c"user.overlay.opaque";

/// Copies the tree in `layer` over what is in `target`, which lower layers have filled; for a process
/// that may give files to the ids that the layer has. Returns the bytes of files that were copied.
///
/// # Errors
/// When something cannot be read or made.
pub fn copy_layer(layer: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<u64> {
    // Either may be a descriptor that allows little.
    let (from, to) = (open_directory(layer, c".")?, open_directory(target, c".")?);
    let mut copy = Copy {
        links: HashMap::new(),
        root: rustix::io::fcntl_dupfd_cloexec(&to, 0)?,
        bytes: 0,
    };
    copy.directory(&from, &to, &[])?;
    dress(from.as_fd(), to.as_fd())?;
    Ok(copy.bytes)
}

struct Copy {
    /// Where the first name of a file with several was copied to.
    links: HashMap<(u64, u64), Vec<u8>>,
    root: OwnedFd,
    bytes: u64,
}

impl Copy {
    /// No real tree is so deep that this recursion, whose depth the unpacker limits by the length of
    /// names, does not fit the stack.
    fn directory(&mut self, from: &OwnedFd, to: &OwnedFd, path: &[u8]) -> io::Result<()> {
        for name in names(from)? {
            let stat = rustix::fs::statat(from, &name, AtFlags::SYMLINK_NOFOLLOW)?;
            let path = if path.is_empty() {
                name.to_bytes().to_vec()
            } else {
                [path, b"/", name.to_bytes()].concat()
            };
            self.entry(from, to, &name, &stat, path)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        from: &OwnedFd,
        to: &OwnedFd,
        name: &CStr,
        stat: &Stat,
        path: Vec<u8>,
    ) -> io::Result<()> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            let source = open_directory(from.as_fd(), name)?;
            let target = self.make_directory(to, name, &source)?;
            self.directory(&source, &target, &path)?;
            return dress(source.as_fd(), target.as_fd());
        }
        clear(to.as_fd(), name)?;
        let whiteout = kind == FileType::CharacterDevice && stat.st_rdev == 0;
        if whiteout {
            return Ok(());
        }
        if stat.st_nlink > 1 {
            let key = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&key) {
                let first = OsStr::from_bytes(first);
                rustix::fs::linkat(&self.root, first, to, name, AtFlags::empty())?;
                return Ok(());
            }
            self.links.insert(key, path);
        }
        match kind {
            FileType::RegularFile => self.file(from, to, name),
            FileType::Symlink => {
                let link = rustix::fs::readlinkat(from, name, Vec::new())?;
                rustix::fs::symlinkat(&*link, to, name)?;
                own(to.as_fd(), name, stat)
            }
            _ => {
                let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
                rustix::fs::mknodat(to, name, kind, mode, 0)?;
                own(to.as_fd(), name, stat)
            }
        }
    }

    /// Makes sure that there is a directory, empty where the layer's hides what lies below.
    fn make_directory(
        &mut self,
        to: &OwnedFd,
        name: &CStr,
        source: &OwnedFd,
    ) -> io::Result<OwnedFd> {
        let is_directory = rustix::fs::statat(to, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
        let mut value = [0; 1];
        let opaque = rustix::fs::fgetxattr(source, OPAQUE, &mut value).is_ok();
        if !is_directory || opaque {
            clear(to.as_fd(), name)?;
            rustix::fs::mkdirat(to, name, Mode::from_raw_mode(0o700))?;
        }
        open_directory(to.as_fd(), name)
    }

    fn file(&mut self, from: &OwnedFd, to: &OwnedFd, name: &CStr) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut source = File::from(rustix::fs::openat(from, name, flags, Mode::empty())?);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        let mut target = File::from(rustix::fs::openat(to, name, flags, mode)?);
        // By reference or in the kernel, where the file system can do that.
        self.bytes += io::copy(&mut source, &mut target)?;
        dress(source.as_fd(), target.as_fd())
    }
}

/// Gives `target` the owner, attributes, mode and time of `source`.
///
/// # Errors
/// When this process may not.
pub fn dress(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    let stat = rustix::fs::fstat(source)?;
    rustix::fs::fchown(
        target,
        Some(Uid::from_raw(stat.st_uid)),
        Some(Gid::from_raw(stat.st_gid)),
    )?;
    copy_attributes(source, target)?;
    rustix::fs::fchmod(target, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    Ok(rustix::fs::futimens(target, &times(&stat))?)
}

fn own(parent: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> io::Result<()> {
    rustix::fs::chownat(
        parent,
        name,
        Some(Uid::from_raw(stat.st_uid)),
        Some(Gid::from_raw(stat.st_gid)),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    Ok(rustix::fs::utimensat(parent, name, &times(stat), flags)?)
}

fn times(stat: &Stat) -> Timestamps {
    let time = Timespec {
        tv_sec: stat.st_mtime,
        tv_nsec: i64::try_from(stat.st_mtime_nsec).unwrap_or(0),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

fn copy_attributes(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    let mut list = vec![0; 64 * 1024];
    let length = match rustix::fs::flistxattr(source, &mut list) {
        Err(Errno::OPNOTSUPP) => 0,
        other => other?,
    };
    let mut value = vec![0; 64 * 1024];
    let list = list.get(..length).unwrap_or_default();
    for name in list.split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else {
            continue;
        };
        if name.to_bytes().starts_with(OVERLAY_PREFIX) {
            continue;
        }
        let length = match rustix::fs::fgetxattr(source, name, &mut value) {
            Err(Errno::NODATA | Errno::PERM) => continue,
            other => other?,
        };
        let value = value.get(..length).unwrap_or_default();
        rustix::fs::fsetxattr(target, name, value, rustix::fs::XattrFlags::empty())?;
    }
    Ok(())
}

fn clear(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => tree::remove(parent, OsStr::from_bytes(name.to_bytes()))
            .map_err(|error| io::Error::other(error.to_string())),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    #[test]
    fn layers_are_merged_as_overlay_merges_them() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        for directory in ["low/d/sub", "low/kept", "top/d", "top/kept", "target"] {
            fs::create_dir_all(path(directory)).unwrap();
        }
        fs::write(path("low/d/sub/hidden"), "x").unwrap();
        fs::write(path("low/kept/a"), "low").unwrap();
        fs::write(path("low/kept/gone"), "low").unwrap();
        fs::write(path("low/file"), "becomes a directory").unwrap();
        fs::write(path("top/kept/a"), "top").unwrap();
        fs::hard_link(path("top/kept/a"), path("top/kept/twin")).unwrap();
        fs::create_dir(path("top/file")).unwrap();
        fs::write(path("top/file/in"), "y").unwrap();
        symlink("kept/a", path("top/link")).unwrap();
        fs::set_permissions(path("top/kept/a"), fs::Permissions::from_mode(0o640)).unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(path("top/d"), "user.overlay.opaque", b"y", flags).unwrap();
        let whiteout = path("top/kept/gone");
        let kind = FileType::CharacterDevice;
        rustix::fs::mknodat(rustix::fs::CWD, &whiteout, kind, Mode::empty(), 0).unwrap();
        let open = |name: &str| File::open(path(name)).unwrap();
        for layer in ["low", "top"] {
            copy_layer(open(layer).as_fd(), open("target").as_fd()).unwrap();
        }
        let read = |name: &str| fs::read_to_string(path("target").join(name)).ok();
        assert_eq!(read("kept/a").as_deref(), Some("top"));
        assert_eq!(read("link").as_deref(), Some("top"));
        assert_eq!(read("file/in").as_deref(), Some("y"));
        assert_eq!(read("kept/gone"), None);
        assert_eq!(read("d/sub/hidden"), None);
        let meta = |name: &str| fs::metadata(path("target").join(name)).unwrap();
        assert_eq!(meta("kept/a").mode() & 0o777, 0o640);
        assert_eq!(meta("kept/a").ino(), meta("kept/twin").ino());
        assert_eq!(
            meta("kept/a").mtime(),
            fs::metadata(path("top/kept/a")).unwrap().mtime()
        );
    }
}
