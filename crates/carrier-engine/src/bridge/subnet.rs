//! Ranges of addresses, and how networks get theirs. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A range of addresses: its first one, and how many bits all of them have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    first: IpAddr,
    prefix: u8,
}

/// Why a text is no range of addresses.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseSubnetError {
    /// Not `ADDRESS/BITS`.
    #[error("{0:?} is not a range of addresses such as 10.89.0.0/24")]
    Malformed(String),
    /// The address is not the first one of its range.
    #[error("{text:?} begins in the middle of a range, which should be {range}")]
    NotFirst {
        /// What was read.
        text: String,
        /// The range that holds the address.
        range: Subnet,
    },
}

impl Subnet {
    /// The range of addresses that have the first `prefix` bits of `address`; nothing where an address
    /// has not so many.
    #[must_use]
    pub fn of(address: IpAddr, prefix: u8) -> Option<Self> {
        let bits = bits_of(address);
        let mask = mask(bits, prefix)?;
        let first = with_number(address, number_of(address) & mask);
        Some(Self { first, prefix })
    }

    /// The first address.
    #[must_use]
    pub fn first(self) -> IpAddr {
        self.first
    }

    /// How many bits all addresses have in common.
    #[must_use]
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether these are addresses of IPv4.
    #[must_use]
    pub fn is_ipv4(self) -> bool {
        self.first.is_ipv4()
    }

    /// Whether an address is one of these.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.is_ipv4() && Self::of(address, self.prefix) == Some(self)
    }

    /// Whether all addresses of `other` are among these.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.first)
    }

    /// Whether some address is in both.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// The first address that a machine may have.
    #[must_use]
    pub fn first_host(self) -> Option<IpAddr> {
        self.hosts().next()
    }

    /// All of them.
    pub(crate) fn addresses(self) -> impl Iterator<Item = IpAddr> {
        let numbers = number_of(self.first)..=self.last();
        numbers.map(move |number| with_number(self.first, number))
    }

    /// The addresses that machines may have: not the first, which names the network, nor the last of
    /// IPv4, which means all.
    pub fn hosts(self) -> impl Iterator<Item = IpAddr> {
        self.addresses()
            .filter(move |address| self.is_host(*address))
    }

    /// Whether a machine of this network may have `address`.
    #[must_use]
    pub fn is_host(self, address: IpAddr) -> bool {
        let number = number_of(address);
        let is_last = self.is_ipv4() && number == self.last();
        self.contains(address) && number != number_of(self.first) && !is_last
    }

    fn last(self) -> u128 {
        let bits = bits_of(self.first);
        let mask = mask(bits, self.prefix).unwrap_or(u128::MAX);
        let all = if bits == 32 {
            u128::from(u32::MAX)
        } else {
            u128::MAX
        };
        number_of(self.first) | (!mask & all)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = ParseSubnetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || ParseSubnetError::Malformed(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(malformed)?;
        let address: IpAddr = address.parse().map_err(|_| malformed())?;
        let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = prefix
            .parse()
            .ok()
            .filter(|_| digits)
            .ok_or_else(malformed)?;
        let range = Self::of(address, prefix).ok_or_else(malformed)?;
        if range.first == address {
            Ok(range)
        } else {
            Err(ParseSubnetError::NotFirst {
                text: text.to_owned(),
                range,
            })
        }
    }
}

impl TryFrom<String> for Subnet {
    type Error = ParseSubnetError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

/// A range of IPv4 that overlaps nothing of what is `taken`: of 10.`first`.0.0/16 and all behind it,
/// 256 addresses each. Nothing when there is none left.
pub(crate) fn free_ipv4(first: u8, taken: &[Subnet]) -> Option<Subnet> {
    let candidates = (first..=255).flat_map(|second| (0..=255).map(move |third| (second, third)));
    let mut candidates = candidates
        .filter_map(|(second, third)| Subnet::of(Ipv4Addr::new(10, second, third, 0).into(), 24));
    candidates.find(|range| !taken.iter().any(|other| range.overlaps(*other)))
}

/// A range of IPv6 of one's own: RFC 4193, with these random bits.
pub(crate) fn unique_local(random: [u8; 7]) -> Option<Subnet> {
    let [a, b, c, d, e, f, g] = random;
    let pair = |high, low| u16::from_be_bytes([high, low]);
    let address = Ipv6Addr::new(
        pair(0xfd, a),
        pair(b, c),
        pair(d, e),
        pair(f, g),
        0,
        0,
        0,
        0,
    );
    Subnet::of(address.into(), 64)
}

/// The networks that the host reaches, but by its default route: the text of `/proc/net/route`.
pub(crate) fn routes_ipv4(table: &str) -> Vec<Subnet> {
    let route = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let word = |text: &str| u32::from_str_radix(text, 16).ok();
        // Numbers of the network, printed as if they were the machine's.
        let destination = u32::from_be(word(fields.nth(1)?)?);
        let mask = u32::from_be(word(fields.nth(5)?)?);
        let prefix = u8::try_from(mask.count_ones()).ok()?;
        (prefix > 0).then(|| Subnet::of(Ipv4Addr::from(destination).into(), prefix))?
    };
    table.lines().skip(1).filter_map(route).collect()
}

/// The same of `/proc/net/ipv6_route`.
pub(crate) fn routes_ipv6(table: &str) -> Vec<Subnet> {
    let route = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let address = u128::from_str_radix(fields.next()?, 16).ok()?;
        let prefix = u8::from_str_radix(fields.next()?, 16).ok()?;
        (prefix > 0).then(|| Subnet::of(Ipv6Addr::from(address).into(), prefix))?
    };
    table.lines().filter_map(route).collect()
}

fn bits_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn mask(bits: u8, prefix: u8) -> Option<u128> {
    let host_bits = u32::from(bits.checked_sub(prefix)?);
    Some(u128::MAX.checked_shl(host_bits).unwrap_or(0))
}

fn number_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// The address of the family of `like` that has this number.
fn with_number(like: IpAddr, number: u128) -> IpAddr {
    match (like, u32::try_from(number)) {
        (IpAddr::V4(_), Ok(number)) => Ipv4Addr::from(number).into(),
        (IpAddr::V4(address), Err(_)) => address.into(),
        (IpAddr::V6(_), _) => Ipv6Addr::from(number).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn ranges_are_written_with_their_first_address() {
        for text in [
            "10.89.0.0/24",
            "0.0.0.0/0",
            "10.1.2.3/32",
            "fd00:1::/64",
            "::1/128",
        ] {
            assert_eq!(subnet(text).to_string(), text);
        }
        for (text, expected) in [
            ("", "\"\" is not a range of addresses such as 10.89.0.0/24"),
            (
                "10.0.0.0",
                "\"10.0.0.0\" is not a range of addresses such as 10.89.0.0/24",
            ),
            (
                "10.0.0.0/33",
                "\"10.0.0.0/33\" is not a range of addresses such as 10.89.0.0/24",
            ),
            (
                "10.0.0.0/+8",
                "\"10.0.0.0/+8\" is not a range of addresses such as 10.89.0.0/24",
            ),
            (
                "10.1.2.3/16",
                "\"10.1.2.3/16\" begins in the middle of a range, which should be 10.1.0.0/16",
            ),
        ] {
            let error = text.parse::<Subnet>().unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn machines_have_neither_the_first_nor_the_last_address() {
        let hosts = |text: &str| -> Vec<String> {
            subnet(text)
                .hosts()
                .take(9)
                .map(|ip| ip.to_string())
                .collect()
        };
        assert_eq!(hosts("10.0.0.0/30"), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(hosts("10.0.0.0/32"), [""; 0]);
        assert_eq!(hosts("fd00::/126"), ["fd00::1", "fd00::2", "fd00::3"]);
        let range = subnet("10.0.0.0/24");
        let is_host = |text: &str| range.is_host(text.parse().unwrap());
        assert!(is_host("10.0.0.1") && is_host("10.0.0.254"));
        assert!(!is_host("10.0.0.0") && !is_host("10.0.0.255") && !is_host("10.0.1.1"));
        assert!(!is_host("::1"));
    }

    #[test]
    fn a_new_range_overlaps_none_that_is_taken() {
        assert_eq!(free_ipv4(88, &[]), Some(subnet("10.88.0.0/24")));
        let taken = [
            subnet("10.88.0.0/16"),
            subnet("10.89.0.0/24"),
            subnet("fd00::/8"),
        ];
        assert_eq!(free_ipv4(88, &taken), Some(subnet("10.89.1.0/24")));
        assert_eq!(free_ipv4(88, &[subnet("10.0.0.0/8")]), None);
        let local = unique_local([1, 2, 3, 4, 5, 6, 7]).unwrap();
        assert_eq!(local, subnet("fd01:203:405:607::/64"));
    }

    #[test]
    fn the_hosts_routes_are_read() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\n\
                     eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                     eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\nrubbish\n";
        assert_eq!(routes_ipv4(table), [subnet("192.168.1.0/24")]);
        let table = "fd000000000000000000000000000000 40 0 0 0 0 0 0 eth0\n\
                     00000000000000000000000000000000 00 0 0 0 0 0 0 eth0\n";
        assert_eq!(routes_ipv6(table), [subnet("fd00::/64")]);
    }
}
