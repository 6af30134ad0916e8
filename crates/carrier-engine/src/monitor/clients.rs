//! The commands that talk to a monitor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use carrier_runtime::with_short_path;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::protocol::{CHUNK, Peer, Wanted, answer};
use crate::log::Stream;

/// How many commands may wait to be let in.
const BACKLOG: i32 = 64;

/// A command that is connected.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) peer: Peer,
    /// The streams that it is attached to; none for one that only asks.
    pub(super) wanted: Wanted,
    /// Whether it waits for the end of the program, whatever comes then.
    pub(super) waits_for_exit: bool,
    /// Whether the processes are held for as long as it is connected.
    pub(super) holds: bool,
    /// Input that the program has not taken yet.
    pub(super) input: Vec<u8>,
    /// Rows and columns of its terminal.
    pub(super) size: Option<(u16, u16)>,
    /// Whether it has not got the last chunk of output yet.
    owes: bool,
    gone: bool,
}

impl Client {
    pub(super) fn new(peer: Peer) -> Self {
        Self {
            peer,
            wanted: Wanted::empty(),
            waits_for_exit: false,
            holds: false,
            input: Vec::new(),
            size: None,
            owes: false,
            gone: false,
        }
    }

    /// Answers; a command that does not listen is not waited for.
    pub(super) fn answer(&mut self, what: u8, payload: &[u8]) {
        if self.peer.send_now(what, payload).is_err() {
            self.leave();
        }
    }

    /// Tells the code of the program, once.
    pub(super) fn tell_exit(&mut self, code: u8) {
        self.answer(answer::EXITED, &[code]);
        self.leave();
    }

    pub(super) fn leave(&mut self) {
        self.gone = true;
        self.owes = false;
    }
}

/// All commands, and the last chunk of output, which all that are attached must get before there is
/// another: a slow reader holds the program up, and loses nothing.
#[derive(Debug)]
pub(super) struct Clients {
    listener: Option<OwnedFd>,
    pub(super) all: Vec<Client>,
    chunk: Vec<u8>,
    stream: Stream,
    /// What the program left behind.
    rest: Vec<(Stream, Vec<u8>)>,
}

impl Clients {
    /// Listens at `path`, where only the caller may connect.
    pub(super) fn listen(path: &Path) -> Result<Self, Errno> {
        match rustix::fs::unlink(path) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        with_short_path(path, |short| {
            rustix::net::bind(&socket, &SocketAddrUnix::new(short)?)?;
            rustix::fs::chmod(short, Mode::RUSR | Mode::WUSR)
        })?;
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(Self {
            listener: Some(socket),
            all: Vec::new(),
            chunk: Vec::with_capacity(CHUNK),
            stream: Stream::Stdout,
            rest: Vec::new(),
        })
    }

    pub(super) fn listener(&self) -> Option<BorrowedFd<'_>> {
        self.listener.as_ref().map(AsFd::as_fd)
    }

    /// Lets nobody in any more.
    pub(super) fn close(&mut self) {
        self.listener = None;
    }

    /// Lets a command in, if it is the caller's or root's.
    pub(super) fn accept(&mut self) {
        let Some(listener) = &self.listener else {
            return;
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let Ok(socket) = rustix::net::accept_with(listener, flags) else {
            return;
        };
        let me = rustix::process::geteuid();
        let is_ours = rustix::net::sockopt::socket_peercred(&socket)
            .is_ok_and(|peer| peer.uid == me || peer.uid.is_root());
        if is_ours {
            self.all.push(Client::new(socket.into()));
        }
    }

    /// Where the next output of the program goes; none while somebody owes the last.
    pub(super) fn free_chunk(&mut self) -> Option<&mut Vec<u8>> {
        if self.all.iter().any(|client| client.owes) {
            return None;
        }
        self.chunk.clear();
        Some(&mut self.chunk)
    }

    pub(super) fn is_owed(&self) -> bool {
        self.all.iter().any(|client| client.owes)
    }

    pub(super) fn chunk(&self) -> &[u8] {
        &self.chunk
    }

    /// Gives the chunk to all that are attached to `stream`.
    pub(super) fn distribute(&mut self, stream: Stream) {
        self.stream = stream;
        let wanted = match stream {
            Stream::Stdout => Wanted::STDOUT,
            Stream::Stderr => Wanted::STDERR,
        };
        for client in &mut self.all {
            client.owes = !client.gone && client.wanted.contains(wanted);
        }
        self.deliver();
    }

    /// Gives the chunk to those that owe it and have room.
    pub(super) fn deliver(&mut self) {
        let what = match self.stream {
            Stream::Stdout => answer::OUTPUT,
            Stream::Stderr => answer::ERRORS,
        };
        for client in self.all.iter_mut().filter(|client| client.owes) {
            match client.peer.send_now(what, &self.chunk) {
                Ok(()) => client.owes = false,
                Err(Errno::AGAIN) => {}
                Err(_) => client.leave(),
            }
        }
    }

    /// The size of the terminal that looks at the program's.
    pub(super) fn size(&self) -> Option<(u16, u16)> {
        self.all.iter().find_map(|client| client.size)
    }

    /// Keeps what the program left behind for those that are attached.
    pub(super) fn keep(&mut self, stream: Stream, bytes: &[u8]) {
        if self.all.iter().any(|client| !client.wanted.is_empty()) {
            self.rest.push((stream, bytes.to_owned()));
        }
    }

    /// Gives them what is kept, as slowly as they read, but not longer than for `patience`.
    pub(super) fn deliver_rest(&mut self, patience: Option<Duration>) {
        let deadline = patience.and_then(|patience| Instant::now().checked_add(patience));
        self.deliver_all(deadline);
        for (stream, bytes) in std::mem::take(&mut self.rest) {
            self.chunk = bytes;
            self.distribute(stream);
            self.deliver_all(deadline);
        }
    }

    fn deliver_all(&mut self, deadline: Option<Instant>) {
        while self.is_owed() {
            let late = deadline.is_some_and(|deadline| deadline <= Instant::now());
            let owing = self.all.iter_mut().filter(|client| client.owes);
            if late {
                owing.for_each(Client::leave);
                return;
            }
            let mut fds: Vec<_> = owing
                .map(|client| PollFd::from_borrowed_fd(client.peer.as_fd(), PollFlags::OUT))
                .collect();
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            // Whatever it says, the next try to send tells more.
            let _ = poll(&mut fds, left.as_ref());
            self.deliver();
        }
    }

    /// Forgets the commands that have left; whether one of them held the processes.
    pub(super) fn forget_the_gone(&mut self) -> bool {
        let held = self.all.iter().any(|client| client.gone && client.holds);
        self.all.retain(|client| !client.gone);
        held
    }

    /// Whether a client owes the chunk, by its place.
    pub(super) fn owes(&self, place: usize) -> bool {
        self.all.get(place).is_some_and(|client| client.owes)
    }
}
