//! What can go wrong with networks.

use std::io;
use std::net::SocketAddr;

use crate::doctor;

/// An error of a container's network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The program that carries packets is missing.
    #[error("--network {program}: {reason}")]
    NoHelper {
        /// Its name.
        program: &'static str,
        /// Why it cannot be used.
        reason: String,
    },
    /// A process could not be made.
    #[error("cannot start {program}")]
    StartHelper {
        /// What for.
        program: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The program has failed.
    #[error("{program} cannot connect the container: {reason}")]
    Helper {
        /// Its name.
        program: &'static str,
        /// What it said.
        reason: String,
    },
    /// A port of the host cannot be had.
    #[error("cannot publish port {address}/{protocol}")]
    Port {
        /// Where the host was to listen.
        address: SocketAddr,
        /// How.
        protocol: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// A port of the host is another container's.
    #[error("cannot publish port {address}/{protocol}: port is already allocated")]
    PortTaken {
        /// Where the host was to listen.
        address: SocketAddr,
        /// How.
        protocol: &'static str,
        /// The other container's name.
        by: String,
    },
    /// The container's namespaces are out of reach.
    #[error("cannot open the container's network namespace")]
    Namespace(#[source] io::Error),
    /// The container whose network is to be shared does not run.
    #[error("cannot join network of a non running container: {0}")]
    OwnerStopped(String),
    /// An image that names ports without end.
    #[error("the image exposes too many ports")]
    TooManyPorts,
    /// An option makes no sense.
    #[error("{0}")]
    Invalid(String, &'static str),
}

impl NetworkError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoHelper { program, .. } => doctor::no_uplink(program),
            Self::Helper { program, .. } | Self::StartHelper { program, .. } => format!(
                "--network none runs without it; `{program} --version` tells whether the program \
                 itself works"
            ),
            Self::Port {
                address,
                source,
                protocol,
            } => port_hint(address.port(), protocol, source)?,
            Self::PortTaken { by, .. } => {
                format!("container {by} has it: stop that one, or publish another port")
            }
            Self::OwnerStopped(name) => format!("`carrier start {name}` starts it"),
            Self::Namespace(_) | Self::TooManyPorts => return None,
            Self::Invalid(_, hint) => (*hint).to_owned(),
        })
    }
}

fn port_hint(port: u16, protocol: &str, source: &io::Error) -> Option<String> {
    Some(match source.kind() {
        io::ErrorKind::AddrInUse => {
            let kind = if protocol == "udp" { 'u' } else { 't' };
            format!(
                "another program of the host listens there (`ss -lnp{kind} 'sport = {port}'` tells \
                 which): stop it, or publish another port"
            )
        }
        io::ErrorKind::PermissionDenied => doctor::low_port(port),
        io::ErrorKind::AddrNotAvailable => {
            "the host has no such address: `ip address` lists those that it has".to_owned()
        }
        _ if source.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => {
            "each port takes two descriptors: publish fewer, or raise `ulimit -n`".to_owned()
        }
        _ => return None,
    })
}
