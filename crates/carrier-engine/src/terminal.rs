//! The caller's terminal.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::termios::{
    OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
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

/// Gives a container's terminal the size of the caller's.
pub(crate) fn copy_size(controller: impl AsFd) {
    let streams = [
        rustix::stdio::stdin(),
        rustix::stdio::stdout(),
        rustix::stdio::stderr(),
    ];
    if let Some(size) = streams
        .into_iter()
        .find_map(|stream| tcgetwinsize(stream).ok())
    {
        // Nothing is lost with it: programs fall back to 80 columns.
        let _ = tcsetwinsize(controller, size);
    }
}

/// Bytes on their way from one descriptor to another that may not take them all at once.
#[derive(Debug)]
pub(crate) struct Flow {
    buffer: Box<[u8]>,
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

impl Flow {
    const CAPACITY: usize = 16 * 1024;

    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; Self::CAPACITY].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }

    /// Whether all that was read has been written.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
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

    /// Writes once what there is. A reader that has gone away takes everything.
    pub(crate) fn drain(&mut self, sink: BorrowedFd<'_>) -> io::Result<()> {
        use rustix::io::Errno;
        let pending = self.buffer.get(self.start..self.end).unwrap_or_default();
        match rustix::io::write(sink, pending) {
            Ok(count) => self.start += count,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::PIPE | Errno::IO) => self.start = self.end,
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
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
        flow.drain(other_writer.as_fd()).unwrap();
        assert!(flow.is_empty());
        drop(writer);
        assert_eq!(flow.fill(reader.as_fd()).unwrap(), Filled::End);
        let mut bytes = [0; 8];
        assert_eq!(rustix::io::read(&other_reader, &mut bytes).unwrap(), 5);
    }
}
