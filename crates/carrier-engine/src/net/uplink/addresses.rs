//! The addresses of a network that a container has for itself: those of libslirp.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::super::attachment::MacAddress;

/// The first address of the network and the length of its prefix.
const NETWORK: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 0, 2, 0), 24);

/// The network of IPv6, which libslirp lets nobody choose.
const NETWORK6: [u16; 4] = [0xfd00, 0, 0, 0];

/// Who is who in a container's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// The network.
    pub(crate) network: (Ipv4Addr, u8),
    /// The container.
    pub(crate) ip: (Ipv4Addr, u8),
    /// The way out; behind it is the host's loopback, where that is allowed.
    pub(crate) gateway: Ipv4Addr,
    /// The host's name server.
    pub(crate) dns: Ipv4Addr,
    /// The same for IPv6, where the container has it.
    pub(crate) six: Option<Addresses6>,
}

/// Who is who by addresses of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addresses6 {
    pub(crate) network: (Ipv6Addr, u8),
    pub(crate) ip: (Ipv6Addr, u8),
    pub(crate) gateway: Ipv6Addr,
    pub(crate) dns: Ipv6Addr,
}

impl Addresses {
    /// Those of the network that was asked for.
    pub(crate) fn within(network: Option<(Ipv4Addr, u8)>, has_ipv6: bool) -> Self {
        let (first, length) = network.unwrap_or(NETWORK);
        let at = |number: u32| Ipv4Addr::from_bits(first.to_bits() | number);
        Self {
            network: (first, length),
            ip: (at(100), length),
            gateway: at(2),
            dns: at(3),
            six: has_ipv6.then(six),
        }
    }

    /// Whether this is an address of the network.
    pub(crate) fn has(&self, address: Ipv4Addr) -> bool {
        let (network, length) = self.network;
        let differs = network.to_bits() ^ address.to_bits();
        u32::from(length) <= differs.leading_zeros()
    }

    /// The address of the container's device: Docker's, which is made of that of IPv4.
    pub(crate) fn mac(&self) -> MacAddress {
        let [a, b, c, d] = self.ip.0.octets();
        MacAddress([0x02, 0x42, a, b, c, d])
    }
}

fn six() -> Addresses6 {
    let [a, b, c, d] = NETWORK6;
    let at = |number| Ipv6Addr::new(a, b, c, d, 0, 0, 0, number);
    Addresses6 {
        network: (at(0), 64),
        ip: (at(0x100), 64),
        gateway: at(2),
        dns: at(3),
    }
}

/// Whether the host has a way out by IPv6: programs try that first, and would wait.
pub(crate) fn host_has_ipv6() -> bool {
    let routes = fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    has_default_route(&routes)
}

/// Whether the kernel's table has a default route over a device other than the loopback one.
fn has_default_route(table: &str) -> bool {
    const ANY: &str = "00000000000000000000000000000000";
    table.lines().any(|line| {
        let mut words = line.split_ascii_whitespace();
        let to_any = words.next() == Some(ANY) && words.next() == Some("00");
        to_any && words.last() != Some("lo")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ones_own_has_the_same_places() {
        let own = Addresses::within(Some((Ipv4Addr::new(192, 168, 7, 0), 24)), false);
        assert_eq!(own.ip, (Ipv4Addr::new(192, 168, 7, 100), 24));
        assert_eq!(own.gateway, Ipv4Addr::new(192, 168, 7, 2));
        assert_eq!(own.mac().to_string(), "02:42:c0:a8:07:64");
        assert_eq!(own.six, None);
        assert!(own.has(own.dns) && own.has(own.gateway));
        assert!(!own.has(Ipv4Addr::new(192, 168, 8, 2)));
    }

    #[test]
    fn the_unreachable_route_of_the_kernel_is_no_way_out() {
        let nothing = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
                       00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo";
        let route = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
                     fd000000000000000000000000000001 00000400 00000001 00000000 00000003     eth0";
        assert!(!has_default_route(nothing));
        assert!(has_default_route(&format!("{nothing}\n{route}\n")));
        assert!(!has_default_route(""));
    }
}
