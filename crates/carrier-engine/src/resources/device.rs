//! Limits of one device: `PATH:VALUE`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{BadResource, size};

/// So many bytes or operations a second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRate {
    /// The device's node on the host.
    pub path: PathBuf,
    /// The rate.
    pub rate: u64,
}

/// A share of the device's time, 10 to 1000; 0 is the container's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceWeight {
    /// The device's node on the host.
    pub path: PathBuf,
    /// The weight.
    pub weight: u16,
}

const RATES: &str = "it looks like /dev/sda:10mb, the device first";
const COUNTS: &str = "it looks like /dev/sda:1000, the device first";
const WEIGHTS: &str = "it looks like /dev/sda:500, the weight from 10 to 1000";

impl DeviceRate {
    /// Reads bytes a second.
    ///
    /// # Errors
    /// When it is not `PATH:SIZE`.
    pub fn bytes(text: &str) -> Result<Self, BadResource> {
        Self::parse(text, RATES, |rate| size(rate).ok())
    }

    /// Reads operations a second.
    ///
    /// # Errors
    /// When it is not `PATH:NUMBER`.
    pub fn operations(text: &str) -> Result<Self, BadResource> {
        Self::parse(text, COUNTS, |rate| rate.parse().ok())
    }

    fn parse(
        text: &str,
        hint: &'static str,
        rate: impl Fn(&str) -> Option<u64>,
    ) -> Result<Self, BadResource> {
        let (path, value) = split(text, hint)?;
        // The kernel takes 0 for an error, and Docker for no limit.
        let rate = rate(value).filter(|rate| *rate > 0);
        let rate =
            rate.ok_or_else(|| BadResource::new(format!("invalid rate for device: {text}"), hint))?;
        Ok(Self { path, rate })
    }
}

impl DeviceWeight {
    /// Reads a weight.
    ///
    /// # Errors
    /// When it is not `PATH:WEIGHT`.
    pub fn parse(text: &str) -> Result<Self, BadResource> {
        let (path, value) = split(text, WEIGHTS)?;
        let weight = value.parse().ok();
        let weight = weight.filter(|weight| *weight == 0 || (10..=1000).contains(weight));
        let weight = weight.ok_or_else(|| {
            BadResource::new(format!("invalid weight for device: {text}"), WEIGHTS)
        })?;
        Ok(Self { path, weight })
    }
}

fn split<'a>(text: &'a str, hint: &'static str) -> Result<(PathBuf, &'a str), BadResource> {
    let parts = text.rsplit_once(':');
    let parts = parts.filter(|(path, _)| Path::new(path).starts_with("/dev"));
    let (path, value) =
        parts.ok_or_else(|| BadResource::new(format!("bad format: {text}"), hint))?;
    Ok((PathBuf::from(path), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_behind_the_device() {
        let rate = |path: &str, rate| DeviceRate {
            path: path.into(),
            rate,
        };
        assert_eq!(
            DeviceRate::bytes("/dev/sda:10mb"),
            Ok(rate("/dev/sda", 10 << 20))
        );
        assert_eq!(
            DeviceRate::operations("/dev/sda:1000"),
            Ok(rate("/dev/sda", 1000))
        );
        for bad in [
            "",
            "/dev/sda",
            "sda:1",
            "/etc/passwd:1",
            "/dev/sda:",
            "/dev/sda:x",
            "/dev/sda:0",
        ] {
            assert!(DeviceRate::bytes(bad).is_err(), "{bad}");
        }
        assert!(DeviceRate::operations("/dev/sda:1k").is_err());
    }

    #[test]
    fn a_weight_has_a_range() {
        assert_eq!(DeviceWeight::parse("/dev/sda:10").unwrap().weight, 10);
        assert_eq!(DeviceWeight::parse("/dev/sda:0").unwrap().weight, 0);
        for bad in ["/dev/sda:9", "/dev/sda:1001", "/dev/sda:-1", "x:10"] {
            assert!(DeviceWeight::parse(bad).is_err(), "{bad}");
        }
    }
}
