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

    /// Whether software for `offered` is what a user who asked for `self` wants.
    ///
    /// Variants count only where both sides name one: an index seldom spells out `v8`.
    #[must_use]
    pub fn accepts(&self, offered: &Self) -> bool {
        let offered = Self::normalized(
            &offered.os,
            &offered.architecture,
            offered.variant.as_deref(),
        );
        let variants_agree = match (&self.variant, &offered.variant) {
            (Some(wanted), Some(offered)) => wanted == offered,
            _ => true,
        };
        self.os == offered.os && self.architecture == offered.architecture && variants_agree
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
    fn an_index_entry_without_variant_is_accepted() {
        let wanted: Platform = "linux/arm64/v8".parse().unwrap();
        let offered = Platform {
            os: "linux".into(),
            architecture: "arm64".into(),
            variant: None,
        };
        assert!(wanted.accepts(&offered));
        let spelled = Platform {
            variant: Some("v8".into()),
            ..offered.clone()
        };
        assert!(wanted.accepts(&spelled));
        let v6 = Platform {
            architecture: "arm".into(),
            variant: Some("v6".into()),
            ..offered
        };
        assert!(!"linux/arm/v7".parse::<Platform>().unwrap().accepts(&v6));
    }
}
