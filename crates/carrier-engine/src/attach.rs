//! A command at the streams of a container: signals and typed bytes go in, what the program writes
//! comes out, until it has ended or the user detaches.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use carrier_sys::signal::SignalStream;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::Signal;

use crate::control::Answer;
use crate::detach_keys::{DetachKeys, Detector};
use crate::engine::Engine;
use crate::error::Error;
use crate::events::Event;
use crate::foreground::{FORWARDED, TerminalGuard, wait};
use crate::monitor::{CHUNK, Peer, Wanted, answer, request};
use crate::record::ContainerRecord;
use crate::terminal::{RawMode, size};

/// As much as a pipe takes at once when there is room at all, pipe(7).
const PIPE_BUF: usize = 4096;

/// How to attach.
#[derive(Clone, Debug)]
pub struct AttachOptions {
    /// Which streams.
    pub wanted: Wanted,
    /// Keys that end it and leave the container running.
    pub detach_keys: DetachKeys,
    /// Whether signals that reach the command go to the program.
    pub forwards_signals: bool,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The program left with this code.
    Exited(u8),
    /// The user has detached.
    Detached,
    /// The monitor was killed, and the program with it.
    Lost,
}

/// The caller's side of a conversation that begins.
#[derive(Debug)]
pub(crate) struct Attachment {
    options: AttachOptions,
    terminal: bool,
    signals: SignalStream,
}

impl Engine {
    /// Attaches to a container that runs.
    ///
    /// # Errors
    /// When it does not run, or is paused.
    pub fn attach(&self, word: &str, options: &AttachOptions) -> Result<Ending, Error> {
        let record = self.container(word)?;
        let attachment = Attachment::open(options.clone(), record.streams.terminal)?;
        let peer = self.connect_attached(&record, options)?;
        self.emit(&Event::container("attach", &record));
        let ending = attachment.serve(peer)?;
        if matches!(ending, Ending::Detached) {
            self.emit(&Event::container("detach", &record));
        }
        self.see_to_the_end(&record, ending)
    }

    pub(crate) fn connect_attached(
        &self,
        record: &ContainerRecord,
        options: &AttachOptions,
    ) -> Result<Peer, Error> {
        let life = self.life(record)?;
        if life.status == crate::life::Status::Paused {
            return Err(Error::Paused(record.name.to_string()));
        }
        let not_running = || Error::NotRunning(record.name.to_string());
        let peer = self.connect(record)?.ok_or_else(not_running)?;
        let asked = peer.send(request::ATTACH, &[options.wanted.bits()]);
        asked.map_err(|source| Error::Monitor {
            action: "attach to",
            source,
        })?;
        match peer.answer(None)? {
            Answer::Done => Ok(peer),
            _ => Err(not_running()),
        }
    }
}

impl Attachment {
    /// Holds signals back from now on: they are forwarded once the program runs.
    pub(crate) fn open(options: AttachOptions, terminal: bool) -> Result<Self, Error> {
        // Without forwarding they do to the command what they do to any program; only the size of
        // the window is still followed.
        let forwarded: Vec<i32> = if options.forwards_signals {
            FORWARDED.iter().map(|signal| signal.as_raw()).collect()
        } else {
            vec![Signal::WINCH.as_raw()]
        };
        let signals = SignalStream::new(&forwarded).map_err(|source| Error::Terminal {
            action: "collect signals",
            source,
        })?;
        Ok(Self {
            options,
            terminal,
            signals,
        })
    }

    /// Serves until the program has ended and all that it wrote is out, or the user detaches.
    pub(crate) fn serve(self, peer: Peer) -> Result<Ending, Error> {
        let types = self.options.wanted.contains(Wanted::STDIN);
        let failed = |source| Error::Terminal {
            action: "serve the container's streams",
            source,
        };
        // The guard outlives the mode that it guards.
        let _raw = if self.terminal && types {
            let guard = TerminalGuard::start().map_err(failed)?;
            Some((RawMode::enter().map_err(failed)?, guard))
        } else {
            None
        };
        let session = Session {
            detector: self.options.detach_keys.detector(),
            reads_input: types,
            detached: false,
            owes_input: false,
            options: self.options,
            terminal: self.terminal,
            signals: self.signals,
            peer,
        };
        session.run().map_err(failed)
    }
}

struct Session {
    options: AttachOptions,
    terminal: bool,
    signals: SignalStream,
    peer: Peer,
    detector: Detector,
    /// Whether the caller may still type.
    reads_input: bool,
    /// Whether the program has not taken the last input yet.
    owes_input: bool,
    detached: bool,
}

impl Session {
    fn run(mut self) -> io::Result<Ending> {
        let mut buffer = vec![0; CHUNK];
        self.tell_size();
        loop {
            let [monitor, signals, stdin] = self.wait()?;
            if signals {
                self.forward()?;
            }
            if stdin {
                self.type_in(&mut buffer)?;
                if self.detached {
                    return Ok(Ending::Detached);
                }
            }
            if monitor && let Some(ending) = self.hear(&mut buffer)? {
                return Ok(ending);
            }
        }
    }

    fn wait(&self) -> io::Result<[bool; 3]> {
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.peer.as_fd(), PollFlags::IN),
            PollFd::new(&self.signals, PollFlags::IN),
        ];
        if self.reads_input && !self.owes_input {
            fds.push(PollFd::from_borrowed_fd(
                rustix::stdio::stdin(),
                PollFlags::IN,
            ));
        }
        wait(&mut fds, None)?;
        let ready = |place: usize| fds.get(place).is_some_and(|fd| !fd.revents().is_empty());
        Ok([ready(0), ready(1), ready(2)])
    }

    fn type_in(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let count = match rustix::io::read(rustix::stdio::stdin(), &mut buffer[..CHUNK / 2]) {
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            // A terminal that has gone away.
            Err(Errno::IO) => 0,
            other => other?,
        };
        let typed = buffer.get(..count).unwrap_or_default();
        let pass = if typed.is_empty() {
            self.reads_input = false;
            self.detector.end()
        } else if self.terminal {
            let fed = self.detector.feed(typed);
            self.detached = fed.detached;
            fed.pass
        } else {
            typed.to_owned()
        };
        if !pass.is_empty() {
            self.owes_input = self.peer.send(request::INPUT, &pass).is_ok();
        }
        if !self.reads_input {
            // A monitor that has gone says so to whoever listens.
            let _ = self.peer.send(request::END_OF_INPUT, &[]);
        }
        Ok(())
    }

    /// Takes one message of the monitor.
    fn hear(&mut self, buffer: &mut [u8]) -> io::Result<Option<Ending>> {
        let Some((what, length)) = self.peer.receive(buffer)? else {
            return Ok(Some(Ending::Lost));
        };
        let payload = buffer.get(..length).unwrap_or_default();
        match (what, payload) {
            (answer::OUTPUT, bytes) => self.show(rustix::stdio::stdout(), bytes)?,
            (answer::ERRORS, bytes) => self.show(rustix::stdio::stderr(), bytes)?,
            (answer::TAKEN, _) => self.owes_input = false,
            (answer::EXITED, &[code]) => return Ok(Some(Ending::Exited(code))),
            _ => {}
        }
        Ok(None)
    }

    /// Writes as the reader reads, and forwards signals meanwhile. A reader that has gone away takes
    /// everything.
    fn show(&self, sink: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut fds = [
                PollFd::from_borrowed_fd(sink, PollFlags::OUT),
                PollFd::new(&self.signals, PollFlags::IN),
            ];
            wait(&mut fds, None)?;
            let [sink_ready, signals] = fds.map(|fd| !fd.revents().is_empty());
            if signals {
                self.forward()?;
            }
            if !sink_ready {
                continue;
            }
            let part = bytes.get(..PIPE_BUF).unwrap_or(bytes);
            match rustix::io::write(sink, part) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::PIPE | Errno::IO) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn forward(&self) -> io::Result<()> {
        while let Some(signal) = self.signals.next()? {
            if signal == Signal::WINCH.as_raw() && self.terminal {
                self.tell_size();
            } else if self.options.forwards_signals {
                let number = u8::try_from(signal).unwrap_or_default();
                // A monitor that has gone says so to whoever listens.
                let _ = self
                    .peer
                    .send(request::SIGNAL, &[number, ends(signal).into()]);
            }
        }
        Ok(())
    }

    /// Gives the program's terminal the size of the caller's.
    fn tell_size(&self) {
        if self.terminal
            && let Some((rows, columns)) = terminal_size()
        {
            let [r1, r2] = rows.to_ne_bytes();
            let [c1, c2] = columns.to_ne_bytes();
            // As above.
            let _ = self.peer.send(request::RESIZE, &[r1, r2, c1, c2]);
        }
    }
}

/// Whether whoever sends this signal to the command wants the program to end, and not to be started again.
fn ends(signal: i32) -> bool {
    [Signal::INT, Signal::TERM, Signal::QUIT]
        .map(Signal::as_raw)
        .contains(&signal)
}

/// Rows and columns of the caller's terminal.
pub(crate) fn terminal_size() -> Option<(u16, u16)> {
    size().map(|size| (size.ws_row, size.ws_col))
}
