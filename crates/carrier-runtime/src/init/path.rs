//! Paths in the container's tree, resolved by the kernel inside the root and never by name twice.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::plan::{Kind, Symlinks, Target};

/// The kernel's own limit on links in one resolution.
const MAX_LINKS: u32 = 40;

/// How often a resolution is tried again while somebody renames directories under it.
const MAX_RACES: u32 = 128;

/// Opens what is at `target` as a place to mount on.
pub(super) fn open(root: BorrowedFd<'_>, target: &Target) -> Result<OwnedFd, Errno> {
    let resolve = match target.symlinks {
        Symlinks::FollowInside => ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        Symlinks::Refuse => ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS,
    };
    open_with(root, &target.path, OFlags::PATH, resolve)
}

/// [`open`], making directories and finally a file where nothing is.
pub(super) fn open_or_create(
    root: BorrowedFd<'_>,
    target: &Target,
    kind: Kind,
) -> Result<OwnedFd, Errno> {
    match open(root, target) {
        Err(Errno::NOENT) => create(root, target, kind),
        other => other,
    }
}

/// Opens `path` below `root` with openat2(2), which says `EAGAIN` when it lost a race.
pub(super) fn open_with(
    root: BorrowedFd<'_>,
    path: &CStr,
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    // An empty path is not the directory itself: openat2 knows no AT_EMPTY_PATH.
    let path = if path.is_empty() { c"." } else { path };
    for _ in 0..MAX_RACES {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

/// Walks `target` one component at a time, resolving links inside the root, also dangling ones, and
/// making what is missing in the directory that was opened, not in a path that may have changed.
fn create(root: BorrowedFd<'_>, target: &Target, kind: Kind) -> Result<OwnedFd, Errno> {
    let mut pending = PathBuffer::new(target.path.to_bytes())?;
    let mut walked = PathBuffer::new(b"")?;
    let mut links = 0;
    while let Some(name) = pending.take_first()? {
        if name.bytes() == b".." {
            walked.remove_last();
            continue;
        }
        let parent = walked.len;
        walked.append(name.bytes())?;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        match open_with(
            root,
            walked.as_c_str()?,
            OFlags::PATH | OFlags::NOFOLLOW,
            resolve,
        ) {
            Ok(found) if is_symlink(found.as_fd())? => {
                links += 1;
                if target.symlinks == Symlinks::Refuse || links > MAX_LINKS {
                    return Err(Errno::LOOP);
                }
                walked.truncate(parent);
                follow(found.as_fd(), &mut walked, &mut pending)?;
            }
            Ok(_) => {}
            Err(Errno::NOENT) => {
                let mut directory = walked.clone();
                directory.truncate(parent);
                let flags = OFlags::PATH | OFlags::DIRECTORY;
                let directory = open_with(root, directory.as_c_str()?, flags, resolve)?;
                let kind = if pending.is_empty() {
                    kind
                } else {
                    Kind::Directory
                };
                make(directory.as_fd(), name.as_c_str()?, kind)?;
            }
            Err(errno) => return Err(errno),
        }
    }
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    open_with(root, walked.as_c_str()?, OFlags::PATH, resolve)
}

fn make(directory: BorrowedFd<'_>, name: &CStr, kind: Kind) -> Result<(), Errno> {
    let made = match kind {
        Kind::Directory => rustix::fs::mkdirat(directory, name, Mode::from_raw_mode(0o755)),
        Kind::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(0o644)).map(drop)
        }
    };
    match made {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}

/// Puts the text of the link in front of what is still to be walked.
fn follow(
    link: BorrowedFd<'_>,
    walked: &mut PathBuffer,
    pending: &mut PathBuffer,
) -> Result<(), Errno> {
    let mut buffer = [std::mem::MaybeUninit::uninit(); PathBuffer::CAPACITY];
    let (text, _) = rustix::fs::readlinkat_raw(link, c"", &mut buffer)?;
    if text.first() == Some(&b'/') {
        walked.truncate(0);
    }
    let mut path = PathBuffer::new(text)?;
    path.append(pending.bytes())?;
    *pending = path;
    Ok(())
}

pub(super) fn file_type(fd: BorrowedFd<'_>) -> Result<FileType, Errno> {
    let stat = rustix::fs::statat(fd, c"", AtFlags::EMPTY_PATH)?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

pub(super) fn mode(fd: BorrowedFd<'_>) -> Result<Mode, Errno> {
    let stat = rustix::fs::statat(fd, c"", AtFlags::EMPTY_PATH)?;
    Ok(Mode::from_raw_mode(stat.st_mode))
}

fn is_symlink(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    Ok(file_type(fd)? == FileType::Symlink)
}

/// A path in a fixed place, always null-terminated, since nothing may be allocated here.
#[derive(Clone)]
struct PathBuffer {
    bytes: [u8; Self::CAPACITY],
    len: usize,
}

impl PathBuffer {
    /// `PATH_MAX`.
    const CAPACITY: usize = 4096;

    fn new(path: &[u8]) -> Result<Self, Errno> {
        let mut buffer = Self {
            bytes: [0; Self::CAPACITY],
            len: 0,
        };
        buffer.append(path)?;
        Ok(buffer)
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.bytes().iter().all(|byte| *byte == b'/')
    }

    fn as_c_str(&self) -> Result<&CStr, Errno> {
        CStr::from_bytes_until_nul(&self.bytes).map_err(|_| Errno::NAMETOOLONG)
    }

    fn append(&mut self, path: &[u8]) -> Result<(), Errno> {
        let separator: &[u8] = if self.len == 0 { b"" } else { b"/" };
        for part in [separator, path] {
            let end = self.len + part.len();
            // One byte stays for the null.
            if end >= Self::CAPACITY {
                return Err(Errno::NAMETOOLONG);
            }
            self.bytes
                .get_mut(self.len..end)
                .ok_or(Errno::NAMETOOLONG)?
                .copy_from_slice(part);
            self.len = end;
        }
        Ok(())
    }

    fn truncate(&mut self, len: usize) {
        if let Some(tail) = self.bytes.get_mut(len..self.len) {
            tail.fill(0);
            self.len = len;
        }
    }

    fn remove_last(&mut self) {
        let parent = self
            .bytes()
            .iter()
            .rposition(|byte| *byte == b'/')
            .unwrap_or(0);
        self.truncate(parent);
    }

    /// Takes the first component off, skipping empty ones and `.`.
    fn take_first(&mut self) -> Result<Option<Self>, Errno> {
        while self.len > 0 {
            let path = self.bytes();
            let end = path
                .iter()
                .position(|byte| *byte == b'/')
                .unwrap_or(path.len());
            let first = Self::new(path.get(..end).unwrap_or_default())?;
            *self = Self::new(path.get(end + 1..).unwrap_or_default())?;
            if !matches!(first.bytes(), b"" | b".") {
                return Ok(Some(first));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn target(path: &str, symlinks: Symlinks) -> Target {
        Target {
            path: std::ffi::CString::new(path).unwrap(),
            symlinks,
        }
    }

    fn root() -> (tempfile::TempDir, OwnedFd) {
        let directory = tempfile::tempdir().unwrap();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(directory.path(), flags, Mode::empty()).unwrap();
        (directory, fd)
    }

    #[test]
    fn missing_directories_and_files_are_made() {
        let (directory, root) = root();
        let deep = target("a//./b/c", Symlinks::FollowInside);
        open_or_create(root.as_fd(), &deep, Kind::Directory).unwrap();
        assert!(directory.path().join("a/b/c").is_dir());
        let file = target("a/f", Symlinks::FollowInside);
        open_or_create(root.as_fd(), &file, Kind::File).unwrap();
        assert!(directory.path().join("a/f").is_file());
    }

    #[test]
    fn links_lead_nowhere_but_inside() {
        let (directory, root) = root();
        let outside = tempfile::tempdir().unwrap();
        symlink(
            outside.path().join("new"),
            directory.path().join("absolute"),
        )
        .unwrap();
        symlink("../../../../tmp/up", directory.path().join("relative")).unwrap();
        for link in ["absolute/x", "relative/x"] {
            open_or_create(
                root.as_fd(),
                &target(link, Symlinks::FollowInside),
                Kind::File,
            )
            .unwrap();
        }
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
        let inside = outside.path().strip_prefix("/").unwrap().join("new/x");
        assert!(directory.path().join(inside).is_file());
        assert!(directory.path().join("tmp/up/x").is_file());
    }

    #[test]
    fn links_are_refused_where_they_must_be() {
        let (directory, root) = root();
        symlink("/etc", directory.path().join("proc")).unwrap();
        symlink("dangling", directory.path().join("sys")).unwrap();
        for name in ["proc", "sys", "sys/x"] {
            let refused = target(name, Symlinks::Refuse);
            let error = open_or_create(root.as_fd(), &refused, Kind::Directory).unwrap_err();
            assert_eq!(error, Errno::LOOP, "{name}");
        }
    }

    #[test]
    fn a_loop_of_links_ends() {
        let (directory, root) = root();
        symlink("b", directory.path().join("a")).unwrap();
        symlink("a", directory.path().join("b")).unwrap();
        let looping = target("a/x", Symlinks::FollowInside);
        assert!(open_or_create(root.as_fd(), &looping, Kind::File).is_err());
    }

    #[test]
    fn components_are_taken_in_order() {
        let mut path = PathBuffer::new(b"//a/./bb///c.d/").unwrap();
        let mut seen = Vec::new();
        while let Some(name) = path.take_first().unwrap() {
            seen.push(String::from_utf8(name.bytes().to_vec()).unwrap());
        }
        assert_eq!(seen, ["a", "bb", "c.d"]);
        assert!(PathBuffer::new(&[b'a'; 4096]).is_err());
    }
}
