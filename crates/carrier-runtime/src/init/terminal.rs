//! Steps that set up the standard streams.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::process::Uid;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use super::{Machine, identity, mounts, path};
use crate::plan::TerminalPlace;

impl Machine<'_> {
    /// Opens a terminal of the container's own devpts, sends its controlling side to the parent and
    /// makes the other side the standard streams and `/dev/console`.
    pub(super) fn open_terminal(
        &mut self,
        owner: Uid,
        size: Option<Winsize>,
        place: TerminalPlace,
    ) -> Result<(), Errno> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::RDWR | OFlags::NOCTTY;
        let controller = match place {
            TerminalPlace::NewRoot => {
                path::open_with(self.root()?, c"dev/pts/ptmx", flags, resolve)?
            }
            TerminalPlace::OwnRoot => {
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
        if place == TerminalPlace::NewRoot {
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

    pub(super) fn null_stdin(&mut self) -> Result<(), Errno> {
        let devices = self.devices.as_ref().ok_or(Errno::BADF)?;
        let null = rustix::fs::openat(devices, c"null", OFlags::RDONLY, Mode::empty())?;
        rustix::stdio::dup2_stdin(&null)
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
