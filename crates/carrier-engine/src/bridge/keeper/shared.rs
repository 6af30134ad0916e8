//! The namespaces that all containers on networks share.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use carrier_runtime::IdMaps;
use carrier_sys::process::{Child, Namespaces, SingleThreaded, die_with, fork};
use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::failed;
use crate::bridge::error::BridgeError;
use crate::net::netlink::Netlink;

/// Kernel parameters of the shared network namespace. Where a kernel lacks some of them, it lacks what
/// they are about.
const PARAMETERS: [(&str, &str); 6] = [
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    ("net/ipv6/conf/default/accept_ra", "0"),
    // What stays on a bridge is nobody's business but the bridge's.
    ("net/bridge/bridge-nf-call-iptables", "0"),
    ("net/bridge/bridge-nf-call-ip6tables", "0"),
    ("net/bridge/bridge-nf-call-arptables", "0"),
];

/// A process that does nothing but be in the new namespaces, until it is dropped.
pub(super) struct Holder {
    process: Child,
}

impl Holder {
    /// Makes a network namespace, in the user namespace `users` where containers of an earlier keeper
    /// live in it, else in a new one.
    pub(super) fn start(
        maps: &IdMaps,
        users: Option<&OwnedFd>,
    ) -> Result<Self, crate::error::Error> {
        let keeper = rustix::process::getpid();
        let process = match users {
            None => {
                let namespaces = Namespaces::USER | Namespaces::NETWORK;
                crate::unpacker::spawn(maps, namespaces, |_token| stay(keeper))?
            }
            Some(users) => stay_in(users, keeper).map_err(failed)?,
        };
        Ok(Self { process })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The user and the network namespace.
    pub(super) fn namespaces(&self) -> io::Result<(OwnedFd, OwnedFd)> {
        let open = |name: &str| {
            let path = format!("/proc/{}/ns/{name}", self.pid());
            rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        };
        Ok((open("user")?, open("net")?))
    }
}

fn stay(keeper: Pid) -> u8 {
    while die_with(keeper).is_ok() {
        std::thread::sleep(std::time::Duration::from_secs(60));
    }
    1
}

/// Returns once the process is where it should be.
fn stay_in(users: &OwnedFd, keeper: Pid) -> io::Result<Child> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    let proof = SingleThreaded::check()?;
    let process = fork(&proof, |token| {
        let kind = Some(LinkNameSpaceType::User);
        let entered = move_into_link_name_space(users.as_fd(), kind)
            .map_err(io::Error::from)
            .and_then(|()| carrier_sys::namespace::unshare_network(&token));
        if entered.is_ok() && rustix::io::write(&writer, b"r").is_ok() {
            stay(keeper)
        } else {
            1
        }
    })?;
    drop(writer);
    match rustix::io::read(&reader, &mut [0])? {
        1 => Ok(process),
        _ => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// Becomes root of the shared namespaces, for good.
pub(super) fn enter(users: BorrowedFd<'_>, network: BorrowedFd<'_>) -> io::Result<()> {
    move_into_link_name_space(users, Some(LinkNameSpaceType::User))?;
    enter_network(network)
}

/// Goes over to a network namespace.
pub(super) fn enter_network(network: BorrowedFd<'_>) -> io::Result<()> {
    Ok(move_into_link_name_space(
        network,
        Some(LinkNameSpaceType::Network),
    )?)
}

/// Prepares the network namespace that the caller is in.
pub(super) fn prepare(netlink: &mut Netlink, uplink: &str) -> Result<(), BridgeError> {
    let failed = |source| BridgeError::Shared {
        action: "set up",
        source,
    };
    let loopback = netlink.index("lo").map_err(failed)?;
    netlink.bring_up(loopback).map_err(failed)?;
    for (name, value) in PARAMETERS {
        set(name, value).map_err(failed)?;
    }
    crate::bridge::filter::install(uplink).map_err(BridgeError::Filter)
}

/// Sets a kernel parameter of the network namespace that the caller is in, where the kernel has it.
pub(super) fn set(name: &str, value: &str) -> io::Result<()> {
    match fs::write(format!("/proc/sys/{name}"), value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Does something in another network namespace, and comes back.
///
/// # Panics
/// Never: a process that could not come back would do the wrong things, and ends instead.
pub(super) fn inside<T>(
    namespace: BorrowedFd<'_>,
    home: &OwnedFd,
    act: impl FnOnce(&mut Netlink) -> io::Result<T>,
) -> io::Result<T> {
    enter_network(namespace)?;
    let done = Netlink::open().and_then(|mut netlink| act(&mut netlink));
    if enter_network(home.as_fd()).is_err() {
        std::process::abort();
    }
    done
}
