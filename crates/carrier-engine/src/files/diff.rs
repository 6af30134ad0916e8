//! What a container has changed of its image: its own directory compared with the layers below.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use carrier_store::{MergedDirectory, MergedEntry, is_opaque, is_whiteout};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use serde::{Deserialize, Serialize};

use super::marks;
use crate::engine::Engine;
use crate::error::Error;
use crate::record::ContainerRecord;
use crate::system::in_namespace;

/// One difference between a container and its image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// What happened.
    pub kind: FileChangeKind,
    /// The path in the container.
    pub path: String,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileChangeKind {
    /// It is new.
    Added,
    /// It, its owner or its mode is another one, or something in it has changed.
    Changed,
    /// It is gone.
    Deleted,
}

impl Engine {
    /// What the container that `word` names has changed of its image: parents before what is in them.
    ///
    /// # Errors
    /// When there is no such container, or its files cannot be read.
    pub fn diff(&self, word: &str) -> Result<Vec<FileChange>, Error> {
        let record = self.find_container(word)?;
        let record = record.ok_or_else(|| Error::NoSuchContainer(word.to_owned()))?;
        let sides = self.sides(&record)?;
        let compared: Result<Vec<FileChange>, String> =
            in_namespace(&self.ids_of(&record)?, || {
                sides.compare().map_err(|error| error.to_string())
            })?;
        compared.map_err(|reason| Error::Files {
            container: word.to_owned(),
            reason,
        })
    }

    pub(super) fn sides(&self, record: &ContainerRecord) -> Result<Sides, Error> {
        let container = self.store.container(&record.id);
        let mut layers = Vec::new();
        for id in record.layers.iter().rev() {
            if !self.store.has_layer(id) {
                return Err(Error::LayerMissing(id.clone()));
            }
            layers.push(self.store.layer_dir(id));
        }
        Ok(Sides {
            upper: container.upper(),
            layers,
            is_copied: container.is_copied(),
            is_served: container.is_served(),
        })
    }
}

/// What a container wrote, and what it began with.
pub(super) struct Sides {
    pub(super) upper: PathBuf,
    /// The topmost first.
    pub(super) layers: Vec<PathBuf>,
    /// What is not in `upper` is gone, whatever the layers have.
    pub(super) is_copied: bool,
    /// What is gone is marked by files.
    pub(super) is_served: bool,
}

impl Sides {
    /// Whether there is nothing in what the container wrote but directories that are as they were.
    pub(super) fn are_equal(&self) -> io::Result<bool> {
        let comparison = self.comparison()?;
        Ok(comparison.changes.is_empty() && !comparison.has_files)
    }

    fn compare(&self) -> io::Result<Vec<FileChange>> {
        Ok(self.comparison()?.changes)
    }

    fn comparison(&self) -> io::Result<Comparison> {
        let lower = MergedDirectory::root(self.layers.iter().cloned())?;
        let upper = rustix::fs::open(&self.upper, DIRECTORY, Mode::empty())?;
        let mut comparison = Comparison {
            changes: Vec::new(),
            is_copied: self.is_copied,
            is_served: self.is_served,
            has_files: false,
        };
        comparison.directory(&upper, Some(&lower), &mut b"/".to_vec())?;
        Ok(comparison)
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

struct Comparison {
    changes: Vec<FileChange>,
    is_copied: bool,
    is_served: bool,
    /// What overlay copied up may differ in more than what is compared.
    has_files: bool,
}

impl Comparison {
    /// Compares what is in a directory; `path` ends with a slash. The kernel's limit on the length of
    /// paths does not hold for descriptors, but who makes deeper trees than the stack can hold has
    /// only his own `diff` end.
    fn directory(
        &mut self,
        upper: &OwnedFd,
        lower: Option<&MergedDirectory>,
        path: &mut Vec<u8>,
    ) -> io::Result<()> {
        let mut names = names_in(upper.as_fd())?;
        let hides = self.is_copied || is_opaque(upper.as_fd()) || names.remove(marks::OPAQUE);
        if self.is_served {
            // Under the name that is gone there is nothing.
            names = names.into_iter().map(marks::unmarked).collect();
        }
        if hides && let Some(lower) = lower {
            names.extend(lower.names()?);
        }
        for name in names {
            let length = path.len();
            path.extend(name.to_bytes());
            let before = match lower {
                Some(lower) => lower.find(&name)?,
                None => None,
            };
            self.entry(upper, &name, before.as_ref(), path)?;
            path.truncate(length);
        }
        Ok(())
    }

    fn entry(
        &mut self,
        parent: &OwnedFd,
        name: &CStr,
        before: Option<&MergedEntry>,
        path: &mut Vec<u8>,
    ) -> io::Result<()> {
        use rustix::io::Errno;
        let stat = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if !is_whiteout(&stat) => stat,
            Ok(_) | Err(Errno::NOENT) => {
                if before.is_some() {
                    self.note(FileChangeKind::Deleted, path);
                }
                return Ok(());
            }
            Err(errno) => return Err(errno.into()),
        };
        if marks::is_mount_point(path, &stat) {
            return Ok(());
        }
        let place = self.changes.len();
        let kind = match before {
            None => Some(FileChangeKind::Added),
            Some(before) => differs(before, &stat)?.then_some(FileChangeKind::Changed),
        };
        if let Some(kind) = kind {
            self.note(kind, path);
        }
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            self.has_files = true;
            return Ok(());
        }
        let directory = match rustix::fs::openat(parent, name, DIRECTORY, Mode::empty()) {
            // It was a directory a moment ago.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            other => other?,
        };
        let lower = match before {
            Some(MergedEntry::Directory(lower)) => Some(lower),
            _ => None,
        };
        path.push(b'/');
        self.directory(&directory, lower, path)?;
        path.pop();
        if kind.is_none() && self.changes.len() > place {
            let change = change(FileChangeKind::Changed, path);
            self.changes.insert(place, change);
        }
        Ok(())
    }

    fn note(&mut self, kind: FileChangeKind, path: &[u8]) {
        self.changes.push(change(kind, path));
    }
}

fn change(kind: FileChangeKind, path: &[u8]) -> FileChange {
    FileChange {
        kind,
        path: String::from_utf8_lossy(path).into_owned(),
    }
}

/// Docker's rule: size and time of a directory say nothing.
fn differs(before: &MergedEntry, now: &Stat) -> io::Result<bool> {
    let (before, is_directory) = match before {
        MergedEntry::Directory(directory) => (directory.stat()?, true),
        MergedEntry::Other(stat) => (*stat, false),
    };
    let facts = |stat: &Stat| (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_rdev);
    let content = |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
    Ok(facts(&before) != facts(now) || (!is_directory && content(&before) != content(now)))
}

fn names_in(directory: BorrowedFd<'_>) -> io::Result<BTreeSet<CString>> {
    let mut names = BTreeSet::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.insert(name);
        }
    }
    Ok(names)
}
