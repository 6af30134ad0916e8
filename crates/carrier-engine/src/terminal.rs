//! The caller's terminal.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::termios::{
    OptionalActions, Termios, Winsize, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

/// The caller's terminal in raw mode: every key goes to the container, Ctrl-C included. Restored
/// when this is dropped.
#[derive(Debug)]
pub(crate) struct RawMode {
    original: Termios,
}

impl RawMode {
    /// Switches standard input; nothing where it is no terminal.
    pub(crate) fn enter() -> io::Result<Option<Self>> {
        let stdin = rustix::stdio::stdin();
        if !isatty(stdin) {
            return Ok(None);
        }
        let original = tcgetattr(stdin)?;
        let mut raw = original.clone();
        raw.make_raw();
        tcsetattr(stdin, OptionalActions::Drain, &raw)?;
        Ok(Some(Self { original }))
    }

    /// Restores the terminal unless somebody else has: a shell whose command was killed sets it as the
    /// shell needs it.
    pub(crate) fn restore_unless_changed(self) {
        let stdin = rustix::stdio::stdin();
        let mut raw = self.original.clone();
        raw.make_raw();
        let is_ours = tcgetattr(stdin).is_ok_and(|now| same_modes(&now, &raw));
        if !is_ours {
            std::mem::forget(self);
        }
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that has gone needs no restoring.
        let _ = tcsetattr(
            rustix::stdio::stdin(),
            OptionalActions::Drain,
            &self.original,
        );
    }
}

/// The modes of a terminal, to be set again when the process that was to do it could not.
#[derive(Debug)]
pub(crate) struct SavedModes(Option<Termios>);

impl SavedModes {
    /// Those of standard input, where it is a terminal.
    pub(crate) fn of_stdin() -> Self {
        Self(tcgetattr(rustix::stdio::stdin()).ok())
    }

    pub(crate) fn restore(&self) {
        if let Some(modes) = &self.0 {
            // As above.
            let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, modes);
        }
    }
}

fn same_modes(one: &Termios, other: &Termios) -> bool {
    one.input_modes == other.input_modes
        && one.output_modes == other.output_modes
        && one.local_modes == other.local_modes
        && one.control_modes == other.control_modes
}

/// The size of the caller's terminal, where there is one.
pub(crate) fn size() -> Option<Winsize> {
    let streams = [
        rustix::stdio::stdin(),
        rustix::stdio::stdout(),
        rustix::stdio::stderr(),
    ];
    streams
        .into_iter()
        .find_map(|stream| tcgetwinsize(stream).ok())
}

/// Gives a container's terminal the size of the caller's.
pub(crate) fn copy_size(controller: impl AsFd) {
    if let Some(size) = size() {
        // Nothing is lost with it: programs fall back to 80 columns.
        let _ = tcsetwinsize(controller, size);
    }
}

/// Bytes on their way from one descriptor to another that may not take them all at once.
#[derive(Debug)]
pub(crate) struct Flow {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

/// What became of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// There may be more.
    Some,
    /// Not now.
    Nothing,
    /// Never again.
    End,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drained {
    /// Some was taken, or nothing for now.
    Some,
    /// The reader has gone away, and takes everything.
    Gone,
}

impl Flow {
    const CAPACITY: usize = 16 * 1024;

    /// What a pipe that can be written to takes without making the writer wait, `PIPE_BUF`.
    const AT_ONCE: usize = 4096;

    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; Self::CAPACITY],
            start: 0,
            end: 0,
        }
    }

    /// Whether all that was read has been written.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// What was read and not written.
    pub(crate) fn pending(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Puts other bytes in the place of those that were not written.
    pub(crate) fn replace(&mut self, bytes: &[u8]) {
        if self.buffer.len() < bytes.len() {
            self.buffer.resize(bytes.len(), 0);
        }
        if let Some(place) = self.buffer.get_mut(..bytes.len()) {
            place.copy_from_slice(bytes);
        }
        (self.start, self.end) = (0, bytes.len());
    }

    /// Reads once; only for an empty flow.
    pub(crate) fn fill(&mut self, source: BorrowedFd<'_>) -> io::Result<Filled> {
        use rustix::io::Errno;
        (self.start, self.end) = (0, 0);
        match rustix::io::read(source, &mut *self.buffer) {
            // A terminal whose other side nobody has open says EIO.
            Ok(0) | Err(Errno::IO) => Ok(Filled::End),
            Ok(count) => {
                self.end = count;
                Ok(Filled::Some)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(Filled::Nothing),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Writes once what there is.
    pub(crate) fn drain(&mut self, sink: BorrowedFd<'_>) -> io::Result<Drained> {
        use rustix::io::Errno;
        let pending = self.pending();
        let at_once = pending.get(..Self::AT_ONCE).unwrap_or(pending);
        match rustix::io::write(sink, at_once) {
            Ok(count) => self.start += count,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::PIPE | Errno::IO) => {
                self.start = self.end;
                return Ok(Drained::Gone);
            }
            Err(errno) => return Err(errno.into()),
        }
        Ok(Drained::Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_keeps_what_was_not_taken() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let mut flow = Flow::new();
        rustix::io::write(&writer, b"hello").unwrap();
        assert_eq!(flow.fill(reader.as_fd()).unwrap(), Filled::Some);
        assert!(!flow.is_empty());
        let (other_reader, other_writer) = rustix::pipe::pipe().unwrap();
        assert_eq!(flow.drain(other_writer.as_fd()).unwrap(), Drained::Some);
        assert!(flow.is_empty());
        drop(writer);
        assert_eq!(flow.fill(reader.as_fd()).unwrap(), Filled::End);
        let mut bytes = [0; 8];
        assert_eq!(rustix::io::read(&other_reader, &mut bytes).unwrap(), 5);
        flow.replace(b"more");
        drop(other_reader);
        assert_eq!(flow.drain(other_writer.as_fd()).unwrap(), Drained::Gone);
    }

    #[test]
    fn what_replaces_a_flow_may_be_longer() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let mut flow = Flow::new();
        let long = vec![7; Flow::CAPACITY + 9];
        flow.replace(&long);
        assert_eq!(flow.pending(), long);
        flow.drain(writer.as_fd()).unwrap();
        let mut bytes = [0; 8192];
        assert_eq!(rustix::io::read(&reader, &mut bytes).unwrap(), 4096);
    }
}
