//! `tmpcopyup`: a new filesystem begins with what it covers.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Stat};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

/// Deeper trees are refused: each level takes a buffer on the stack.
const MAX_DEPTH: u32 = 64;

const BUFFER: usize = 8192;

/// Copies directories, files and links below `from`, with their modes and owners, to `to`. Devices,
/// pipes and sockets are left out: what is behind them cannot be copied.
pub(super) fn copy_tree(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let directory = open(from, c".", OFlags::DIRECTORY)?;
    copy_entries(&directory, to, MAX_DEPTH)
}

fn copy_entries(from: &OwnedFd, to: BorrowedFd<'_>, depth: u32) -> Result<(), Errno> {
    let left = depth.checked_sub(1).ok_or(Errno::NAMETOOLONG)?;
    let mut buffer = [MaybeUninit::uninit(); BUFFER];
    let mut entries = RawDir::new(from, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                rustix::fs::mkdirat(to, name, Mode::RWXU)?;
                let source = open(from.as_fd(), name, OFlags::DIRECTORY)?;
                let copy = open(to, name, OFlags::DIRECTORY)?;
                copy_entries(&source, copy.as_fd(), left)?;
                set_attributes(&copy, &stat)?;
            }
            FileType::RegularFile => copy_file(from.as_fd(), to, name, &stat)?,
            FileType::Symlink => copy_link(from.as_fd(), to, name)?,
            _ => {}
        }
    }
    Ok(())
}

fn copy_file(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &CStr,
    stat: &Stat,
) -> Result<(), Errno> {
    let source = open(from, name, OFlags::NONBLOCK)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let copy = rustix::fs::openat(to, name, flags, Mode::RUSR | Mode::WUSR)?;
    let mut buffer = [0; BUFFER];
    loop {
        let count = rustix::io::read(&source, &mut buffer)?;
        if count == 0 {
            return set_attributes(&copy, stat);
        }
        let mut rest = buffer.get(..count).unwrap_or_default();
        while !rest.is_empty() {
            let written = rustix::io::write(&copy, rest)?;
            rest = rest.get(written..).unwrap_or_default();
        }
    }
}

fn copy_link(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    // The longest target and the null byte behind it.
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let (text, _) = rustix::fs::readlinkat_raw(from, name, &mut buffer)?;
    let mut target = [0; 4097];
    target
        .get_mut(..text.len())
        .ok_or(Errno::NAMETOOLONG)?
        .copy_from_slice(text);
    let target = CStr::from_bytes_until_nul(&target).map_err(|_| Errno::NAMETOOLONG)?;
    rustix::fs::symlinkat(target, to, name)
}

fn open(directory: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::empty())
}

fn set_attributes(file: &OwnedFd, stat: &Stat) -> Result<(), Errno> {
    let (user, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    match rustix::fs::fchown(file, Some(user), Some(group)) {
        // Ids that the container's user namespace does not have.
        Ok(()) | Err(Errno::INVAL | Errno::PERM) => {}
        Err(errno) => return Err(errno),
    }
    rustix::fs::fchmod(file, Mode::from_raw_mode(stat.st_mode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn a_copy_has_content_modes_and_links() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let source = from.path();
        std::fs::create_dir_all(source.join("a/b")).unwrap();
        let content = vec![7; 3 * BUFFER + 5];
        std::fs::write(source.join("a/b/file"), &content).unwrap();
        symlink("b/file", source.join("a/link")).unwrap();
        let mode = std::fs::Permissions::from_mode(0o1777);
        std::fs::set_permissions(source.join("a"), mode).unwrap();
        let handle = |path| std::fs::File::open(path).unwrap();
        copy_tree(handle(source).as_fd(), handle(to.path()).as_fd()).unwrap();
        assert_eq!(std::fs::read(to.path().join("a/link")).unwrap(), content);
        let mode = std::fs::metadata(to.path().join("a"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o1777);
    }
}
