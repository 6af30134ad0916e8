//! Making a layer's entries in a directory.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, XattrFlags};
use rustix::io::{self, Errno};

use super::Ownership;
use super::archive::{Archive, Kind, Member};
use super::attributes::{self, Birth, DirectoryAttributes, Owner};
use super::error::{MemberName, UnpackError};
use super::name::{self, EntryPath, Meaning};
use super::parents::{Obstacle, Parents, resolve};
use crate::tree::{self, RemoveError};

/// Directories that are still being filled must let us in, whatever their mode will be.
const OPEN_TO_OWNER: u32 = 0o700;

/// Makes entries, and remembers what can only be done when all of them are there.
pub(super) struct Extractor<'a> {
    parents: Parents<'a>,
    ownership: Ownership,
    birth: Birth,
    root: Option<DirectoryAttributes>,
    /// By path, so that the last member of a name wins and parents come before their children.
    directories: BTreeMap<Vec<u8>, DirectoryAttributes>,
    /// Whiteouts hide entries of lower layers only, and a tar stream may list them anywhere: they are
    /// made last, where this layer has nothing of that name.
    whiteouts: BTreeSet<EntryPath>,
    opaque: BTreeSet<Vec<u8>>,
    devices: BTreeSet<EntryPath>,
    pub(super) skipped_devices: u64,
}

impl<'a> Extractor<'a> {
    pub(super) fn new(
        directory: BorrowedFd<'a>,
        ownership: Ownership,
    ) -> Result<Self, UnpackError> {
        let birth =
            Birth::observe(directory).map_err(UnpackError::member("make a file in", b"/"))?;
        Ok(Self {
            parents: Parents::new(directory),
            ownership,
            birth,
            root: None,
            directories: BTreeMap::new(),
            whiteouts: BTreeSet::new(),
            opaque: BTreeSet::new(),
            devices: BTreeSet::new(),
            skipped_devices: 0,
        })
    }

    /// Makes what `member`, the archive's current one, describes.
    pub(super) fn add(
        &mut self,
        member: &Member,
        archive: &mut Archive<'_>,
    ) -> Result<(), UnpackError> {
        let refused = |problem| UnpackError::refused(&member.name, problem);
        match name::parse(&member.name).map_err(refused)? {
            Meaning::Root => self.add_root(member),
            Meaning::Entry(path) => self.add_entry(&path, member, archive),
            Meaning::Whiteout(path) => {
                self.whiteouts.insert(path);
                Ok(())
            }
            Meaning::Opaque(path) => {
                self.opaque.insert(path);
                Ok(())
            }
            Meaning::AufsMetadata => Ok(()),
        }
    }

    fn add_root(&mut self, member: &Member) -> Result<(), UnpackError> {
        if member.kind != Kind::Directory {
            let problem = "the root of a layer must be a directory";
            return Err(UnpackError::refused(&member.name, problem));
        }
        attributes::set_xattrs(self.parents.root(), member)?;
        self.root = Some(DirectoryAttributes::of(member, self.ownership)?);
        Ok(())
    }

    fn add_entry(
        &mut self,
        path: &EntryPath,
        member: &Member,
        archive: &mut Archive<'_>,
    ) -> Result<(), UnpackError> {
        match &member.kind {
            Kind::File => self.add_file(path, member, archive),
            Kind::Directory => self.add_directory(path, member),
            Kind::Symlink(target) => self.add_symlink(path, member, target),
            Kind::HardLink(target) => self.add_hard_link(path, member, target),
            Kind::Fifo => self.add_fifo(path, member),
            Kind::Device => {
                self.skip_device(path);
                Ok(())
            }
        }
    }

    /// Only the host's root may make devices; a container's come from its runtime.
    fn skip_device(&mut self, path: &EntryPath) {
        self.devices.insert(path.clone());
        self.skipped_devices += 1;
    }

    fn add_file(
        &mut self,
        path: &EntryPath,
        member: &Member,
        archive: &mut Archive<'_>,
    ) -> Result<(), UnpackError> {
        let owner = Owner::of_new(member, self.ownership, self.birth)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from(member.mode & 0o777);
        let file = self
            .create(path, |parent, leaf| fs::openat(parent, leaf, flags, mode))
            .map_err(|error| error.into_unpack("create", &member.name))?;
        archive.content(|piece| {
            write_all(file.as_fd(), piece).map_err(UnpackError::member("write", &member.name))
        })?;
        attributes::finish_file(file.as_fd(), member, owner, self.birth)
    }

    fn add_fifo(&mut self, path: &EntryPath, member: &Member) -> Result<(), UnpackError> {
        let owner = Owner::of_new(member, self.ownership, self.birth)?;
        let mode = Mode::from(member.mode & 0o777 | 0o600);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fifo = self
            .create(path, |parent, leaf| {
                fs::mknodat(parent, leaf, FileType::Fifo, mode, 0)?;
                fs::openat(parent, leaf, flags, Mode::empty())
            })
            .map_err(|error| error.into_unpack("create", &member.name))?;
        // It was made with more than it may have.
        let birth = Birth::unknown_mode(self.birth);
        attributes::finish_file(fifo.as_fd(), member, owner, birth)
    }

    fn add_symlink(
        &mut self,
        path: &EntryPath,
        member: &Member,
        target: &[u8],
    ) -> Result<(), UnpackError> {
        let owner = Owner::of_new(member, self.ownership, self.birth)?;
        self.create(path, |parent, leaf| fs::symlinkat(target, parent, leaf))
            .map_err(|error| error.into_unpack("create", &member.name))?;
        let parent = self.parent(path, member)?;
        attributes::finish_symlink(parent, path.leaf(), member, owner)
    }

    /// The link's source is an entry of this layer: nothing else can be reached from its root.
    fn add_hard_link(
        &mut self,
        path: &EntryPath,
        member: &Member,
        target: &[u8],
    ) -> Result<(), UnpackError> {
        let refused = |problem| UnpackError::refused(&member.name, problem);
        let source = name::normalize(target).map_err(refused)?;
        let source = source.ok_or_else(|| refused("a hard link to the root"))?;
        if self.devices.contains(&source) {
            self.skip_device(path);
            return Ok(());
        }
        if source == *path {
            return Err(refused("a hard link to itself"));
        }
        let root = self.parents.root();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let from = match source.parent() {
            b"" => None,
            parent => Some(resolve(root, parent, flags).map_err(|errno| match errno {
                Errno::NOENT | Errno::NOTDIR => refused("a hard link to what the layer lacks"),
                _ => UnpackError::member("find the source of the link", &member.name)(errno),
            })?),
        };
        let from = from.as_ref().map_or(root, AsFd::as_fd);
        self.create(path, |parent, leaf| {
            fs::linkat(from, source.leaf(), parent, leaf, AtFlags::empty())
        })
        .map_err(|error| match error {
            CreateError::Call(Errno::NOENT) => refused("a hard link to what the layer lacks"),
            CreateError::Call(Errno::PERM) => refused("a hard link to a directory"),
            error => error.into_unpack("link", &member.name),
        })
    }

    fn add_directory(&mut self, path: &EntryPath, member: &Member) -> Result<(), UnpackError> {
        let wanted = DirectoryAttributes::of(member, self.ownership)?;
        let mode = Mode::from(member.mode & 0o777 | OPEN_TO_OWNER);
        self.create(path, |parent, leaf| {
            match fs::mkdirat(parent, leaf, mode) {
                Err(Errno::EXIST) if is_directory(parent, leaf)? => Ok(()),
                result => result,
            }
        })
        .map_err(|error| error.into_unpack("create", &member.name))?;
        if !member.xattrs.is_empty() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let parent = self.parent(path, member)?;
            let directory = fs::openat(parent, path.leaf(), flags, Mode::empty())
                .map_err(UnpackError::member("open", &member.name))?;
            attributes::set_xattrs(directory.as_fd(), member)?;
        }
        self.directories.insert(path.as_bytes().to_vec(), wanted);
        Ok(())
    }

    fn parent(
        &mut self,
        path: &EntryPath,
        member: &Member,
    ) -> Result<BorrowedFd<'_>, UnpackError> {
        self.parents
            .get(path.parent(), Obstacle::Replace)
            .map_err(UnpackError::member("open the parent of", &member.name))
    }

    /// Calls `make` with the parent and the name of `path`; what has that name already makes room,
    /// since the last member of a name wins.
    fn create<T>(
        &mut self,
        path: &EntryPath,
        make: impl Fn(BorrowedFd<'_>, &[u8]) -> io::Result<T>,
    ) -> Result<T, CreateError> {
        let parent = self.parents.get(path.parent(), Obstacle::Replace)?;
        match make(parent, path.leaf()) {
            Err(Errno::EXIST) => {}
            result => return Ok(result?),
        }
        self.clear_name(path)?;
        let parent = self.parents.get(path.parent(), Obstacle::Replace)?;
        Ok(make(parent, path.leaf())?)
    }

    fn clear_name(&mut self, path: &EntryPath) -> Result<(), CreateError> {
        let parent = self.parents.get(path.parent(), Obstacle::Replace)?;
        tree::remove_tree(parent, path.leaf())?;
        self.parents.forget();
        // Directories that were below it are gone too.
        let below = [path.as_bytes(), b"/"].concat();
        let gone = |known: &[u8]| known == path.as_bytes() || known.starts_with(&below);
        let stale: Vec<_> = self
            .directories
            .range(path.as_bytes().to_vec()..)
            .map(|(known, _)| known)
            .take_while(|known| known.starts_with(path.as_bytes()))
            .filter(|known| gone(known))
            .cloned()
            .collect();
        for known in stale {
            self.directories.remove(&known);
        }
        Ok(())
    }

    /// Marks what lower layers lose, then gives the directories their attributes, deepest first.
    pub(super) fn finish(mut self) -> Result<(), UnpackError> {
        for path in std::mem::take(&mut self.whiteouts) {
            self.mark_deleted(&path)?;
        }
        for path in std::mem::take(&mut self.opaque) {
            self.mark_opaque(&path)?;
        }
        let root = self.parents.root();
        for (path, wanted) in self.directories.iter().rev() {
            finish_directory(root, path, wanted)?;
        }
        if let Some(wanted) = &self.root {
            let stat = fs::fstat(root).map_err(UnpackError::member("inspect", b"/"))?;
            attributes::finish_directory(root, b"/", &stat, wanted)?;
        }
        Ok(())
    }

    fn mark_deleted(&mut self, path: &EntryPath) -> Result<(), UnpackError> {
        let parent = match self.parents.get(path.parent(), Obstacle::Keep) {
            Ok(parent) => parent,
            // This layer has a file there, which hides all that was below.
            Err(Errno::NOTDIR) => return Ok(()),
            Err(errno) => {
                return Err(UnpackError::member("open the parent of", path.as_bytes())(errno));
            }
        };
        let (device, mode) = (FileType::CharacterDevice, Mode::empty());
        match fs::mknodat(parent, path.leaf(), device, mode, 0) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => {
                let is_directory = is_directory(parent, path.leaf())
                    .map_err(UnpackError::member("inspect", path.as_bytes()))?;
                // A directory of this layer replaces the lower one, rather than joining it.
                if is_directory { self.mark_opaque(path.as_bytes()) } else { Ok(()) }
            }
            Err(errno) => Err(UnpackError::Whiteout {
                name: MemberName::new(path.as_bytes()),
                source: errno.into(),
            }),
        }
    }

    fn mark_opaque(&mut self, path: &[u8]) -> Result<(), UnpackError> {
        match self.parents.get(path, Obstacle::Keep) {
            Err(Errno::NOTDIR) => return Ok(()),
            result => result.map_err(UnpackError::member("open", path))?,
        };
        let here = if path.is_empty() { b"." } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        resolve(self.parents.root(), here, flags)
            .and_then(|directory| {
                fs::fsetxattr(&directory, crate::OPAQUE_XATTR, b"y", XattrFlags::empty())
            })
            .map_err(UnpackError::member("mark as opaque the directory", path))
    }
}

/// What a directory's path leads to may have been replaced since.
fn finish_directory(
    root: BorrowedFd<'_>,
    path: &[u8],
    wanted: &DirectoryAttributes,
) -> Result<(), UnpackError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = match resolve(root, path, flags) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        result => result.map_err(UnpackError::member("open", path))?,
    };
    let stat = fs::fstat(&directory).map_err(UnpackError::member("inspect", path))?;
    attributes::finish_directory(directory.as_fd(), path, &stat, wanted)
}

fn is_directory(parent: BorrowedFd<'_>, leaf: &[u8]) -> io::Result<bool> {
    let stat = fs::statat(parent, leaf, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

fn write_all(file: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match io::retry_on_intr(|| io::write(file, bytes))? {
            0 => return Err(Errno::IO),
            written => bytes = &bytes[written..],
        }
    }
    Ok(())
}

enum CreateError {
    Call(Errno),
    Clear(RemoveError),
}

impl From<Errno> for CreateError {
    fn from(errno: Errno) -> Self {
        Self::Call(errno)
    }
}

impl From<RemoveError> for CreateError {
    fn from(error: RemoveError) -> Self {
        Self::Clear(error)
    }
}

impl CreateError {
    fn into_unpack(self, action: &'static str, name: &[u8]) -> UnpackError {
        match self {
            Self::Call(errno) => UnpackError::member(action, name)(errno),
            Self::Clear(error) => UnpackError::Member {
                action: "replace",
                name: MemberName::new(name),
                source: std::io::Error::other(error),
            },
        }
    }
}
