//! How much was copied.

use std::io::{self, Read, Write};

/// A stream that counts its bytes.
pub(super) struct Counted<S> {
    stream: S,
    count: u64,
}

impl<S> Counted<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, count: 0 }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

impl<S: Read> Read for Counted<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.count += count as u64;
        Ok(count)
    }
}

impl<S: Write> Write for Counted<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.stream.write(bytes)?;
        self.count += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
