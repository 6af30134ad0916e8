//! What identifies a container.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A container's full identifier: 64 lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(Box<str>);

/// A text that is not 64 lower-case hexadecimal digits.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a container id")]
pub struct ParseContainerIdError(String);

impl ContainerId {
    /// Makes the identifier from 32 random bytes.
    #[must_use]
    pub fn from_random(bytes: [u8; 32]) -> Self {
        use fmt::Write as _;
        let mut text = String::with_capacity(64);
        for byte in bytes {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text.into())
    }

    /// All 64 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, as tables and host names show them.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl FromStr for ContainerId {
    type Err = ParseContainerIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if text.len() == 64 && hex {
            Ok(Self(text.into()))
        } else {
            Err(ParseContainerIdError(text.to_owned()))
        }
    }
}

/// A network's name: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, Docker's rule, of at most 128 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NetworkName(Box<str>);

/// A text that breaks the rule for names of networks.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a network name: only [a-zA-Z0-9][a-zA-Z0-9_.-]* of up to 128 bytes is")]
pub struct ParseNetworkNameError(String);

impl NetworkName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NetworkName {
    type Err = ParseNetworkNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if is_name(name) && name.len() <= 128 {
            Ok(Self(name.into()))
        } else {
            Err(ParseNetworkNameError(name.to_owned()))
        }
    }
}

/// Whether a text begins with a letter or a digit and goes on with these, `_`, `.` and `-`.
fn is_name(text: &str) -> bool {
    let starts_well = text
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric());
    let continues = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    starts_well && text.bytes().all(continues)
}

/// A container's name: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, Docker's rule, of at most 128 bytes.
///
/// The rule makes a name safe as a path component, a host name in a table and a word in a shell.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerName(Box<str>);

/// A text that breaks the rule for names.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a container name: only [a-zA-Z0-9][a-zA-Z0-9_.-]+ of up to 128 bytes is")]
pub struct ParseContainerNameError(String);

impl ContainerName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ContainerName {
    type Err = ParseContainerNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Docker tolerates the slash that its API puts in front of names.
        let name = text.strip_prefix('/').unwrap_or(text);
        if is_name(name) && (2..=128).contains(&name.len()) {
            Ok(Self(name.into()))
        } else {
            Err(ParseContainerNameError(text.to_owned()))
        }
    }
}

macro_rules! text_conversions {
    ($name:ident, $error:ident) => {
        impl TryFrom<String> for $name {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_conversions!(ContainerId, ParseContainerIdError);
text_conversions!(ContainerName, ParseContainerNameError);
text_conversions!(NetworkName, ParseNetworkNameError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_dockers_rule() {
        for good in ["web", "a1", "/web", "web.1_x-y", &"n".repeat(128)] {
            assert!(
                good.parse::<ContainerName>().is_ok(),
                "{good:?} was refused"
            );
        }
        for bad in [
            "",
            "a",
            "-web",
            ".web",
            "_web",
            "../x",
            "a/b",
            "a b",
            "a\n",
            "\u{1b}[31m",
            "käse",
            &"n".repeat(129),
        ] {
            assert!(
                bad.parse::<ContainerName>().is_err(),
                "{bad:?} was accepted"
            );
        }
    }

    #[test]
    fn an_id_is_64_lower_case_digits() {
        let id = ContainerId::from_random([0xab; 32]);
        assert_eq!(id.as_str().parse::<ContainerId>().unwrap(), id);
        assert_eq!(id.short(), "abababababab");
        assert!("AB".repeat(32).parse::<ContainerId>().is_err());
        assert!("../".parse::<ContainerId>().is_err());
    }
}
