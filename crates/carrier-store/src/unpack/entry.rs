//! Making what an entry describes.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, SeekFrom, Uid};
use rustix::io::Errno;

use super::archive::{Archive, Entry, Kind};
use super::attributes::{Birth, set_attributes, times};
use super::directories::Directories;
use super::place::{
    Existing, Location, OPAQUE_WHITEOUT, Places, WHITEOUT, clear, make_directory, make_opaque,
    open_child, reopen, what_is,
};
use super::space::Space;
use super::sparse::SparseMap;
use super::{Ownership, UnpackError, UnpackOptions, printable};
use crate::inventory::{TreeSize, count};

const BUFFER: usize = 128 * 1024;

/// What was made, beyond what the archive itself tells.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) bytes: u64,
    pub(super) skipped_devices: u64,
}

pub(super) struct Extractor<'a> {
    places: Places<'a>,
    /// Whether the current entry has taken something away that may have been on the way to the last
    /// parent. The entry itself stays where its own parent was when it began.
    stale: bool,
    ownership: Ownership,
    birth: Birth,
    totals: Totals,
    /// Places of devices that were left out: links to them are left out too.
    devices: HashSet<Vec<u8>>,
    directories: Directories,
    /// Bytes that the two lists may take.
    memory: u64,
    max_memory: u64,
    space: Space<'a>,
    buffer: Vec<u8>,
}

impl<'a> Extractor<'a> {
    pub(super) fn new(root: BorrowedFd<'a>, options: &UnpackOptions) -> Result<Self, UnpackError> {
        Ok(Self {
            places: Places::new(root),
            stale: false,
            ownership: options.ownership,
            birth: Birth::observe(root).map_err(|errno| refused(b"/", errno))?,
            totals: Totals::default(),
            devices: HashSet::new(),
            directories: Directories::default(),
            memory: 0,
            max_memory: options.limits.memory,
            space: Space::new(root, options.limits.reserve)?,
            buffer: vec![0; BUFFER],
        })
    }

    pub(super) fn extract(
        &mut self,
        entry: &Entry,
        archive: &mut Archive<'_>,
    ) -> Result<(), UnpackError> {
        let bad = |reason| UnpackError::BadEntry {
            name: printable(&entry.path),
            reason,
        };
        let location =
            Location::parse(&entry.path).ok_or_else(|| bad("the name leads out of the layer"))?;
        if location.is_aufs_metadata() {
            return Ok(());
        }
        if location.is_below_whiteout() {
            return Err(bad("a whiteout is no directory"));
        }
        if location.is_root() {
            if entry.kind != Kind::Directory {
                return Err(bad("the root of a layer is a directory"));
            }
            return self.make_root(entry);
        }
        if location.name.starts_with(WHITEOUT) {
            return self.white_out(entry, location);
        }
        if std::mem::take(&mut self.stale) {
            self.places.forget();
        }
        self.space.make()?;
        match entry.kind {
            Kind::Directory => self.make_directory(entry, &location),
            Kind::File => self.make_file(entry, &location, archive),
            Kind::Symlink => self.make_symlink(entry, &location),
            Kind::HardLink => self.make_hard_link(entry, &location),
            Kind::Fifo => self.make_fifo(entry, &location),
            Kind::Device => self.skip_device(&location),
        }
    }

    /// Counts what has to be remembered until the end.
    fn remember(&mut self, path: &[u8]) -> Result<(), UnpackError> {
        const OVERHEAD: u64 = 64;
        self.memory += path.len() as u64 + OVERHEAD;
        if self.memory <= self.max_memory {
            return Ok(());
        }
        Err(UnpackError::TooLarge {
            what: "bytes of names of directories and devices",
            max: self.max_memory,
        })
    }

    fn settle_later(&mut self, path: Vec<u8>, entry: &Entry) -> Result<(), UnpackError> {
        self.remember(&path)?;
        self.directories.add(path, entry);
        Ok(())
    }

    /// Gives the directories their modes and times, and counts.
    pub(super) fn finish(mut self) -> Result<(Totals, TreeSize), UnpackError> {
        let directories = std::mem::take(&mut self.directories);
        directories
            .settle(|path| self.places.open_itself(path))
            .map_err(|(path, errno)| refused(&path, errno))?;
        // A look costs more than all that was made: it is taken only where something was replaced.
        let tree = match self.places.tally.total() {
            Some(entries) => Ok(TreeSize {
                entries,
                bytes: self.totals.bytes,
            }),
            None => count(self.places.root()),
        };
        let tree =
            tree.map_err(|error| refused(b"/", Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        Ok((self.totals, tree))
    }

    /// Only the host's root may make devices; a container gets its own from the runtime.
    fn skip_device(&mut self, location: &Location) -> Result<(), UnpackError> {
        let path = location.path();
        self.remember(&path)?;
        self.devices.insert(path);
        self.totals.skipped_devices += 1;
        Ok(())
    }

    fn make_root(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        let root = self.places.root();
        if let Some((uid, gid)) = self.owner(entry) {
            rustix::fs::chownat(root, c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
                .map_err(|errno| ownership_refused(entry, errno))?;
        }
        self.settle_later(Vec::new(), entry)
    }

    fn make_directory(&mut self, entry: &Entry, location: &Location) -> Result<(), UnpackError> {
        let mut make = || {
            let tally = Rc::clone(&self.places.tally);
            let parent = self.places.parent(location)?;
            let name = location.c_name()?;
            self.stale = make_directory(parent, &name, &tally)?;
            open_child(parent, &name)
        };
        let made = make().map_err(|errno| refused(&entry.path, errno))?;
        if let Some((uid, gid)) = self.owner(entry) {
            rustix::fs::chownat(&made, c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
                .map_err(|errno| ownership_refused(entry, errno))?;
        }
        if !entry.xattrs.is_empty() {
            let directory = reopen(&made).map_err(|errno| refused(&entry.path, errno))?;
            set_attributes(directory.as_fd(), entry)?;
        }
        self.settle_later(location.path(), entry)
    }

    fn make_file(
        &mut self,
        entry: &Entry,
        location: &Location,
        archive: &mut Archive<'_>,
    ) -> Result<(), UnpackError> {
        let refused = |errno| refused(&entry.path, errno);
        let mut file = File::from(self.create(location, entry.mode).map_err(refused)?);
        match &entry.sparse {
            None => self.copy(entry, archive, &mut file, u64::MAX)?,
            Some(map) => self.copy_sparse(entry, map, archive, &mut file)?,
        }
        if let Some((uid, gid)) = self.owner(entry) {
            rustix::fs::fchown(&file, Some(uid), Some(gid))
                .map_err(|errno| ownership_refused(entry, errno))?;
        }
        // After the owner: a change of owner clears the set-user-ID bit.
        if entry.mode != self.birth.mode(entry.mode) {
            rustix::fs::fchmod(&file, Mode::from_raw_mode(entry.mode)).map_err(refused)?;
        }
        set_attributes(file.as_fd(), entry)?;
        rustix::fs::futimens(&file, &times(entry.mtime)).map_err(refused)
    }

    /// Writes the next bytes of the entry's content, at most `wanted`.
    fn copy(
        &mut self,
        entry: &Entry,
        archive: &mut Archive<'_>,
        file: &mut File,
        wanted: u64,
    ) -> Result<(), UnpackError> {
        let mut left = wanted;
        loop {
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            let end = most.min(self.buffer.len());
            let count = archive.read(self.buffer.get_mut(..end).unwrap_or_default())?;
            if count == 0 {
                return Ok(());
            }
            self.space.write(count as u64)?;
            let chunk = self.buffer.get(..count).unwrap_or_default();
            file.write_all(chunk).map_err(|error| {
                refused(
                    &entry.path,
                    Errno::from_io_error(&error).unwrap_or(Errno::IO),
                )
            })?;
            self.totals.bytes += count as u64;
            left -= count as u64;
        }
    }

    /// Writes the parts of a file with holes.
    fn copy_sparse(
        &mut self,
        entry: &Entry,
        map: &SparseMap,
        archive: &mut Archive<'_>,
        file: &mut File,
    ) -> Result<(), UnpackError> {
        let refused = |errno| refused(&entry.path, errno);
        for (place, length) in &map.parts {
            rustix::fs::seek(&*file, SeekFrom::Start(*place)).map_err(refused)?;
            self.copy(entry, archive, file, *length)?;
        }
        let stored: u64 = map.parts.iter().map(|(_, length)| length).sum();
        self.totals.bytes += map.size - stored;
        rustix::fs::ftruncate(&*file, map.size).map_err(refused)
    }

    fn create(&mut self, location: &Location, mode: u32) -> Result<OwnedFd, Errno> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let name = location.c_name()?;
        self.replace(location, |parent| {
            rustix::fs::openat(parent, &name, flags, Mode::from_raw_mode(mode & 0o777))
        })
    }

    fn make_symlink(&mut self, entry: &Entry, location: &Location) -> Result<(), UnpackError> {
        let refused = |errno| refused(&entry.path, errno);
        let target = CString::new(entry.link.as_slice()).map_err(|_| refused(Errno::INVAL))?;
        let name = location.c_name().map_err(refused)?;
        self.replace(location, |parent| {
            rustix::fs::symlinkat(&*target, parent, &name)
        })
        .map_err(refused)?;
        self.settle_leaf(entry, location, &name)
    }

    fn make_fifo(&mut self, entry: &Entry, location: &Location) -> Result<(), UnpackError> {
        let refused = |errno| refused(&entry.path, errno);
        let name = location.c_name().map_err(refused)?;
        // Its owner must be able to open it: modes are not changed by name.
        let mode = entry.mode & 0o777 | 0o400;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fifo = self.replace(location, |parent| {
            rustix::fs::mknodat(parent, &name, FileType::Fifo, Mode::from_raw_mode(mode), 0)?;
            rustix::fs::openat(parent, &name, flags, Mode::empty())
        });
        let fifo = fifo.map_err(refused)?;
        if entry.mode != self.birth.mode(mode) {
            rustix::fs::fchmod(&fifo, Mode::from_raw_mode(entry.mode)).map_err(refused)?;
        }
        self.settle_leaf(entry, location, &name)
    }

    /// Owner and time of something that has no content.
    fn settle_leaf(
        &mut self,
        entry: &Entry,
        location: &Location,
        name: &CStr,
    ) -> Result<(), UnpackError> {
        let refused = |errno| refused(&entry.path, errno);
        let owner = self.owner(entry);
        let parent = self.places.parent(location).map_err(refused)?;
        if let Some((uid, gid)) = owner {
            rustix::fs::chownat(
                parent,
                name,
                Some(uid),
                Some(gid),
                AtFlags::SYMLINK_NOFOLLOW,
            )
            .map_err(|errno| ownership_refused(entry, errno))?;
        }
        rustix::fs::utimensat(parent, name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(refused)
    }

    /// Links to what an earlier entry of this layer made, and not to what that points to.
    fn make_hard_link(&mut self, entry: &Entry, location: &Location) -> Result<(), UnpackError> {
        let bad = |reason| UnpackError::BadEntry {
            name: printable(&entry.path),
            reason,
        };
        let source = Location::parse(&entry.link).filter(|source| !source.is_root());
        let source = source.ok_or_else(|| bad("the link leads out of the layer"))?;
        if source == *location {
            return Err(bad("the link leads to itself"));
        }
        if self.devices.contains(&source.path()) {
            return self.skip_device(location);
        }
        let mut link = || {
            // First, since it may put a directory where the source is.
            self.places.parent(location)?;
            let directory = self.places.open(&source.parent)?;
            let source_name = source.c_name()?;
            if what_is(directory.as_fd(), &source_name)? != Some(Existing::Other) {
                return Err(Errno::NOENT);
            }
            let name = location.c_name()?;
            self.replace(location, |parent| {
                rustix::fs::linkat(&directory, &*source_name, parent, &name, AtFlags::empty())
            })
        };
        link().map_err(|errno| match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP => {
                bad("the link leads to no file of this layer")
            }
            errno => refused(&entry.path, errno),
        })
    }

    /// Marks a name, or all names in a directory, as removed from the layers below.
    fn white_out(&mut self, entry: &Entry, location: Location) -> Result<(), UnpackError> {
        let refused = |errno| refused(&entry.path, errno);
        if location.name == OPAQUE_WHITEOUT {
            let parent = self.places.parent(&location).map_err(refused)?;
            let parent = rustix::io::fcntl_dupfd_cloexec(parent, 0).map_err(refused)?;
            return make_opaque(&parent).map_err(refused);
        }
        let hidden = location
            .name
            .strip_prefix(WHITEOUT)
            .unwrap_or_default()
            .to_vec();
        if matches!(hidden.as_slice(), b"" | b"." | b"..") {
            let name = printable(&entry.path);
            return Err(UnpackError::BadEntry {
                name,
                reason: "the whiteout hides nothing",
            });
        }
        let location = Location {
            name: hidden,
            ..location
        };
        let mut hide = || {
            let name = location.c_name()?;
            let parent = self.places.parent(&location)?;
            match what_is(parent, &name)? {
                // Only what lies below is hidden, whatever the order of the entries.
                Some(Existing::Directory) => make_opaque(&open_child(parent, &name)?),
                Some(_) => Ok(()),
                None => {
                    let mode = Mode::from_raw_mode(0o600);
                    rustix::fs::mknodat(parent, &name, FileType::CharacterDevice, mode, 0)?;
                    self.places.tally.made();
                    Ok(())
                }
            }
        };
        hide().map_err(refused)
    }

    /// Makes something at `location`, in place of what stands there.
    fn replace<T>(
        &mut self,
        location: &Location,
        make: impl Fn(BorrowedFd<'_>) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match make(self.places.parent(location)?) {
            Err(Errno::EXIST) => {}
            other => return other.inspect(|_| self.places.tally.made()),
        }
        self.places.tally.replaced();
        let name = location.c_name()?;
        self.stale = true;
        let parent = self.places.parent(location)?;
        clear(parent, &name)?;
        make(parent)
    }

    /// The owner to set; nothing where a new file has it already.
    fn owner(&self, entry: &Entry) -> Option<(Uid, Gid)> {
        let wanted = (entry.uid, entry.gid);
        let differs = self.ownership == Ownership::Exact && wanted != self.birth.owner;
        differs.then(|| (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid)))
    }
}

/// For an entry that the file system refused.
pub(super) fn refused(name: &[u8], source: Errno) -> UnpackError {
    UnpackError::Entry {
        name: printable(name),
        source,
    }
}

fn ownership_refused(entry: &Entry, errno: Errno) -> UnpackError {
    let name = printable(&entry.path);
    match errno {
        Errno::INVAL => UnpackError::Unmapped {
            name,
            uid: entry.uid,
            gid: entry.gid,
        },
        source => UnpackError::Entry { name, source },
    }
}
