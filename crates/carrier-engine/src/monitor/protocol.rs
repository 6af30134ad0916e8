//! What commands and a monitor say to each other: messages of a socket that keeps them apart, each
//! a byte that says what it is and what belongs to it.
//!
//! A command that attaches sends input one message at a time, and waits for [`answer::TAKEN`] before
//! the next: so that signals never wait behind input that the program does not read.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use carrier_runtime::state::ProcessIdentity;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags,
    SocketType, recvmsg, sendmsg, socketpair,
};

/// The most bytes of a stream in one message.
pub(crate) const CHUNK: usize = 32 * 1024;

/// What commands say.
pub(crate) mod request {
    /// Wants streams: a byte of [`super::Wanted`].
    pub(crate) const ATTACH: u8 = b'A';
    /// Bytes for the program.
    pub(crate) const INPUT: u8 = b'I';
    /// There is no more input.
    pub(crate) const END_OF_INPUT: u8 = b'E';
    /// The size of the caller's terminal: rows, columns, two bytes each.
    pub(crate) const RESIZE: u8 = b'R';
    /// A signal for the program: its number, and whether the program shall stay down.
    pub(crate) const SIGNAL: u8 = b'K';
    /// End the program: a signal, and milliseconds until it is killed, eight bytes; the answer is
    /// [`super::answer::EXITED`].
    pub(crate) const STOP: u8 = b'S';
    /// A container that is removed at its end is kept for the caller, who starts it again; no answer.
    pub(crate) const KEEP: u8 = b'B';
    /// Tell when the container does not run any more; with a byte of 1, when the program ends.
    pub(crate) const WAIT: u8 = b'W';
    /// Hold the processes.
    pub(crate) const PAUSE: u8 = b'P';
    /// Let them go on.
    pub(crate) const UNPAUSE: u8 = b'U';
    /// Hold the processes until [`RELEASE`] or [`UNPAUSE`], at the longest as long as whoever says this is
    /// connected.
    pub(crate) const HOLD: u8 = b'H';
    /// Let them go on if nobody else holds them.
    pub(crate) const RELEASE: u8 = b'G';
    /// The record has changed.
    pub(crate) const RELOAD: u8 = b'L';
}

/// What a monitor says.
pub(crate) mod answer {
    /// The program runs.
    pub(crate) const STARTED: u8 = b's';
    /// It could not be done: a [`super::Refusal`] as JSON.
    pub(crate) const REFUSED: u8 = b'f';
    /// Bytes that the program wrote.
    pub(crate) const OUTPUT: u8 = b'o';
    /// Bytes that it wrote to its standard error.
    pub(crate) const ERRORS: u8 = b'e';
    /// The last message of input has been taken.
    pub(crate) const TAKEN: u8 = b'i';
    /// The program left with this code.
    pub(crate) const EXITED: u8 = b'x';
    /// It was done.
    pub(crate) const DONE: u8 = b'd';
}

/// What is wrong, in words of the user.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Refusal {
    /// The error and its causes.
    pub(crate) message: String,
    /// What the user can do about it.
    pub(crate) hint: Option<String>,
    /// The exit code of the command.
    pub(crate) code: u8,
}

bitflags::bitflags! {
    /// The streams that a command attaches to.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Wanted: u8 {
        /// Standard input.
        const STDIN = 1;
        /// Standard output, and a terminal.
        const STDOUT = 2;
        /// Standard error.
        const STDERR = 4;
    }
}

/// One end of a conversation.
#[derive(Debug)]
pub(crate) struct Peer(OwnedFd);

impl AsFd for Peer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Peer {
    fn from(socket: OwnedFd) -> Self {
        Self(socket)
    }
}

impl Peer {
    /// Two ends that belong together.
    pub(crate) fn pair() -> io::Result<(Self, Self)> {
        let flags = SocketFlags::CLOEXEC;
        let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok((Self(one), Self(other)))
    }

    /// The process at the other end; nothing when it is gone.
    pub(crate) fn process(&self) -> Option<ProcessIdentity> {
        let peer = rustix::net::sockopt::socket_peercred(&self.0).ok()?;
        let pid = u32::try_from(peer.pid.as_raw_pid()).ok()?;
        ProcessIdentity::of(pid).ok()
    }

    /// Sends a message, waiting until there is room for it.
    pub(crate) fn send(&self, what: u8, payload: &[u8]) -> io::Result<()> {
        self.send_with(what, payload, SendFlags::NOSIGNAL)
            .map_err(Into::into)
    }

    /// Sends a message now: [`Errno::AGAIN`] when there is no room for it.
    pub(crate) fn send_now(&self, what: u8, payload: &[u8]) -> Result<(), Errno> {
        self.send_with(what, payload, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
    }

    fn send_with(&self, what: u8, payload: &[u8], flags: SendFlags) -> Result<(), Errno> {
        let parts = [
            IoSlice::new(std::slice::from_ref(&what)),
            IoSlice::new(payload),
        ];
        loop {
            match sendmsg(&self.0, &parts, &mut SendAncillaryBuffer::default(), flags) {
                Err(Errno::INTR) => {}
                other => return other.map(drop),
            }
        }
    }

    /// Receives a message into `buffer`, and says what it is and how long its payload; nothing when
    /// the other end is closed.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(u8, usize)>> {
        self.receive_with(buffer, RecvFlags::empty())
            .map_err(Into::into)
    }

    /// Receives a message that is there: [`Errno::AGAIN`] when there is none.
    pub(crate) fn receive_now(&self, buffer: &mut [u8]) -> Result<Option<(u8, usize)>, Errno> {
        self.receive_with(buffer, RecvFlags::DONTWAIT)
    }

    fn receive_with(
        &self,
        buffer: &mut [u8],
        flags: RecvFlags,
    ) -> Result<Option<(u8, usize)>, Errno> {
        let mut what = 0;
        loop {
            let mut parts = [
                IoSliceMut::new(std::slice::from_mut(&mut what)),
                IoSliceMut::new(buffer),
            ];
            let mut none = RecvAncillaryBuffer::default();
            match recvmsg(&self.0, &mut parts, &mut none, flags) {
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => return Ok(None),
                Err(errno) => return Err(errno),
                Ok(received) => {
                    let payload = received.bytes.checked_sub(1);
                    return Ok(payload.map(|length| (what, length)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_stay_apart_and_the_end_is_known() {
        let (one, other) = Peer::pair().unwrap();
        one.send(request::INPUT, b"abc").unwrap();
        one.send(request::WAIT, b"").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(
            other.receive(&mut buffer).unwrap(),
            Some((request::INPUT, 3))
        );
        assert_eq!(&buffer[..3], b"abc");
        assert_eq!(
            other.receive(&mut buffer).unwrap(),
            Some((request::WAIT, 0))
        );
        assert_eq!(other.receive_now(&mut buffer), Err(Errno::AGAIN));
        drop(one);
        assert_eq!(other.receive(&mut buffer).unwrap(), None);
    }
}
