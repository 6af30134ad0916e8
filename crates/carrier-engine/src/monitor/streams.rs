//! The monitor's ends of a program's standard streams.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use carrier_runtime::{Output, Stdin};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::termios::{Winsize, tcsetwinsize};

use super::protocol::CHUNK;
use crate::log::Stream;

/// What the monitor reads and writes.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    terminal: Option<OwnedFd>,
}

/// What became of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// There are bytes, and perhaps more.
    Some,
    /// Not now.
    Nothing,
    /// Never again.
    End,
}

/// Pipes to a program, `interactive` when it may read.
pub(crate) fn pipes(interactive: bool) -> io::Result<(Ends, (Stdin, Output))> {
    let pipe = || pipe_with(PipeFlags::CLOEXEC);
    let (stdout, their_stdout) = pipe()?;
    let (stderr, their_stderr) = pipe()?;
    let (their_stdin, stdin) = if interactive {
        let (theirs, ours) = pipe()?;
        (Some(theirs), Some(ours))
    } else {
        (None, None)
    };
    for ours in stdin.iter().chain([&stdout, &stderr]) {
        // Theirs block: that is a flag of each end of its own.
        set_nonblocking(ours)?;
    }
    let ends = Ends {
        stdin,
        stdout: Some(stdout),
        stderr: Some(stderr),
        terminal: None,
    };
    let output = Output::Files {
        stdout: their_stdout,
        stderr: their_stderr,
    };
    Ok((ends, (their_stdin.map_or(Stdin::Null, Stdin::File), output)))
}

/// The controlling side of a program's terminal.
pub(crate) fn terminal(controller: OwnedFd) -> io::Result<Ends> {
    set_nonblocking(&controller)?;
    Ok(Ends {
        terminal: Some(controller),
        ..Ends::default()
    })
}

fn set_nonblocking(file: &OwnedFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(file)?;
    Ok(rustix::fs::fcntl_setfl(file, flags | OFlags::NONBLOCK)?)
}

impl Ends {
    /// What there is to read, while it is open.
    pub(super) fn outputs(&self) -> impl Iterator<Item = (Stream, BorrowedFd<'_>)> {
        let stdout = self.terminal.as_ref().or(self.stdout.as_ref());
        let stdout = stdout.map(|file| (Stream::Stdout, file.as_fd()));
        let stderr = self
            .stderr
            .as_ref()
            .map(|file| (Stream::Stderr, file.as_fd()));
        stdout.into_iter().chain(stderr)
    }

    /// Where input goes, while it is open.
    pub(super) fn input(&self) -> Option<BorrowedFd<'_>> {
        let input = self.terminal.as_ref().or(self.stdin.as_ref());
        input.map(AsFd::as_fd)
    }

    /// Reads once from `stream` into `chunk`.
    pub(super) fn read(&mut self, stream: Stream, chunk: &mut Vec<u8>) -> Read {
        let found = self.outputs().find(|(one, _)| *one == stream);
        let Some((_, file)) = found else {
            return Read::End;
        };
        chunk.resize(CHUNK, 0);
        let read = rustix::io::read(file, chunk.as_mut_slice());
        chunk.truncate(*read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => self.close(stream),
            Ok(_) => return Read::Some,
            Err(Errno::AGAIN | Errno::INTR) => return Read::Nothing,
            // A terminal that no process has open, for the moment.
            Err(Errno::IO) if self.terminal.is_some() => {}
            Err(_) => self.close(stream),
        }
        Read::End
    }

    /// Writes as much of `bytes` as the program has room for, and says how much that was. A program
    /// that does not read takes all.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        let Some(file) = self.input() else {
            return bytes.len();
        };
        match rustix::io::write(file, bytes) {
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(_) => {
                self.close_input();
                bytes.len()
            }
        }
    }

    /// Tells the program that there is no more input; a terminal stays open.
    pub(super) fn close_input(&mut self) {
        self.stdin = None;
    }

    pub(super) fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        if let Some(terminal) = &self.terminal {
            // Nothing is lost with it: programs fall back to 80 columns.
            let _ = tcsetwinsize(terminal, size);
        }
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    fn close(&mut self, stream: Stream) {
        match stream {
            Stream::Stdout => self.stdout = None,
            Stream::Stderr => self.stderr = None,
        }
    }
}
