//! What identifies a volume.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A volume's name: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, Docker's rule, of at most 255 bytes: what a file
/// system takes for one name.
///
/// The rule makes a name safe as a path component.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VolumeName(Box<str>);

/// A text that breaks the rule for names. The words are Docker's.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseVolumeNameError {
    /// Less than two bytes.
    #[error("volume name is too short, names should be at least two alphanumeric characters")]
    TooShort,
    /// More than a file system takes.
    #[error("volume name {0:?} is longer than 255 bytes")]
    TooLong(String),
    /// Something that is no name.
    #[error(
        "{0:?} includes invalid characters for a local volume name, only \
         \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed"
    )]
    Malformed(String),
}

impl VolumeName {
    const MAX: usize = 255;

    /// The name of a volume that nobody named: 64 hexadecimal digits, made from 32 random bytes.
    #[must_use]
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(String::from(crate::ContainerId::from_random(bytes)).into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VolumeName {
    type Err = ParseVolumeNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let letter = |byte: u8| byte.is_ascii_alphanumeric();
        let starts_well = name.bytes().next().is_some_and(letter);
        let goes_on = |byte: u8| letter(byte) || matches!(byte, b'_' | b'.' | b'-');
        match name.len() {
            0 | 1 => Err(ParseVolumeNameError::TooShort),
            _ if !starts_well || !name.bytes().all(goes_on) => {
                Err(ParseVolumeNameError::Malformed(name.to_owned()))
            }
            length if length > Self::MAX => Err(ParseVolumeNameError::TooLong(name.to_owned())),
            _ => Ok(Self(name.into())),
        }
    }
}

impl TryFrom<String> for VolumeName {
    type Error = ParseVolumeNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<VolumeName> for String {
    fn from(name: VolumeName) -> Self {
        name.0.into()
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_dockers_rule() {
        for good in ["data", "a1", "pg.data_1-x", &"n".repeat(255)] {
            assert!(good.parse::<VolumeName>().is_ok(), "{good:?} was refused");
        }
        for bad in [
            "",
            "a",
            "-x",
            ".x",
            "_x",
            "..",
            "../x",
            "a/b",
            "a b",
            "x\n",
            "käse",
            &"n".repeat(256),
        ] {
            assert!(bad.parse::<VolumeName>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_name_that_nobody_chose_is_a_name() {
        let name = VolumeName::from_random([7; 32]);
        assert_eq!(name.as_str().len(), 64);
        assert_eq!(name.as_str().parse::<VolumeName>().unwrap(), name);
    }
}
