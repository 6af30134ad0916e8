//! Which address a container gets: pure.

use std::net::IpAddr;

use super::error::BridgeError;
use super::network::NetworkSubnet;
use crate::net::MacAddress;

/// An address of `subnet` that is nobody's: `wanted`, or the first that is free. `owner` tells whose an
/// address is.
pub(super) fn choose(
    network: &str,
    subnet: &NetworkSubnet,
    wanted: Option<IpAddr>,
    owner: impl Fn(IpAddr) -> Option<String>,
) -> Result<IpAddr, BridgeError> {
    let gateway = |address| (address == subnet.gateway).then(|| "the gateway".to_owned());
    let owner = |address| gateway(address).or_else(|| owner(address));
    if let Some(address) = wanted {
        if !subnet.subnet.is_host(address) {
            return Err(BridgeError::Outside {
                what: "address",
                address: address.to_string(),
            });
        }
        return match owner(address) {
            None => Ok(address),
            Some(by) => Err(BridgeError::AddressInUse {
                address,
                network: network.to_owned(),
                by,
            }),
        };
    }
    let range = subnet.range.unwrap_or(subnet.subnet);
    let is_free = |address: &IpAddr| subnet.subnet.is_host(*address) && owner(*address).is_none();
    let free = range.addresses().find(is_free);
    free.ok_or_else(|| BridgeError::NoFreeAddress(network.to_owned()))
}

/// The address of the device that has `address`: the same whenever that is given, so that neighbours
/// who remember it are right. Its first two bytes are Docker's.
pub(super) fn mac_of(address: IpAddr) -> MacAddress {
    let [a, b, c, d] = match address {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(address) => {
            let [.., a, b, c, d] = address.octets();
            [a, b, c, d]
        }
    };
    MacAddress([0x02, 0x42, a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(range: Option<&str>) -> NetworkSubnet {
        NetworkSubnet {
            subnet: "10.0.0.0/29".parse().unwrap(),
            gateway: "10.0.0.1".parse().unwrap(),
            range: range.map(|range| range.parse().unwrap()),
        }
    }

    fn chosen(range: Option<&str>, wanted: Option<&str>, taken: &[&str]) -> String {
        let wanted = wanted.map(|address| address.parse().unwrap());
        let owner = |address: IpAddr| {
            let taken = taken.contains(&address.to_string().as_str());
            taken.then(|| "db".to_owned())
        };
        match choose("web", &subnet(range), wanted, owner) {
            Ok(address) => address.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_first_free_address_is_given() {
        assert_eq!(chosen(None, None, &[]), "10.0.0.2");
        assert_eq!(chosen(None, None, &["10.0.0.2", "10.0.0.3"]), "10.0.0.4");
        assert_eq!(chosen(Some("10.0.0.4/30"), None, &[]), "10.0.0.4");
        let all = ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"];
        assert_eq!(
            chosen(None, None, &all),
            "network web has no free address left"
        );
    }

    #[test]
    fn an_address_that_is_asked_for_must_be_free() {
        assert_eq!(chosen(None, Some("10.0.0.6"), &[]), "10.0.0.6");
        for (wanted, expected) in [
            (
                "10.0.0.6",
                "address 10.0.0.6 is already in use on network web by db",
            ),
            (
                "10.0.0.1",
                "address 10.0.0.1 is already in use on network web by the gateway",
            ),
            (
                "10.0.0.7",
                "address 10.0.0.7 is not in a subnet of the network",
            ),
            (
                "10.0.1.2",
                "address 10.0.1.2 is not in a subnet of the network",
            ),
        ] {
            assert_eq!(chosen(None, Some(wanted), &["10.0.0.6"]), expected);
        }
    }

    #[test]
    fn an_address_has_one_device() {
        let mac = |text: &str| mac_of(text.parse().unwrap()).to_string();
        assert_eq!(mac("10.89.0.2"), "02:42:0a:59:00:02");
        assert_eq!(mac("fd00::1:2"), "02:42:00:01:00:02");
    }
}
