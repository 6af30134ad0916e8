//! Datagrams: each client of a port has a socket in the container's network, for as long as it or the
//! program sends.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use carrier_sys::socket::{Version, receive_datagram, send_datagram, set_mark, set_transparent};
use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socket_with, sockopt,
};

use super::process::Token;
use super::routes::{Clients, MARK};
use super::source::{Target, Way};
use crate::net::listen::Listener;

/// The longest datagram.
const LONGEST: usize = 1 << 16;

/// How many are carried before others have their turn.
const TURN: usize = 64;

/// Who comes when there are so many takes the place of the one who was silent longest.
pub(super) const MOST: usize = 1024;

/// All clients.
#[derive(Debug)]
pub(super) struct Datagrams {
    clients: Clients,
    places: Vec<Option<Talk>>,
    free: Vec<u32>,
    known: HashMap<(u32, SocketAddr), u32>,
    most: usize,
    buffer: Vec<u8>,
}

/// A client of a port.
#[derive(Debug)]
struct Talk {
    socket: OwnedFd,
    /// The number of the listener, and the client.
    key: (u32, SocketAddr),
    /// The address of the host that the client has sent to.
    asked: Option<IpAddr>,
    /// Whose answers are led back.
    routed: Option<IpAddr>,
    /// What is tried when nobody listens, the next one last.
    others: Vec<Way>,
    last: Instant,
}

impl Datagrams {
    pub(super) fn new(clients: Clients, most: usize) -> Self {
        Self {
            clients,
            places: Vec::new(),
            free: Vec::new(),
            known: HashMap::new(),
            most,
            buffer: vec![0; LONGEST],
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Carries what has come to a port into the container. What cannot be carried is lost, as
    /// datagrams are.
    pub(super) fn take(
        &mut self,
        epoll: &OwnedFd,
        (listener, index): (BorrowedFd<'_>, u32),
        target: &Target,
        port: u16,
    ) {
        for _ in 0..TURN {
            let received = match receive_datagram(listener, &mut self.buffer) {
                Ok(received) => received,
                Err(_) => return,
            };
            let key = (index, received.from);
            let place = match self.known.get(&key) {
                Some(place) => Some(*place),
                None => self.begin(epoll, key, target, port),
            };
            let Some(place) = place else {
                continue;
            };
            if let Some(Some(talk)) = self.places.get_mut(index_of(place)) {
                talk.last = Instant::now();
                talk.asked = received.to;
            }
            self.deliver(epoll, place, received.length);
        }
    }

    /// Carries what is in the buffer by the first way at whose end somebody listens. Without one the
    /// client is forgotten, and its next datagram begins anew.
    fn deliver(&mut self, epoll: &OwnedFd, place: u32, length: usize) {
        while let Some(Some(talk)) = self.places.get(index_of(place)) {
            let sent = send(talk.socket.as_fd(), self.buffer.get(..length));
            // Packets of one host arrive, and are refused, before sending them has ended.
            let refused = Err(Errno::CONNREFUSED);
            let is_refused = sent == refused || sockopt::socket_error(&talk.socket) == Ok(refused);
            if !is_refused {
                return;
            }
            self.give_way(epoll, place);
        }
    }

    /// Carries what the container's program has answered to the client.
    pub(super) fn answer(&mut self, epoll: &OwnedFd, listeners: &[Listener], place: u32) {
        for _ in 0..TURN {
            let Some(Some(talk)) = self.places.get_mut(index_of(place)) else {
                return;
            };
            let received =
                rustix::net::recv(&talk.socket, &mut self.buffer[..], RecvFlags::DONTWAIT);
            let length = match received {
                Ok((_, length)) => length,
                Err(Errno::INTR) => continue,
                Err(Errno::CONNREFUSED) => {
                    self.give_way(epoll, place);
                    return;
                }
                Err(_) => return,
            };
            talk.last = Instant::now();
            let (listener, client) = talk.key;
            if let (Some(listener), Some(bytes)) =
                (listeners.get(index_of(listener)), self.buffer.get(..length))
            {
                let _ = send_datagram(listener.socket.as_fd(), bytes, client, talk.asked);
            }
        }
    }

    /// Forgets clients that nobody has heard of for so long.
    pub(super) fn forget_older_than(&mut self, age: Duration) {
        let now = Instant::now();
        let is_old = |talk: &Talk| now.saturating_duration_since(talk.last) > age;
        let old = (0..).zip(&self.places);
        let old = old.filter(|(_, talk)| talk.as_ref().is_some_and(is_old));
        for place in old.map(|(place, _)| place).collect::<Vec<u32>>() {
            self.end(place);
        }
    }

    fn begin(
        &mut self,
        epoll: &OwnedFd,
        key: (u32, SocketAddr),
        target: &Target,
        port: u16,
    ) -> Option<u32> {
        if self.known.len() >= self.most {
            self.end_the_most_silent();
        }
        let mut others: Vec<Way> = target.ways(key.1, port).collect();
        others.reverse();
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.places.push(None);
                u32::try_from(self.places.len() - 1).ok()?
            }
        };
        match (
            self.speak(epoll, place, &mut others),
            self.places.get_mut(index_of(place)),
        ) {
            (Some((socket, routed)), Some(slot)) => {
                *slot = Some(Talk {
                    socket,
                    key,
                    asked: None,
                    routed,
                    others,
                    last: Instant::now(),
                });
                self.known.insert(key, place);
                Some(place)
            }
            _ => {
                self.free.push(place);
                None
            }
        }
    }

    /// A socket for the next of the ways that is open, and whose answers are led back to it.
    fn speak(
        &mut self,
        epoll: &OwnedFd,
        place: u32,
        ways: &mut Vec<Way>,
    ) -> Option<(OwnedFd, Option<IpAddr>)> {
        while let Some(way) = ways.pop() {
            let routed = way.from.map(|from| from.ip());
            let added = routed.map_or(Ok(()), |client| self.clients.add(client));
            if added.is_ok()
                && let Ok(socket) = open(&way)
                && epoll::add(
                    epoll,
                    &socket,
                    Token::Datagrams(place).data(),
                    EventFlags::IN,
                )
                .is_ok()
            {
                return Some((socket, routed));
            }
            if let Some(client) = routed {
                self.clients.remove(client);
            }
        }
        None
    }

    /// Nobody listens where the client's datagrams go: the next way is taken, or the client forgotten.
    fn give_way(&mut self, epoll: &OwnedFd, place: u32) {
        let Some(Some(talk)) = self.places.get_mut(index_of(place)) else {
            return;
        };
        let mut ways = std::mem::take(&mut talk.others);
        let next = self.speak(epoll, place, &mut ways);
        match (next, self.places.get_mut(index_of(place))) {
            (Some((socket, routed)), Some(Some(talk))) => {
                talk.socket = socket;
                talk.others = ways;
                if let Some(client) = std::mem::replace(&mut talk.routed, routed) {
                    self.clients.remove(client);
                }
            }
            _ => self.end(place),
        }
    }

    fn end_the_most_silent(&mut self) {
        let talks = (0..).zip(&self.places);
        let talks = talks.filter_map(|(place, talk)| Some((place, talk.as_ref()?.last)));
        if let Some((place, _)) = talks.min_by_key(|(_, last)| *last) {
            self.end(place);
        }
    }

    fn end(&mut self, place: u32) {
        let talk = self.places.get_mut(index_of(place)).and_then(Option::take);
        if let Some(talk) = talk {
            self.free.push(place);
            self.known.remove(&talk.key);
            if let Some(client) = talk.routed {
                self.clients.remove(client);
            }
        }
    }
}

fn index_of(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

fn send(socket: BorrowedFd<'_>, bytes: Option<&[u8]>) -> Result<(), Errno> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    rustix::net::send(socket, bytes.unwrap_or_default(), flags).map(drop)
}

/// A socket that speaks for the client.
fn open(way: &Way) -> Result<OwnedFd, Errno> {
    let family = match way.to {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::DGRAM, flags, None)?;
    if let Some(from) = way.from {
        let transparent = set_transparent(socket.as_fd(), Version::of(way.to.ip()));
        transparent.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        // For what the kernel says when nobody listens.
        let marked = set_mark(socket.as_fd(), MARK);
        marked.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        rustix::net::bind(&socket, &from)?;
    }
    rustix::net::connect(&socket, &way.to)?;
    Ok(socket)
}
