//! Messages on a connection: each has its length before it, RFC 1035, section 4.2.2.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

/// The longest message.
pub(super) const LONGEST: usize = u16::MAX as usize;

/// A connection on which messages come and go.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) socket: TcpStream,
    received: Vec<u8>,
    to_send: Vec<u8>,
    /// When something has come or gone last.
    pub(super) last: Instant,
}

impl Stream {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            received: Vec::new(),
            to_send: Vec::new(),
            last: Instant::now(),
        }
    }

    /// Sends a message, now or later.
    pub(super) fn say(&mut self, message: &[u8]) -> io::Result<()> {
        let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        if self.to_send.len() > LONGEST {
            // It asks and does not listen.
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.to_send.extend_from_slice(&length.to_be_bytes());
        self.to_send.extend_from_slice(message);
        self.flush()
    }

    /// Sends what waits.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while !self.to_send.is_empty() {
            match self.socket.write(&self.to_send) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.to_send.drain(..count);
                    self.last = Instant::now();
                }
                Err(error) if waits(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether something waits to be sent, or to be taken without more of it coming.
    pub(super) fn is_busy(&self) -> bool {
        !self.to_send.is_empty() || self.length().is_some()
    }

    /// The next message, if it is there as a whole; [`io::ErrorKind::UnexpectedEof`] when there will be
    /// none.
    pub(super) fn hear(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(message) = self.take() {
                return Ok(Some(message));
            }
            match self.socket.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.last = Instant::now();
                    self.received.extend(buffer.iter().take(count));
                }
                Err(error) if waits(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        let length = self.length()?;
        let message = self.received.drain(..length + 2).skip(2).collect();
        Some(message)
    }

    /// The length of the message that has come as a whole.
    fn length(&self) -> Option<usize> {
        let (head, rest) = self.received.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*head));
        (rest.len() >= length).then_some(length)
    }
}

fn waits(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::NotConnected
    )
}
