//! What is in a tree: how many entries and bytes, and what each of them is.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// How much is in a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeSize {
    /// Entries, without the root.
    pub entries: u64,
    /// Bytes of regular files; one that has several names is counted once.
    pub bytes: u64,
}

/// One entry of a tree, and a digest of all that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Its path from the root.
    pub path: Vec<u8>,
    hash: [u8; 32],
}

/// Counts what is in the tree in `root`.
///
/// # Errors
/// When a directory cannot be read.
pub fn count(root: BorrowedFd<'_>) -> io::Result<TreeSize> {
    let mut size = TreeSize::default();
    let mut linked = HashSet::new();
    walk(root, |entry| {
        let stat = &entry.stat;
        size.entries += 1;
        let seen = stat.st_nlink > 1 && !linked.insert((stat.st_dev, stat.st_ino));
        if entry.kind() == FileType::RegularFile && !seen {
            size.bytes += u64::try_from(stat.st_size).unwrap_or(0);
        }
        Ok(())
    })?;
    Ok(size)
}

/// Reads the tree in `root`, itself too, with the content of its files and their extended attributes.
///
/// # Errors
/// When something cannot be read.
pub fn fingerprints(root: BorrowedFd<'_>) -> io::Result<Vec<Fingerprint>> {
    let mut found = vec![fingerprint_of_root(root)?];
    let mut buffer = vec![0; 256 * 1024];
    walk(root, |entry| {
        let mut hash = Sha256::new();
        entry.describe(&mut hash)?;
        match entry.kind() {
            FileType::RegularFile => {
                let mut file = File::from(entry.open(OFlags::RDONLY)?);
                hash_attributes(file.as_fd(), &mut hash)?;
                loop {
                    let count = file.read(&mut buffer)?;
                    if count == 0 {
                        break;
                    }
                    hash.update(buffer.get(..count).unwrap_or_default());
                }
            }
            FileType::Directory => {
                let directory = entry.open(OFlags::RDONLY | OFlags::DIRECTORY)?;
                hash_attributes(directory.as_fd(), &mut hash)?;
            }
            _ => {}
        }
        found.push(Fingerprint {
            path: entry.path.to_vec(),
            hash: hash.finalize().into(),
        });
        Ok(())
    })?;
    Ok(found)
}

fn fingerprint_of_root(root: BorrowedFd<'_>) -> io::Result<Fingerprint> {
    let mut hash = Sha256::new();
    let itself = Entry {
        parent: root,
        name: c".",
        path: b"",
        stat: rustix::fs::statat(root, c".", AtFlags::SYMLINK_NOFOLLOW)?,
    };
    itself.describe(&mut hash)?;
    hash_attributes(
        itself.open(OFlags::RDONLY | OFlags::DIRECTORY)?.as_fd(),
        &mut hash,
    )?;
    Ok(Fingerprint {
        path: b".".to_vec(),
        hash: hash.finalize().into(),
    })
}

/// The first path by which two trees differ.
#[must_use]
pub fn first_difference(a: &[Fingerprint], b: &[Fingerprint]) -> Option<Vec<u8>> {
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    loop {
        match (left.peek(), right.peek()) {
            (None, None) => return None,
            (Some(one), None) | (None, Some(one)) => return Some(one.path.clone()),
            (Some(one), Some(other)) if one != other => {
                return Some(one.path.clone().min(other.path.clone()));
            }
            _ => {
                left.next();
                right.next();
            }
        }
    }
}

/// An entry that the walk has come to.
struct Entry<'a> {
    parent: BorrowedFd<'a>,
    name: &'a CStr,
    path: &'a [u8],
    stat: Stat,
}

impl Entry<'_> {
    fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    fn open(&self, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(
            self.parent,
            self.name,
            flags,
            Mode::empty(),
        )?)
    }

    fn describe(&self, hash: &mut Sha256) -> io::Result<()> {
        let stat = &self.stat;
        for number in [stat.st_mode, stat.st_uid, stat.st_gid] {
            hash.update(number.to_le_bytes());
        }
        if self.kind() == FileType::Directory {
            return Ok(());
        }
        hash.update(stat.st_size.to_le_bytes());
        hash.update(stat.st_rdev.to_le_bytes());
        // A whiteout has the time when it was made, which no archive tells.
        if self.kind() == FileType::CharacterDevice {
            return Ok(());
        }
        hash.update(stat.st_mtime.to_le_bytes());
        hash.update(stat.st_mtime_nsec.to_le_bytes());
        if self.kind() == FileType::Symlink {
            hash.update(rustix::fs::readlinkat(self.parent, self.name, Vec::new())?.as_bytes());
        }
        Ok(())
    }
}

fn hash_attributes(file: BorrowedFd<'_>, hash: &mut Sha256) -> io::Result<()> {
    let mut names = vec![0; 64 * 1024];
    let length = match rustix::fs::flistxattr(file, &mut names) {
        Err(Errno::OPNOTSUPP) => 0,
        other => other?,
    };
    let names = names.get(..length).unwrap_or_default();
    let mut names: Vec<&[u8]> = names.split_inclusive(|byte| *byte == 0).collect();
    names.sort_unstable();
    let mut value = vec![0; 64 * 1024];
    for name in names {
        let Ok(name) = CStr::from_bytes_with_nul(name) else {
            continue;
        };
        let length = match rustix::fs::fgetxattr(file, name, &mut value) {
            // What the namespace may not see, it did not write.
            Err(Errno::NODATA | Errno::PERM | Errno::OPNOTSUPP) => continue,
            other => other?,
        };
        hash.update(name.to_bytes_with_nul());
        hash.update(length.to_le_bytes());
        hash.update(value.get(..length).unwrap_or_default());
    }
    Ok(())
}

/// A directory on the way down: what of it is still to be seen, and how long its own path is.
struct Level {
    names: std::vec::IntoIter<CString>,
    path: usize,
}

/// Visits every entry below `root`, a directory before what is in it. No depth costs descriptors:
/// the way up is `..`, in a tree that nobody changes meanwhile.
fn walk(
    root: BorrowedFd<'_>,
    mut visit: impl FnMut(&Entry<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut directory = open_directory(root, c".")?;
    let mut path = Vec::new();
    let mut levels = vec![Level {
        names: names(&directory)?.into_iter(),
        path: 0,
    }];
    while let Some(level) = levels.last_mut() {
        path.truncate(level.path);
        let Some(name) = level.names.next() else {
            levels.pop();
            if !levels.is_empty() {
                directory = open_directory(directory.as_fd(), c"..")?;
            }
            continue;
        };
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name.to_bytes());
        let stat = rustix::fs::statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        visit(&Entry {
            parent: directory.as_fd(),
            name: &name,
            path: &path,
            stat,
        })?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            directory = open_directory(directory.as_fd(), &name)?;
            levels.push(Level {
                names: names(&directory)?.into_iter(),
                path: path.len(),
            });
        }
    }
    Ok(())
}

pub(crate) fn open_directory(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

/// The names in a directory, in their order.
pub(crate) fn names(directory: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests;
