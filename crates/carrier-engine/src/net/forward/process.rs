//! The forwarder's process: how it comes to be, and the loop in which it spends its life.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use carrier_sys::process::{ChildToken, die_with};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::DumpableBehavior;

use super::routes::Clients;
use super::source::Target;
use super::tcp::{Side, Streams};
use super::udp::Datagrams;
use super::{IDLE, confine, tcp, udp};
use crate::net::listen::{Listener, Publication};
use crate::net::namespaces::NetworkNamespace;
use crate::net::ports::Protocol;
use crate::net::powers::raise_files;
use crate::net::state::Endpoint;

/// What the process says when it is at work.
pub(super) const READY: u8 = b'r';

/// All networks of a container are told in no more bytes.
pub(super) const LONGEST_NEWS: usize = 4096;

/// Clients that send no more datagrams are looked for so often.
const ROUND: Duration = Duration::from_secs(10);

/// Nobody is accepted for so long when there was no descriptor or no memory for another one.
const PAUSE: Duration = Duration::from_millis(500);

/// How many connections are accepted before others have their turn.
const TURN: usize = 64;

/// What the process is made of.
pub(super) struct Start<'a> {
    pub(super) publication: &'a Publication,
    pub(super) namespace: &'a NetworkNamespace,
    pub(super) endpoints: &'a [Endpoint],
    pub(super) ready: &'a OwnedFd,
    pub(super) news: &'a OwnedFd,
    pub(super) caller: rustix::process::Pid,
}

impl Start<'_> {
    /// Returns only when something has failed.
    pub(super) fn run(&self, token: &ChildToken) -> u8 {
        let said = match self.prepare(token) {
            Ok(mut forwarding) => match rustix::io::write(self.ready, &[READY]) {
                // Nobody waits for more words.
                Ok(_) => forwarding.serve(),
                Err(errno) => errno.into(),
            },
            Err(error) => {
                let _ = rustix::io::write(self.ready, error.to_string().as_bytes());
                error
            }
        };
        u8::from(!said.to_string().is_empty())
    }

    fn prepare(&self, token: &ChildToken) -> io::Result<Forwarding<'_>> {
        rustix::process::setsid()?;
        let mut kept = vec![
            rustix::stdio::stdin(),
            rustix::stdio::stdout(),
            rustix::stdio::stderr(),
            self.namespace.users.as_fd(),
            self.namespace.network.as_fd(),
            self.ready.as_fd(),
            self.news.as_fd(),
        ];
        let listeners = &self.publication.listeners;
        kept.extend(listeners.iter().map(|listener| listener.socket.as_fd()));
        carrier_sys::fd::close_all_but(&kept, token)?;
        let null = rustix::fs::open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(&null)?;
        rustix::stdio::dup2_stderr(&null)?;
        // Shown by ps(1).
        let _ = fs::write("/proc/self/comm", "carrier-ports");
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        self.namespace.join_users()?;
        // Joining has undone both, prctl(2).
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        die_with(self.caller)?;
        self.namespace.join_network()?;
        let target = Target::of(self.endpoints);
        let udp: BTreeSet<u16> = listeners
            .iter()
            .filter(|listener| listener.port.protocol == Protocol::Udp)
            .map(|listener| listener.port.container_port)
            .collect();
        let clients = Clients::prepare(target.clone(), &udp)?;
        let filter = confine::filter()?;
        // Not to be asked for once the filter is there.
        let budget = Budget::of(raise_files()?, listeners.len(), !udp.is_empty());
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        confine::enter(&filter)?;
        let mut forwarding = Forwarding {
            epoll,
            listeners,
            news: self.news,
            target,
            streams: Streams::default(),
            datagrams: Datagrams::new(clients, budget.datagrams),
            most: budget.streams,
            paused_until: None,
            is_listening: false,
        };
        for (index, listener) in forwarding.listeners_of(Protocol::Udp) {
            let data = Token::Listener(index).data();
            epoll::add(&forwarding.epoll, &listener.socket, data, EventFlags::IN)?;
        }
        let data = Token::News.data();
        epoll::add(&forwarding.epoll, self.news, data, EventFlags::IN)?;
        forwarding.listen(true)?;
        Ok(forwarding)
    }
}

/// How many may be carried at a time, so that descriptors suffice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Budget {
    streams: usize,
    datagrams: usize,
}

impl Budget {
    fn of(files: Option<u64>, listeners: usize, has_datagrams: bool) -> Self {
        /// The standard streams, namespaces, the kernel's answers and whatever else is open.
        const OTHERS: usize = 16;
        let files = files.and_then(|files| usize::try_from(files).ok());
        let left = files.unwrap_or(usize::MAX);
        let left = left.saturating_sub(listeners + OTHERS + tcp::POOL * 2);
        let datagrams = match has_datagrams {
            true => (left / 4).clamp(1, udp::MOST),
            false => 0,
        };
        // Two sockets, and a pipe for each direction.
        let streams = (left.saturating_sub(datagrams) / 6).clamp(1, tcp::MOST);
        Self { streams, datagrams }
    }
}

/// All that is carried.
struct Forwarding<'a> {
    epoll: OwnedFd,
    listeners: &'a [Listener],
    news: &'a OwnedFd,
    target: Target,
    streams: Streams,
    datagrams: Datagrams,
    most: usize,
    paused_until: Option<Instant>,
    /// To the listeners of connections.
    is_listening: bool,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Listener(u32),
    Stream(u32, Side),
    Datagrams(u32),
    News,
}

impl Token {
    pub(super) fn data(self) -> EventData {
        let (kind, index) = match self {
            Self::Listener(index) => (0_u64, index),
            Self::Stream(index, Side::Host) => (1, index),
            Self::Stream(index, Side::Container) => (2, index),
            Self::Datagrams(index) => (3, index),
            Self::News => (4, 0),
        };
        EventData::new_u64(kind << 32 | u64::from(index))
    }

    fn of(data: EventData) -> Option<Self> {
        let number = data.u64();
        let index = u32::try_from(number & u64::from(u32::MAX)).ok()?;
        Some(match number >> 32 {
            0 => Self::Listener(index),
            1 => Self::Stream(index, Side::Host),
            2 => Self::Stream(index, Side::Container),
            3 => Self::Datagrams(index),
            4 => Self::News,
            _ => return None,
        })
    }
}

impl Forwarding<'_> {
    /// The container is on other networks than before.
    fn hear_news(&mut self) {
        let mut words = [0; LONGEST_NEWS];
        let length = rustix::io::read(self.news, &mut words).unwrap_or(0);
        let inside = words.get(..length).unwrap_or_default();
        if let Ok(inside) = serde_json::from_slice(inside) {
            self.target.inside = inside;
        }
    }

    /// Returns only when the kernel refuses what it never refuses.
    fn serve(&mut self) -> io::Error {
        let mut next_round = Instant::now() + ROUND;
        loop {
            let timeout = self.timeout(next_round);
            let mut events = Vec::with_capacity(256);
            let buffer = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, buffer, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return errno.into(),
            }
            for event in events {
                let data = event.data;
                match Token::of(data) {
                    Some(Token::Listener(index)) => self.take_from(index),
                    Some(Token::Stream(index, side)) => {
                        self.streams.go_on(&self.epoll, index, side);
                    }
                    Some(Token::Datagrams(index)) => {
                        self.datagrams.answer(&self.epoll, self.listeners, index);
                    }
                    Some(Token::News) => self.hear_news(),
                    None => {}
                }
            }
            self.streams.go_on_with_the_busy(&self.epoll);
            if Instant::now() >= next_round {
                self.datagrams.forget_older_than(IDLE);
                next_round = Instant::now() + ROUND;
            }
            // An error leaves things as they are until the next turn.
            let has_room = self.has_room(Instant::now());
            let _ = self.listen(has_room);
        }
    }

    fn timeout(&self, next_round: Instant) -> Option<Timespec> {
        if self.streams.is_busy() {
            return Some(Timespec::default());
        }
        let waits = !self.datagrams.is_empty() || !self.is_listening;
        let next = self
            .paused_until
            .map_or(next_round, |it| it.min(next_round));
        let left = next.saturating_duration_since(Instant::now());
        waits.then(|| Timespec::try_from(left).unwrap_or_default())
    }

    fn has_room(&mut self, now: Instant) -> bool {
        self.paused_until = self.paused_until.filter(|until| now < *until);
        self.paused_until.is_none() && self.streams.count() < self.most
    }

    fn listeners_of(&self, protocol: Protocol) -> impl Iterator<Item = (u32, &Listener)> {
        let listeners = (0..).zip(self.listeners);
        listeners.filter(move |(_, listener)| listener.port.protocol == protocol)
    }

    /// Connections that there is no room for wait with the kernel.
    fn listen(&mut self, wanted: bool) -> Result<(), Errno> {
        if wanted == self.is_listening {
            return Ok(());
        }
        for (index, listener) in self.listeners_of(Protocol::Tcp) {
            let data = Token::Listener(index).data();
            let done = if wanted {
                epoll::add(&self.epoll, &listener.socket, data, EventFlags::IN)
            } else {
                epoll::delete(&self.epoll, &listener.socket)
            };
            match done {
                // The last turn got no further.
                Ok(()) | Err(Errno::EXIST | Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        self.is_listening = wanted;
        Ok(())
    }

    fn take_from(&mut self, index: u32) {
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        let Some(listener) = self.listeners.get(place) else {
            return;
        };
        let port = listener.port.container_port;
        if listener.port.protocol == Protocol::Udp {
            let socket = listener.socket.as_fd();
            self.datagrams
                .take(&self.epoll, (socket, index), &self.target, port);
            return;
        }
        for _ in 0..TURN {
            if self.streams.count() >= self.most {
                return;
            }
            if !self.accept(listener.socket.as_fd(), port) {
                return;
            }
        }
    }

    /// Whether there may be another one.
    fn accept(&mut self, listener: BorrowedFd<'_>, port: u16) -> bool {
        match tcp::accept(listener) {
            Ok(Some((socket, client))) => {
                let ways = self.target.ways(client, port);
                self.streams.begin(&self.epoll, socket, ways.collect());
                true
            }
            Ok(None) => false,
            // Gone before it could be accepted.
            Err(Errno::CONNABORTED | Errno::INTR | Errno::PROTO) => true,
            Err(_) => {
                self.paused_until = Some(Instant::now() + PAUSE);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_suffice_for_all_that_is_carried() {
        for files in [256, 1024, 4096, 1 << 20] {
            let budget = Budget::of(Some(files), 4, true);
            let taken = budget.streams * 6 + budget.datagrams + 4 + tcp::POOL * 2;
            assert!(
                u64::try_from(taken).unwrap() <= files,
                "{files}: {budget:?}"
            );
        }
        let endless = Budget::of(None, 1, true);
        assert_eq!((endless.streams, endless.datagrams), (tcp::MOST, udp::MOST));
        assert_eq!(Budget::of(Some(20), 4, false).streams, 1);
    }
}
