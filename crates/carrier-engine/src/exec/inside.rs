//! What a container that runs has: its users and programs, as its own files are now.
//!
//! Whoever is root in the container has written these files, and may change the tree under them: they
//! are opened below the root of its first process by the kernel, and looked at before they are read.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use carrier_runtime::Running;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::Engine;
use crate::error::Error;
use crate::identity::{self, ResolvedUser};
use crate::launch::MAX_PASSWD;
use crate::record::ContainerRecord;

/// How often a resolution is tried again while somebody renames directories under it.
const MAX_RACES: u32 = 128;

/// Shells, the more comfortable first.
const SHELLS: [&str; 8] = ["bash", "zsh", "fish", "ash", "dash", "ksh", "mksh", "sh"];

/// What stands in `/etc/passwd` in the place of a shell.
const NO_SHELLS: [&str; 3] = ["/nologin", "/false", "/sync"];

/// The tree that the first process of a container sees.
pub(super) struct Inside<'a> {
    root: OwnedFd,
    engine: &'a Engine,
    record: &'a ContainerRecord,
}

impl<'a> Inside<'a> {
    pub(super) fn of(
        engine: &'a Engine,
        record: &'a ContainerRecord,
        running: &Running,
    ) -> Result<Self, Error> {
        let root = running
            .root()
            .map_err(|source| Error::ContainerFile { path: "/", source })?;
        Ok(Self {
            root,
            engine,
            record,
        })
    }

    /// What `look` finds below the root. What `fuse-overlayfs` serves is shown by the kernel to nobody
    /// outside of the container's user namespace, so that a process has to go there.
    fn look<T: Serialize + DeserializeOwned>(
        &self,
        look: impl Fn(BorrowedFd<'_>) -> Result<T, Errno>,
    ) -> Result<Result<T, Errno>, Error> {
        let found = look(self.root.as_fd());
        let container = self.engine.store.container(&self.record.id);
        if !matches!(found, Err(Errno::ACCESS)) || !container.is_served() {
            return Ok(found);
        }
        let number = |errno: Errno| errno.raw_os_error();
        let found = self
            .engine
            .look_inside(self.record, |root| look(root).map_err(number));
        Ok(found?.map_err(Errno::from_raw_os_error))
    }

    /// Looks up `user[:group]`.
    pub(super) fn resolve(&self, user: &str) -> Result<ResolvedUser, Error> {
        let read = |path| match self.read(path) {
            // A way into a container whose files are damaged.
            Err(_) if identity::is_numeric(user) => Ok(Vec::new()),
            other => other,
        };
        identity::resolve(user, &read("/etc/passwd")?, &read("/etc/group")?)
    }

    /// The shell of `user[:group]` where it is there, else the best of all.
    pub(super) fn shell(&self, user: &str) -> Result<Option<String>, Error> {
        let passwd = self.read("/etc/passwd")?;
        let candidates: Vec<String> = shells(user, &passwd).collect();
        self.first_program(&candidates)
    }

    /// The first of these paths that is a program.
    pub(super) fn first_program(&self, places: &[String]) -> Result<Option<String>, Error> {
        let found = self.look(|root| {
            let mut hidden = None;
            for path in places {
                match is_program(root, path) {
                    Ok(true) => return Ok(Some(path.clone())),
                    Err(Errno::ACCESS) => hidden = Some(Errno::ACCESS),
                    _ => {}
                }
            }
            hidden.map_or(Ok(None), Err)
        })?;
        Ok(found.unwrap_or_default())
    }

    /// Reads a file of the container; nothing where it has none.
    fn read(&self, path: &'static str) -> Result<Vec<u8>, Error> {
        let failed = |source| Error::ContainerFile { path, source };
        let content = self.look(|root| read_below(root, path))?;
        content.map_err(|errno| failed(errno.into()))
    }
}

fn is_program(root: BorrowedFd<'_>, path: &str) -> Result<bool, Errno> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let found = rustix::fs::openat2(root, path, flags, Mode::empty(), resolve)?;
    let stat = rustix::fs::fstat(found)?;
    let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    Ok(regular && stat.st_mode & 0o111 != 0)
}

fn read_below(root: BorrowedFd<'_>, path: &str) -> Result<Vec<u8>, Errno> {
    let mut content = Vec::new();
    if let Some(file) = open(root, path)? {
        let read = file.take(MAX_PASSWD + 1).read_to_end(&mut content);
        read.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    }
    if content.len() as u64 > MAX_PASSWD {
        return Err(Errno::FBIG);
    }
    Ok(content)
}

fn open(root: BorrowedFd<'_>, path: &str) -> Result<Option<File>, Errno> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..MAX_RACES {
        match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            // A socket or a device cannot even be opened.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO | Errno::NODEV) => {
                return Ok(None);
            }
            Err(errno) => return Err(errno),
            Ok(file) => {
                let stat = rustix::fs::fstat(&file)?;
                let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
                return Ok(regular.then(|| file.into()));
            }
        }
    }
    Err(Errno::AGAIN)
}

/// Where the shell of `user[:group]` may be: its own, then the better ones first.
pub(super) fn shells(user: &str, passwd: &[u8]) -> impl Iterator<Item = String> + use<> {
    let own = identity::shell_of(user, passwd);
    let is_shell = |path: &str| !NO_SHELLS.iter().any(|name| path.ends_with(name));
    let own = own.filter(|path| path.starts_with('/') && is_shell(path));
    let others = SHELLS.iter().flat_map(|shell| {
        let directories = ["/bin", "/usr/bin", "/usr/local/bin"];
        directories.map(|directory| format!("{directory}/{shell}"))
    });
    own.into_iter().chain(others)
}
