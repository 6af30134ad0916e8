//! Finding the directory that an entry goes into: the hot spot of unpacking.
//!
//! Archives list a directory's entries next to each other, so the last directory stays open and most
//! entries cost no look-up. Otherwise the kernel resolves the whole path inside the layer's root
//! (`RESOLVE_IN_ROOT`): symbolic links of this layer are followed but cannot lead out, whatever they
//! say. What is missing is made, and what stands in the way, a file or a link that leads to no
//! directory, makes room: Docker's and Podman's reading of such layers.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::{self, Errno};

const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);
const LOOK_UP: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// What to do about an entry that is in the way of a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// Remove it.
    Replace,
    /// Leave it and fail with `ENOTDIR`.
    Keep,
}

/// The directories of a layer.
pub(super) struct Parents<'a> {
    root: BorrowedFd<'a>,
    last: Option<(Vec<u8>, OwnedFd)>,
}

impl<'a> Parents<'a> {
    pub(super) fn new(root: BorrowedFd<'a>) -> Self {
        Self { root, last: None }
    }

    pub(super) fn root(&self) -> BorrowedFd<'a> {
        self.root
    }

    /// Forgets the open directory: to be called before a directory may go away.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    /// The directory `path`, an `O_PATH` descriptor; made where it is missing.
    pub(super) fn get(&mut self, path: &[u8], obstacle: Obstacle) -> io::Result<BorrowedFd<'_>> {
        if path.is_empty() {
            return Ok(self.root);
        }
        let known = self.last.take().filter(|(last, _)| last == path);
        let found = match known {
            Some(found) => found,
            None => (path.to_vec(), self.find(path, obstacle)?),
        };
        Ok(self.last.insert(found).1.as_fd())
    }

    fn find(&self, path: &[u8], obstacle: Obstacle) -> io::Result<OwnedFd> {
        match resolve(self.root, path, LOOK_UP) {
            Err(Errno::NOENT | Errno::NOTDIR) => self.make(path, obstacle),
            found => found,
        }
    }

    /// Goes down component by component.
    fn make(&self, path: &[u8], obstacle: Obstacle) -> io::Result<OwnedFd> {
        let mut directory: Option<OwnedFd> = None;
        let mut end = 0;
        for name in path.split(|byte| *byte == b'/') {
            end += name.len();
            let parent = directory.as_ref().map_or(self.root, AsFd::as_fd);
            directory = Some(self.step(parent, name, &path[..end], obstacle)?);
            end += 1;
        }
        directory.ok_or(Errno::NOENT)
    }

    /// Opens, or makes, the directory `name` in `parent`; `path` is its path from the root.
    fn step(
        &self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        obstacle: Obstacle,
    ) -> io::Result<OwnedFd> {
        let open = || fs::openat(parent, name, LOOK_UP | OFlags::NOFOLLOW, Mode::empty());
        match open() {
            Err(Errno::NOENT) => {}
            Err(Errno::NOTDIR) => match resolve(self.root, path, LOOK_UP) {
                Err(Errno::NOENT | Errno::NOTDIR) if obstacle == Obstacle::Replace => {
                    fs::unlinkat(parent, name, AtFlags::empty())?;
                }
                Err(Errno::NOENT) => return Err(Errno::NOTDIR),
                found => return found,
            },
            found => return found,
        }
        fs::mkdirat(parent, name, Mode::from(0o755))?;
        open()
    }
}

/// Opens `path` with every link in it taken relative to `root`, except one at the very end when
/// `flags` say so.
pub(super) fn resolve(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    // With `..` in a link's text the kernel gives up when anything anywhere is renamed meanwhile.
    const TRIES: u32 = 128;
    let mut tries = 0;
    loop {
        match fs::openat2(root, path, flags, Mode::empty(), INSIDE) {
            Err(Errno::AGAIN) if tries < TRIES => tries += 1,
            result => return result,
        }
    }
}
