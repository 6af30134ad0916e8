//! What a container that runs has: its users and programs, as its own files are now.
//!
//! Whoever is root in the container has written these files, and may change the tree under them: they
//! are opened below the root of its first process by the kernel, and looked at before they are read.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};

use carrier_runtime::Running;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::Error;
use crate::identity::{self, ResolvedUser};
use crate::launch::MAX_PASSWD;

/// How often a resolution is tried again while somebody renames directories under it.
const MAX_RACES: u32 = 128;

/// Shells, the more comfortable first.
const SHELLS: [&str; 8] = ["bash", "zsh", "fish", "ash", "dash", "ksh", "mksh", "sh"];

/// What stands in `/etc/passwd` in the place of a shell.
const NO_SHELLS: [&str; 3] = ["/nologin", "/false", "/sync"];

/// The tree that the first process of a container sees.
#[derive(Debug)]
pub(super) struct Inside {
    root: OwnedFd,
}

impl Inside {
    pub(super) fn of(running: &Running) -> Result<Self, Error> {
        let root = running
            .root()
            .map_err(|source| Error::ContainerFile { path: "/", source })?;
        Ok(Self { root })
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
        Ok(shells(user, &passwd).find(|path| self.is_program(path)))
    }

    /// Whether one of these paths is a program.
    pub(super) fn has_program(&self, places: &[String]) -> bool {
        places.iter().any(|path| self.is_program(path))
    }

    fn is_program(&self, path: &str) -> bool {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let root = self.root.as_fd();
        let found = rustix::fs::openat2(root, path, flags, Mode::empty(), resolve);
        let stat = found.and_then(rustix::fs::fstat);
        stat.is_ok_and(|stat| {
            let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
            regular && stat.st_mode & 0o111 != 0
        })
    }

    /// Reads a file of the container; nothing where it has none.
    fn read(&self, path: &'static str) -> Result<Vec<u8>, Error> {
        let failed = |source| Error::ContainerFile { path, source };
        let Some(file) = self.open(path).map_err(|errno| failed(errno.into()))? else {
            return Ok(Vec::new());
        };
        let mut content = Vec::new();
        let read = file.take(MAX_PASSWD + 1).read_to_end(&mut content);
        read.map_err(failed)?;
        if content.len() as u64 > MAX_PASSWD {
            return Err(failed(io::ErrorKind::FileTooLarge.into()));
        }
        Ok(content)
    }

    fn open(&self, path: &str) -> Result<Option<File>, Errno> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..MAX_RACES {
            let root = self.root.as_fd();
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
