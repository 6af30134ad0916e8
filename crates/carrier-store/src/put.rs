//! Putting what an archive holds into a tree that exists: `cp`.
//!
//! Both may be a stranger's, and the tree may change meanwhile. Each entry is placed relative to a
//! descriptor of its parent, which was resolved inside of the destination's root or without any link;
//! the entry itself is never followed. Other than in a layer, no name has a meaning of its own, and a
//! directory and something else do not take each other's place (Docker's rule).

mod way;

use std::ffi::CStr;
use std::fs::File;
use std::io::{Read, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, SeekFrom, Uid};
use rustix::io::Errno;

use crate::unpack::archive::{Archive, Entry, Kind};
use crate::unpack::attributes::{set_possible_attributes, times};
use crate::unpack::directories::Directories;
use crate::unpack::place::Location;
use crate::unpack::{ArchiveError, ArchiveReader, Limits, UnpackError, printable};

pub use way::Destination;
use way::Ways;

const BUFFER: usize = 128 * 1024;

/// The bits of a mode that give a file's user or group to whoever executes it.
const SET_ID: u32 = 0o6000;

/// Whose the files will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Whose the archive says.
    AsTold,
    /// This user's and group's.
    Fixed(u32, u32),
    /// The caller's, for whom programs of others do not get the rights of the caller: a set-user-ID
    /// bit belongs to an owner.
    Caller,
}

/// The first part of every name in the archive, and what stands in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootName {
    /// In the archive; empty where names are relative to the directory that was copied.
    pub archived: Vec<u8>,
    /// In the destination; empty for the directory itself.
    pub placed: Vec<u8>,
}

/// How an archive is put somewhere.
#[derive(Clone, Debug)]
pub struct PutOptions {
    /// Whose the files will be.
    pub owner: Owner,
    /// Another name for what was copied; names stay as they are without one.
    pub rename: Option<RootName>,
}

/// What was put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutSummary {
    /// Entries.
    pub entries: u64,
    /// Device nodes, which only the host's root can make.
    pub skipped_devices: u64,
}

/// Why something cannot be put.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// An entry that leads elsewhere.
    #[error("the archive has a bad entry {name:?}: {reason}")]
    BadEntry {
        /// Its name, made safe for terminals.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A directory is where a file shall be.
    #[error("cannot overwrite directory {0:?} with non-directory")]
    DirectoryInTheWay(String),
    /// A file is where a directory shall be.
    #[error("cannot overwrite non-directory {0:?} with directory")]
    FileInTheWay(String),
    /// An owner who does not exist there.
    #[error("{name:?} belongs to {uid}:{gid}, which is not mapped in the user namespace")]
    Unmapped {
        /// The entry's name, made safe for terminals.
        name: String,
        /// Its user.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// The file system refused an entry.
    #[error("cannot write {name:?}")]
    Entry {
        /// Its name, made safe for terminals.
        name: String,
        /// The kernel's answer.
        source: Errno,
    },
}

impl PutError {
    /// Speaks of an entry by the name that it gets, and not by that of the archive.
    fn renamed(mut self, shown: &[u8]) -> Self {
        let (Self::BadEntry { name, .. }
        | Self::DirectoryInTheWay(name)
        | Self::FileInTheWay(name)
        | Self::Unmapped { name, .. }
        | Self::Entry { name, .. }) = &mut self
        else {
            return self;
        };
        *name = printable(shown);
        self
    }
}

/// Puts the entries of `stream`, a tar archive that may be compressed, into `destination`.
///
/// # Errors
/// [`PutError`]; what was put so far stays.
pub fn put(
    stream: impl Read,
    destination: &Destination<'_>,
    options: &PutOptions,
) -> Result<PutSummary, PutError> {
    let limits = Limits {
        bytes: i64::MAX.cast_unsigned(),
        ..Limits::default()
    };
    let mut archive = ArchiveReader::new(stream, limits)?.0;
    let mut put = Put {
        ways: Ways::new(destination),
        options,
        directories: Directories::default(),
        summary: PutSummary::default(),
        buffer: vec![0; BUFFER],
    };
    while let Some(entry) = archive.next_entry().map_err(ArchiveError::from)? {
        put.summary.entries += 1;
        put.entry(&entry, &mut archive)?;
    }
    put.finish()
}

struct Put<'a> {
    ways: Ways<'a>,
    options: &'a PutOptions,
    directories: Directories,
    summary: PutSummary,
    buffer: Vec<u8>,
}

impl Put<'_> {
    fn entry(&mut self, entry: &Entry, archive: &mut Archive<'_>) -> Result<(), PutError> {
        let location = self.locate(entry, &entry.path)?;
        if location.is_root() {
            // The destination itself stays as it is.
            return match entry.kind {
                Kind::Directory => Ok(()),
                _ => Err(PutError::FileInTheWay(printable(&entry.path))),
            };
        }
        let path = location.path();
        let put = match entry.kind {
            Kind::Directory => self.directory(entry, &location),
            Kind::File => self.file(entry, &location, archive),
            Kind::Symlink | Kind::Fifo => self.leaf(entry, &location),
            Kind::HardLink => self.hard_link(entry, &location),
            Kind::Device => {
                self.summary.skipped_devices += 1;
                Ok(())
            }
        };
        put.map_err(|error| error.renamed(&path))
    }

    /// Where a name of the archive is in the destination.
    fn locate(&self, entry: &Entry, path: &[u8]) -> Result<Location, PutError> {
        let bad = |reason| PutError::BadEntry {
            name: printable(&entry.path),
            reason,
        };
        let outside = || bad("the name leads out of the archive");
        let location = Location::parse(path).ok_or_else(outside)?;
        let Some(RootName { archived, placed }) = &self.options.rename else {
            return Ok(location);
        };
        let path = location.path();
        let below = match archived.as_slice() {
            b"" => Some(path.as_slice()),
            name => path
                .strip_prefix(name)
                .filter(|rest| rest.is_empty() || rest.starts_with(b"/")),
        };
        let below = below.ok_or_else(|| bad("it is not below what was copied"))?;
        Location::parse(&[placed, &b"/"[..], below].concat()).ok_or_else(outside)
    }

    fn directory(&mut self, entry: &Entry, location: &Location) -> Result<(), PutError> {
        let refused = |errno| refused(entry, errno);
        let name = location.c_name().map_err(refused)?;
        let parent = self.ways.parent(location).map_err(refused)?;
        let directory = match rustix::fs::mkdirat(parent, &name, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => match open_directory(parent, &name) {
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    return Err(PutError::FileInTheWay(printable(&entry.path)));
                }
                other => other.map_err(refused)?,
            },
            Err(errno) => return Err(refused(errno)),
        };
        self.own(entry, directory.as_fd())?;
        set_possible_attributes(directory.as_fd(), entry).map_err(|error| given(entry, &error))?;
        self.directories.add(location.path(), entry);
        Ok(())
    }

    fn file(
        &mut self,
        entry: &Entry,
        location: &Location,
        archive: &mut Archive<'_>,
    ) -> Result<(), PutError> {
        let refused = |errno| refused(entry, errno);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let made = self.replace(entry, location, |parent, name| {
            rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o600))
        });
        let (file, is_new) = match made {
            Err(PutError::Entry {
                source: Errno::BUSY,
                ..
            }) => (self.busy_file(location).map_err(refused)?, false),
            other => (other?, true),
        };
        let mut file = File::from(file);
        match &entry.sparse {
            None => self.copy(entry, archive, &mut file, u64::MAX)?,
            Some(map) => {
                for (place, length) in &map.parts {
                    rustix::fs::seek(&file, SeekFrom::Start(*place)).map_err(refused)?;
                    self.copy(entry, archive, &mut file, *length)?;
                }
                rustix::fs::ftruncate(&file, map.size).map_err(refused)?;
            }
        }
        if !is_new {
            return Ok(());
        }
        self.own(entry, file.as_fd())?;
        // After the owner: a change of owner clears the set-user-ID bit.
        let mode = match self.options.owner {
            Owner::Caller => entry.mode & !SET_ID,
            _ => entry.mode,
        };
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(refused)?;
        set_possible_attributes(file.as_fd(), entry).map_err(|error| given(entry, &error))?;
        rustix::fs::futimens(&file, &times(entry.mtime)).map_err(refused)
    }

    /// Opens a file that another one is mounted on, as `/etc/hosts` is: it keeps its owner and mode.
    fn busy_file(&mut self, location: &Location) -> Result<OwnedFd, Errno> {
        let name = location.c_name()?;
        let parent = self.ways.parent(location)?;
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(parent, &name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Errno::BUSY);
        }
        rustix::fs::ftruncate(&file, 0)?;
        Ok(file)
    }

    /// Writes the next bytes of the entry's content, at most `wanted`.
    fn copy(
        &mut self,
        entry: &Entry,
        archive: &mut Archive<'_>,
        file: &mut File,
        wanted: u64,
    ) -> Result<(), PutError> {
        let mut left = wanted;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            let end = most.min(self.buffer.len());
            let buffer = self.buffer.get_mut(..end).unwrap_or_default();
            let count = archive.read(buffer).map_err(ArchiveError::from)?;
            if count == 0 {
                break;
            }
            let chunk = self.buffer.get(..count).unwrap_or_default();
            file.write_all(chunk).map_err(|error| {
                refused(entry, Errno::from_io_error(&error).unwrap_or(Errno::IO))
            })?;
            left -= count as u64;
        }
        Ok(())
    }

    /// A link or a pipe, whose mode is right from its birth.
    fn leaf(&mut self, entry: &Entry, location: &Location) -> Result<(), PutError> {
        let refused = |errno| refused(entry, errno);
        let target = std::ffi::CString::new(entry.link.as_slice());
        let target = target.map_err(|_| refused(Errno::INVAL))?;
        self.replace(entry, location, |parent, name| match entry.kind {
            Kind::Symlink => rustix::fs::symlinkat(&*target, parent, name),
            _ => {
                let mode = Mode::from_raw_mode(entry.mode & 0o777);
                rustix::fs::mknodat(parent, name, FileType::Fifo, mode, 0)
            }
        })?;
        let owner = self.owner(entry);
        let name = location.c_name().map_err(refused)?;
        let parent = self.ways.parent(location).map_err(refused)?;
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        if let Some((uid, gid)) = owner {
            rustix::fs::chownat(parent, &name, Some(uid), Some(gid), flags)
                .map_err(|errno| unowned(entry, errno))?;
        }
        rustix::fs::utimensat(parent, &name, &times(entry.mtime), flags).map_err(refused)
    }

    /// Links to what an earlier entry has made, and not to what that points to.
    fn hard_link(&mut self, entry: &Entry, location: &Location) -> Result<(), PutError> {
        let refused = |errno| refused(entry, errno);
        let source = self.locate(entry, &entry.link)?;
        if source == *location || source.is_root() {
            return Err(PutError::BadEntry {
                name: printable(&entry.path),
                reason: "the link leads to itself",
            });
        }
        let directory = self.ways.open(&source.parent).map_err(refused)?;
        let source_name = source.c_name().map_err(refused)?;
        self.replace(entry, location, |parent, name| {
            rustix::fs::linkat(&directory, &*source_name, parent, name, AtFlags::empty())
        })
    }

    /// Makes something at `location`, in place of what stands there unless that is a directory.
    fn replace<T>(
        &mut self,
        entry: &Entry,
        location: &Location,
        make: impl Fn(BorrowedFd<'_>, &CStr) -> Result<T, Errno>,
    ) -> Result<T, PutError> {
        let name = location.c_name().map_err(|errno| refused(entry, errno))?;
        let parent = self.ways.parent(location);
        let parent = parent.map_err(|errno| refused(entry, errno))?;
        match make(parent, &name) {
            Err(Errno::EXIST) => {}
            other => return other.map_err(|errno| refused(entry, errno)),
        }
        match rustix::fs::unlinkat(parent, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR) => {
                return Err(PutError::DirectoryInTheWay(printable(&location.path())));
            }
            Err(errno) => return Err(refused(entry, errno)),
        }
        make(parent, &name).map_err(|errno| refused(entry, errno))
    }

    fn owner(&self, entry: &Entry) -> Option<(Uid, Gid)> {
        let (uid, gid) = match self.options.owner {
            Owner::AsTold => (entry.uid, entry.gid),
            Owner::Fixed(uid, gid) => (uid, gid),
            Owner::Caller => return None,
        };
        Some((Uid::from_raw(uid), Gid::from_raw(gid)))
    }

    fn own(&self, entry: &Entry, file: BorrowedFd<'_>) -> Result<(), PutError> {
        let Some((uid, gid)) = self.owner(entry) else {
            return Ok(());
        };
        rustix::fs::fchown(file, Some(uid), Some(gid)).map_err(|errno| unowned(entry, errno))
    }

    fn finish(self) -> Result<PutSummary, PutError> {
        let Self {
            mut ways,
            directories,
            summary,
            ..
        } = self;
        let open = |path: &[u8]| {
            let location = Location::parse(path).ok_or(Errno::NOENT)?;
            open_directory(ways.parent(&location)?, &location.c_name()?)
        };
        directories
            .settle(open)
            .map_err(|(path, source)| PutError::Entry {
                name: printable(&path),
                source,
            })?;
        Ok(summary)
    }
}

fn open_directory(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

fn refused(entry: &Entry, source: Errno) -> PutError {
    PutError::Entry {
        name: printable(&entry.path),
        source,
    }
}

fn unowned(entry: &Entry, errno: Errno) -> PutError {
    match errno {
        Errno::INVAL => PutError::Unmapped {
            name: printable(&entry.path),
            uid: entry.uid,
            gid: entry.gid,
        },
        source => refused(entry, source),
    }
}

fn given(entry: &Entry, error: &UnpackError) -> PutError {
    match error {
        UnpackError::Entry { source, .. } => refused(entry, *source),
        _ => PutError::BadEntry {
            name: printable(&entry.path),
            reason: "its file capability is malformed",
        },
    }
}

#[cfg(test)]
mod tests;
