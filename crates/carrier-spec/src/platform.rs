//! Platforms, image-spec `image-index.md`, and the spellings that Docker accepts for them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An operating system, a processor architecture in Go's spelling, and perhaps a variant of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`, …
    pub os: String,
    /// `amd64`, `arm64`, …
    pub architecture: String,
    /// `v7`, `v8`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// The distance of what runs as well, but for another architecture: farther than any variant.
const OTHER_ARCHITECTURE: u8 = 100;

/// The highest variant of arm that arm64 has.
const ARM_V8: u8 = 80;

/// A text that is not `OS/ARCH[/VARIANT]`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a platform of the form os/architecture[/variant]")]
pub struct ParsePlatformError(String);

impl Platform {
    /// The platform that this binary was built for.
    #[must_use]
    pub fn host() -> Self {
        Self::normalized("linux", std::env::consts::ARCH, None)
    }

    /// Applies Docker's synonyms: `x86_64` is `amd64`, `aarch64` is `arm64`, and so on.
    fn normalized(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let (architecture, variant) = match (architecture, variant) {
            ("x86_64" | "x86-64" | "amd64", variant) => ("amd64", variant.filter(|v| *v != "v1")),
            ("aarch64" | "arm64", variant) => {
                ("arm64", variant.filter(|v| !matches!(*v, "8" | "v8")))
            }
            ("i386" | "i686" | "x86" | "386", _) => ("386", None),
            ("armhf", _) | ("arm", None | Some("7")) => ("arm", Some("v7")),
            ("armel", _) | ("arm", Some("6")) => ("arm", Some("v6")),
            ("arm", Some("5")) => ("arm", Some("v5")),
            ("powerpc64le", variant) => ("ppc64le", variant),
            other => other,
        };
        Self {
            os: os.to_ascii_lowercase(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        }
    }

    fn normal(&self) -> Self {
        Self::normalized(&self.os, &self.architecture, self.variant.as_deref())
    }

    /// How far software for `offered` is from what a user who asked for `self` wants: nothing where it
    /// does not run there. A processor runs what was made for lower variants, amd64 also 386, and arm64 also arm.
    #[must_use]
    pub fn distance(&self, offered: &Self) -> Option<u8> {
        let (wanted, offered) = (self.normal(), offered.normal());
        if wanted.os != offered.os {
            return None;
        }
        match (wanted.architecture.as_str(), offered.architecture.as_str()) {
            ("amd64", "386") => Some(OTHER_ARCHITECTURE),
            ("arm64", "arm") => {
                let below = ARM_V8.checked_sub(offered.level()?)?;
                Some(OTHER_ARCHITECTURE + below)
            }
            (one, other) if one != other => None,
            _ => match (wanted.level(), offered.level()) {
                (Some(wanted), Some(offered)) => wanted.checked_sub(offered),
                _ if wanted.variant == offered.variant => Some(0),
                // Where nobody says which variants are above which, an index seldom spells one out.
                (None, None) if wanted.variant.is_none() || offered.variant.is_none() => Some(1),
                _ => None,
            },
        }
    }

    /// Whether software for `offered` is what a user who asked for `self` wants: for the same
    /// architecture, and for no higher variant of it.
    #[must_use]
    pub fn accepts(&self, offered: &Self) -> bool {
        self.distance(offered)
            .is_some_and(|distance| distance < OTHER_ARCHITECTURE)
    }

    /// Which variant of an architecture it is whose variants include those below: ten times `8.2`.
    fn level(&self) -> Option<u8> {
        let variant = match (self.architecture.as_str(), self.variant.as_deref()) {
            ("amd64", None) => "v1",
            ("arm64", None) => "v8",
            ("amd64" | "arm64" | "arm", Some(variant)) => variant,
            _ => return None,
        };
        let variant = variant.strip_prefix('v')?;
        let (major, minor) = variant.split_once('.').unwrap_or((variant, "0"));
        match (major.as_bytes(), minor.as_bytes()) {
            ([major @ b'0'..=b'9'], [minor @ b'0'..=b'9']) => {
                Some((major - b'0') * 10 + (minor - b'0'))
            }
            _ => None,
        }
    }

    /// The platform as one path component, `linux-arm64-v8`.
    #[must_use]
    pub fn file_stem(&self) -> String {
        self.to_string().replace('/', "-")
    }
}

impl FromStr for Platform {
    type Err = ParsePlatformError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParsePlatformError(text.to_owned());
        let word = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
                && !part.starts_with('.')
        };
        let lower = text.to_ascii_lowercase();
        let parts: Vec<&str> = lower.split('/').collect();
        if !parts.iter().all(|part| word(part)) {
            return Err(bad());
        }
        match parts.as_slice() {
            // Docker takes a lone word for an operating system or for an architecture.
            ["linux"] => Ok(Self::host()),
            [architecture] => Ok(Self::normalized("linux", architecture, None)),
            [os, architecture] => Ok(Self::normalized(os, architecture, None)),
            [os, architecture, variant] => Ok(Self::normalized(os, architecture, Some(variant))),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> String {
        text.parse::<Platform>()
            .map_or_else(|e| e.to_string(), |p| p.to_string())
    }

    #[test]
    fn synonyms_have_one_spelling() {
        for (typed, meant) in [
            ("linux/x86_64", "linux/amd64"),
            ("LINUX/AMD64", "linux/amd64"),
            ("aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("linux/i386", "linux/386"),
            ("linux/s390x", "linux/s390x"),
        ] {
            assert_eq!(parse(typed), meant, "{typed}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["", "/", "linux/", "a/b/c/d", "linux/../x", "linux/a b"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn lower_variants_run_and_higher_ones_do_not() {
        let platform = |text: &str| {
            let mut parts = text.split('/').map(str::to_owned);
            Platform {
                os: "linux".into(),
                architecture: parts.next().unwrap(),
                variant: parts.next(),
            }
        };
        for (wanted, offered, distance) in [
            ("arm64/v8", "arm64", Some(0)),
            ("arm64", "arm64/v8", Some(0)),
            ("arm64", "arm64/v9", None),
            ("arm64", "arm64/v8.1", None),
            ("arm64/v8.2", "arm64", Some(2)),
            ("arm64/v9", "arm64/v8.5", Some(5)),
            ("arm64", "arm", Some(OTHER_ARCHITECTURE + 10)),
            ("arm64", "arm/v6", Some(OTHER_ARCHITECTURE + 20)),
            ("arm", "arm64", None),
            ("amd64", "amd64/v1", Some(0)),
            ("amd64", "amd64/v2", None),
            ("amd64/v3", "amd64", Some(20)),
            ("amd64/v3", "amd64/v2", Some(10)),
            ("amd64", "386", Some(OTHER_ARCHITECTURE)),
            ("386", "amd64", None),
            ("arm/v7", "arm", Some(0)),
            ("arm/v7", "arm/v6", Some(10)),
            ("arm/v7", "arm/v5", Some(20)),
            ("arm/v6", "arm", None),
            ("ppc64le", "ppc64le/power9", Some(1)),
            ("ppc64le/power8", "ppc64le/power9", None),
            ("s390x", "s390x", Some(0)),
        ] {
            let found = platform(wanted).distance(&platform(offered));
            assert_eq!(found, distance, "{offered} for {wanted}");
        }
        assert!(platform("amd64/v3").accepts(&platform("amd64")));
        assert!(!platform("amd64").accepts(&platform("386")));
    }
}
