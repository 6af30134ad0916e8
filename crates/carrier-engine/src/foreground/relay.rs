//! Bytes between the caller's streams and the terminal of a container.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::termios::isatty;

use super::wait;
use crate::detach_keys::Detector;
use crate::terminal::{Drained, Filled, Flow};

/// What a terminal takes for the end of its input, at the beginning of a line.
const END_OF_INPUT: u8 = 4;

/// How soon that is said again, at first: a program that sets up its terminal may not have heard it, and
/// another one may come to read.
const AGAIN: Duration = Duration::from_millis(100);

/// The two directions.
pub(super) struct Relay<'a> {
    controller: BorrowedFd<'a>,
    input: Flow,
    output: Flow,
    keys: Detector,
    /// Whether the caller may still type.
    reads_input: bool,
    /// Whether the container may still write.
    reads_output: bool,
    last_typed: u8,
    /// When the end of the input is said again, and how long after that the next time.
    ends_again: Option<(Instant, Duration)>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Bytes were moved.
    Moved,
    /// A signal waits.
    Signal,
    /// The program has ended.
    Ended,
    /// The detach keys were typed.
    Detached,
    /// Nobody reads what the program writes.
    NoReader,
    /// The time is up.
    Timeout,
}

impl<'a> Relay<'a> {
    pub(super) fn new(controller: BorrowedFd<'a>, interactive: bool, keys: Detector) -> Self {
        Self {
            controller,
            input: Flow::new(),
            output: Flow::new(),
            keys,
            reads_input: interactive,
            reads_output: true,
            last_typed: b'\n',
            ends_again: None,
        }
    }

    /// Waits for something to do and does it.
    pub(super) fn turn(
        &mut self,
        program: BorrowedFd<'_>,
        signals: BorrowedFd<'_>,
        deadline: Option<Instant>,
    ) -> io::Result<Turn> {
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
        let again = self.ends_again.map(|(when, _)| when);
        wait(&mut fds, [deadline, again].into_iter().flatten().min())?;
        let ready = |place: Option<usize>| {
            place
                .and_then(|place| fds.get(place))
                .map_or(PollFlags::empty(), PollFd::revents)
        };
        let [terminal, typed, shown] = places.map(ready);
        let [ended, signaled] = [0, 1].map(|place| !ready(Some(place)).is_empty());
        self.end_again();
        if !typed.is_empty() && self.read_input()? {
            return Ok(Turn::Detached);
        }
        if terminal.contains(PollFlags::OUT) && !self.input.is_empty() {
            self.input.drain(self.controller)?;
        }
        if shows && terminal.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            self.reads_output = self.output.fill(self.controller)? != Filled::End;
        }
        if !shown.is_empty() && self.output.drain(stdout)? == Drained::Gone {
            return Ok(Turn::NoReader);
        }
        let late = deadline.is_some_and(|deadline| deadline <= Instant::now());
        Ok(match (signaled, ended, late) {
            (true, ..) => Turn::Signal,
            (_, true, _) => Turn::Ended,
            (_, _, true) => Turn::Timeout,
            _ => Turn::Moved,
        })
    }

    /// Takes what was typed; whether it were the detach keys.
    fn read_input(&mut self) -> io::Result<bool> {
        let filled = self.input.fill(rustix::stdio::stdin())?;
        self.reads_input = filled != Filled::End;
        if self.reads_input {
            self.last_typed = self
                .input
                .pending()
                .last()
                .copied()
                .unwrap_or(self.last_typed);
            let fed = self.keys.feed(self.input.pending());
            self.input.replace(&fed.pass);
            return Ok(fed.detached);
        }
        let mut rest = self.keys.end();
        // The end of a file or a pipe is the end of what is typed; a terminal that is gone hangs up.
        if !isatty(rustix::stdio::stdin()) {
            let again = (self.last_typed != b'\n').then_some(END_OF_INPUT);
            rest.extend(again.into_iter().chain([END_OF_INPUT]));
            self.ends_again = Some((Instant::now() + AGAIN, AGAIN * 2));
        }
        self.input.replace(&rest);
        Ok(false)
    }

    fn end_again(&mut self) {
        if let Some((when, pause)) = self.ends_again
            && when <= Instant::now()
        {
            if self.input.is_empty() {
                self.input.replace(&[END_OF_INPUT]);
            }
            self.ends_again = Some((Instant::now() + pause, pause * 2));
        }
    }

    /// Shows what the program wrote before it ended.
    pub(super) fn finish(mut self) -> io::Result<()> {
        let stdout = rustix::stdio::stdout();
        loop {
            while !self.output.is_empty() {
                let mut fds = [PollFd::from_borrowed_fd(stdout, PollFlags::OUT)];
                wait(&mut fds, None)?;
                self.output.drain(stdout)?;
            }
            if !self.reads_output || self.output.fill(self.controller)? != Filled::Some {
                return Ok(());
            }
        }
    }
}
