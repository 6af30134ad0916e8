//! The keys that part a terminal from a program that goes on: Docker's `--detach-keys`.

use std::str::FromStr;

/// A sequence of keys; an empty one never comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachKeys(Vec<u8>);

/// A word between the commas that names no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a key")]
pub struct UnknownKey(String);

impl Default for DetachKeys {
    /// `ctrl-p,ctrl-q`
    fn default() -> Self {
        Self(vec![16, 17])
    }
}

impl DetachKeys {
    /// Reads what users write: keys with commas between them. A key is a character, `DEL`, or
    /// `ctrl-` with one of `a` to `z` and `@[\]^_`.
    ///
    /// # Errors
    /// [`UnknownKey`]
    pub fn parse(text: &str) -> Result<Self, UnknownKey> {
        if text.is_empty() {
            return Ok(Self::none());
        }
        let keys = text.split(',').map(key);
        keys.collect::<Result<_, _>>().map(Self)
    }

    /// Keys that nobody types.
    #[must_use]
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// What finds the keys among others.
    #[must_use]
    pub fn detector(&self) -> Detector {
        Detector {
            keys: self.0.clone(),
            matched: 0,
        }
    }
}

impl FromStr for DetachKeys {
    type Err = UnknownKey;

    fn from_str(text: &str) -> Result<Self, UnknownKey> {
        Self::parse(text)
    }
}

fn key(word: &str) -> Result<u8, UnknownKey> {
    let unknown = || UnknownKey(word.to_owned());
    match word.as_bytes() {
        [byte] => Ok(*byte),
        b"DEL" => Ok(127),
        [b'c', b't', b'r', b'l', b'-', byte @ (b'a'..=b'z')] => Ok(byte - b'a' + 1),
        [
            b'c',
            b't',
            b'r',
            b'l',
            b'-',
            byte @ (b'@' | b'['..=b'\\' | b']'..=b'_'),
        ] => Ok(byte - b'@'),
        _ => Err(unknown()),
    }
}

/// Looks for the keys in what is typed, however it is cut into pieces.
#[derive(Clone, Debug)]
pub struct Detector {
    keys: Vec<u8>,
    /// How many of the keys were typed and are held back: they may be the beginning of all.
    matched: usize,
}

/// What becomes of typed bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fed {
    /// What is for the program.
    pub pass: Vec<u8>,
    /// All keys were typed: what was typed behind them is for nobody.
    pub detached: bool,
}

impl Detector {
    /// Takes what was typed next.
    pub fn feed(&mut self, bytes: &[u8]) -> Fed {
        let mut fed = Fed {
            pass: Vec::with_capacity(bytes.len() + self.matched),
            detached: false,
        };
        for byte in bytes {
            self.take(*byte, &mut fed.pass);
            if self.matched == self.keys.len() && self.matched > 0 {
                self.matched = 0;
                fed.detached = true;
                return fed;
            }
        }
        fed
    }

    /// What was held back: nothing more is typed.
    pub fn end(&mut self) -> Vec<u8> {
        let held = self.keys.get(..self.matched).unwrap_or_default().to_vec();
        self.matched = 0;
        held
    }

    /// Keeps held back the longest end of what was typed that the keys begin with.
    fn take(&mut self, byte: u8, pass: &mut Vec<u8>) {
        let mut typed = self.end();
        typed.push(byte);
        let fits = |start: &usize| {
            typed
                .get(*start..)
                .is_some_and(|end| self.keys.starts_with(end))
        };
        let start = (0..typed.len()).find(fits).unwrap_or(typed.len());
        self.matched = typed.len() - start;
        pass.extend(typed.drain(..start));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named_as_in_docker() {
        for (text, bytes) in [
            ("ctrl-p,ctrl-q", &[16, 17][..]),
            ("a,ctrl-a,Z", &[97, 1, 90]),
            (
                "ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_",
                &[0, 27, 28, 29, 30, 31],
            ),
            ("DEL", &[127]),
            ("", &[]),
        ] {
            assert_eq!(DetachKeys::parse(text).unwrap().0, bytes, "{text}");
        }
        for text in ["ctrl-", "ctrl-A", "ctrl-1", "ctrl", "a,", ",", "ab", "ä"] {
            assert!(DetachKeys::parse(text).is_err(), "{text:?} was accepted");
        }
        assert_eq!(DetachKeys::default(), "ctrl-p,ctrl-q".parse().unwrap());
    }

    #[test]
    fn the_keys_are_found_however_they_are_cut() {
        let mut whole = DetachKeys::default().detector();
        let fed = whole.feed(b"ls\x10\x11rest");
        assert_eq!((fed.pass.as_slice(), fed.detached), (&b"ls"[..], true));
        let mut pieces = DetachKeys::default().detector();
        assert_eq!(
            pieces.feed(b"x\x10"),
            Fed {
                pass: b"x".to_vec(),
                detached: false
            }
        );
        assert!(pieces.feed(b"\x11").detached);
    }

    #[test]
    fn half_a_sequence_is_for_the_program() {
        let mut detector = DetachKeys::default().detector();
        assert!(detector.feed(b"\x10").pass.is_empty());
        assert_eq!(detector.feed(b"a").pass, b"\x10a");
        assert_eq!(detector.feed(b"\x10\x10").pass, b"\x10");
        assert_eq!(detector.end(), b"\x10");
        assert_eq!(detector.end(), b"");
    }

    #[test]
    fn a_sequence_that_begins_anew_within_itself_is_found() {
        let mut detector = DetachKeys::parse("a,a,b").unwrap().detector();
        let fed = detector.feed(b"xaaab-");
        assert_eq!((fed.pass.as_slice(), fed.detached), (&b"xa"[..], true));
    }

    #[test]
    fn without_keys_everything_is_for_the_program() {
        let mut detector = DetachKeys::parse("").unwrap().detector();
        let fed = detector.feed(b"\x10\x11\x00");
        assert_eq!(
            (fed.pass.as_slice(), fed.detached),
            (&b"\x10\x11\x00"[..], false)
        );
    }
}
