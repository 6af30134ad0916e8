//! Options as POSIX's utility conventions have them.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use crate::Complaint;

/// What was asked for.
#[derive(Debug, Default)]
pub(crate) struct Options {
    flags: Vec<u8>,
    values: Vec<(u8, OsString)>,
    /// The words that are no options.
    pub(crate) operands: Vec<OsString>,
}

impl Options {
    /// Reads `arguments`: letters of `flags` stand alone, those of `valued` have a value.
    pub(crate) fn read(
        arguments: &[OsString],
        flags: &str,
        valued: &str,
    ) -> Result<Self, Complaint> {
        let mut options = Self::default();
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let bytes = word.as_bytes();
            match bytes {
                b"--" => {
                    options.operands.extend(words.cloned());
                    break;
                }
                [b'-', letters @ ..] if !letters.is_empty() => {
                    options.read_letters(letters, flags, valued, &mut words)?;
                }
                _ => options.operands.push(word.clone()),
            }
        }
        Ok(options)
    }

    fn read_letters<'a>(
        &mut self,
        letters: &[u8],
        flags: &str,
        valued: &str,
        words: &mut impl Iterator<Item = &'a OsString>,
    ) -> Result<(), Complaint> {
        for (place, letter) in letters.iter().enumerate() {
            if valued.as_bytes().contains(letter) {
                let rest = letters.get(place + 1..).unwrap_or_default();
                let value = if rest.is_empty() {
                    words.next().cloned()
                } else {
                    Some(OsString::from_vec(rest.to_vec()))
                };
                let missing = || format!("option -{} needs a value", char::from(*letter));
                self.values.push((*letter, value.ok_or_else(missing)?));
                return Ok(());
            }
            if !flags.as_bytes().contains(letter) {
                return Err(format!("there is no option -{}", char::from(*letter)).into());
            }
            self.flags.push(*letter);
        }
        Ok(())
    }

    pub(crate) fn has(&self, letter: u8) -> bool {
        self.flags.contains(&letter)
    }

    pub(crate) fn value(&self, letter: u8) -> Option<&OsString> {
        let mut values = self.values.iter().rev();
        values
            .find(|(known, _)| *known == letter)
            .map(|(_, value)| value)
    }

    /// A value that is a number.
    pub(crate) fn number<T: std::str::FromStr>(&self, letter: u8) -> Result<Option<T>, Complaint> {
        let Some(value) = self.value(letter) else {
            return Ok(None);
        };
        let text = value.to_string_lossy();
        let wrong = || format!("{text:?} is not a number");
        text.parse().map(Some).map_err(|_| wrong().into())
    }

    /// The operands as paths, of which there must be some.
    pub(crate) fn paths(&self) -> Result<Vec<PathBuf>, Complaint> {
        if self.operands.is_empty() {
            return Err("name a file".into());
        }
        Ok(self.operands.iter().map(PathBuf::from).collect())
    }

    /// The operands but the last one, and that.
    pub(crate) fn sources_and_target(&self) -> Result<(Vec<PathBuf>, PathBuf), Complaint> {
        match self.operands.split_last() {
            Some((target, sources)) if !sources.is_empty() => {
                Ok((sources.iter().map(PathBuf::from).collect(), target.into()))
            }
            _ => Err("name what and where to".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Options, Complaint> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        Options::read(&words, "la", "n")
    }

    #[test]
    fn letters_stand_together_or_alone() {
        let options = read(&["-la", "x", "-n5", "--", "-l"]).unwrap();
        assert!(options.has(b'l') && options.has(b'a'));
        assert_eq!(options.number::<u32>(b'n').unwrap(), Some(5));
        assert_eq!(options.operands, ["x", "-l"]);
        assert_eq!(
            read(&["-n", "7"]).unwrap().number::<u8>(b'n').unwrap(),
            Some(7)
        );
        assert!(read(&["-x"]).is_err() && read(&["-n"]).is_err());
        assert!(read(&["-n", "z"]).unwrap().number::<u8>(b'n').is_err());
    }
}
