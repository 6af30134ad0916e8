//! The server: its sockets, and what it does when one of them is ready.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

use super::PORT;
use super::answer::{Answer, Tables, answer, failure};
use super::forward::{Asker, Forwarded};
use super::stream::Stream;

/// One more takes the place of one of the client who has most, the one that was silent longest.
const MOST_STREAMS: usize = 64;

/// A connection on which nothing happens is closed.
const SILENCE: Duration = Duration::from_secs(5);

/// One more question at a time takes the place of the oldest of the client who has most.
const MOST_FORWARDED: usize = 256;

/// More questions at a time of one client are answered that nobody could be asked.
const MOST_OF_ONE: usize = 64;

/// How long nobody is let in when there is no descriptor for one more.
const PAUSE: Duration = Duration::from_millis(100);

/// How much is done before others of the process have their turn.
const TURN: usize = 64;

/// A name server. It waits with [`AsFd`], which is readable when [`turn`](Self::turn) has something to
/// do.
#[derive(Debug)]
pub(crate) struct NameServer {
    epoll: OwnedFd,
    /// Asked for what it does not know.
    upstream: Vec<SocketAddr>,
    listeners: BTreeMap<u32, Listener>,
    streams: BTreeMap<u32, Client>,
    forwarded: BTreeMap<u32, Forwarded>,
    count: u32,
}

#[derive(Debug)]
struct Listener {
    address: IpAddr,
    datagrams: UdpSocket,
    connections: TcpListener,
    /// Until then the next ones wait.
    deaf_until: Option<Instant>,
}

#[derive(Debug)]
struct Client {
    stream: Stream,
    peer: IpAddr,
    /// It asks nothing more, and may still listen.
    has_ended: bool,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Datagrams(u32),
    Connections(u32),
    Stream(u32),
    Forwarded(u32),
}

impl Source {
    fn data(self) -> EventData {
        let (kind, number) = match self {
            Self::Datagrams(number) => (0_u64, number),
            Self::Connections(number) => (1, number),
            Self::Stream(number) => (2, number),
            Self::Forwarded(number) => (3, number),
        };
        EventData::new_u64(kind << 32 | u64::from(number))
    }

    fn of(data: EventData) -> Option<Self> {
        let data = data.u64();
        let number = u32::try_from(data & u64::from(u32::MAX)).ok()?;
        Some(match data >> 32 {
            0 => Self::Datagrams(number),
            1 => Self::Connections(number),
            2 => Self::Stream(number),
            3 => Self::Forwarded(number),
            _ => return None,
        })
    }
}

impl NameServer {
    /// A server that nobody can ask yet.
    pub(crate) fn new(upstream: Vec<SocketAddr>) -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            upstream,
            listeners: BTreeMap::new(),
            streams: BTreeMap::new(),
            forwarded: BTreeMap::new(),
            count: 0,
        })
    }

    /// Other servers are asked from now on.
    #[cfg(test)]
    fn set_upstream(&mut self, upstream: Vec<SocketAddr>) {
        self.upstream = upstream;
    }

    /// Answers at one more address of the current network namespace.
    pub(crate) fn listen(&mut self, address: IpAddr) -> io::Result<()> {
        self.listen_at(SocketAddr::new(address, PORT)).map(drop)
    }

    fn listen_at(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let datagrams = UdpSocket::bind(address)?;
        let bound = datagrams.local_addr()?;
        let connections = TcpListener::bind(bound)?;
        datagrams.set_nonblocking(true)?;
        connections.set_nonblocking(true)?;
        let number = self.next();
        self.watch(&datagrams, Source::Datagrams(number))?;
        self.watch(&connections, Source::Connections(number))?;
        let listener = Listener {
            address: address.ip(),
            datagrams,
            connections,
            deaf_until: None,
        };
        self.listeners.insert(number, listener);
        Ok(bound)
    }

    /// Does not answer there any more.
    pub(crate) fn leave(&mut self, address: IpAddr) {
        self.listeners
            .retain(|_, listener| listener.address != address);
    }

    /// When [`turn`](Self::turn) is wanted at the latest, whatever is ready.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let waiting = self.waiting();
        let streams = self.streams.iter();
        let silent = streams.filter(|(number, _)| !waiting.contains(number));
        let silent = silent.map(|(_, it)| it.stream.last + SILENCE);
        let forwarded = self.forwarded.values().map(|it| it.deadline);
        let deaf = self.listeners.values().filter_map(|it| it.deaf_until);
        silent.chain(forwarded).chain(deaf).min()
    }

    /// Does what there is to do, without waiting.
    pub(crate) fn turn(&mut self, tables: &Tables) -> io::Result<()> {
        let mut events = Vec::with_capacity(TURN);
        let buffer = rustix::buffer::spare_capacity(&mut events);
        match epoll::wait(&self.epoll, buffer, Some(&Timespec::default())) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        for event in events {
            let (data, flags) = (event.data, event.flags);
            match Source::of(data) {
                Some(Source::Datagrams(number)) => self.take_datagrams(number, tables),
                Some(Source::Connections(number)) => self.accept(number),
                Some(Source::Stream(number)) if is_broken(flags) => {
                    self.streams.remove(&number);
                }
                Some(Source::Stream(number)) => self.hear(number, tables),
                Some(Source::Forwarded(number)) => self.hear_from_others(number),
                None => {}
            }
        }
        self.expire(Instant::now());
        Ok(())
    }

    fn next(&mut self) -> u32 {
        self.count = self.count.wrapping_add(1);
        self.count
    }

    fn watch(&self, socket: &impl AsFd, source: Source) -> io::Result<()> {
        Ok(epoll::add(
            &self.epoll,
            socket,
            source.data(),
            EventFlags::IN,
        )?)
    }

    fn take_datagrams(&mut self, number: u32, tables: &Tables) {
        let mut buffer = [0; 4096];
        for _ in 0..TURN {
            let Some(listener) = self.listeners.get(&number) else {
                return;
            };
            let (length, client) = match listener.datagrams.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(_) => return,
            };
            let question = buffer.get(..length).unwrap_or_default();
            match answer(question, client.ip(), tables, true) {
                Answer::Say(bytes) => {
                    // One that is lost is asked for again.
                    let _ = listener.datagrams.send_to(&bytes, client);
                }
                Answer::Forward => {
                    let servers = self.servers_of(client.ip(), tables);
                    let asker = Asker::Datagram(number, client);
                    self.forward(asker, question, servers);
                }
                Answer::Nothing => {}
            }
        }
    }

    fn accept(&mut self, number: u32) {
        for _ in 0..TURN {
            let Some(listener) = self.listeners.get(&number) else {
                return;
            };
            match listener.connections.accept() {
                Ok((socket, peer)) => self.begin(socket, peer.ip()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // There is no room for one more: it waits, and must not be asked for all the time.
                Err(_) => return self.pause(number),
            }
        }
    }

    fn pause(&mut self, number: u32) {
        if let Some(listener) = self.listeners.get_mut(&number)
            && epoll::delete(&self.epoll, &listener.connections).is_ok()
        {
            listener.deaf_until = Some(Instant::now() + PAUSE);
        }
    }

    fn begin(&mut self, socket: TcpStream, peer: IpAddr) {
        if self.streams.len() >= MOST_STREAMS {
            let greedy = most_frequent(self.streams.values().map(|client| client.peer));
            let its = self.streams.iter();
            let its = its.filter(|(_, client)| Some(client.peer) == greedy);
            let silent = its.min_by_key(|(_, client)| client.stream.last);
            if let Some(silent) = silent.map(|(number, _)| *number) {
                self.streams.remove(&silent);
            }
        }
        if socket.set_nonblocking(true).is_err() {
            return;
        }
        let number = self.next();
        if self.watch(&socket, Source::Stream(number)).is_ok() {
            let client = Client {
                stream: Stream::new(socket),
                peer,
                has_ended: false,
            };
            self.streams.insert(number, client);
        }
    }

    fn hear(&mut self, number: u32, tables: &Tables) {
        for _ in 0..TURN {
            let Some(client) = self.streams.get_mut(&number) else {
                return;
            };
            let peer = client.peer;
            let heard = client.stream.flush().and_then(|()| client.stream.hear());
            let question = match heard {
                Ok(Some(question)) => question,
                Ok(None) => break,
                // What it has asked is answered all the same.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    client.has_ended = true;
                    break;
                }
                Err(_) => {
                    self.streams.remove(&number);
                    return;
                }
            };
            let asker = Asker::Stream(number, peer);
            match answer(&question, peer, tables, false) {
                Answer::Say(bytes) => self.say(asker, &bytes),
                Answer::Forward => {
                    let servers = self.servers_of(peer, tables);
                    self.forward(asker, &question, servers);
                }
                Answer::Nothing => {
                    self.streams.remove(&number);
                }
            }
        }
        self.settle(number);
    }

    /// Decides what a connection is waited for now; one that is of no more use is closed.
    fn settle(&mut self, number: u32) {
        let Some(client) = self.streams.get(&number) else {
            return;
        };
        let is_busy = client.stream.is_busy();
        let is_over = client.has_ended && !is_busy && !self.waiting().contains(&number);
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, !client.has_ended);
        flags.set(EventFlags::OUT, is_busy);
        let data = Source::Stream(number).data();
        if is_over || epoll::modify(&self.epoll, &client.stream.socket, data, flags).is_err() {
            self.streams.remove(&number);
        }
    }

    /// The connections for which others are being asked.
    fn waiting(&self) -> BTreeSet<u32> {
        let askers = self.forwarded.values().map(|it| it.asker);
        askers
            .filter_map(|asker| match asker {
                Asker::Stream(number, _) => Some(number),
                Asker::Datagram(..) => None,
            })
            .collect()
    }

    /// Whom a client wants asked.
    fn servers_of(&self, client: IpAddr, tables: &Tables) -> Vec<SocketAddr> {
        let own = tables.upstreams.get(&client);
        own.unwrap_or(&self.upstream).clone()
    }

    fn forward(&mut self, asker: Asker, question: &[u8], servers: Vec<SocketAddr>) {
        if !self.make_room(asker.client()) {
            return self.fail(asker, question);
        }
        match Forwarded::ask(asker, question.to_vec(), servers) {
            Ok(forwarded) => self.wait_for(forwarded),
            Err(_) => self.fail(asker, question),
        }
    }

    /// Whether one more question of `client` may wait for its answer: nobody takes the place of those
    /// who wait for less.
    fn make_room(&mut self, client: IpAddr) -> bool {
        let clients = || self.forwarded.values().map(|it| it.asker.client());
        if clients().filter(|it| *it == client).count() >= MOST_OF_ONE {
            return false;
        }
        if self.forwarded.len() < MOST_FORWARDED {
            return true;
        }
        let greedy = most_frequent(clients()).filter(|greedy| *greedy != client);
        let its = self.forwarded.iter();
        let mut its = its.filter(|(_, it)| Some(it.asker.client()) == greedy);
        let Some(oldest) = its.next().map(|(number, _)| *number) else {
            return false;
        };
        if let Some(forwarded) = self.forwarded.remove(&oldest) {
            self.fail(forwarded.asker, &forwarded.question);
        }
        true
    }

    fn wait_for(&mut self, forwarded: Forwarded) {
        let number = self.next();
        let flags = if forwarded.is_stream() {
            EventFlags::IN | EventFlags::OUT | EventFlags::ET
        } else {
            EventFlags::IN
        };
        let data = Source::Forwarded(number).data();
        match epoll::add(&self.epoll, &forwarded, data, flags) {
            Ok(()) => {
                self.forwarded.insert(number, forwarded);
            }
            Err(_) => self.fail(forwarded.asker, &forwarded.question),
        }
    }

    fn hear_from_others(&mut self, number: u32) {
        let Some(forwarded) = self.forwarded.get_mut(&number) else {
            return;
        };
        match forwarded.hear() {
            Ok(None) => {}
            Ok(Some(answer)) => {
                let asker = forwarded.asker;
                self.forwarded.remove(&number);
                self.say(asker, &answer);
            }
            Err(_) => self.ask_the_next(number),
        }
    }

    fn ask_the_next(&mut self, number: u32) {
        let Some(forwarded) = self.forwarded.remove(&number) else {
            return;
        };
        let (asker, question) = (forwarded.asker, forwarded.question.clone());
        match forwarded.ask_next() {
            Ok(next) => self.wait_for(next),
            Err(_) => self.fail(asker, &question),
        }
    }

    fn fail(&mut self, asker: Asker, question: &[u8]) {
        if let Some(bytes) = failure(question) {
            self.say(asker, &bytes);
        }
    }

    fn say(&mut self, asker: Asker, bytes: &[u8]) {
        match asker {
            Asker::Datagram(number, client) => {
                if let Some(listener) = self.listeners.get(&number) {
                    // One that is lost is asked for again.
                    let _ = listener.datagrams.send_to(bytes, client);
                }
            }
            Asker::Stream(number, _) => {
                let client = self.streams.get_mut(&number);
                if client.is_some_and(|client| client.stream.say(bytes).is_err()) {
                    self.streams.remove(&number);
                }
                self.settle(number);
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        let waiting = self.waiting();
        self.streams.retain(|number, client| {
            client.stream.last + SILENCE > now || waiting.contains(number)
        });
        let late = self.forwarded.iter().filter(|(_, it)| it.deadline <= now);
        for number in late.map(|(number, _)| *number).collect::<Vec<u32>>() {
            self.ask_the_next(number);
        }
        for (number, listener) in &mut self.listeners {
            if listener.deaf_until.is_some_and(|until| until <= now) {
                let data = Source::Connections(*number).data();
                let socket = &listener.connections;
                let heard = epoll::add(&self.epoll, socket, data, EventFlags::IN);
                // Where the kernel has no memory for it now, it may have some later.
                listener.deaf_until = heard.is_err().then_some(now + PAUSE);
            }
        }
    }
}

/// Whether nothing can be said on a connection any more.
fn is_broken(flags: EventFlags) -> bool {
    flags.intersects(EventFlags::ERR | EventFlags::HUP)
}

/// Who is there most often.
fn most_frequent(clients: impl Iterator<Item = IpAddr>) -> Option<IpAddr> {
    let mut counts = BTreeMap::<IpAddr, usize>::new();
    for client in clients {
        *counts.entry(client).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(client, _)| client)
}

impl AsFd for NameServer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

#[cfg(test)]
mod tests;
