//! Where a connection leads, and as whom it comes: pure.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::net::state::Endpoint;

/// A way to the container's program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    /// The container's address and port.
    pub(super) to: SocketAddr,
    /// Who the program sees; none is the container itself, by its own address.
    pub(super) from: Option<SocketAddr>,
}

/// The container's addresses on its networks, first the one that others see first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) four: Option<Side>,
    pub(super) six: Option<Side>,
    /// All networks of the container. Nobody in them comes by way of the host: who seems to has lied, or
    /// is in another network with the same numbers.
    pub(super) inside: Vec<Network>,
}

/// An address, and the length of the prefix that all of its network share.
pub(super) type Network = (IpAddr, u8);

/// An address of the container, and who speaks for those whose own address means nothing in there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) ip: IpAddr,
    pub(super) gateway: Option<IpAddr>,
}

impl Target {
    /// Internal networks are not published to others.
    pub(super) fn of(endpoints: &[Endpoint]) -> Self {
        let open = || endpoints.iter().filter(|endpoint| !endpoint.internal);
        let four = open().find_map(|endpoint| {
            let (ip, _) = endpoint.ip?;
            Some(Side {
                ip: ip.into(),
                gateway: endpoint.gateway.map(IpAddr::V4),
            })
        });
        let six = open().find_map(|endpoint| {
            let (ip, _) = endpoint.ip6?;
            Some(Side {
                ip: ip.into(),
                gateway: endpoint.gateway6.map(IpAddr::V6),
            })
        });
        let inside = endpoints.iter().flat_map(|endpoint| {
            let four = endpoint.ip.map(|(ip, length)| (ip.into(), length));
            let six = endpoint.ip6.map(|(ip, length)| (ip.into(), length));
            four.into_iter().chain(six)
        });
        Self {
            four,
            six,
            inside: inside.collect(),
        }
    }

    /// Whether connections that there are lead to `other`, too.
    pub(super) fn leads_to(&self, other: &Self) -> bool {
        (self.four, self.six) == (other.four, other.six)
    }

    pub(super) fn sides(&self) -> impl Iterator<Item = Side> {
        self.four.into_iter().chain(self.six)
    }

    /// The ways for a client, the best first: one that keeps its address.
    pub(super) fn ways(&self, client: SocketAddr, port: u16) -> impl Iterator<Item = Way> + use<> {
        let is_four = client.is_ipv4();
        let mut networks = self.inside.iter();
        let is_kept =
            can_be_kept(client.ip()) && !networks.any(|network| is_within(client.ip(), *network));
        let way = move |side: Side| Way {
            to: SocketAddr::new(side.ip, port),
            from: if side.ip.is_ipv4() == is_four && is_kept {
                Some(SocketAddr::new(client.ip(), client.port()))
            } else {
                side.gateway.map(|gateway| SocketAddr::new(gateway, 0))
            },
        };
        let order = if is_four {
            [self.four, self.six]
        } else {
            [self.six, self.four]
        };
        order.into_iter().flatten().map(way)
    }
}

/// Whether an address can be the one of somebody else within the container.
fn can_be_kept(client: IpAddr) -> bool {
    if client.is_loopback() || client.is_unspecified() || client.is_multicast() {
        return false;
    }
    match client {
        IpAddr::V4(address) => !address.is_broadcast() && !address.is_link_local(),
        IpAddr::V6(address) => {
            // Those of a link mean nothing on another one.
            !address.is_unicast_link_local() && !is_mapped(address)
        }
    }
}

fn is_within(address: IpAddr, (network, length): (IpAddr, u8)) -> bool {
    let length = u32::from(length);
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let differing = address.to_bits() ^ network.to_bits();
            differing.leading_zeros() >= length
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let differing = address.to_bits() ^ network.to_bits();
            differing.leading_zeros() >= length
        }
        _ => false,
    }
}

fn is_mapped(address: Ipv6Addr) -> bool {
    address.to_ipv4_mapped().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target::of(&[Endpoint {
            ip: Some(("10.0.2.100".parse().unwrap(), 24)),
            gateway: Some("10.0.2.2".parse().unwrap()),
            ip6: Some(("fd00::100".parse().unwrap(), 64)),
            gateway6: Some("fd00::2".parse().unwrap()),
            ..Endpoint::default()
        }])
    }

    fn shown(client: &str) -> String {
        let ways = target().ways(client.parse().unwrap(), 80);
        let show = |way: Way| {
            let from = way.from.map_or("self".to_owned(), |from| from.to_string());
            format!("{from} to {}", way.to)
        };
        ways.map(show).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn the_client_is_seen_as_itself_unless_its_address_means_another_one_inside() {
        assert_eq!(
            shown("203.0.113.5:4000"),
            "203.0.113.5:4000 to 10.0.2.100:80, [fd00::2]:0 to [fd00::100]:80"
        );
        assert_eq!(
            shown("[2001:db8::5]:4000"),
            "[2001:db8::5]:4000 to [fd00::100]:80, 10.0.2.2:0 to 10.0.2.100:80"
        );
        for one_of_the_host in [
            "127.0.0.1:1",
            "127.9.9.9:1",
            "10.0.2.100:1",
            // Who forges the address of a neighbour or of the name server.
            "10.0.2.3:1",
            "10.0.2.15:1",
            "169.254.1.1:1",
        ] {
            let ways = shown(one_of_the_host);
            assert!(
                ways.starts_with("10.0.2.2:0 to"),
                "{one_of_the_host}: {ways}"
            );
        }
        for one_of_the_host in [
            "[::1]:1",
            "[fe80::1]:1",
            "[::ffff:127.0.0.1]:1",
            "[fd00::3]:1",
        ] {
            let ways = shown(one_of_the_host);
            assert!(
                ways.starts_with("[fd00::2]:0 to"),
                "{one_of_the_host}: {ways}"
            );
        }
    }

    #[test]
    fn an_address_of_any_network_of_the_container_is_no_clients() {
        let on = |ip: &str| Endpoint {
            ip: Some((ip.parse().unwrap(), 24)),
            gateway: Some("10.89.0.1".parse().unwrap()),
            ..Endpoint::default()
        };
        let target = Target::of(&[on("10.89.0.5"), on("10.89.7.5")]);
        let seen = |client: &str| {
            let way = target.ways(client.parse().unwrap(), 80).next().unwrap();
            way.from.unwrap().to_string()
        };
        assert_eq!(seen("10.89.7.9:1"), "10.89.0.1:0");
        assert_eq!(seen("10.89.8.9:1"), "10.89.8.9:1");
    }

    #[test]
    fn without_a_gateway_the_container_speaks_for_others() {
        let target = Target::of(&[Endpoint {
            ip: Some(("10.9.0.5".parse().unwrap(), 24)),
            ..Endpoint::default()
        }]);
        let way = target
            .ways("127.0.0.1:1".parse().unwrap(), 80)
            .next()
            .unwrap();
        assert_eq!(way.from, None);
    }

    #[test]
    fn w02_no_port_leads_to_an_internal_network() {
        let endpoint = |ip: &str, internal| Endpoint {
            ip: Some((ip.parse().unwrap(), 24)),
            internal,
            ..Endpoint::default()
        };
        let inside = endpoint("10.9.0.5", true);
        let alone = Target::of(std::slice::from_ref(&inside));
        assert_eq!(alone.sides().count(), 0);
        let both = Target::of(&[inside, endpoint("10.8.0.5", false)]);
        let client = "192.0.2.1:1".parse().unwrap();
        let leads_to: Vec<SocketAddr> = both.ways(client, 80).map(|way| way.to).collect();
        assert_eq!(leads_to, ["10.8.0.5:80".parse().unwrap()]);
    }
}
