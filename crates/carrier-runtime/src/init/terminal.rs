//! Steps that set up the standard streams.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::Uid;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use super::{Machine, identity, mounts, path};
use crate::plan::DevicePlace;

impl Machine<'_> {
    /// Opens a terminal of the container's own devpts, sends its controlling side to the parent and
    /// makes the other side the standard streams and `/dev/console`.
    pub(super) fn open_terminal(
        &mut self,
        owner: Uid,
        size: Option<Winsize>,
        place: DevicePlace,
    ) -> Result<(), Errno> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::RDWR | OFlags::NOCTTY;
        let controller = match place {
            DevicePlace::NewRoot => path::open_with(self.root()?, c"dev/pts/ptmx", flags, resolve)?,
            DevicePlace::OwnRoot => {
                let controller = path::open_with(CWD, c"/dev/pts/ptmx", flags, resolve)?;
                is_devpts(&controller)?;
                controller
            }
        };
        rustix::pty::unlockpt(&controller)?;
        // By descriptor: the name in /dev/pts could be swapped (CVE-2025-52565).
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let terminal = rustix::pty::ioctl_tiocgptpeer(&controller, flags)?;
        identity::give_terminal(&terminal, owner)?;
        if let Some(size) = size {
            rustix::termios::tcsetwinsize(&controller, size)?;
        }
        if place == DevicePlace::NewRoot {
            self.add_console(&terminal)?;
        }
        self.channel.send_terminal(controller.as_fd())?;
        rustix::process::setsid()?;
        rustix::process::ioctl_tiocsctty(&terminal)?;
        rustix::stdio::dup2_stdin(&terminal)?;
        rustix::stdio::dup2_stdout(&terminal)?;
        rustix::stdio::dup2_stderr(&terminal)
    }

    fn add_console(&self, terminal: &OwnedFd) -> Result<(), Errno> {
        let devices = self.devices.as_ref().ok_or(Errno::BADF)?;
        let mode = Mode::from_raw_mode(0o600);
        let place = mounts::place_for_file(devices.as_fd(), c"console", mode)?;
        let tree = mounts::clone_tree(terminal, c"", false)?;
        mounts::attach(tree.as_fd(), place.as_fd())
    }

    pub(super) fn null_stdin(&mut self, place: DevicePlace) -> Result<(), Errno> {
        let null = match (self.null(place, OFlags::RDONLY), place) {
            // What reads from a pipe that nobody writes to reads nothing either.
            (Err(_), DevicePlace::OwnRoot) => rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?.0,
            (null, _) => null?,
        };
        rustix::stdio::dup2_stdin(&null)
    }

    pub(super) fn null_output(&mut self, place: DevicePlace) -> Result<(), Errno> {
        let null = self.null(place, OFlags::WRONLY)?;
        rustix::stdio::dup2_stdout(&null)?;
        rustix::stdio::dup2_stderr(&null)
    }

    fn null(&self, place: DevicePlace, flags: OFlags) -> Result<OwnedFd, Errno> {
        match place {
            DevicePlace::NewRoot => {
                let devices = self.devices.as_ref().ok_or(Errno::BADF)?;
                rustix::fs::openat(devices, c"null", flags | OFlags::CLOEXEC, Mode::empty())
            }
            DevicePlace::OwnRoot => open_null(flags),
        }
    }
}

/// The null device of a container that runs, which may have put anything in its place.
fn open_null(flags: OFlags) -> Result<OwnedFd, Errno> {
    const MAJOR_AND_MINOR: (u32, u32) = (1, 3);
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
    let null = path::open_with(CWD, c"/dev/null", flags, resolve)?;
    let stat = rustix::fs::fstat(&null)?;
    let number = (
        rustix::fs::major(stat.st_rdev),
        rustix::fs::minor(stat.st_rdev),
    );
    let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    if is_device && number == MAJOR_AND_MINOR {
        Ok(null)
    } else {
        Err(Errno::NXIO)
    }
}

/// What a container that runs has put at the path of its devpts is not to be trusted.
fn is_devpts(file: &OwnedFd) -> Result<(), Errno> {
    const DEVPTS_SUPER_MAGIC: u64 = 0x1cd1;
    let kind = rustix::fs::fstatfs(file)?.f_type;
    if u64::try_from(kind) == Ok(DEVPTS_SUPER_MAGIC) {
        Ok(())
    } else {
        Err(Errno::NXIO)
    }
}
