//! Where an entry goes: a parent directory, opened inside the layer, and a name.
//!
//! The kernel resolves the parent with the layer's root for its root: links of this layer that lead
//! to directories are followed, as every engine does (`lib -> usr/lib`), but cannot lead out, whatever
//! they say. What is missing is made, and what else is in the way makes room.

use std::cell::Cell;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, XattrFlags};
use rustix::io::Errno;

use crate::tree;

const OPAQUE: &CStr = c"user.overlay.opaque";

/// Image-spec `layer.md`, section "Whiteouts".
pub(super) const WHITEOUT: &[u8] = b".wh.";
pub(super) const OPAQUE_WHITEOUT: &[u8] = b".wh..wh..opq";

/// AUFS's own files, which builders of old left in layers.
const AUFS_METADATA: &[u8] = b".wh..wh.";

/// The root of a layer, and the parent directory that was opened last: archives list the entries of
/// a directory one after the other.
pub(super) struct Places<'a> {
    root: BorrowedFd<'a>,
    last: Option<(Vec<u8>, OwnedFd)>,
    pub(super) tally: Rc<Tally>,
}

/// How many entries the layer has by now, as long as that can be told from what was made.
#[derive(Debug, Default)]
pub(super) struct Tally {
    made: Cell<u64>,
    replaced: Cell<bool>,
}

impl Tally {
    /// Something new was made.
    pub(super) fn made(&self) {
        self.made.set(self.made.get() + 1);
    }

    /// Something was made in place of something else, which may have had entries of its own.
    pub(super) fn replaced(&self) {
        self.replaced.set(true);
    }

    /// How many entries there are; nothing where only a look can tell.
    pub(super) fn total(&self) -> Option<u64> {
        (!self.replaced.get()).then(|| self.made.get())
    }
}

/// A name from an archive, normalised: no empty parts, no `.` and no `..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// The parent, relative to the root; empty for the root itself.
    pub(crate) parent: Vec<u8>,
    /// The last part; empty for the root itself.
    pub(crate) name: Vec<u8>,
}

impl Location {
    /// Normalises a name; nothing when it leads out of the layer.
    pub(crate) fn parse(path: &[u8]) -> Option<Self> {
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in path.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => drop(parts.pop()?),
                name if name.contains(&0) => return None,
                name => parts.push(name),
            }
        }
        let name = parts.pop().unwrap_or_default().to_vec();
        Some(Self {
            parent: parts.join(&b'/'),
            name,
        })
    }

    pub(crate) fn is_root(&self) -> bool {
        self.name.is_empty()
    }

    /// Whether every engine skips the entry.
    pub(super) fn is_aufs_metadata(&self) -> bool {
        let is_metadata = |name: &[u8]| name.starts_with(AUFS_METADATA) && name != OPAQUE_WHITEOUT;
        self.parents()
            .chain([self.name.as_slice()])
            .any(is_metadata)
    }

    pub(super) fn is_below_whiteout(&self) -> bool {
        self.parents().any(|name| name.starts_with(WHITEOUT))
    }

    fn parents(&self) -> impl Iterator<Item = &[u8]> {
        self.parent.split(|byte| *byte == b'/')
    }

    pub(crate) fn path(&self) -> Vec<u8> {
        if self.parent.is_empty() {
            self.name.clone()
        } else {
            [&self.parent, &b"/"[..], &self.name].concat()
        }
    }

    pub(crate) fn c_name(&self) -> Result<CString, Errno> {
        CString::new(self.name.as_slice()).map_err(|_| Errno::INVAL)
    }
}

impl<'a> Places<'a> {
    pub(super) fn new(root: BorrowedFd<'a>) -> Self {
        Self {
            root,
            last: None,
            tally: Rc::default(),
        }
    }

    pub(super) fn root(&self) -> BorrowedFd<'a> {
        self.root
    }

    /// Opens the parent of `location`, making directories that no entry has named.
    pub(super) fn parent(&mut self, location: &Location) -> Result<BorrowedFd<'_>, Errno> {
        if location.parent.is_empty() {
            return Ok(self.root);
        }
        let is_last = self
            .last
            .as_ref()
            .is_some_and(|(path, _)| *path == location.parent);
        if !is_last {
            let opened = self.open_parent(&location.parent)?;
            self.last = Some((location.parent.clone(), opened));
        }
        self.last
            .as_ref()
            .map(|(_, parent)| parent.as_fd())
            .ok_or(Errno::BADF)
    }

    /// Forgets the last parent: an entry may have replaced a directory on the way to it.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    fn open_parent(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        match self.open(path) {
            // Missing, or something else than a directory is in the way.
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            other => return other,
        }
        let mut parent = rustix::io::fcntl_dupfd_cloexec(self.root, 0)?;
        let mut end = 0;
        for name in path.split(|byte| *byte == b'/') {
            end += name.len();
            let so_far = path.get(..end).unwrap_or_default();
            parent = self.enter(parent.as_fd(), name, so_far)?;
            end += 1;
        }
        Ok(parent)
    }

    /// Opens, or makes, the directory `name` in `parent`; `path` leads to it from the root.
    fn enter(&self, parent: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<OwnedFd, Errno> {
        let name = CString::new(name).map_err(|_| Errno::INVAL)?;
        match open_child(parent, &name) {
            Err(Errno::NOTDIR) => match self.open(path) {
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                other => return other,
            },
            Err(Errno::NOENT) => {}
            other => return other,
        }
        make_directory(parent, &name, &self.tally)?;
        open_child(parent, &name)
    }

    /// Opens a directory that an entry has made.
    pub(super) fn open(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        self.resolve(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC)
    }

    /// Opens a directory that an entry has made, and not one that a link at `path` leads to, so that
    /// its attributes can be changed.
    pub(super) fn open_itself(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.resolve(path, flags)
    }

    fn resolve(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT
            .union(ResolveFlags::NO_MAGICLINKS)
            .union(ResolveFlags::NO_XDEV);
        // With `..` in a link the kernel gives up when anything anywhere is renamed meanwhile.
        const TRIES: usize = 128;
        let path = if path.is_empty() { b"." } else { path };
        let path = OsStr::from_bytes(path);
        let open = || rustix::fs::openat2(self.root, path, flags, Mode::empty(), INSIDE);
        let mut tries = std::iter::repeat_with(open).take(TRIES);
        let settled = tries.find(|result| !matches!(result, Err(Errno::AGAIN)));
        settled.unwrap_or(Err(Errno::AGAIN))
    }
}

pub(crate) fn open_child(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// Makes sure that `name` is a directory. A whiteout that this layer put there becomes an opaque
/// directory: it still hides what lies below. Tells whether something else made room.
pub(super) fn make_directory(
    parent: BorrowedFd<'_>,
    name: &CStr,
    tally: &Tally,
) -> Result<bool, Errno> {
    let mode = Mode::from_raw_mode(0o755);
    match rustix::fs::mkdirat(parent, name, mode) {
        Err(Errno::EXIST) => {}
        other => {
            return other.map(|()| {
                tally.made();
                false
            });
        }
    }
    match what_is(parent, name)? {
        Some(Existing::Directory) => Ok(false),
        existing => {
            tally.replaced();
            clear(parent, name)?;
            rustix::fs::mkdirat(parent, name, mode)?;
            if existing == Some(Existing::Whiteout) {
                make_opaque(&open_child(parent, name)?)?;
            }
            Ok(true)
        }
    }
}

/// What stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Existing {
    Directory,
    Whiteout,
    Other,
}

pub(super) fn what_is(parent: BorrowedFd<'_>, name: &CStr) -> Result<Option<Existing>, Errno> {
    let stat = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(None),
        other => other?,
    };
    Ok(Some(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Existing::Directory,
        FileType::CharacterDevice if stat.st_rdev == 0 => Existing::Whiteout,
        _ => Existing::Other,
    }))
}

/// Removes what stands at a place.
pub(crate) fn clear(parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        Err(Errno::NOENT) => return Ok(()),
        other => return other,
    }
    tree::remove(parent, OsStr::from_bytes(name.to_bytes())).map_err(|error| match error {
        tree::RemoveError::Foreign { .. } => Errno::PERM,
        tree::RemoveError::Io { source, .. } => Errno::from_io_error(&source).unwrap_or(Errno::IO),
    })
}

/// Makes a directory hide what lies below it, overlayfs.rst, section "whiteouts and opaque
/// directories".
pub(super) fn make_opaque(directory: &OwnedFd) -> Result<(), Errno> {
    rustix::fs::fsetxattr(reopen(directory)?, OPAQUE, b"y", XattrFlags::empty())
}

/// Opens the directory behind an `O_PATH` descriptor, which most calls do not take.
pub(super) fn reopen(directory: &OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(directory, c".", flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside_the_layer() {
        let parse = |path: &str| {
            Location::parse(path.as_bytes()).map(|l| String::from_utf8(l.path()).unwrap())
        };
        for (name, place) in [
            ("a", "a"),
            ("./a", "a"),
            ("/a", "a"),
            ("a//b/", "a/b"),
            ("a/./b", "a/b"),
            ("a/../b", "b"),
            ("", ""),
            ("./", ""),
            ("/", ""),
        ] {
            assert_eq!(parse(name).as_deref(), Some(place), "{name:?}");
        }
        for bad in [
            "..",
            "../x",
            "a/../../x",
            "/../x",
            "./../x",
            "a/b/../../../x",
            "a\0b",
        ] {
            assert_eq!(parse(bad), None, "{bad:?} was accepted");
        }
    }
}
