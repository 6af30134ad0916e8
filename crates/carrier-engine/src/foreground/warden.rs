//! A process that holds a program on a terminal, and one that waits for it.
//!
//! Who has started the command waits for one process; the program must be able to outlive it when the
//! detach keys are typed, and the terminal must be restored when it is killed. So the work is done by
//! a child on a leash: it hears signals over a socket, whose end tells it that its parent is gone.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use carrier_sys::process::{Child, ExitStatus, Namespaces, SingleThreaded, clone_into};
use carrier_sys::signal::SignalStream;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socketpair};
use rustix::process::Signal;

use super::{Next, collect_signals, wait};
use crate::error::Error;
use crate::terminal::SavedModes;

/// What the child says when its parent may end.
const LET_GO: &[u8] = b"detached";

/// The child's end of what binds it to its parent.
#[derive(Debug)]
pub struct Leash(OwnedFd);

/// Does `work` in a process of its own and returns the code that it ends with; 0 when it has cut the
/// leash. Signals to this process reach the work by the leash.
///
/// # Errors
/// When the process cannot be made.
pub fn guarded(work: impl FnOnce(Leash) -> u8) -> Result<u8, Error> {
    let failed = |source: io::Error| Error::Terminal {
        action: "start a process for the terminal",
        source,
    };
    let signals = collect_signals()?;
    let modes = SavedModes::of_stdin();
    let proof = SingleThreaded::check().map_err(failed)?;
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .map_err(|errno| failed(errno.into()))?;
    let mut ours = Some(ours);
    let mut theirs = Some(theirs);
    let child = clone_into(Namespaces::empty(), &proof, |_token| {
        // Its parent's end would keep it from ever seeing that the parent is gone.
        drop(ours.take());
        let Some(leash) = theirs.take() else { return 1 };
        match stay_in_the_background() {
            Ok(()) => work(Leash(leash)),
            Err(_) => 1,
        }
    })
    .map_err(failed)?;
    drop(theirs);
    let socket = ours.take().ok_or_else(|| failed(Errno::BADF.into()))?;
    attend(child, &socket, &signals, &modes).map_err(failed)
}

/// A terminal stops processes of other groups that change it; a shell makes this one such a process
/// when the command was killed.
fn stay_in_the_background() -> io::Result<()> {
    let signals = [Signal::TTIN, Signal::TTOU].map(Signal::as_raw);
    // They stay blocked, which is all that is wanted.
    SignalStream::new(&signals).map(drop)
}

fn attend(
    child: Child,
    socket: &OwnedFd,
    signals: &SignalStream,
    modes: &SavedModes,
) -> io::Result<u8> {
    let mut hears = true;
    loop {
        let mut fds = vec![
            PollFd::new(&child, PollFlags::IN),
            PollFd::new(signals, PollFlags::IN),
        ];
        if hears {
            fds.push(PollFd::new(socket, PollFlags::IN));
        }
        wait(&mut fds, None)?;
        let ready = |place: usize| fds.get(place).is_some_and(|fd| !fd.revents().is_empty());
        if ready(1) {
            while let Some(signal) = signals.next()? {
                let byte = u8::try_from(signal).unwrap_or(0);
                // One that has ended needs no signal.
                let _ = rustix::net::send(socket, &[byte], SendFlags::NOSIGNAL);
            }
        }
        if ready(2) {
            let mut word = [0; LET_GO.len()];
            match rustix::net::recv(socket, &mut word, RecvFlags::empty()) {
                Ok((_, length)) if word.get(..length) == Some(LET_GO) => {
                    child.release();
                    return Ok(0);
                }
                _ => hears = false,
            }
        }
        if ready(0) {
            let status = child.wait()?;
            if let ExitStatus::Signaled(_) = status {
                // It had no time to do so.
                modes.restore();
            }
            return Ok(status.code());
        }
    }
}

impl Leash {
    /// Lets the parent end with success, and goes on without its terminal and its session.
    pub(crate) fn cut(self) -> io::Result<()> {
        rustix::process::setsid()?;
        rustix::process::chdir("/")?;
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(&null)?;
        rustix::stdio::dup2_stderr(&null)?;
        rustix::net::send(&self.0, LET_GO, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    pub(super) fn next(&self) -> io::Result<Next> {
        let mut byte = [0];
        match rustix::net::recv(&self.0, &mut byte, RecvFlags::DONTWAIT) {
            Ok((_, 0)) | Err(Errno::CONNRESET) => Ok(Next::End),
            Ok(_) => Ok(Next::Signal(i32::from(byte[0]))),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Next::Nothing),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Leash {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
