//! Datagrams: each client of a port has a socket in the container's network, for as long as it or the
//! program sends.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use carrier_sys::socket::{Version, receive_datagram, send_datagram, set_transparent};
use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socket_with, sockopt,
};

use super::process::Token;
use super::routes::Clients;
use super::source::{Target, Way};
use crate::net::listen::Listener;

/// The longest datagram.
const LONGEST: usize = 1 << 16;

/// How many are carried before others have their turn.
const TURN: usize = 64;

/// Who comes when there are so many takes the place of the one who was silent longest.
const MOST: usize = 1024;

/// All clients.
#[derive(Debug)]
pub(super) struct Datagrams {
    clients: Clients,
    places: Vec<Option<Talk>>,
    free: Vec<u32>,
    known: HashMap<(u32, SocketAddr), u32>,
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
    last: Instant,
}

impl Datagrams {
    pub(super) fn new(clients: Clients) -> Self {
        Self {
            clients,
            places: Vec::new(),
            free: Vec::new(),
            known: HashMap::new(),
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
            let talk = place.and_then(|place| self.places.get_mut(index_of(place)));
            let Some(Some(talk)) = talk else {
                continue;
            };
            talk.last = Instant::now();
            talk.asked = received.to;
            let socket = talk.socket.as_fd();
            // The first error is what an earlier datagram has met with.
            let sent = send(socket, self.buffer.get(..received.length));
            if sent == Err(Errno::CONNREFUSED) {
                let _ = send(socket, self.buffer.get(..received.length));
            }
        }
    }

    /// Carries what the container's program has answered to the client.
    pub(super) fn answer(&mut self, listeners: &[Listener], place: u32) {
        for _ in 0..TURN {
            let Some(Some(talk)) = self.places.get_mut(index_of(place)) else {
                return;
            };
            let received =
                rustix::net::recv(&talk.socket, &mut self.buffer[..], RecvFlags::DONTWAIT);
            let length = match received {
                Ok((_, length)) => length,
                // Nobody listens; the client may try again.
                Err(Errno::CONNREFUSED | Errno::INTR) => continue,
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
        if self.known.len() >= MOST {
            self.end_the_most_silent();
        }
        // Nobody refuses a datagram before it is sent: the first way has to do.
        let way = target.ways(key.1, port).next()?;
        let routed = way.from.map(|from| from.ip());
        if let Some(client) = routed {
            self.clients.add(client).ok()?;
        }
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.places.push(None);
                u32::try_from(self.places.len() - 1).ok()?
            }
        };
        let opened = open(&way).and_then(|socket| {
            let data = Token::Datagrams(place).data();
            epoll::add(epoll, &socket, data, EventFlags::IN)?;
            Ok(socket)
        });
        match (opened, self.places.get_mut(index_of(place))) {
            (Ok(socket), Some(slot)) => {
                *slot = Some(Talk {
                    socket,
                    key,
                    asked: None,
                    routed,
                    last: Instant::now(),
                });
                self.known.insert(key, place);
                Some(place)
            }
            _ => {
                self.free.push(place);
                if let Some(client) = routed {
                    self.clients.remove(client);
                }
                None
            }
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
        sockopt::set_socket_reuseaddr(&socket, true)?;
        rustix::net::bind(&socket, &from)?;
    }
    rustix::net::connect(&socket, &way.to)?;
    Ok(socket)
}
