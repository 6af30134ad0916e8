//! Sockets that speak for others, ip(7) and ipv6(7).

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd as _, BorrowedFd};

use crate::check;

/// Room for one control message with an address, cmsg(3), aligned as its header.
type Control = [u64; 8];

/// Which version of the protocol a socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// IPv4.
    Four,
    /// IPv6.
    Six,
}

impl Version {
    /// That of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Four,
            IpAddr::V6(_) => Self::Six,
        }
    }
}

fn set(socket: BorrowedFd<'_>, level: i32, option: i32, value: i32) -> io::Result<()> {
    #[allow(clippy::cast_possible_truncation, reason = "the size of an integer")]
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is open; `value` is an integer of the given size and outlives the call.
    check(
        unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                level,
                option,
                (&raw const value).cast(),
                size,
            )
        }
        .into(),
    )
    .map(drop)
}

/// Lets the socket be bound to addresses that are not the host's.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN` or `CAP_NET_RAW` over its network namespace.
pub fn set_transparent(socket: BorrowedFd<'_>, version: Version) -> io::Result<()> {
    match version {
        Version::Four => set(socket, libc::SOL_IP, libc::IP_TRANSPARENT, 1),
        Version::Six => set(socket, libc::SOL_IPV6, libc::IPV6_TRANSPARENT, 1),
    }
}

/// Marks the packets of the socket, for rules of routing.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN` over its network namespace.
pub fn set_mark(socket: BorrowedFd<'_>, mark: u32) -> io::Result<()> {
    let mark = mark.cast_signed();
    set(socket, libc::SOL_SOCKET, libc::SO_MARK, mark)
}

/// Makes [`receive_datagram`] tell which address a datagram was sent to.
///
/// # Errors
/// None of an open socket for datagrams.
pub fn report_destinations(socket: BorrowedFd<'_>, version: Version) -> io::Result<()> {
    match version {
        Version::Four => set(socket, libc::SOL_IP, libc::IP_PKTINFO, 1),
        Version::Six => set(socket, libc::SOL_IPV6, libc::IPV6_RECVPKTINFO, 1),
    }
}

/// A datagram that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// How many bytes of the buffer it fills.
    pub length: usize,
    /// Its sender.
    pub from: SocketAddr,
    /// The address that it was sent to, where [`report_destinations`] asked for that.
    pub to: Option<IpAddr>,
}

/// Receives one datagram, recvmsg(2); what does not fit into the buffer is lost.
///
/// # Errors
/// Those of recvmsg(2), and `EAFNOSUPPORT` for a sender of another family than IP.
pub fn receive_datagram(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let mut name = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut control: Control = [0; 8];
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    let mut header = empty_header();
    header.msg_name = name.as_mut_ptr().cast();
    header.msg_namelen = socklen(size_of::<libc::sockaddr_storage>());
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of::<Control>();
    // SAFETY: `header` points to memory of the given sizes, which outlives the call.
    let length = check(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, 0) } as _)?;
    // SAFETY: all bytes are initialised, with zeros or by the kernel, and every value of the integers
    // in it is valid.
    let name = unsafe { name.assume_init() };
    Ok(Received {
        length: usize::try_from(length).unwrap_or(0),
        from: address_of(&name).ok_or(io::Error::from_raw_os_error(libc::EAFNOSUPPORT))?,
        to: destination(&header),
    })
}

/// Sends one datagram from an address of the host, sendmsg(2).
///
/// # Errors
/// Those of sendmsg(2).
pub fn send_datagram(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    to: SocketAddr,
    from: Option<IpAddr>,
) -> io::Result<()> {
    let (mut name, length) = name_of(to);
    let mut control: Control = [0; 8];
    let mut part = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let mut header = empty_header();
    header.msg_name = (&raw mut name).cast();
    header.msg_namelen = length;
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    if let Some(from) = from {
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of::<Control>();
        header.msg_controllen = put_source(&header, from);
    }
    // SAFETY: `header` points to memory of the given sizes, which outlives the call and is only read.
    check(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL) } as _)
        .map(drop)
}

fn empty_header() -> libc::msghdr {
    // SAFETY: null pointers and zero sizes are valid values of all fields, and mean "none".
    unsafe { std::mem::zeroed() }
}

fn socklen(size: usize) -> libc::socklen_t {
    libc::socklen_t::try_from(size).unwrap_or(0)
}

/// The address in the control message that the kernel has put there.
fn destination(header: &libc::msghdr) -> Option<IpAddr> {
    // SAFETY: `header` describes a buffer that is aligned for control messages, and the length that
    // the kernel has filled.
    let first = unsafe { libc::CMSG_FIRSTHDR(header) };
    if first.is_null() {
        return None;
    }
    // SAFETY: the pointer is not null, so that there is a whole header, of integers only.
    let head = unsafe { first.read() };
    let (level, kind) = (head.cmsg_level, head.cmsg_type);
    // SAFETY: as above; the data is behind the header.
    let data = unsafe { libc::CMSG_DATA(first) };
    match (level, kind) {
        (libc::SOL_IP, libc::IP_PKTINFO) => {
            // SAFETY: a message of this type holds such a structure, of integers only.
            let info = unsafe { data.cast::<libc::in_pktinfo>().read_unaligned() };
            Some(Ipv4Addr::from_bits(u32::from_be(info.ipi_addr.s_addr)).into())
        }
        (libc::SOL_IPV6, libc::IPV6_PKTINFO) => {
            // SAFETY: a message of this type holds such a structure, of integers only.
            let info = unsafe { data.cast::<libc::in6_pktinfo>().read_unaligned() };
            Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into())
        }
        _ => None,
    }
}

/// Puts the message that chooses the source into the buffer of `header`; returns its length.
fn put_source(header: &libc::msghdr, from: IpAddr) -> usize {
    // SAFETY: `header` describes a buffer that is aligned for control messages and larger than one
    // with an address.
    let first = unsafe { libc::CMSG_FIRSTHDR(header) };
    let (level, kind, size) = match from {
        IpAddr::V4(_) => (
            libc::SOL_IP,
            libc::IP_PKTINFO,
            socklen(size_of::<libc::in_pktinfo>()),
        ),
        IpAddr::V6(_) => (
            libc::SOL_IPV6,
            libc::IPV6_PKTINFO,
            socklen(size_of::<libc::in6_pktinfo>()),
        ),
    };
    // SAFETY: the macro computes a number.
    let length = unsafe { libc::CMSG_LEN(size) };
    let start = libc::cmsghdr {
        cmsg_len: length as _,
        cmsg_level: level,
        cmsg_type: kind,
    };
    // SAFETY: the pointer is to the beginning of the buffer, which has room for a header.
    unsafe { first.write(start) };
    // SAFETY: the pointer is that of the header that was just written.
    let data = unsafe { libc::CMSG_DATA(first) };
    match from {
        IpAddr::V4(address) => {
            let address = libc::in_addr {
                s_addr: address.to_bits().to_be(),
            };
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: address,
                ipi_addr: address,
            };
            // SAFETY: the buffer has room for the structure behind the header.
            unsafe { data.cast::<libc::in_pktinfo>().write_unaligned(info) };
        }
        IpAddr::V6(address) => {
            let info = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr {
                    s6_addr: address.octets(),
                },
                ipi6_ifindex: 0,
            };
            // SAFETY: the buffer has room for the structure behind the header.
            unsafe { data.cast::<libc::in6_pktinfo>().write_unaligned(info) };
        }
    }
    // SAFETY: the macro computes a number.
    (unsafe { libc::CMSG_SPACE(size) }) as usize
}

fn address_of(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let name = std::ptr::from_ref(name);
    // SAFETY: the reference is valid.
    let family = i32::from(unsafe { (*name).ss_family });
    match family {
        libc::AF_INET => {
            // SAFETY: of this family, the storage holds a structure of integers.
            let four = unsafe { name.cast::<libc::sockaddr_in>().read() };
            let address = Ipv4Addr::from_bits(u32::from_be(four.sin_addr.s_addr));
            Some((address, u16::from_be(four.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: of this family, the storage holds a structure of integers.
            let six = unsafe { name.cast::<libc::sockaddr_in6>().read() };
            let address = Ipv6Addr::from(six.sin6_addr.s6_addr);
            let port = u16::from_be(six.sin6_port);
            Some(SocketAddrV6::new(address, port, 0, six.sin6_scope_id).into())
        }
        _ => None,
    }
}

fn family(number: libc::c_int) -> libc::sa_family_t {
    libc::sa_family_t::try_from(number).unwrap_or(0)
}

fn name_of(address: SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: zeros are a valid value of every integer in it.
    let mut name: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let place = &raw mut name;
    match address {
        SocketAddr::V4(four) => {
            let written = libc::sockaddr_in {
                sin_family: family(libc::AF_INET),
                sin_port: four.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: four.ip().to_bits().to_be(),
                },
                sin_zero: [0; 8],
            };
            // SAFETY: the storage is large enough and aligned for every address.
            unsafe { place.cast::<libc::sockaddr_in>().write(written) };
            (name, socklen(size_of::<libc::sockaddr_in>()))
        }
        SocketAddr::V6(six) => {
            let written = libc::sockaddr_in6 {
                sin6_family: family(libc::AF_INET6),
                sin6_port: six.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr {
                    s6_addr: six.ip().octets(),
                },
                sin6_scope_id: six.scope_id(),
            };
            // SAFETY: the storage is large enough and aligned for every address.
            unsafe { place.cast::<libc::sockaddr_in6>().write(written) };
            (name, socklen(size_of::<libc::sockaddr_in6>()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd as _;

    fn answers_from_where_it_was_asked(any: &str, one: &str) {
        let server = UdpSocket::bind((any, 0)).unwrap();
        let port = server.local_addr().unwrap().port();
        let address: IpAddr = one.parse().unwrap();
        let version = Version::of(address);
        report_destinations(server.as_fd(), version).unwrap();
        let client = UdpSocket::bind((any, 0)).unwrap();
        client.send_to(b"question", (one, port)).unwrap();
        let mut buffer = [0; 64];
        let received = receive_datagram(server.as_fd(), &mut buffer).unwrap();
        assert_eq!(&buffer[..received.length], b"question");
        assert_eq!(received.to, Some(address));
        assert_eq!(received.from.port(), client.local_addr().unwrap().port());
        send_datagram(server.as_fd(), b"answer", received.from, received.to).unwrap();
        let (length, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"answer");
        assert_eq!(from, (address, port).into());
    }

    #[test]
    fn an_answer_has_the_address_that_was_asked() {
        answers_from_where_it_was_asked("0.0.0.0", "127.0.0.2");
        if UdpSocket::bind("[::1]:0").is_ok() {
            answers_from_where_it_was_asked("::", "::1");
        }
    }
}
