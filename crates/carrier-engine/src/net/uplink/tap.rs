//! The container's device, with its addresses and routes.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_route::route::RouteType;

use super::super::netlink::{Netlink, Route};
use super::super::own;
use super::{DEVICE, UplinkPlan};

/// Makes the device in the current network namespace, in which the caller is root; `hosts` are the
/// addresses of the host.
pub(super) fn make(plan: &UplinkPlan, hosts: &[IpAddr]) -> io::Result<()> {
    carrier_sys::net::make_tap(c"tap0")?;
    let mut netlink = Netlink::open()?;
    let index = netlink.index(DEVICE)?;
    let addresses = &plan.addresses;
    netlink.set_device(index, Some(addresses.mac()), Some(plan.mtu))?;
    close_ipv6();
    netlink.bring_up(index)?;
    netlink.add_address(index, four(addresses.ip), false)?;
    if let Some(six) = addresses.six {
        netlink.add_address(index, six_of(six.ip), false)?;
    }
    for route in routes(plan, index) {
        netlink.add_route(&route)?;
    }
    if plan.allows_loopback {
        return Ok(());
    }
    let reachable = |host: &IpAddr| match host {
        // The network has no other addresses than its own.
        IpAddr::V4(host) => !addresses.has(*host),
        IpAddr::V6(_) => addresses.six.is_some(),
    };
    let hosts: Vec<IpAddr> = hosts.iter().copied().filter(reachable).collect();
    own::close(&mut netlink, &hosts)
}

/// Nobody on the device is to tell the container routes, and it has no address but its own: behind the
/// addresses of its link is the host. A kernel without IPv6 has no such files.
fn close_ipv6() {
    for (name, value) in [("accept_ra", "0"), ("addr_gen_mode", "1")] {
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{DEVICE}/{name}"), value);
    }
}

/// The routes: to the name server, out, and nowhere else within the network, unless the host behind
/// it may be reached.
fn routes(plan: &UplinkPlan, index: u32) -> Vec<Route> {
    let addresses = &plan.addresses;
    let mut groups = vec![(
        four(addresses.network),
        IpAddr::V4(addresses.gateway),
        IpAddr::V4(addresses.dns),
        four((Ipv4Addr::UNSPECIFIED, 0)),
    )];
    groups.extend(addresses.six.map(|six| {
        (
            six_of(six.network),
            IpAddr::V6(six.gateway),
            IpAddr::V6(six.dns),
            six_of((Ipv6Addr::UNSPECIFIED, 0)),
        )
    }));
    let mut routes = Vec::new();
    for (network, gateway, dns, all) in groups {
        let on_device = |to| Route {
            device: Some(index),
            ..Route::new(to, RouteType::Unicast)
        };
        if plan.allows_loopback {
            routes.push(on_device(network));
        } else {
            routes.push(on_device((dns, if dns.is_ipv4() { 32 } else { 128 })));
            routes.push(Route::new(network, RouteType::Unreachable));
        }
        routes.push(Route {
            gateway: Some(gateway),
            ..on_device(all)
        });
    }
    routes
}

fn four((address, length): (Ipv4Addr, u8)) -> (IpAddr, u8) {
    (address.into(), length)
}

fn six_of((address, length): (Ipv6Addr, u8)) -> (IpAddr, u8) {
    (address.into(), length)
}
