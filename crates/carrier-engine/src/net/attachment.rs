//! How a container is connected to a network of the user.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One connection of a container to a network of the user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// The network's name, as it was when the container was made.
    pub network: String,
    /// The network's id; empty in what a user asks for.
    pub id: String,
    /// The address that the container wants, else any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<Ipv4Addr>,
    /// The same for IPv6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip6: Option<Ipv6Addr>,
    /// The address of its device, else any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddress>,
    /// Further names of the container on this network.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The name of its device, else `eth` and a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
}

impl Attachment {
    /// Reads Docker's long spelling, `name=NETWORK[,KEY=VALUE]`; nothing of another one.
    pub(super) fn parse_long(text: &str) -> Option<Result<Self, String>> {
        let (key, _) = text.split_once('=')?;
        if key.contains(':') {
            return None;
        }
        let (names, others): (Vec<&str>, Vec<&str>) = text
            .split(',')
            .partition(|option| option.starts_with("name="));
        let [name] = names.as_slice() else {
            return Some(Err("one name= is wanted".to_owned()));
        };
        let name = name.trim_start_matches("name=");
        // The names that the same options have there.
        let others = others.iter().map(|option| {
            let short = option.strip_prefix("driver-opt=com.docker.network.endpoint.ifname=");
            short.map_or_else(
                || (*option).to_owned(),
                |name| format!("interface_name={name}"),
            )
        });
        let others: Vec<String> = others.collect();
        Some(Self::parse(name, &others.join(",")))
    }

    /// Reads `KEY=VALUE[,KEY=VALUE]` behind the name of a network.
    ///
    /// # Errors
    /// What makes no sense, in words.
    pub(super) fn parse(network: &str, options: &str) -> Result<Self, String> {
        if network.starts_with('-') {
            return Err("a name begins with a letter or a digit".to_owned());
        }
        let mut attachment = Self {
            network: network.to_owned(),
            ..Self::default()
        };
        for option in options.split(',').filter(|option| !option.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            let wrong = |_| format!("{option:?} makes no sense");
            match key {
                "ip" => match value.parse() {
                    Ok(IpAddr::V4(ip)) => attachment.ip = Some(ip),
                    Ok(IpAddr::V6(ip)) => attachment.ip6 = Some(ip),
                    Err(_) => return Err(format!("{option:?} is no address")),
                },
                "ip6" => attachment.ip6 = Some(value.parse().map_err(|_| wrong(()))?),
                "mac" | "mac-address" => {
                    attachment.mac = Some(value.parse().map_err(|_| wrong(()))?);
                }
                "alias" if !value.is_empty() => attachment.aliases.push(value.to_owned()),
                "interface_name" if is_device_name(value) => {
                    attachment.interface = Some(value.to_owned());
                }
                _ => return Err(wrong(())),
            }
        }
        Ok(attachment)
    }
}

/// What the kernel takes as the name of a device.
fn is_device_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=15).contains(&text.len()) && text.bytes().all(plain) && !matches!(text, "." | ".." | "lo")
}

/// The address of a network device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress(pub [u8; 6]);

/// A text that is no address of a device.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a MAC address of one device")]
pub struct ParseMacAddressError(String);

impl FromStr for MacAddress {
    type Err = ParseMacAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseMacAddressError(text.to_owned());
        let mut words = text.split([':', '-']);
        let mut bytes = [0; 6];
        for byte in &mut bytes {
            let word = words.next().filter(|word| word.len() == 2);
            let digits = word.filter(|word| word.bytes().all(|byte| byte.is_ascii_hexdigit()));
            let number = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            *byte = number.ok_or_else(wrong)?;
        }
        let is_group = bytes[0] & 1 == 1;
        if words.next().is_some() || is_group || bytes == [0; 6] {
            return Err(wrong());
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl TryFrom<String> for MacAddress {
    type Error = ParseMacAddressError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(address: MacAddress) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_an_address_of_its_own() {
        for text in ["92:d0:c6:0a:29:33", "02-42-AC-11-00-02"] {
            let address: MacAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), text.to_lowercase().replace('-', ":"));
        }
        for wrong in [
            "",
            "92:d0:c6:0a:29",
            "92:d0:c6:0a:29:33:44",
            "9:d0:c6:0a:29:33",
            "+2:d0:c6:0a:29:33",
            "01:00:5e:00:00:01",
            "ff:ff:ff:ff:ff:ff",
            "00:00:00:00:00:00",
        ] {
            assert!(wrong.parse::<MacAddress>().is_err(), "{wrong:?} was taken");
        }
    }
}
