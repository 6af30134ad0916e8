//! Rules and routes that lead what the container's program answers back to the forwarder.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_route::route::RouteType;
use rustix::io::Errno;

use super::source::Target;
use crate::net::netlink::{Choice, Netlink, Route, Rule};

/// What the packets of the forwarder's connections are marked with.
pub(super) const MARK: u32 = 0x6361_7272;

/// Where marked packets look: everybody is at the loopback device.
const MARKED: u32 = 25441;
/// Where datagrams from published ports look: those clients are there that have sent some.
const DATAGRAMS: u32 = 25442;

/// The first device of every network namespace.
const LOOPBACK: u32 = 1;

/// The clients that answers are led back for.
#[derive(Debug)]
pub(super) struct Clients {
    netlink: Netlink,
    target: Target,
    /// How many sockets speak for each.
    known: HashMap<IpAddr, usize>,
}

impl Clients {
    /// Prepares the current network namespace; `udp` are the ports of datagrams.
    pub(super) fn prepare(target: Target, udp: &BTreeSet<u16>) -> io::Result<Self> {
        // A connection that was accepted has the mark of the one who asked for it, ip-sysctl.
        fs::write("/proc/sys/net/ipv4/tcp_fwmark_accept", "1")?;
        // What the kernel says when nobody listens has it too, or would leave by the uplink.
        fs::write("/proc/sys/net/ipv4/fwmark_reflect", "1")?;
        if target.six.is_some() {
            fs::write("/proc/sys/net/ipv6/fwmark_reflect", "1")?;
        }
        let mut netlink = Netlink::open()?;
        netlink.bring_up(LOOPBACK)?;
        for side in target.sides() {
            let all = match side.ip {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            };
            let everybody = Route {
                device: Some(LOOPBACK),
                table: Some(MARKED),
                ..Route::new((all, 0), RouteType::Local)
            };
            // One that was there before has left them when it was killed.
            or_exists(netlink.add_route(&everybody))?;
            let rule = |choice, table| Rule {
                version: all,
                choice,
                table,
                priority: table,
            };
            or_exists(netlink.add_rule(&rule(Choice::Mark(MARK), MARKED)))?;
            for port in udp {
                or_exists(netlink.add_rule(&rule(Choice::UdpFrom(*port), DATAGRAMS)))?;
            }
        }
        Ok(Self {
            netlink,
            target,
            known: HashMap::new(),
        })
    }

    /// Leads datagrams for a client to the loopback device from now on.
    pub(super) fn add(&mut self, client: IpAddr) -> io::Result<()> {
        let count = self.known.entry(client).or_insert(0);
        *count += 1;
        if *count > 1 {
            return Ok(());
        }
        match self.route(client) {
            Some(route) => or_exists(self.netlink.add_route(&route)),
            None => Ok(()),
        }
    }

    /// One socket less speaks for it.
    pub(super) fn remove(&mut self, client: IpAddr) {
        let Some(count) = self.known.get_mut(&client) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            self.known.remove(&client);
            if let Some(route) = self.route(client) {
                // It goes with the container at the latest.
                let _ = self.netlink.remove_route(&route);
            }
        }
    }

    fn route(&self, client: IpAddr) -> Option<Route> {
        let mut sides = self.target.sides();
        let own = sides.find(|side| side.ip.is_ipv4() == client.is_ipv4())?;
        let length = if client.is_ipv4() { 32 } else { 128 };
        Some(Route {
            device: Some(LOOPBACK),
            // Without it an answer would come from the address that it goes to.
            source: Some(own.ip),
            table: Some(DATAGRAMS),
            ..Route::new((client, length), RouteType::Local)
        })
    }
}

fn or_exists(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::EXIST) => Ok(()),
        other => other,
    }
}
