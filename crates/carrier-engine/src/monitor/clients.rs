//! The commands that talk to a monitor.

use std::collections::VecDeque;
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

/// A command that asks for more than this and hears nothing of it is none.
const MAX_ANSWERS: usize = 64;

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
    /// What it is told when it has room for it.
    answers: VecDeque<(u8, Vec<u8>)>,
    /// Whether that is the last that it is told.
    parts: bool,
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
            answers: VecDeque::new(),
            parts: false,
            gone: false,
        }
    }

    /// Answers, now or as soon as the command has read what it was told before.
    pub(super) fn answer(&mut self, what: u8, payload: &[u8]) {
        if self.parts || self.gone {
            return;
        }
        if self.answers.len() >= MAX_ANSWERS {
            return self.leave();
        }
        self.answers.push_back((what, payload.to_owned()));
        if !self.owes {
            self.deliver_answers();
        }
    }

    fn deliver_answers(&mut self) {
        while let Some((what, payload)) = self.answers.front() {
            match self.peer.send_now(*what, payload) {
                Ok(()) => drop(self.answers.pop_front()),
                Err(Errno::AGAIN) => return,
                Err(_) => return self.leave(),
            }
        }
    }

    /// Tells the code of the program, once.
    pub(super) fn tell_exit(&mut self, code: u8) {
        self.answer(answer::EXITED, &[code]);
        self.parts = true;
    }

    pub(super) fn leave(&mut self) {
        self.gone = true;
        self.owes = false;
        self.answers.clear();
    }

    fn waits(&self) -> bool {
        self.owes || !self.answers.is_empty()
    }

    fn has_left(&self) -> bool {
        self.gone || (self.parts && !self.waits())
    }
}

/// What the commands that have left did until then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// One held the processes, and nobody else does.
    pub(super) held: bool,
    /// One typed.
    pub(super) typed: bool,
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

    /// Lets the commands in that wait for it, if they are the caller's or root's.
    pub(super) fn accept(&mut self) {
        let Some(listener) = &self.listener else {
            return;
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let me = rustix::process::geteuid();
        while let Ok(socket) = rustix::net::accept_with(listener, flags) {
            let is_ours = rustix::net::sockopt::socket_peercred(&socket)
                .is_ok_and(|peer| peer.uid == me || peer.uid.is_root());
            if is_ours {
                self.all.push(Client::new(socket.into()));
            }
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
            client.owes = !client.gone && !client.parts && client.wanted.contains(wanted);
        }
        self.deliver();
    }

    /// Gives those that have room what they have not got yet.
    pub(super) fn deliver(&mut self) {
        let what = match self.stream {
            Stream::Stdout => answer::OUTPUT,
            Stream::Stderr => answer::ERRORS,
        };
        for client in self.all.iter_mut().filter(|client| client.waits()) {
            if client.owes {
                match client.peer.send_now(what, &self.chunk) {
                    Ok(()) => client.owes = false,
                    Err(Errno::AGAIN) => continue,
                    Err(_) => client.leave(),
                }
            }
            client.deliver_answers();
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

    /// Tells the code of the program to all: those that are attached once they have what is kept for them.
    pub(super) fn tell_exit(&mut self, code: u8) {
        self.tell_askers(code);
        self.deliver_rest(None);
        for client in &mut self.all {
            client.tell_exit(code);
        }
        self.deliver_all(None);
    }

    /// A slow reader keeps nobody waiting but itself.
    fn tell_askers(&mut self, code: u8) {
        let askers = self.all.iter_mut().filter(|one| one.wanted.is_empty());
        askers.for_each(|client| client.tell_exit(code));
    }

    fn deliver_all(&mut self, deadline: Option<Instant>) {
        loop {
            let mut waiting = self.all.iter_mut().filter(|client| client.waits());
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return waiting.for_each(Client::leave);
            }
            let mut fds: Vec<_> = waiting
                .by_ref()
                .map(|client| PollFd::from_borrowed_fd(client.peer.as_fd(), PollFlags::OUT))
                .collect();
            if fds.is_empty() {
                return;
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            // Whatever it says, the next try to send tells more.
            let _ = poll(&mut fds, left.as_ref());
            self.deliver();
        }
    }

    /// Forgets the commands that have left, and says what that changes.
    pub(super) fn forget_the_gone(&mut self) -> Left {
        let mut left = Left::default();
        for client in self.all.iter().filter(|client| client.has_left()) {
            left.held |= client.holds;
            left.typed |= client.gone && client.wanted.contains(Wanted::STDIN);
        }
        self.all.retain(|client| !client.has_left());
        left.held &= !self.is_held();
        left
    }

    /// No command holds the processes any more.
    pub(super) fn release_all(&mut self) {
        for client in &mut self.all {
            client.holds = false;
        }
    }

    /// Whether a command holds the processes.
    pub(super) fn is_held(&self) -> bool {
        self.all.iter().any(|client| client.holds)
    }

    /// Whether a client waits for something, by its place.
    pub(super) fn waits(&self, place: usize) -> bool {
        self.all.get(place).is_some_and(Client::waits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(wanted: Wanted) -> (Clients, Peer) {
        let (mine, theirs) = Peer::pair().unwrap();
        let mut client = Client::new(theirs);
        client.wanted = wanted;
        let clients = Clients {
            listener: None,
            all: vec![client],
            chunk: vec![b'x'; CHUNK],
            stream: Stream::Stdout,
            rest: Vec::new(),
        };
        (clients, mine)
    }

    /// Until there is no room for more.
    fn fill(clients: &mut Clients) -> usize {
        let mut sent = 0;
        loop {
            clients.distribute(Stream::Stdout);
            if clients.is_owed() {
                return sent;
            }
            sent += 1;
        }
    }

    #[test]
    fn whoever_reads_slowly_is_told_all_in_its_order() {
        let (mut clients, peer) = clients(Wanted::all());
        let sent = fill(&mut clients);
        clients.all[0].answer(answer::TAKEN, &[]);
        clients.all[0].tell_exit(3);
        assert_eq!(clients.forget_the_gone(), Left::default());
        let mut buffer = vec![0; CHUNK];
        let mut heard = Vec::new();
        while !clients.all.is_empty() {
            heard.push(peer.receive(&mut buffer).unwrap().unwrap().0);
            clients.deliver();
            clients.forget_the_gone();
        }
        drop(clients);
        while let Some((what, _)) = peer.receive(&mut buffer).unwrap() {
            heard.push(what);
        }
        let output = vec![answer::OUTPUT; sent + 1];
        assert_eq!(
            heard,
            [&output[..], &[answer::TAKEN, answer::EXITED]].concat()
        );
        assert_eq!(buffer[0], 3);
    }

    #[test]
    fn whoever_waits_for_the_end_does_not_wait_for_a_slow_reader() {
        let (mut clients, _slow) = clients(Wanted::all());
        let (asker, theirs) = Peer::pair().unwrap();
        clients.all.push(Client::new(theirs));
        fill(&mut clients);
        clients.tell_askers(0);
        let mut buffer = [7];
        assert_eq!(
            asker.receive(&mut buffer).unwrap(),
            Some((answer::EXITED, 1))
        );
        assert_eq!(buffer, [0]);
    }

    #[test]
    fn of_the_gone_it_is_known_what_they_did() {
        let (mut clients, peer) = clients(Wanted::STDIN);
        clients.all[0].holds = true;
        drop(peer);
        clients.all[0].answer(answer::DONE, &[]);
        let left = Left {
            held: true,
            typed: true,
        };
        assert_eq!(clients.forget_the_gone(), left);
        assert_eq!(clients.forget_the_gone(), Left::default());
    }
}
