//! Asking the user.

use std::io::{self, Write as _};

use carrier_sys::signal::SignalStream;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcsetattr};

/// Signals that would end us while the terminal shows nothing of what is typed.
const ENDING: [i32; 5] = [
    libc_number(rustix::process::Signal::INT),
    libc_number(rustix::process::Signal::TERM),
    libc_number(rustix::process::Signal::HUP),
    libc_number(rustix::process::Signal::QUIT),
    libc_number(rustix::process::Signal::TSTP),
];

/// Longer lines are not typed.
const MAX_LINE: usize = 64 * 1024;

const fn libc_number(signal: rustix::process::Signal) -> i32 {
    signal.as_raw()
}

/// What became of a question.
#[derive(PartialEq, Eq)]
pub(crate) enum Answer {
    /// A line, without its end.
    Line(String),
    /// A signal of this number came instead.
    Signal(i32),
}

/// Whether there is somebody to ask.
pub(crate) fn is_possible() -> bool {
    isatty(rustix::stdio::stdin())
}

/// Asks for a line.
pub(crate) fn line(question: &str) -> io::Result<String> {
    ask(question)?;
    match read_line(None)? {
        Answer::Line(line) => Ok(line),
        Answer::Signal(_) => Err(io::ErrorKind::Interrupted.into()),
    }
}

/// Asks for a line that is not shown while it is typed. However this ends, the terminal shows again
/// what is typed.
pub(crate) fn secret(question: &str) -> io::Result<Answer> {
    ask(question)?;
    // Before the echo is off, so that no signal comes in between.
    let signals = SignalStream::new(&ENDING)?;
    let answer = Hidden::enter().and_then(|_hidden| read_line(Some(&signals)));
    signals.release()?;
    // The return key was not shown either.
    io::stdout().write_all(b"\n")?;
    answer
}

fn ask(question: &str) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(question.as_bytes())?;
    out.flush()
}

/// Reads bytes one by one: what is behind the line is not ours.
fn read_line(signals: Option<&SignalStream>) -> io::Result<Answer> {
    let stdin = rustix::stdio::stdin();
    let mut line = Vec::new();
    loop {
        if let Some(signals) = signals {
            let mut fds = [
                PollFd::new(&stdin, PollFlags::IN),
                PollFd::new(signals, PollFlags::IN),
            ];
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let ready = !fds[0].revents().is_empty();
            // Being stopped here would leave the shell without echo.
            let stop = libc_number(rustix::process::Signal::TSTP);
            if let Some(signal) = signals.next()?.filter(|signal| *signal != stop) {
                return Ok(Answer::Signal(signal));
            }
            if !ready {
                continue;
            }
        }
        let mut byte = [0];
        match rustix::io::read(stdin, &mut byte) {
            Ok(0) if line.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(0) => break,
            Ok(_) if byte == *b"\n" => break,
            Ok(_) if line.len() < MAX_LINE => line.extend(byte),
            Ok(_) => return Err(io::Error::other("the line is too long")),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let text = String::from_utf8(line);
    let text = text.map_err(|_| io::Error::other("the line is not UTF-8"))?;
    Ok(Answer::Line(text.trim_end_matches('\r').to_owned()))
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden {
    original: Termios,
}

impl Hidden {
    fn enter() -> io::Result<Self> {
        let stdin = rustix::stdio::stdin();
        let original = tcgetattr(stdin)?;
        let mut quiet = original.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        quiet
            .local_modes
            .insert(LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(stdin, OptionalActions::Flush, &quiet)?;
        Ok(Self { original })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that has gone needs no restoring.
        let _ = tcsetattr(
            rustix::stdio::stdin(),
            OptionalActions::Flush,
            &self.original,
        );
    }
}
