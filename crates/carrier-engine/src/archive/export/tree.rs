//! A tree of files, entry by entry, into an archive.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::super::write::{Attribute, Header, Kind, Writer};

/// No file system allows larger values.
const MAX_XATTR: usize = 64 * 1024;

/// Many names would be of no use to anybody.
const MAX_CHANGED: usize = 100;

/// One directory on the way down, and what is left of its names.
struct Frame {
    directory: OwnedFd,
    /// The path, with a slash at its end; empty for the root.
    path: Vec<u8>,
    /// In reverse order.
    names: Vec<CString>,
}

/// Writes all that is below `root`; returns which files changed meanwhile.
pub(super) fn write(root: OwnedFd, output: impl Write) -> io::Result<Vec<String>> {
    let mut tree = Tree {
        writer: Writer::new(output),
        links: HashMap::new(),
        changed: Vec::new(),
    };
    let mut frames = vec![Frame::new(root, Vec::new())?];
    while let Some(frame) = frames.last_mut() {
        let Some(name) = frame.names.pop() else {
            frames.pop();
            continue;
        };
        let path = [frame.path.as_slice(), name.as_bytes()].concat();
        if let Some(directory) = tree.entry(frame.directory.as_fd(), &name, &path)? {
            frames.push(Frame::new(directory, [&path, &b"/"[..]].concat())?);
        }
    }
    tree.writer.finish()?;
    Ok(tree.changed)
}

impl Frame {
    fn new(directory: OwnedFd, path: Vec<u8>) -> io::Result<Self> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&directory)? {
            let name = entry?.file_name().to_owned();
            if !matches!(name.as_bytes(), b"." | b"..") {
                names.push(name);
            }
        }
        names.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Self {
            directory,
            path,
            names,
        })
    }
}

struct Tree<W: Write> {
    writer: Writer<W>,
    /// Where a file with several names was written first.
    links: HashMap<(u64, u64), Vec<u8>>,
    changed: Vec<String>,
}

impl<W: Write> Tree<W> {
    /// Writes one entry; returns it where it is a directory.
    fn entry(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CString,
        path: &[u8],
    ) -> io::Result<Option<OwnedFd>> {
        let stat = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {
                self.note(path);
                return Ok(None);
            }
            other => other.map_err(at(path))?,
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => return self.directory(parent, name, path),
            FileType::RegularFile => self.file(parent, name, path)?,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(parent, name, Vec::new()).map_err(at(path))?;
                let header = Header {
                    link: target.as_bytes(),
                    ..header(path, Kind::Symlink, &stat)
                };
                self.writer.append(&header, io::empty())?;
            }
            FileType::Fifo => self.node(path, Kind::Fifo, &stat)?,
            FileType::CharacterDevice => self.node(path, Kind::Character, &stat)?,
            FileType::BlockDevice => self.node(path, Kind::Block, &stat)?,
            // A socket without its program is nothing, and tar has no word for it.
            _ => {}
        }
        Ok(None)
    }

    fn directory(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CString,
        path: &[u8],
    ) -> io::Result<Option<OwnedFd>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = match rustix::fs::openat(parent, name, flags, Mode::empty()) {
            // It was another thing a moment ago.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                self.note(path);
                return Ok(None);
            }
            other => other.map_err(at(path))?,
        };
        let stat = rustix::fs::fstat(&directory).map_err(at(path))?;
        let named = [path, b"/"].concat();
        let mut header = header(&named, Kind::Directory, &stat);
        header.xattrs = xattrs(directory.as_fd()).map_err(at(path))?;
        self.writer.append(&header, io::empty())?;
        Ok(Some(directory))
    }

    fn file(&mut self, parent: BorrowedFd<'_>, name: &CString, path: &[u8]) -> io::Result<()> {
        // What becomes a pipe in this moment is not waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(parent, name, flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => {
                self.note(path);
                return Ok(());
            }
            other => other.map_err(at(path))?,
        };
        let stat = rustix::fs::fstat(&file).map_err(at(path))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            self.note(path);
            return Ok(());
        }
        if stat.st_nlink > 1 {
            match self.links.entry((stat.st_dev, stat.st_ino)) {
                Slot::Vacant(slot) => {
                    slot.insert(path.to_owned());
                }
                Slot::Occupied(first) => {
                    let header = Header {
                        link: first.get(),
                        ..header(path, Kind::HardLink, &stat)
                    };
                    return self.writer.append(&header, io::empty()).map(drop);
                }
            }
        }
        let mut header = header(path, Kind::File, &stat);
        header.size = u64::try_from(stat.st_size).unwrap_or(0);
        header.xattrs = xattrs(file.as_fd()).map_err(at(path))?;
        if !self.writer.append(&header, File::from(file))? {
            self.note(path);
        }
        Ok(())
    }

    fn node(&mut self, path: &[u8], kind: Kind, stat: &Stat) -> io::Result<()> {
        let header = Header {
            device: (
                rustix::fs::major(stat.st_rdev),
                rustix::fs::minor(stat.st_rdev),
            ),
            ..header(path, kind, stat)
        };
        self.writer.append(&header, io::empty()).map(drop)
    }

    fn note(&mut self, path: &[u8]) {
        if self.changed.len() < MAX_CHANGED {
            let shown = String::from_utf8_lossy(path).replace('\n', "?");
            self.changed.push(shown.chars().take(200).collect());
        }
    }
}

fn header<'a>(path: &'a [u8], kind: Kind, stat: &Stat) -> Header<'a> {
    Header {
        path,
        link: b"",
        kind,
        mode: stat.st_mode,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: (
            stat.st_mtime,
            u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        ),
        size: 0,
        device: (0, 0),
        xattrs: Vec::new(),
    }
}

/// The attributes that mean something elsewhere: the user's, and file capabilities, as root of the
/// namespace sees them.
fn xattrs(file: BorrowedFd<'_>) -> Result<Vec<Attribute>, Errno> {
    let mut list = vec![0; MAX_XATTR];
    let length = match rustix::fs::flistxattr(file, &mut list) {
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        other => other?,
    };
    let names = list
        .get(..length)
        .unwrap_or_default()
        .split(|byte| *byte == 0);
    let wanted = names.filter(|name| name.starts_with(b"user.") || *name == b"security.capability");
    let mut found = Vec::new();
    for name in wanted {
        let mut value = vec![0; MAX_XATTR];
        match rustix::fs::fgetxattr(file, OsStr::from_bytes(name), &mut value) {
            Err(Errno::NODATA) => {}
            length => {
                value.truncate(length?);
                found.push((name.to_owned(), value));
            }
        }
    }
    Ok(found)
}

/// Says which file an error is about.
fn at(path: &[u8]) -> impl FnOnce(Errno) -> io::Error {
    move |errno| {
        let error = io::Error::from(errno);
        io::Error::new(
            error.kind(),
            format!("{}: {error}", String::from_utf8_lossy(path)),
        )
    }
}
