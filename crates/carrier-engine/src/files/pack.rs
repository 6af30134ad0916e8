//! A tree of files, entry by entry, into an archive.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use carrier_store::{is_opaque, is_whiteout};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::marks;
use crate::archive::write::{Attribute, Header, Kind, Writer};

/// No file system allows larger values.
const MAX_XATTR: usize = 64 * 1024;

/// Image-spec `layer.md`, section "Whiteouts".
const WHITEOUT: &[u8] = b".wh.";

/// Of a file with more, the holes are stored too.
const MAX_PARTS: usize = 10_000;

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
pub(crate) fn contents(root: OwnedFd, output: impl Write) -> io::Result<Vec<String>> {
    let mut packer = Packer::new(output);
    packer.below(root, Vec::new())?;
    packer.finish()
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

/// An archive that trees and files are added to.
pub(crate) struct Packer<W: Write> {
    writer: Writer<W>,
    /// Where a file with several names was written first.
    links: HashMap<(u64, u64), Vec<u8>>,
    changed: Vec<String>,
    /// Holes of files are not stored.
    keeps_holes: bool,
    /// The tree is what a container wrote: marks of overlay become those of a layer.
    layer: Option<LayerStyle>,
}

/// How a tree becomes a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LayerStyle {
    /// Directories hide all that is below them.
    pub(crate) is_whole: bool,
}

impl<W: Write> Packer<W> {
    pub(crate) fn new(output: W) -> Self {
        Self {
            writer: Writer::new(output),
            links: HashMap::new(),
            changed: Vec::new(),
            keeps_holes: false,
            layer: None,
        }
    }

    /// Writes a layer of an image, image-spec `layer.md`.
    pub(crate) fn for_layer(self, style: LayerStyle) -> Self {
        Self {
            layer: Some(style),
            ..self
        }
    }

    /// Writes that a name of lower layers is gone.
    pub(crate) fn whiteout(&mut self, path: &[u8]) -> io::Result<()> {
        let (above, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => path.split_at(slash + 1),
            None => (&b""[..], path),
        };
        self.mark(&[above, WHITEOUT, name].concat())
    }

    fn mark(&mut self, path: &[u8]) -> io::Result<()> {
        let header = Header {
            path,
            ..Header::file("", 0)
        };
        self.writer.append(&header, io::empty()).map(drop)
    }

    /// Stores files with holes without them. Carrier's own reader knows what that means, and so do
    /// those of other programs, but not all.
    pub(crate) fn keeping_holes(self) -> Self {
        Self {
            keeps_holes: true,
            ..self
        }
    }

    /// Writes a directory, as `name`, and all that is below it.
    pub(crate) fn tree(&mut self, directory: OwnedFd, name: &[u8]) -> io::Result<()> {
        self.opened_directory(directory.as_fd(), name)?;
        self.below(directory, [name, b"/"].concat())
    }

    /// Writes all that is below a directory; `path` ends with a slash, or is empty.
    pub(crate) fn below(&mut self, directory: OwnedFd, path: Vec<u8>) -> io::Result<()> {
        let mut frames = vec![Frame::new(directory, path)?];
        while let Some(frame) = frames.last_mut() {
            let Some(name) = frame.names.pop() else {
                frames.pop();
                continue;
            };
            let path = [frame.path.as_slice(), name.as_bytes()].concat();
            if let Some(directory) = self.entry(frame.directory.as_fd(), &name, &path)? {
                frames.push(Frame::new(directory, [&path, &b"/"[..]].concat())?);
            }
        }
        Ok(())
    }

    /// Ends the archive; which files changed while they were read.
    pub(crate) fn finish(self) -> io::Result<Vec<String>> {
        self.writer.finish()?;
        Ok(self.changed)
    }

    /// Writes one entry; returns it where it is a directory.
    pub(crate) fn entry(
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
        if self.layer.is_some() {
            if is_whiteout(&stat) {
                self.whiteout(path)?;
                return Ok(None);
            }
            let absolute = [b"/", path].concat();
            if marks::is_mount_point(&absolute, &stat) {
                return Ok(None);
            }
        }
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
        self.opened_directory(directory.as_fd(), path)?;
        Ok(Some(directory))
    }

    fn opened_directory(&mut self, directory: BorrowedFd<'_>, path: &[u8]) -> io::Result<()> {
        let stat = rustix::fs::fstat(directory).map_err(at(path))?;
        let named = [path, b"/"].concat();
        let mut header = header(&named, Kind::Directory, &stat);
        header.xattrs = xattrs(directory).map_err(at(path))?;
        self.writer.append(&header, io::empty())?;
        let hides = self.layer.is_some_and(|layer| {
            let is_top = !path.contains(&b'/');
            (layer.is_whole && is_top) || is_opaque(directory)
        });
        if hides {
            self.mark(&[&named, marks::OPAQUE.to_bytes()].concat())?;
        }
        Ok(())
    }

    fn file(&mut self, parent: BorrowedFd<'_>, name: &CString, path: &[u8]) -> io::Result<()> {
        // What becomes a pipe in this moment is not waited for.
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
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
        if self.is_another_name(path, &stat)? {
            return Ok(());
        }
        let mut header = header(path, Kind::File, &stat);
        header.size = u64::try_from(stat.st_size).unwrap_or(0);
        header.xattrs = xattrs(file.as_fd()).map_err(at(path))?;
        let file = File::from(file);
        let parts = match self.keeps_holes {
            true => parts(&file, &stat).map_err(at(path))?,
            false => None,
        };
        let whole = match parts {
            Some(parts) => self
                .writer
                .append_sparse(&header, &parts, |place, length, to| {
                    let mut from = &file;
                    from.seek(SeekFrom::Start(place))?;
                    io::copy(&mut from.take(length), to)
                })?,
            None => self.writer.append(&header, file)?,
        };
        if !whole {
            self.note(path);
        }
        Ok(())
    }

    /// Writes a link where the file was written before by another name.
    fn is_another_name(&mut self, path: &[u8], stat: &Stat) -> io::Result<bool> {
        if stat.st_nlink < 2 {
            return Ok(false);
        }
        match self.links.entry((stat.st_dev, stat.st_ino)) {
            Slot::Vacant(slot) => {
                slot.insert(path.to_owned());
                Ok(false)
            }
            Slot::Occupied(first) => {
                let header = Header {
                    link: first.get(),
                    ..header(path, Kind::HardLink, stat)
                };
                self.writer.append(&header, io::empty())?;
                Ok(true)
            }
        }
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

/// Where a file has content, if not everywhere.
fn parts(file: &File, stat: &Stat) -> Result<Option<Vec<(u64, u64)>>, Errno> {
    use rustix::fs::SeekFrom::{Data, Hole};
    const BLOCK: i64 = 512;
    if stat.st_blocks.saturating_mul(BLOCK) >= stat.st_size {
        return Ok(None);
    }
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let mut parts = Vec::new();
    let mut end = 0;
    while end < size {
        let begin = match rustix::fs::seek(file, Data(end)) {
            // Nothing but a hole is left.
            Err(Errno::NXIO) => break,
            other => other?,
        };
        end = rustix::fs::seek(file, Hole(begin))?.min(size);
        if begin >= end || parts.len() == MAX_PARTS {
            rustix::fs::seek(file, rustix::fs::SeekFrom::Start(0))?;
            return Ok(None);
        }
        parts.push((begin, end - begin));
    }
    Ok(Some(parts))
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
    let wanted = names.filter(|name| {
        let users = name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
        users || *name == b"security.capability"
    });
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
