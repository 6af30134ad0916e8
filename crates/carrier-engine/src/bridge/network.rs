//! What a network of the user is: the desired facts, kept in `networks/NAME.json`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use carrier_spec::NetworkName;
use serde::{Deserialize, Serialize};

use super::subnet::Subnet;
use crate::moment::Moment;

/// The network that containers join who ask for `bridge` and no other name.
pub const DEFAULT_NETWORK: &str = "bridge";

/// Networks that every user has, and what their ids are made of.
const PREDEFINED: [(&str, Driver, &str); 3] = [
    (DEFAULT_NETWORK, Driver::Bridge, "b21d6e00"),
    ("host", Driver::Host, "40570000"),
    ("none", Driver::Null, "00000000"),
];

/// Largest and smallest packets that a device may carry; IPv6 wants 1280 bytes.
const MTU: std::ops::RangeInclusive<u32> = 68..=65_535;

/// One network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: NetworkName,
    /// When it was made.
    pub created: Moment,
    /// What it is made of.
    #[serde(default)]
    pub driver: Driver,
    /// Its addresses: one range of IPv4, of IPv6, or of both.
    pub subnets: Vec<NetworkSubnet>,
    /// Nobody outside can be reached.
    #[serde(default)]
    pub internal: bool,
    /// Containers have addresses of IPv6.
    #[serde(default)]
    pub ipv6: bool,
    /// What Docker's `--attachable` said: all networks here are.
    #[serde(default)]
    pub attachable: bool,
    /// Names of containers mean nothing.
    #[serde(default)]
    pub disable_dns: bool,
    /// What the user says about it.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Options of the driver, as they were given.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// What a network is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// A bridge in the shared namespace.
    #[default]
    Bridge,
    /// The host's devices.
    Host,
    /// Nothing.
    Null,
}

impl Driver {
    /// Docker's word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::Null => "null",
        }
    }
}

/// Addresses of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSubnet {
    /// All of them.
    pub subnet: Subnet,
    /// The way out, and who knows the names.
    pub gateway: IpAddr,
    /// Those that containers get who ask for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Subnet>,
}

/// What the options of the driver mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DriverOptions {
    /// The largest packet, in bytes.
    pub(crate) mtu: Option<u32>,
    /// Containers of the network cannot reach each other.
    pub(crate) is_parted: bool,
}

impl Network {
    /// Whether every user has it.
    #[must_use]
    pub fn is_predefined(&self) -> bool {
        PREDEFINED
            .iter()
            .any(|(name, ..)| self.name.as_str() == *name)
    }

    /// What every user has, as long as nothing else is written down about it.
    pub(crate) fn predefined() -> Vec<Self> {
        let network = |(name, driver, digits): (&str, Driver, &str)| {
            Some(Self {
                id: digits.repeat(64 / digits.len()),
                name: name.parse().ok()?,
                created: Moment::default(),
                driver,
                subnets: Vec::new(),
                internal: false,
                ipv6: false,
                attachable: false,
                disable_dns: false,
                labels: BTreeMap::new(),
                options: BTreeMap::new(),
            })
        };
        PREDEFINED.into_iter().filter_map(network).collect()
    }

    /// Its range of IPv4.
    pub(crate) fn ipv4(&self) -> Option<NetworkSubnet> {
        self.subnets.iter().find(|it| it.subnet.is_ipv4()).copied()
    }

    /// Its range of IPv6.
    pub(crate) fn ipv6(&self) -> Option<NetworkSubnet> {
        self.subnets.iter().find(|it| !it.subnet.is_ipv4()).copied()
    }

    /// The way out of IPv4.
    pub(crate) fn gateway4(&self) -> Option<Ipv4Addr> {
        match self.ipv4()?.gateway {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }
    }

    /// The way out of IPv6.
    pub(crate) fn gateway6(&self) -> Option<Ipv6Addr> {
        match self.ipv6()?.gateway {
            IpAddr::V6(address) => Some(address),
            IpAddr::V4(_) => None,
        }
    }

    /// The first digits of the id, as tables show them.
    #[must_use]
    pub fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }

    /// The options of the driver, which were checked when the network was made.
    pub(crate) fn driver_options(&self) -> DriverOptions {
        let read = DriverOptions::read(&self.options);
        read.unwrap_or_default()
    }
}

impl DriverOptions {
    /// Reads options with Docker's or Podman's names; the error says which makes no sense, and why.
    pub(crate) fn read(options: &BTreeMap<String, String>) -> Result<Self, (String, String)> {
        let mut read = Self::default();
        for (name, value) in options {
            let wrong = |reason: &str| (format!("{name}={value}"), reason.to_owned());
            let truth = || match value.as_str() {
                "true" | "1" => Ok(true),
                "false" | "0" => Ok(false),
                _ => Err(wrong("it is true or false")),
            };
            match name.as_str() {
                "mtu" | "com.docker.network.driver.mtu" => {
                    let bytes = value.parse().ok().filter(|bytes| MTU.contains(bytes));
                    read.mtu = Some(bytes.ok_or_else(|| wrong("it is a number from 68 to 65535"))?);
                }
                "isolate" => {
                    if !truth()? {
                        return Err(wrong("networks are always isolated from each other"));
                    }
                }
                "com.docker.network.bridge.enable_icc" => read.is_parted = !truth()?,
                "com.docker.network.bridge.enable_ip_masquerade" => {
                    if !truth()? {
                        let reason = "without it no answer would find its way back; --internal \
                                      makes a network without a way out";
                        return Err(wrong(reason));
                    }
                }
                _ => {
                    let known = "known are mtu, isolate, com.docker.network.driver.mtu, \
                                 com.docker.network.bridge.enable_icc and \
                                 com.docker.network.bridge.enable_ip_masquerade";
                    return Err(wrong(known));
                }
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_the_names_of_docker_and_podman() {
        let read = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            let owned = pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            DriverOptions::read(&owned.collect())
        };
        let mtu = |mtu| DriverOptions {
            mtu: Some(mtu),
            is_parted: false,
        };
        assert_eq!(read(&[("mtu", "1400")]), Ok(mtu(1400)));
        assert_eq!(
            read(&[("com.docker.network.driver.mtu", "9000")]),
            Ok(mtu(9000))
        );
        assert_eq!(read(&[("isolate", "true")]), Ok(DriverOptions::default()));
        let parted = read(&[("com.docker.network.bridge.enable_icc", "false")]).unwrap();
        assert!(parted.is_parted);
        for wrong in [
            ("mtu", "many"),
            ("mtu", "67"),
            ("isolate", "false"),
            ("isolate", "perhaps"),
            ("vlan", "7"),
        ] {
            assert!(read(&[wrong]).is_err(), "{wrong:?} was taken");
        }
    }
}
