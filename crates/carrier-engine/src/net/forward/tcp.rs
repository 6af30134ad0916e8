//! Connections: bytes go through pipes of the kernel, and are never seen, splice(2).

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use carrier_sys::socket::{Version, set_mark, set_transparent};
use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, socket_with, sockopt};
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};

use super::process::Token;
use super::routes::MARK;
use super::source::Way;

/// What a pipe holds.
const PIPE: usize = 1 << 16;

/// How often bytes go on before other connections have their turn.
const TURN: usize = 16;

/// Pipes that are kept for those who will need one.
pub(super) const POOL: usize = 64;

/// More connections would take too much memory of the kernel.
pub(super) const MOST: usize = 16_384;

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Host,
    Container,
}

/// All connections.
#[derive(Debug, Default)]
pub(super) struct Streams {
    places: Vec<Option<Stream>>,
    free: Vec<u32>,
    pool: Vec<Pipe>,
    /// Those that have more to carry than fits into a turn.
    busy: Vec<u32>,
}

#[derive(Debug)]
struct Stream {
    host: OwnedFd,
    container: OwnedFd,
    is_connected: bool,
    /// What is tried when the container refuses.
    ways: Vec<Way>,
    inwards: Lane,
    outwards: Lane,
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Lane {
    pipe: Option<Pipe>,
    held: usize,
    /// Its sender has nothing more to say.
    is_ended: bool,
    /// Its receiver knows.
    is_told: bool,
}

#[derive(Debug)]
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

/// The next connection that waits at `listener`, and its other end.
pub(super) fn accept(listener: BorrowedFd<'_>) -> Result<Option<(OwnedFd, SocketAddr)>, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    match rustix::net::acceptfrom_with(listener, flags) {
        Ok((socket, Some(client))) => Ok(Some((socket, SocketAddr::try_from(client)?))),
        Ok((_, None)) => Err(Errno::CONNABORTED),
        Err(Errno::AGAIN) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Begins to connect to the container.
fn connect(way: &Way) -> Result<OwnedFd, Errno> {
    let family = match way.to {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    if let Some(from) = way.from {
        let version = Version::of(way.to.ip());
        let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
        set_transparent(socket.as_fd(), version).map_err(errno)?;
        set_mark(socket.as_fd(), MARK).map_err(errno)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        rustix::net::bind(&socket, &from)?;
    }
    match rustix::net::connect(&socket, &way.to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(errno),
    }
}

fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

fn place(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

impl Streams {
    pub(super) fn count(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.busy.is_empty()
    }

    /// Carries on a connection of the host by the first of the ways that is open.
    pub(super) fn begin(&mut self, epoll: &OwnedFd, host: OwnedFd, ways: Vec<Way>) {
        let mut ways = ways;
        // The first is the last to be taken from.
        ways.reverse();
        let Some(container) = next_way(&mut ways) else {
            reset(&host);
            return;
        };
        // Packets go as the two ends want them to, and an end that has vanished is noticed.
        for socket in [&host, &container] {
            let _ = sockopt::set_tcp_nodelay(socket, true);
            let _ = sockopt::set_socket_keepalive(socket, true);
        }
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.places.push(None);
                number(self.places.len() - 1)
            }
        };
        let stream = Stream {
            host,
            container,
            is_connected: false,
            ways,
            inwards: Lane::default(),
            outwards: Lane::default(),
        };
        let watched = watch(epoll, &stream.host, index, Side::Host)
            .and_then(|()| watch(epoll, &stream.container, index, Side::Container));
        if watched.is_err() {
            stream.reset();
            self.free.push(index);
        } else if let Some(slot) = self.places.get_mut(place(index)) {
            *slot = Some(stream);
        }
    }

    /// Something has happened to one end.
    pub(super) fn go_on(&mut self, epoll: &OwnedFd, index: u32, side: Side) {
        let Some(Some(stream)) = self.places.get_mut(place(index)) else {
            return;
        };
        if !stream.is_connected {
            if side == Side::Host {
                // What it says waits until somebody hears it.
                return;
            }
            match stream.look_at_connection(epoll, index) {
                Ok(true) => stream.is_connected = true,
                Ok(false) => return,
                Err(_) => {
                    self.end(index, true);
                    return;
                }
            }
        }
        self.carry(index);
    }

    /// Another turn for those who had more than fits into one.
    pub(super) fn go_on_with_the_busy(&mut self, _epoll: &OwnedFd) {
        for index in std::mem::take(&mut self.busy) {
            self.carry(index);
        }
    }

    fn carry(&mut self, index: u32) {
        let Some(Some(stream)) = self.places.get_mut(place(index)) else {
            return;
        };
        if !stream.is_connected {
            return;
        }
        let pool = &mut self.pool;
        let inwards = stream.inwards.carry(&stream.host, &stream.container, pool);
        let outwards = stream.outwards.carry(&stream.container, &stream.host, pool);
        match (inwards, outwards) {
            (Ok(more), Ok(more_back)) => {
                if stream.inwards.is_told && stream.outwards.is_told {
                    self.end(index, false);
                } else if (more || more_back) && !self.busy.contains(&index) {
                    self.busy.push(index);
                }
            }
            _ => self.end(index, true),
        }
    }

    fn end(&mut self, index: u32, broken: bool) {
        let Some(slot) = self.places.get_mut(place(index)) else {
            return;
        };
        if let Some(stream) = slot.take() {
            self.free.push(index);
            self.busy.retain(|busy| *busy != index);
            if broken {
                stream.reset();
            }
        }
    }
}

fn next_way(ways: &mut Vec<Way>) -> Option<OwnedFd> {
    while let Some(way) = ways.pop() {
        if let Ok(socket) = connect(&way) {
            return Some(socket);
        }
        // Somebody in the container speaks for the client already: another port then.
        if let Some(from) = way.from {
            let other = Way {
                from: Some(SocketAddr::new(from.ip(), 0)),
                ..way
            };
            if let Ok(socket) = connect(&other) {
                return Some(socket);
            }
        }
    }
    None
}

fn watch(epoll: &OwnedFd, socket: &OwnedFd, index: u32, side: Side) -> Result<(), Errno> {
    let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
    epoll::add(epoll, socket, Token::Stream(index, side).data(), flags)
}

/// The client is told that nobody was there, and not that somebody has had nothing to say.
fn reset(socket: &OwnedFd) {
    let _ = sockopt::set_socket_linger(socket, Some(std::time::Duration::ZERO));
}

impl Stream {
    fn reset(&self) {
        reset(&self.host);
        reset(&self.container);
    }

    /// Whether the container has accepted; the next way is tried when it has refused.
    fn look_at_connection(&mut self, epoll: &OwnedFd, index: u32) -> Result<bool, Errno> {
        match sockopt::socket_error(&self.container)? {
            Ok(()) => match rustix::net::getpeername(&self.container) {
                Ok(_) => Ok(true),
                Err(Errno::NOTCONN) => Ok(false),
                Err(errno) => Err(errno),
            },
            Err(refused) => {
                self.container = next_way(&mut self.ways).ok_or(refused)?;
                watch(epoll, &self.container, index, Side::Container)?;
                Ok(false)
            }
        }
    }
}

impl Lane {
    /// Carries bytes until one end has to be waited for; whether there may be more.
    fn carry(
        &mut self,
        from: &impl AsFd,
        to: &impl AsFd,
        pool: &mut Vec<Pipe>,
    ) -> Result<bool, Errno> {
        const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);
        for _ in 0..TURN {
            let mut moved = false;
            if !self.is_ended {
                let pipe = match self.pipe.take().or_else(|| pool.pop()) {
                    Some(pipe) => pipe,
                    None => Pipe::new()?,
                };
                let pipe = self.pipe.insert(pipe);
                match splice(from, None, &pipe.write, None, PIPE, FLAGS) {
                    Ok(0) => self.is_ended = true,
                    Ok(count) => {
                        self.held += count;
                        moved = true;
                    }
                    Err(Errno::AGAIN) => {}
                    Err(Errno::INTR) => moved = true,
                    Err(errno) => return Err(errno),
                }
            }
            if let (1.., Some(pipe)) = (self.held, &self.pipe) {
                match splice(&pipe.read, None, to, None, self.held, FLAGS) {
                    Ok(count) => {
                        self.held -= count.min(self.held);
                        moved |= count > 0;
                    }
                    Err(Errno::AGAIN) => {}
                    Err(Errno::INTR) => moved = true,
                    Err(errno) => return Err(errno),
                }
            }
            if self.held == 0 {
                self.rest(pool);
                if self.is_ended && !self.is_told {
                    self.is_told = true;
                    match rustix::net::shutdown(to, Shutdown::Write) {
                        Ok(()) | Err(Errno::NOTCONN) => {}
                        Err(errno) => return Err(errno),
                    }
                }
            }
            if !moved {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Who has nothing to carry needs no pipe.
    fn rest(&mut self, pool: &mut Vec<Pipe>) {
        if let Some(pipe) = self.pipe.take()
            && pool.len() < POOL
        {
            pool.push(pipe);
        }
    }
}

impl Pipe {
    fn new() -> Result<Self, Errno> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Self { read, write })
    }
}
