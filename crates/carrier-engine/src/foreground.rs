//! A container in the foreground: signals go in, terminal bytes go both ways, the exit status
//! comes out.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use carrier_runtime::Started;
use carrier_sys::process::ExitStatus;
use carrier_sys::signal::SignalStream;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::process::Signal;

use crate::error::Error;
use crate::record::Streams;
use crate::terminal::{Filled, Flow, RawMode, copy_size};

/// Signals that mean the container when they reach Carrier. The others mean Carrier itself (CHLD,
/// PIPE), are errors of its own program (SEGV and the like), or cannot be caught.
const FORWARDED: [Signal; 14] = [
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

/// The caller's side of a foreground container.
#[derive(Debug)]
pub struct Session {
    streams: Streams,
    signals: SignalStream,
}

impl Session {
    /// Holds signals back from now on: they are forwarded once the program runs.
    ///
    /// # Errors
    /// When the kernel has no descriptor left.
    pub fn open(streams: Streams) -> Result<Self, Error> {
        let signals = FORWARDED.map(Signal::as_raw);
        let signals = SignalStream::new(&signals).map_err(|source| Error::Terminal {
            action: "collect signals",
            source,
        })?;
        Ok(Self { streams, signals })
    }

    /// Serves the program until it has ended and all that it wrote is out.
    ///
    /// # Errors
    /// Those of the caller's terminal and of waitid(2).
    pub fn serve(self, mut started: Started) -> io::Result<ExitStatus> {
        match started.take_terminal() {
            None => self.serve_signals(&started)?,
            Some(controller) => self.serve_terminal(&started, &controller)?,
        }
        started.wait()
    }

    fn serve_signals(&self, started: &Started) -> io::Result<()> {
        loop {
            let mut fds = [
                PollFd::new(started, PollFlags::IN),
                PollFd::new(&self.signals, PollFlags::IN),
            ];
            wait(&mut fds)?;
            let [program, signals] = fds.map(|fd| !fd.revents().is_empty());
            if signals {
                self.forward(started, None)?;
            }
            if program {
                return Ok(());
            }
        }
    }

    fn serve_terminal(&self, started: &Started, controller: &OwnedFd) -> io::Result<()> {
        let flags = rustix::fs::fcntl_getfl(controller)?;
        // The program decides when it reads; until then signals and output must go on.
        rustix::fs::fcntl_setfl(controller, flags | OFlags::NONBLOCK)?;
        let _raw = if self.streams.interactive {
            RawMode::enter()?
        } else {
            None
        };
        copy_size(controller);
        let mut relay = Relay::new(controller.as_fd(), self.streams.interactive);
        loop {
            let [program, signals] = relay.turn(started.as_fd(), self.signals.as_fd())?;
            if signals {
                self.forward(started, Some(controller.as_fd()))?;
            }
            if program {
                return relay.finish();
            }
        }
    }

    fn forward(&self, started: &Started, controller: Option<BorrowedFd<'_>>) -> io::Result<()> {
        while let Some(signal) = self.signals.next()? {
            match controller {
                Some(controller) if signal == Signal::WINCH.as_raw() => copy_size(controller),
                _ => started.signal(signal)?,
            }
        }
        Ok(())
    }
}

/// Bytes between the caller's streams and the container's terminal.
struct Relay<'a> {
    controller: BorrowedFd<'a>,
    input: Flow,
    output: Flow,
    /// Whether the caller may still type.
    reads_input: bool,
    /// Whether the container may still write.
    reads_output: bool,
}

impl<'a> Relay<'a> {
    fn new(controller: BorrowedFd<'a>, interactive: bool) -> Self {
        Self {
            controller,
            input: Flow::new(),
            output: Flow::new(),
            reads_input: interactive,
            reads_output: true,
        }
    }

    /// Waits for something to do, does it, and says which of the two descriptors are ready.
    fn turn(&mut self, program: BorrowedFd<'_>, signals: BorrowedFd<'_>) -> io::Result<[bool; 2]> {
        let (stdin, stdout) = (rustix::stdio::stdin(), rustix::stdio::stdout());
        let when = |condition, flags| if condition { flags } else { PollFlags::empty() };
        let types = self.reads_input && self.input.is_empty();
        let shows = self.reads_output && self.output.is_empty();
        let controller = when(shows, PollFlags::IN) | when(!self.input.is_empty(), PollFlags::OUT);
        let mut fds = vec![
            PollFd::new(&program, PollFlags::IN),
            PollFd::new(&signals, PollFlags::IN),
        ];
        // A descriptor that is not waited for still reports its hang-up: those are left out.
        let mut add = |fd, flags: PollFlags| {
            (!flags.is_empty()).then(|| {
                fds.push(PollFd::from_borrowed_fd(fd, flags));
                fds.len() - 1
            })
        };
        let places = [
            add(self.controller, controller),
            add(stdin, when(types, PollFlags::IN)),
            add(stdout, when(!self.output.is_empty(), PollFlags::OUT)),
        ];
        wait(&mut fds)?;
        let ready = |place: Option<usize>| {
            place
                .and_then(|place| fds.get(place))
                .map_or(PollFlags::empty(), PollFd::revents)
        };
        let [terminal, typed, shown] = places.map(ready);
        let first = |place: usize| fds.get(place).is_some_and(|fd| !fd.revents().is_empty());
        let ended = [first(0), first(1)];
        if !typed.is_empty() {
            self.reads_input = self.input.fill(stdin)? != Filled::End;
        }
        if terminal.contains(PollFlags::OUT) && !self.input.is_empty() {
            self.input.drain(self.controller)?;
        }
        if shows && terminal.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            self.reads_output = self.output.fill(self.controller)? != Filled::End;
        }
        if !shown.is_empty() {
            self.output.drain(stdout)?;
        }
        Ok(ended)
    }

    /// Shows what the program wrote before it ended.
    fn finish(mut self) -> io::Result<()> {
        let stdout = rustix::stdio::stdout();
        loop {
            while !self.output.is_empty() {
                self.output.drain(stdout)?;
            }
            if !self.reads_output || self.output.fill(self.controller)? != Filled::Some {
                return Ok(());
            }
        }
    }
}

fn wait(fds: &mut [PollFd<'_>]) -> io::Result<()> {
    loop {
        match poll(fds, None) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map(drop).map_err(Into::into),
        }
    }
}
