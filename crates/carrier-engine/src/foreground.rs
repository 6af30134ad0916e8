//! A program in the foreground: signals go in, terminal bytes go both ways, the exit status comes
//! out.

mod guard;
mod relay;
mod warden;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use carrier_runtime::Started;
use carrier_sys::process::ExitStatus;
use carrier_sys::signal::SignalStream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::process::Signal;

use crate::detach_keys::DetachKeys;
use crate::error::Error;
use crate::record::Streams;
use crate::terminal::{RawMode, copy_size};
pub(crate) use guard::TerminalGuard;
use relay::{Relay, Turn};
pub use warden::{Leash, guarded};

/// Signals that mean the container when they reach Carrier. The others mean Carrier itself (CHLD,
/// PIPE), are errors of its own program (SEGV and the like), or cannot be caught.
pub(crate) const FORWARDED: [Signal; 14] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
    Signal::ALARM,
    Signal::TERM,
    Signal::CONT,
    Signal::TSTP,
    Signal::VTALARM,
    Signal::PROF,
    Signal::IO,
    Signal::POWER,
    Signal::WINCH,
];

/// How long a program goes on behind a terminal whose user has hung up or asked Carrier to end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The caller's side of a program in the foreground.
#[derive(Debug)]
pub struct Session {
    streams: Streams,
    signals: Signals,
    keys: DetachKeys,
}

/// Where signals come from.
#[derive(Debug)]
enum Signals {
    Own(SignalStream),
    /// From a process that waits for this one.
    Sent(Leash),
}

/// What became of a program that was served.
#[derive(Debug)]
pub(crate) enum Served {
    /// It has ended, and all that it wrote is out.
    Ended(ExitStatus),
    /// The user has typed the detach keys: the program goes on, and writes to its terminal.
    Detached(Started, OwnedFd),
    /// The command that the program belongs to was killed.
    Abandoned,
}

/// What a pending signal was.
enum Next {
    Nothing,
    Signal(i32),
    /// Nobody sends signals any more.
    End,
}

impl Session {
    /// Holds signals back from now on: they are forwarded once the program runs.
    ///
    /// # Errors
    /// When the kernel has no descriptor left.
    pub fn open(streams: Streams) -> Result<Self, Error> {
        Ok(Self {
            streams,
            signals: Signals::Own(collect_signals()?),
            keys: DetachKeys::none(),
        })
    }

    /// The same in a process that [`guarded`] has made.
    pub(crate) fn on_leash(streams: Streams, leash: Leash, keys: DetachKeys) -> Self {
        let signals = Signals::Sent(leash);
        Self {
            streams,
            signals,
            keys,
        }
    }

    /// Serves the program until it has ended and all that it wrote is out.
    ///
    /// # Errors
    /// Those of the caller's terminal and of waitid(2).
    pub fn serve(self, started: Started) -> io::Result<ExitStatus> {
        match self.serve_on_leash(started)?.0 {
            Served::Ended(status) => Ok(status),
            Served::Detached(..) | Served::Abandoned => Ok(ExitStatus::Exited(0)),
        }
    }

    /// [`serve`](Self::serve) for who lets go of the program; the leash comes back.
    pub(crate) fn serve_on_leash(
        self,
        mut started: Started,
    ) -> io::Result<(Served, Option<Leash>)> {
        let served = match started.take_terminal() {
            None => self.serve_signals(started)?,
            Some(controller) => self.serve_terminal(started, controller)?,
        };
        let leash = match self.signals {
            Signals::Own(_) => None,
            Signals::Sent(leash) => Some(leash),
        };
        Ok((served, leash))
    }

    fn serve_signals(&self, started: Started) -> io::Result<Served> {
        loop {
            let mut fds = [
                PollFd::new(&started, PollFlags::IN),
                PollFd::new(&self.signals, PollFlags::IN),
            ];
            wait(&mut fds, None)?;
            let [program, signals] = fds.map(|fd| !fd.revents().is_empty());
            if signals {
                loop {
                    match self.signals.next()? {
                        Next::Nothing => break,
                        Next::Signal(signal) => started.signal(signal)?,
                        Next::End => return Ok(Served::Abandoned),
                    }
                }
            }
            if program {
                return started.wait().map(Served::Ended);
            }
        }
    }

    fn serve_terminal(&self, started: Started, controller: OwnedFd) -> io::Result<Served> {
        let flags = rustix::fs::fcntl_getfl(&controller)?;
        // The program decides when it reads; until then signals and output must go on.
        rustix::fs::fcntl_setfl(&controller, flags | OFlags::NONBLOCK)?;
        let raw = if self.streams.interactive {
            RawMode::enter()?
        } else {
            None
        };
        copy_size(&controller);
        let keys = self.keys.detector();
        let mut relay = Relay::new(controller.as_fd(), self.streams.interactive, keys);
        let mut deadline = None;
        loop {
            match relay.turn(started.as_fd(), self.signals.as_fd(), deadline)? {
                Turn::Ended => {
                    relay.finish()?;
                    return started.wait().map(Served::Ended);
                }
                Turn::Detached => return Ok(Served::Detached(started, controller)),
                Turn::NoReader => return end(started, Signal::PIPE),
                Turn::Timeout => return end(started, Signal::KILL),
                Turn::Signal => loop {
                    match self.signals.next()? {
                        Next::Nothing => break,
                        Next::Signal(signal) => {
                            forward(signal, &started, controller.as_fd(), &mut deadline)?;
                        }
                        Next::End => {
                            if let Some(raw) = raw {
                                raw.restore_unless_changed();
                            }
                            return Ok(Served::Abandoned);
                        }
                    }
                },
                Turn::Moved => {}
            }
        }
    }
}

impl Signals {
    fn next(&self) -> io::Result<Next> {
        match self {
            Self::Own(stream) => Ok(stream.next()?.map_or(Next::Nothing, Next::Signal)),
            Self::Sent(leash) => leash.next(),
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Own(stream) => stream.as_fd(),
            Self::Sent(leash) => leash.as_fd(),
        }
    }
}

fn collect_signals() -> Result<SignalStream, Error> {
    let signals = FORWARDED.map(Signal::as_raw);
    SignalStream::new(&signals).map_err(|source| Error::Terminal {
        action: "collect signals",
        source,
    })
}

/// Keys are what a user of a terminal interrupts a program with. Signals that end a command end this
/// one too, after the program had time to hear of it.
fn forward(
    signal: i32,
    started: &Started,
    controller: BorrowedFd<'_>,
    deadline: &mut Option<Instant>,
) -> io::Result<()> {
    if signal == Signal::WINCH.as_raw() {
        copy_size(controller);
        return Ok(());
    }
    if [Signal::HUP, Signal::TERM]
        .map(Signal::as_raw)
        .contains(&signal)
    {
        deadline.get_or_insert_with(|| Instant::now() + LAST_WORDS);
    }
    started.signal(signal)
}

/// Ends a program whose user is gone; Carrier ends as by `signal`.
fn end(started: Started, signal: Signal) -> io::Result<Served> {
    started.signal(Signal::HUP.as_raw())?;
    // It is killed and reaped.
    drop(started);
    let number = u8::try_from(signal.as_raw()).unwrap_or(0);
    Ok(Served::Ended(ExitStatus::Signaled(number)))
}

/// Waits until one of `fds` is ready; with a deadline, at most until then.
pub(crate) fn wait(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<()> {
    loop {
        let timeout = deadline.map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        match poll(fds, timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map(drop).map_err(Into::into),
        }
    }
}

/// Waits for the end of a program that was let go; what it writes to its terminal is for nobody.
pub(crate) fn drain(started: Started, controller: Option<OwnedFd>) -> io::Result<u8> {
    // Whoever wants this process to end may say so.
    let signals = FORWARDED.map(Signal::as_raw);
    SignalStream::new(&signals)?.release()?;
    let mut controller = controller;
    let mut nothing = [0; 4096];
    loop {
        let mut fds = vec![PollFd::new(&started, PollFlags::IN)];
        if let Some(controller) = &controller {
            fds.push(PollFd::new(controller, PollFlags::IN));
        }
        wait(&mut fds, None)?;
        let ready = |place: usize| fds.get(place).is_some_and(|fd| !fd.revents().is_empty());
        let (ended, written) = (ready(0), ready(1));
        if ended {
            return started.wait().map(ExitStatus::code);
        }
        if written && let Some(open) = &controller {
            match rustix::io::read(open, &mut nothing) {
                Ok(1..) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                Ok(0) | Err(_) => {
                    // Nobody has its other side open; a hang-up would be told for ever.
                    wait(&mut [PollFd::new(&started, PollFlags::IN)], None)?;
                    controller = None;
                }
            }
        }
    }
}
