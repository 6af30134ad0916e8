//! Directories of several layers, merged by overlay's rules, entry by entry: see [`crate::LayerView`].

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::inventory::names;

const OPAQUE: &CStr = c"user.overlay.opaque";

/// A directory that one layer or several have.
#[derive(Debug)]
pub struct MergedDirectory {
    /// The topmost first; there is at least one, unless this is the root of no layers.
    parts: Vec<OwnedFd>,
}

/// What a name is in a merged directory.
#[derive(Debug)]
pub enum MergedEntry {
    /// A directory.
    Directory(MergedDirectory),
    /// Anything else.
    Other(Stat),
}

impl MergedDirectory {
    /// The root of layers in `directories`, the topmost first.
    ///
    /// # Errors
    /// When one of them cannot be opened.
    pub fn root(directories: impl IntoIterator<Item = PathBuf>) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |path: PathBuf| rustix::fs::open(path, flags, Mode::empty());
        let parts = directories.into_iter().map(open);
        Ok(Self {
            parts: parts.collect::<Result<_, _>>()?,
        })
    }

    /// Owner, mode and times are those of the topmost layer.
    ///
    /// # Errors
    /// When there is no layer, or it cannot be read.
    pub fn stat(&self) -> io::Result<Stat> {
        let top = self.parts.first().ok_or(io::ErrorKind::NotFound)?;
        Ok(rustix::fs::fstat(top)?)
    }

    /// What `name` is.
    ///
    /// # Errors
    /// When a layer cannot be read.
    pub fn find(&self, name: &CStr) -> io::Result<Option<MergedEntry>> {
        let mut parts = Vec::new();
        for layer in &self.parts {
            let stat = match rustix::fs::statat(layer, name, AtFlags::SYMLINK_NOFOLLOW) {
                // Something that is no directory is in the way.
                Err(Errno::NOENT) => continue,
                other => other?,
            };
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let directory = rustix::fs::openat(layer, name, flags, Mode::empty())?;
                let opaque = is_opaque(directory.as_fd());
                parts.push(directory);
                if opaque {
                    break;
                }
                continue;
            }
            // Below a directory, anything else is hidden and hides.
            if !parts.is_empty() || is_whiteout(&stat) {
                break;
            }
            return Ok(Some(MergedEntry::Other(stat)));
        }
        Ok((!parts.is_empty()).then_some(MergedEntry::Directory(Self { parts })))
    }

    /// The names that there are.
    ///
    /// # Errors
    /// When a layer cannot be read.
    pub fn names(&self) -> io::Result<BTreeSet<CString>> {
        let mut all = BTreeSet::new();
        for layer in &self.parts {
            all.extend(names(layer)?);
        }
        let mut found = BTreeSet::new();
        for name in all {
            if self.find(&name)?.is_some() {
                found.insert(name);
            }
        }
        Ok(found)
    }
}

/// Whether this hides what lower layers have of that name.
#[must_use]
pub fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Whether a directory, opened for reading, hides what lower layers have in it.
#[must_use]
pub fn is_opaque(directory: BorrowedFd<'_>) -> bool {
    let mut value = [0; 1];
    let read = rustix::fs::fgetxattr(directory, OPAQUE, &mut value);
    read.is_ok_and(|length| length == 1 && value == *b"y")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn layers_are_merged_name_by_name() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        for directory in ["low/d/sub", "low/o", "top/d", "top/o", "top/file"] {
            fs::create_dir_all(path(directory)).unwrap();
        }
        for file in [
            "low/d/a",
            "low/d/gone",
            "low/o/hidden",
            "low/file",
            "top/o/shown",
        ] {
            fs::write(path(file), "x").unwrap();
        }
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(path("top/o"), OPAQUE, b"y", flags).unwrap();
        let whiteout = path("top/d/gone");
        let kind = FileType::CharacterDevice;
        rustix::fs::mknodat(rustix::fs::CWD, &whiteout, kind, Mode::empty(), 0).unwrap();
        let root = MergedDirectory::root([path("top"), path("low")]).unwrap();
        let names = |name: &CStr| match root.find(name).unwrap() {
            Some(MergedEntry::Directory(directory)) => {
                let names = directory.names().unwrap().into_iter();
                names.map(|name| name.into_string().unwrap()).collect()
            }
            other => vec![format!("{other:?}")],
        };
        assert_eq!(names(c"d"), ["a", "sub"]);
        assert_eq!(names(c"o"), ["shown"]);
        assert!(names(c"file").is_empty());
        assert!(root.find(c"none").unwrap().is_none());
    }
}
