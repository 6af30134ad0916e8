//! From a typed path to what is there, by descriptor: the tree may change while it is looked at.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::io::Errno;

use super::path::{TypedPath, split};

/// Docker's own limit on links at the end of a destination.
const MAX_LINKS: usize = 10;

/// With `..` in a link the kernel gives up when anything anywhere is renamed meanwhile.
const TRIES: usize = 128;

/// A tree, and how names are looked up in it.
pub(super) struct Tree<'a> {
    root: BorrowedFd<'a>,
    flags: ResolveFlags,
}

/// What is copied.
pub(super) enum Source {
    /// A directory.
    Directory(OwnedFd),
    /// Anything else, by its name in a directory.
    Entry {
        /// The directory.
        parent: OwnedFd,
        /// The name.
        name: CString,
    },
}

/// Where something is copied to.
pub(super) enum Target {
    /// A directory that exists.
    Directory {
        /// The directory.
        handle: OwnedFd,
        /// Its path, without links at its end.
        path: Vec<u8>,
    },
    /// A name in a directory that exists, which may be that of something that is no directory.
    Name {
        /// The directory.
        parent: OwnedFd,
        /// Its path.
        path: Vec<u8>,
        /// The name.
        name: Vec<u8>,
        /// Whether there is something of that name.
        exists: bool,
    },
}

impl<'a> Tree<'a> {
    /// The tree below `root`, which no link leads out of.
    pub(super) fn inside(root: BorrowedFd<'a>) -> Self {
        Self {
            root,
            flags: ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        }
    }

    /// The caller's own files.
    pub(super) fn of_host(root: BorrowedFd<'a>) -> Self {
        Self {
            root,
            flags: ResolveFlags::empty(),
        }
    }

    /// Finds what is copied. A link is followed where that is asked for, or its path says that it
    /// is a directory.
    pub(super) fn source(&self, path: &TypedPath, follow: bool) -> Result<Source, Errno> {
        if path.directory || path.is_root() {
            return self.open(&path.clean, DIRECTORY).map(Source::Directory);
        }
        if follow {
            let opened = self.open(&path.clean, OFlags::PATH | OFlags::CLOEXEC)?;
            if kind(&opened)? == FileType::Directory {
                return reopen(&opened).map(Source::Directory);
            }
            // By the names of the tree, in which the links at its end are followed one by one.
            return match self.end_of_links(&path.clean)? {
                Target::Directory { handle, .. } => reopen(&handle).map(Source::Directory),
                Target::Name { parent, name, .. } => entry(parent, &name),
            };
        }
        let (parent, name) = split(&path.clean);
        let parent = self.open(parent, PARENT)?;
        match open_child(&parent, name) {
            Ok(directory) => reopen(&directory).map(Source::Directory),
            Err(Errno::NOTDIR | Errno::LOOP) => entry(parent, name),
            Err(errno) => Err(errno),
        }
    }

    /// Finds where something is copied to. Links at the end of the path are followed.
    pub(super) fn target(&self, path: &TypedPath) -> Result<Target, Errno> {
        let target = self.end_of_links(&path.clean)?;
        let is_file = matches!(target, Target::Name { exists: true, .. });
        if is_file && path.directory {
            return Err(Errno::NOTDIR);
        }
        Ok(target)
    }

    fn end_of_links(&self, path: &[u8]) -> Result<Target, Errno> {
        let mut path = path.to_vec();
        for _ in 0..=MAX_LINKS {
            if path == b"/" {
                let handle = self.open(&path, PARENT)?;
                return Ok(Target::Directory { handle, path });
            }
            let (above, name) = split(&path);
            let parent = self.open(above, PARENT)?;
            match rustix::fs::readlinkat(&parent, OsStr::from_bytes(name), Vec::new()) {
                Ok(link) if link.as_bytes().starts_with(b"/") => {
                    path = TypedPath::new(link.as_bytes()).clean;
                }
                Ok(link) => {
                    let joined = [above, &b"/"[..], link.as_bytes()].concat();
                    path = TypedPath::new(&joined).clean;
                }
                Err(Errno::INVAL) => {
                    return match open_child(&parent, name) {
                        Ok(handle) => Ok(Target::Directory { handle, path }),
                        Err(Errno::NOTDIR) => Ok(named(parent, above, name, true)),
                        Err(errno) => Err(errno),
                    };
                }
                Err(Errno::NOENT) => return Ok(named(parent, above, name, false)),
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::LOOP)
    }

    fn open(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = OsStr::from_bytes(path);
        let open = || rustix::fs::openat2(self.root, path, flags, Mode::empty(), self.flags);
        let mut tries = std::iter::repeat_with(open).take(TRIES);
        let settled = tries.find(|result| !matches!(result, Err(Errno::AGAIN)));
        settled.unwrap_or(Err(Errno::AGAIN))
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

const PARENT: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn named(parent: OwnedFd, path: &[u8], name: &[u8], exists: bool) -> Target {
    Target::Name {
        parent,
        path: path.to_vec(),
        name: name.to_vec(),
        exists,
    }
}

fn entry(parent: OwnedFd, name: &[u8]) -> Result<Source, Errno> {
    let name = CString::new(name).map_err(|_| Errno::INVAL)?;
    rustix::fs::statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(Source::Entry { parent, name })
}

fn open_child(parent: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = PARENT | OFlags::NOFOLLOW;
    rustix::fs::openat(parent, OsStr::from_bytes(name), flags, Mode::empty())
}

/// Opens the directory behind an `O_PATH` descriptor for reading.
fn reopen(directory: &OwnedFd) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(directory, c".", DIRECTORY, Mode::empty())
}

fn kind(file: &OwnedFd) -> Result<FileType, Errno> {
    let flags = AtFlags::EMPTY_PATH;
    let stat = rustix::fs::statx(file.as_fd(), c"", flags, StatxFlags::TYPE)?;
    Ok(FileType::from_raw_mode(stat.stx_mode.into()))
}
