//! A process that restores the terminal of one that is killed before it could do so itself.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use carrier_sys::process::{Child, SingleThreaded, fork};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::terminal::SavedModes;

/// Holds the process: it ends with this, or restores the terminal when its holder is gone.
#[derive(Debug)]
pub(crate) struct TerminalGuard {
    /// Killed and reaped when this is dropped.
    _child: Child,
    _alive: OwnedFd,
}

impl TerminalGuard {
    /// Guards the terminal at standard input, as it is now.
    pub(crate) fn start() -> io::Result<Self> {
        let modes = SavedModes::of_stdin();
        let proof = SingleThreaded::check()?;
        let (ends, alive) = pipe_with(PipeFlags::CLOEXEC)?;
        let child = fork(&proof, |token| {
            // What is typed at the terminal, and the end of its session, mean others.
            let _ = rustix::process::setsid();
            let keep = [rustix::stdio::stdin(), ends.as_fd()];
            if carrier_sys::fd::close_all_but(&keep, &token).is_err() {
                return 1;
            }
            // Nothing is ever written: this ends with the process that has the other end.
            while rustix::io::read(&ends, &mut [0; 1]) == Err(rustix::io::Errno::INTR) {}
            modes.restore();
            0
        })?;
        Ok(Self {
            _child: child,
            _alive: alive,
        })
    }
}
