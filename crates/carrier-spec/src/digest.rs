//! Content addresses, image-spec `descriptor.md`, section "Digests".

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The hash functions that the image specification registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-256, which every implementation must support.
    Sha256,
    /// SHA-512, optional.
    Sha512,
}

impl Algorithm {
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "sha256" => Some(Self::Sha256),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }

    fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// The digest of some bytes, `sha256:<64 lower-case hexadecimal digits>`.
///
/// The text is checked when it is parsed, so that both halves are safe as path components and no
/// other spelling of the same digest exists.
///
/// ```
/// use carrier_spec::Digest;
/// let digest: Digest = format!("sha256:{}", "ab".repeat(32)).parse().unwrap();
/// assert_eq!(digest.short(), "abababababab");
/// assert!("sha256:../../etc/passwd".parse::<Digest>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(Box<str>);

/// Why a text is not a digest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseDigestError {
    /// No `algorithm:` in front.
    #[error("digest {0:?} has no algorithm")]
    NoAlgorithm(String),
    /// Neither `sha256` nor `sha512`.
    #[error("digest {0:?} has an unsupported algorithm")]
    UnsupportedAlgorithm(String),
    /// Wrong length, or a character other than `0-9a-f`.
    #[error("digest {0:?} is not lower-case hexadecimal of the right length")]
    BadEncoding(String),
}

impl Digest {
    /// Names the SHA-256 hash `hash`.
    #[must_use]
    pub fn from_sha256(hash: [u8; 32]) -> Self {
        use fmt::Write as _;
        let mut text = String::with_capacity(7 + 64);
        text.push_str("sha256:");
        for byte in hash {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text.into())
    }

    /// The hash function.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        if self.0.starts_with("sha256:") {
            Algorithm::Sha256
        } else {
            Algorithm::Sha512
        }
    }

    /// The hexadecimal part.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0[7..]
    }

    /// The first twelve hexadecimal digits, as tables show them.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.hex()[..12]
    }

    /// `algorithm:hex`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, hex) = text
            .split_once(':')
            .ok_or_else(|| ParseDigestError::NoAlgorithm(text.to_owned()))?;
        let algorithm = Algorithm::from_name(name)
            .ok_or_else(|| ParseDigestError::UnsupportedAlgorithm(text.to_owned()))?;
        let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if hex.len() != algorithm.hex_len() || !hex.bytes().all(lower_hex) {
            return Err(ParseDigestError::BadEncoding(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for Digest {
    type Error = ParseDigestError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0.into()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! digest_of {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name(pub Digest);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

digest_of! {
    /// The identity of an image: the digest of its configuration.
    ImageId
}
digest_of! {
    /// The identity of one layer's content: the digest of its uncompressed tar stream.
    DiffId
}
digest_of! {
    /// The identity of a stack of layers, image-spec `config.md`, section "Layer ChainID".
    ChainId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_spelling_is_a_digest() {
        let hex = "0123456789abcdef".repeat(4);
        assert!(format!("sha256:{hex}").parse::<Digest>().is_ok());
        assert!(format!("sha512:{hex}{hex}").parse::<Digest>().is_ok());
        for bad in [
            hex.clone(),
            format!("md5:{hex}"),
            format!("SHA256:{hex}"),
            format!("sha256:{}", hex.to_uppercase()),
            format!("sha256:{}", &hex[1..]),
            format!("sha256:{hex}0"),
            format!("sha256:{}\n", &hex[1..]),
            format!("sha256:../{}", &hex[3..]),
            format!("sha256:\0{}", &hex[1..]),
            "sha256:".to_owned(),
            String::new(),
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_digest_survives_json() {
        let digest = Digest::from_sha256([7; 32]);
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(json, format!("\"sha256:{}\"", "07".repeat(32)));
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
        assert!(serde_json::from_str::<Digest>("\"sha256:x\"").is_err());
    }
}
