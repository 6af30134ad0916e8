//! Devices, addresses, routes and rules of the current network namespace, rtnetlink(7).

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use netlink_packet_core::{
    DefaultNla, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage, RulePortRange};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily as SocketFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socket_with,
};

use super::attachment::MacAddress;

/// `FRA_IP_PROTO` of linux/fib_rules.h: the library keeps the type of its value to itself.
const IP_PROTOCOL: u16 = 22;
const UDP: u8 = 17;

/// The longest answer to a request that asks for nothing but its success.
const ANSWER: usize = 8192;

/// The longest part of an answer that lists things, netlink(7).
const LISTING: usize = 32 * 1024;

/// A conversation with the kernel about the network namespace in which it was opened.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The address and the length of its prefix.
    pub(crate) to: (IpAddr, u8),
    /// What becomes of packets.
    pub(crate) kind: RouteType,
    /// The index of the device.
    pub(crate) device: Option<u32>,
    /// The next host; it need not be in a network of the device.
    pub(crate) gateway: Option<IpAddr>,
    /// The address that packets leave with when their sender does not care.
    pub(crate) source: Option<IpAddr>,
    /// The table, where it is not the main one.
    pub(crate) table: Option<u32>,
}

/// Which packets look into another table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Those with this mark.
    Mark(u32),
    /// Datagrams of UDP that come from this port.
    UdpFrom(u16),
    /// Those that go to this port.
    To(u16),
    /// Those that come from this address.
    From(IpAddr),
    /// All.
    All,
}

/// A rule: which packets look into which table, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// An address of the version of the protocol that is meant.
    pub(crate) version: IpAddr,
    pub(crate) choice: Choice,
    pub(crate) table: u32,
    /// Lower ones are looked at first.
    pub(crate) priority: u32,
}

impl Rule {
    fn message(&self) -> RuleMessage {
        let mut message = RuleMessage::default();
        message.header.family = family(self.version);
        message.header.action = RuleAction::ToTable;
        let attributes = &mut message.attributes;
        attributes.push(RuleAttribute::Table(self.table));
        attributes.push(RuleAttribute::Priority(self.priority));
        let range = |port| RulePortRange {
            start: port,
            end: port,
        };
        match self.choice {
            Choice::Mark(mark) => attributes.push(RuleAttribute::FwMark(mark)),
            Choice::UdpFrom(port) => {
                attributes.push(RuleAttribute::Other(DefaultNla::new(
                    IP_PROTOCOL,
                    vec![UDP],
                )));
                attributes.push(RuleAttribute::SourcePortRange(range(port)));
            }
            Choice::To(port) => attributes.push(RuleAttribute::DestinationPortRange(range(port))),
            Choice::From(address) => {
                message.header.src_len = if address.is_ipv4() { 32 } else { 128 };
                attributes.push(RuleAttribute::Source(address));
            }
            Choice::All => {}
        }
        message
    }
}

impl Route {
    pub(crate) fn new(to: (IpAddr, u8), kind: RouteType) -> Self {
        Self {
            to,
            kind,
            device: None,
            gateway: None,
            source: None,
            table: None,
        }
    }

    fn message(&self) -> RouteMessage {
        let mut message = RouteMessage::default();
        let (address, length) = self.to;
        message.header.address_family = family(address);
        message.header.destination_prefix_length = length;
        message.header.table = 254;
        message.header.protocol = RouteProtocol::Static;
        message.header.kind = self.kind;
        message.header.scope = match (self.kind, self.gateway) {
            (RouteType::Local, _) => RouteScope::Host,
            (RouteType::Unicast, None) => RouteScope::Link,
            _ => RouteScope::Universe,
        };
        let attributes = &mut message.attributes;
        if length > 0 {
            attributes.push(RouteAttribute::Destination(address.into()));
        }
        if let Some(gateway) = self.gateway {
            message.header.flags |= RouteFlags::Onlink;
            attributes.push(RouteAttribute::Gateway(RouteAddress::from(gateway)));
        }
        attributes.extend(self.device.map(RouteAttribute::Oif));
        attributes.extend(self.source.map(|ip| RouteAttribute::PrefSource(ip.into())));
        if let Some(table) = self.table {
            message.header.table = 0;
            attributes.push(RouteAttribute::Table(table));
        }
        message
    }
}

impl Netlink {
    /// Begins a conversation.
    pub(crate) fn open() -> io::Result<Self> {
        let socket = socket_with(
            SocketFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            // The first of them, NETLINK_ROUTE.
            None,
        )?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// The number of the device with this name.
    pub(crate) fn index(&self, device: &str) -> io::Result<u32> {
        Ok(rustix::net::netdevice::name_to_index(&self.socket, device)?)
    }

    /// Gives a device an address and a size of packets.
    pub(crate) fn set_device(
        &mut self,
        index: u32,
        mac: Option<MacAddress>,
        mtu: Option<u32>,
    ) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        let attributes = &mut message.attributes;
        attributes.extend(mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
        attributes.extend(mtu.map(LinkAttribute::Mtu));
        self.request(RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Brings a device up.
    pub(crate) fn bring_up(&mut self, index: u32) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.request(RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Adds an address to a device, without looking for others that have it; `with_route` also adds
    /// the route to its network.
    pub(crate) fn add_address(
        &mut self,
        index: u32,
        (address, length): (IpAddr, u8),
        with_route: bool,
    ) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = family(address);
        message.header.prefix_len = length;
        message.header.index = index;
        message.header.scope = AddressScope::Universe;
        let mut flags = AddressFlags::Nodad;
        flags.set(AddressFlags::Noprefixroute, !with_route);
        let attributes = &mut message.attributes;
        attributes.push(AddressAttribute::Address(address));
        attributes.push(AddressAttribute::Local(address));
        attributes.push(AddressAttribute::Flags(flags));
        if let IpAddr::V4(ip) = address
            && length < 31
        {
            let hosts = u32::MAX.checked_shr(length.into()).unwrap_or(0);
            let broadcast = (ip.to_bits() | hosts).into();
            attributes.push(AddressAttribute::Broadcast(broadcast));
        }
        self.request(
            RouteNetlinkMessage::NewAddress(message),
            NLM_F_CREATE | NLM_F_EXCL,
        )
    }

    /// Adds a route; one that exists is an error, `EEXIST`.
    pub(crate) fn add_route(&mut self, route: &Route) -> io::Result<()> {
        let message = RouteNetlinkMessage::NewRoute(route.message());
        self.request(message, NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Removes a route.
    pub(crate) fn remove_route(&mut self, route: &Route) -> io::Result<()> {
        self.request(RouteNetlinkMessage::DelRoute(route.message()), 0)
    }

    /// Adds a rule; one that exists is an error, `EEXIST`.
    pub(crate) fn add_rule(&mut self, rule: &Rule) -> io::Result<()> {
        let message = RouteNetlinkMessage::NewRule(rule.message());
        self.request(message, NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Removes a rule.
    pub(crate) fn remove_rule(&mut self, rule: &Rule) -> io::Result<()> {
        self.request(RouteNetlinkMessage::DelRule(rule.message()), 0)
    }

    /// The addresses of all devices.
    pub(crate) fn addresses(&mut self) -> io::Result<Vec<IpAddr>> {
        let message = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        self.send(message, NLM_F_DUMP)?;
        let mut addresses = Vec::new();
        let mut answer = vec![0; LISTING];
        loop {
            let length = self.receive(&mut answer)?;
            let mut bytes = answer.get(..length).unwrap_or_default();
            while !bytes.is_empty() {
                let parsed = parse(bytes)?;
                match parsed.payload {
                    NetlinkPayload::Done(_) => return Ok(addresses),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(message)) => {
                        addresses.extend(address_in(&message));
                    }
                    _ => {}
                }
                // The next one begins at a multiple of four, netlink(7).
                let length = (parsed.header.length as usize).next_multiple_of(4);
                bytes = bytes.get(length.max(4)..).unwrap_or_default();
            }
        }
    }

    /// Makes a request and waits for the kernel's word on it.
    pub(crate) fn request(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.send(message, NLM_F_ACK | flags)?;
        let mut answer = vec![0; ANSWER];
        loop {
            let length = self.receive(&mut answer)?;
            let parsed = parse(answer.get(..length).unwrap_or_default())?;
            if parsed.header.sequence_number != self.sequence {
                continue;
            }
            return match parsed.payload {
                NetlinkPayload::Error(error) if error.code.is_none() => Ok(()),
                NetlinkPayload::Error(error) => Err(error.to_io()),
                _ => Err(io::ErrorKind::InvalidData.into()),
            };
        }
    }

    fn send(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        rustix::net::send(&self.socket, &bytes, SendFlags::empty())?;
        Ok(())
    }

    /// The length of what the kernel says next.
    fn receive(&self, answer: &mut [u8]) -> io::Result<usize> {
        loop {
            match rustix::net::recv(&self.socket, &mut *answer, RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                other => return Ok(other?.1),
            }
        }
    }
}

fn parse(bytes: &[u8]) -> io::Result<NetlinkMessage<RouteNetlinkMessage>> {
    NetlinkMessage::deserialize(bytes).map_err(|error| io::Error::other(error.to_string()))
}

/// The device's own address: on a line between two hosts the other one is that of the peer.
fn address_in(message: &AddressMessage) -> Option<IpAddr> {
    let attributes = || message.attributes.iter();
    let local = attributes().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    local.or_else(|| {
        attributes().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}
