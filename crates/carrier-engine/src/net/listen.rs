//! Published ports on the host's side: bound before a container is started, held until it does not run
//! any more.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};

use carrier_sys::socket::{Version, report_destinations};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};

use super::error::NetworkError;
use super::options::NetworkOptions;
use super::ports::{PortMapping, PortRange, PortSpec, Protocol};
use super::state::BoundPort;

/// How often a free port is tried that another address may not have free.
const ATTEMPTS: usize = 32;

/// As many connections wait as the kernel lets.
const BACKLOG: i32 = 4096;

/// One socket that others reach the container by.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: OwnedFd,
    pub(crate) port: BoundPort,
}

/// All of a container's.
#[derive(Debug, Default)]
pub(crate) struct Publication {
    pub(crate) listeners: Vec<Listener>,
}

impl Publication {
    /// Binds the ports that `options` ask for.
    ///
    /// # Errors
    /// [`NetworkError::Port`] names the first that cannot be had.
    pub(crate) fn open(options: &NetworkOptions) -> Result<Self, NetworkError> {
        let mut publication = Self::default();
        for mapping in options.mappings() {
            publication.bind(&mapping)?;
        }
        Ok(publication)
    }

    /// What was bound.
    pub(crate) fn ports(&self) -> Vec<BoundPort> {
        self.listeners.iter().map(|it| it.port).collect()
    }

    fn bind(&mut self, mapping: &PortMapping) -> Result<(), NetworkError> {
        let range = mapping.host_ports;
        let candidates: Vec<u16> = if range.is_any() {
            vec![0; ATTEMPTS]
        } else {
            (range.first..=range.last).collect()
        };
        let mut refused = None;
        for port in candidates {
            match bind_everywhere(mapping, port) {
                Ok(listeners) => {
                    self.listeners.extend(listeners);
                    return Ok(());
                }
                Err(failure) if failure.source.kind() == io::ErrorKind::AddrInUse => {
                    refused.get_or_insert(failure);
                }
                Err(failure) => return Err(failure.into_error(mapping)),
            }
        }
        match refused {
            Some(failure) => Err(failure.into_error(mapping)),
            None => Ok(()),
        }
    }
}

/// What could not be bound.
struct Refused {
    address: SocketAddr,
    source: io::Error,
}

impl Refused {
    fn into_error(self, mapping: &PortMapping) -> NetworkError {
        NetworkError::Port {
            address: self.address,
            protocol: mapping.protocol.name(),
            source: self.source,
        }
    }
}

/// Binds one port of all the addresses: where none is named, of both versions of the protocol.
fn bind_everywhere(mapping: &PortMapping, port: u16) -> Result<Vec<Listener>, Refused> {
    let both = [
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    ];
    let addresses = mapping
        .host_ip
        .map_or(both.to_vec(), |address| vec![address]);
    let mut port = port;
    let mut listeners = Vec::new();
    for address in addresses {
        let wanted = SocketAddr::new(address, port);
        match bind(wanted, mapping.protocol) {
            Ok((socket, bound)) => {
                port = bound;
                let port = BoundPort {
                    host_ip: address,
                    host_port: bound,
                    container_port: mapping.container_port,
                    protocol: mapping.protocol,
                };
                listeners.push(Listener { socket, port });
            }
            Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)
                if mapping.host_ip.is_none() && address.is_ipv6() => {}
            Err(errno) => {
                return Err(Refused {
                    address: wanted,
                    source: errno.into(),
                });
            }
        }
    }
    Ok(listeners)
}

fn bind(address: SocketAddr, protocol: Protocol) -> Result<(OwnedFd, u16), Errno> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let kind = match protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, kind, flags, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    match protocol {
        Protocol::Tcp => {
            // Connections of the time before do not keep a container from being started again.
            sockopt::set_socket_reuseaddr(&socket, true)?;
            rustix::net::bind(&socket, &address)?;
            rustix::net::listen(&socket, BACKLOG)?;
        }
        Protocol::Udp => {
            rustix::net::bind(&socket, &address)?;
            // Answers come from the address that was asked, of the many that the host may have.
            let told = report_destinations(socket.as_fd(), Version::of(address.ip()));
            told.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        }
    }
    let bound = SocketAddr::try_from(rustix::net::getsockname(&socket)?)?;
    Ok((socket, bound.port()))
}

impl NetworkOptions {
    /// The ports that are published: those that the user names, and with `--publish-all` those that the
    /// image or the user exposes.
    pub(crate) fn mappings(&self) -> Vec<PortMapping> {
        let mut mappings = self.publish.clone();
        let is_named = |port: &PortSpec| self.publish.iter().any(|it| it.target() == *port);
        let exposed = self.exposed.iter().filter(|port| !is_named(port));
        if self.publish_all {
            mappings.extend(exposed.map(|exposed| PortMapping {
                host_ip: None,
                host_ports: PortRange::default(),
                container_port: exposed.port,
                protocol: exposed.protocol,
            }));
        }
        mappings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> NetworkOptions {
        NetworkOptions {
            publish: PortMapping::parse(text).unwrap(),
            ..NetworkOptions::default()
        }
    }

    #[test]
    fn a_port_that_is_taken_is_refused_and_the_next_of_a_range_tried() {
        let taken = Publication::open(&options("127.0.0.1::80")).unwrap();
        let port = taken.ports()[0].host_port;
        let again = Publication::open(&options(&format!("127.0.0.1:{port}:80")));
        let error = again.unwrap_err().to_string();
        assert!(error.contains(&format!("127.0.0.1:{port}")), "{error}");
        let range = format!("127.0.0.1:{port}-{}:80", port.saturating_add(20));
        let other = Publication::open(&options(&range)).unwrap();
        assert!(other.ports()[0].host_port > port);
    }

    #[test]
    fn without_an_address_both_versions_have_the_same_port() {
        for protocol in ["tcp", "udp"] {
            let open = Publication::open(&options(&format!("80/{protocol}"))).unwrap();
            let ports = open.ports();
            assert_ne!(ports[0].host_port, 0);
            assert!(ports.iter().all(|it| it.host_port == ports[0].host_port));
        }
    }

    #[test]
    fn all_exposed_ports_are_published_but_for_those_that_are_named() {
        let mut options = options("8080:80");
        options.exposed = PortSpec::parse_range("80-81").unwrap();
        assert_eq!(options.mappings().len(), 1);
        options.publish_all = true;
        let ports: Vec<u16> = options
            .mappings()
            .iter()
            .map(|it| it.container_port)
            .collect();
        assert_eq!(ports, [80, 81]);
    }
}
