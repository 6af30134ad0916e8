//! The host's own addresses, which containers reach only where that is asked for (threat W-01): who
//! carries their packets would reach them as the host does, past its packet filter.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_route::route::RouteType;

use super::names;
use super::netlink::{Choice, Netlink, Route, Rule};

/// The table with all other ways.
const MAIN: u32 = 254;

/// Where packets look that may not reach the host. It comes behind the tables of the forwarder, whose
/// clients may be the host.
const CLOSED: u32 = 25450;

/// Who may look elsewhere before.
const OPEN: u32 = CLOSED - 1;

/// The addresses of the network namespace that `netlink` talks about, by which others reach it.
pub(crate) fn addresses(netlink: &mut Netlink) -> io::Result<Vec<IpAddr>> {
    let mut addresses = netlink.addresses()?;
    addresses.retain(|address| match address {
        IpAddr::V4(address) => !address.is_loopback(),
        // Those of a link mean something on that link only.
        IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
    });
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

/// Makes the addresses `hosts` unreachable in the network namespace that `netlink` talks about, but
/// for name servers there: a host's resolv.conf may name one.
pub(crate) fn close(netlink: &mut Netlink, hosts: &[IpAddr]) -> io::Result<()> {
    for host in hosts {
        let length = if host.is_ipv4() { 32 } else { 128 };
        netlink.add_route(&Route {
            table: Some(CLOSED),
            ..Route::new((*host, length), RouteType::Unreachable)
        })?;
    }
    let versions: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    for version in versions {
        if hosts.iter().any(|host| host.is_ipv4() == version.is_ipv4()) {
            let rule = |choice, table, priority| Rule {
                version,
                choice,
                table,
                priority,
            };
            netlink.add_rule(&rule(Choice::To(names::PORT), MAIN, OPEN))?;
            netlink.add_rule(&rule(Choice::All, CLOSED, CLOSED))?;
        }
    }
    Ok(())
}

/// The rule by which packets of a neighbour reach the host all the same.
pub(crate) fn opening(from: IpAddr) -> Rule {
    Rule {
        version: from,
        choice: Choice::From(from),
        table: MAIN,
        priority: OPEN,
    }
}
