//! Questions that others are asked.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::stream::{LONGEST, Stream};

/// How long one server is waited for, before the next is asked.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often servers are asked in all.
const ATTEMPTS: usize = 3;

/// Whom the answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// A client of the listener with this number.
    Datagram(u32, SocketAddr),
    /// The connection with this number, of this client.
    Stream(u32, IpAddr),
}

impl Asker {
    /// Who has asked.
    pub(super) fn client(self) -> IpAddr {
        match self {
            Self::Datagram(_, client) => client.ip(),
            Self::Stream(_, client) => client,
        }
    }
}

/// A question that waits for its answer.
#[derive(Debug)]
pub(super) struct Forwarded {
    pub(super) asker: Asker,
    pub(super) question: Vec<u8>,
    servers: Vec<SocketAddr>,
    way: Way,
    attempt: usize,
    pub(super) deadline: Instant,
}

#[derive(Debug)]
enum Way {
    Datagram(UdpSocket),
    Stream(Box<Stream>),
}

impl Forwarded {
    /// Asks the first of the servers that can be asked.
    pub(super) fn ask(
        asker: Asker,
        question: Vec<u8>,
        servers: Vec<SocketAddr>,
    ) -> io::Result<Self> {
        Self::attempt(asker, question, servers, 0)
    }

    /// Asks the next server; an error when that was the last.
    pub(super) fn ask_next(self) -> io::Result<Self> {
        Self::attempt(self.asker, self.question, self.servers, self.attempt + 1)
    }

    fn attempt(
        asker: Asker,
        question: Vec<u8>,
        servers: Vec<SocketAddr>,
        first: usize,
    ) -> io::Result<Self> {
        for attempt in first..ATTEMPTS.max(servers.len()) {
            let mut around = servers.iter().cycle().skip(attempt);
            let server = around.next().ok_or(io::ErrorKind::NotFound)?;
            let way = match asker {
                Asker::Datagram(..) => by_datagram(*server, &question),
                Asker::Stream(..) => by_stream(*server, &question),
            };
            if let Ok(way) = way {
                return Ok(Self {
                    asker,
                    question,
                    servers,
                    way,
                    attempt,
                    deadline: Instant::now() + PATIENCE,
                });
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// The answer, once it is there; an error when this server will not give one.
    pub(super) fn hear(&mut self) -> io::Result<Option<Vec<u8>>> {
        let answer = match &mut self.way {
            Way::Datagram(socket) => {
                let mut buffer = vec![0; LONGEST];
                match socket.recv(&mut buffer) {
                    Ok(length) => {
                        buffer.truncate(length);
                        Some(buffer)
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                    Err(error) => return Err(error),
                }
            }
            Way::Stream(stream) => {
                stream.flush()?;
                stream.hear()?
            }
        };
        // Others may guess the port, but not also the id.
        Ok(answer.filter(|answer| is_answer(answer, &self.question)))
    }

    pub(super) fn is_stream(&self) -> bool {
        matches!(self.way, Way::Stream(_))
    }
}

impl AsFd for Forwarded {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.way {
            Way::Datagram(socket) => socket.as_fd(),
            Way::Stream(stream) => stream.socket.as_fd(),
        }
    }
}

/// Whether a message has the id of the question, and is a response.
fn is_answer(answer: &[u8], question: &[u8]) -> bool {
    match (answer, question) {
        ([a, b, flags, ..], [c, d, ..]) => (a, b) == (c, d) && flags & 0x80 != 0,
        _ => false,
    }
}

fn by_datagram(server: SocketAddr, question: &[u8]) -> io::Result<Way> {
    let own: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // The kernel chooses the port at random.
    let socket = UdpSocket::bind((own, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect(server)?;
    socket.send(question)?;
    Ok(Way::Datagram(socket))
}

fn by_stream(server: SocketAddr, question: &[u8]) -> io::Result<Way> {
    let family = match server {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &server) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut stream = Stream::new(TcpStream::from(socket));
    stream.say(question)?;
    Ok(Way::Stream(Box::new(stream)))
}
