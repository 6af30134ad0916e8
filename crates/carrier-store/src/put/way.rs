//! From a name in the archive to the directory that it belongs to.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::unpack::place::{Location, open_child};

/// Where an archive is put.
#[derive(Clone, Debug)]
pub enum Destination<'a> {
    /// A directory in which no link is followed.
    Directory(BorrowedFd<'a>),
    /// The directory at `path` of the tree in `root`, whose links are followed and lead nowhere else.
    Inside {
        /// The root of the tree.
        root: BorrowedFd<'a>,
        /// The directory.
        path: Vec<u8>,
    },
}

/// Parents of entries, the last one kept: archives list the entries of a directory one after the other.
pub(super) struct Ways<'a> {
    destination: &'a Destination<'a>,
    last: Option<(Vec<u8>, OwnedFd)>,
}

impl<'a> Ways<'a> {
    pub(super) fn new(destination: &'a Destination<'a>) -> Self {
        Self {
            destination,
            last: None,
        }
    }

    /// Opens the parent of `location`, making directories that no entry has named.
    pub(super) fn parent(&mut self, location: &Location) -> Result<BorrowedFd<'_>, Errno> {
        let known = self.last.as_ref();
        if known.is_none_or(|(path, _)| *path != location.parent) {
            let opened = match self.open(&location.parent) {
                Err(Errno::NOENT) => self.make(&location.parent)?,
                other => other?,
            };
            self.last = Some((location.parent.clone(), opened));
        }
        let last = self.last.as_ref().ok_or(Errno::BADF)?;
        Ok(last.1.as_fd())
    }

    /// Opens a directory of the destination.
    pub(super) fn open(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        const FLAGS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
        // With `..` in a link the kernel gives up when anything anywhere is renamed meanwhile.
        const TRIES: usize = 128;
        let path = if path.is_empty() { b"." } else { path };
        let open = || match self.destination {
            Destination::Directory(directory) => {
                let strict =
                    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
                let path = OsStr::from_bytes(path);
                rustix::fs::openat2(directory, path, FLAGS, Mode::empty(), strict)
            }
            Destination::Inside { root, path: base } => {
                let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
                let path = [base, &b"/"[..], path].concat();
                let path = OsStr::from_bytes(&path);
                rustix::fs::openat2(root, path, FLAGS, Mode::empty(), inside)
            }
        };
        let mut tries = std::iter::repeat_with(open).take(TRIES);
        let settled = tries.find(|result| !matches!(result, Err(Errno::AGAIN)));
        settled.unwrap_or(Err(Errno::AGAIN))
    }

    fn make(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let mut parent = self.open(b"")?;
        let mut end = 0;
        for name in path.split(|byte| *byte == b'/') {
            end += name.len();
            parent = match self.open(path.get(..end).unwrap_or_default()) {
                Err(Errno::NOENT) => {
                    let name = CString::new(name).map_err(|_| Errno::INVAL)?;
                    match rustix::fs::mkdirat(&parent, &name, Mode::from_raw_mode(0o755)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(errno) => return Err(errno),
                    }
                    open_child(parent.as_fd(), &name)?
                }
                other => other?,
            };
            end += 1;
        }
        Ok(parent)
    }
}
