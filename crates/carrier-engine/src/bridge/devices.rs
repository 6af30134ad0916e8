//! Bridges and cables, veth(4), by rtnetlink(7).

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute,
    LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::RouteType;
use rustix::io::Errno;

use crate::net::MacAddress;
use crate::net::netlink::{Netlink, Route};

const NEW: u16 = NLM_F_CREATE | NLM_F_EXCL;

/// Two devices that are the ends of one cable.
#[derive(Debug)]
pub(super) struct Cable<'a> {
    /// The end that is in this namespace.
    pub(super) name: &'a str,
    /// The number of the bridge that it is plugged into.
    pub(super) bridge: u32,
    /// What is plugged into the bridge like this cannot reach each other.
    pub(super) is_parted: bool,
    /// The largest packet, in bytes.
    pub(super) mtu: u32,
    /// The other namespace.
    pub(super) peer: BorrowedFd<'a>,
    /// The end that is there.
    pub(super) peer_name: &'a str,
    /// The address of that.
    pub(super) peer_mac: MacAddress,
}

/// Makes a bridge, and returns its number. Without an address it takes the lowest of what is plugged into it:
/// each container that came or went could change it, and others would send to the old one for a while.
pub(super) fn add_bridge(
    netlink: &mut Netlink,
    name: &str,
    mtu: u32,
    mac: Option<MacAddress>,
) -> io::Result<u32> {
    let mut bridge = up(name);
    bridge.attributes.extend([
        LinkAttribute::Mtu(mtu),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
    ]);
    let address = mac.map(|mac| LinkAttribute::Address(mac.0.to_vec()));
    bridge.attributes.extend(address);
    netlink.request(RouteNetlinkMessage::NewLink(bridge), NEW)?;
    netlink.index(name)
}

/// Makes a cable with the near end up; the kernel cannot bring up a far end that has no near one yet.
pub(super) fn add_cable(netlink: &mut Netlink, cable: &Cable<'_>) -> io::Result<()> {
    let mut far = named(cable.peer_name);
    far.attributes.extend([
        LinkAttribute::NetNsFd(cable.peer.as_raw_fd()),
        LinkAttribute::Address(cable.peer_mac.0.to_vec()),
        LinkAttribute::Mtu(cable.mtu),
    ]);
    let mut near = up(cable.name);
    near.attributes.extend([
        LinkAttribute::Mtu(cable.mtu),
        LinkAttribute::Controller(cable.bridge),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(far))),
        ]),
    ]);
    netlink.request(RouteNetlinkMessage::NewLink(near), NEW)?;
    if cable.is_parted {
        part(netlink, cable.name)?;
    }
    Ok(())
}

fn part(netlink: &mut Netlink, name: &str) -> io::Result<()> {
    let mut port = named(name);
    let isolated = InfoPortData::BridgePort(vec![InfoBridgePort::Isolated(true)]);
    port.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::PortKind(InfoPortKind::Bridge),
        LinkInfo::PortData(isolated),
    ]));
    netlink.request(RouteNetlinkMessage::NewLink(port), 0)
}

/// Removes a device; one that is gone is no error.
pub(super) fn remove(netlink: &mut Netlink, name: &str) -> io::Result<()> {
    match netlink.request(RouteNetlinkMessage::DelLink(named(name)), 0) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::NODEV) => Ok(()),
        other => other,
    }
}

/// Sends what has no other way to `gateway`, unless there is such a way already.
pub(super) fn add_default_route(
    netlink: &mut Netlink,
    device: u32,
    gateway: IpAddr,
) -> io::Result<()> {
    let all: IpAddr = match gateway {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let route = Route {
        device: Some(device),
        gateway: Some(gateway),
        ..Route::new((all, 0), RouteType::Unicast)
    };
    match netlink.add_route(&route) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::EXIST) => Ok(()),
        other => other,
    }
}

fn named(name: &str) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.attributes.push(LinkAttribute::IfName(name.to_owned()));
    link
}

fn up(name: &str) -> LinkMessage {
    let mut link = named(name);
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    link
}
