//! Variables and patterns in words.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use super::Shell;
use super::parse::{Piece, Word};

impl Shell {
    /// The value of a variable; empty where it has none.
    pub(super) fn value(&self, name: &str) -> Vec<u8> {
        let text = |number: usize| number.to_string().into_bytes();
        match name {
            "?" => text(self.code.into()),
            "$" => text(usize::try_from(std::process::id()).unwrap_or(0)),
            "#" => text(self.arguments.len().saturating_sub(1)),
            "@" | "*" => {
                let words = self.arguments.iter().skip(1).map(|word| word.as_bytes());
                words.collect::<Vec<_>>().join(&b' ')
            }
            name => {
                if let Ok(number) = name.parse::<usize>() {
                    let word = self.arguments.get(number);
                    return word
                        .map(|word| word.as_bytes().to_vec())
                        .unwrap_or_default();
                }
                let value = self.variables.get(name).or_else(|| self.exported.get(name));
                value
                    .map(|value| value.as_bytes().to_vec())
                    .unwrap_or_default()
            }
        }
    }

    /// A word as it is without splitting: for assignments and files.
    pub(super) fn single(&self, word: &Word) -> OsString {
        let mut bytes = Vec::new();
        for (place, piece) in word.iter().enumerate() {
            match piece {
                Piece::Text {
                    bytes: text,
                    quoted,
                } => {
                    let home = place == 0 && !quoted && is_home(text);
                    if home {
                        bytes.extend(self.value("HOME"));
                    }
                    bytes.extend(text.get(usize::from(home)..).unwrap_or_default());
                }
                Piece::Variable { name, .. } => bytes.extend(self.value(name)),
            }
        }
        OsString::from_vec(bytes)
    }

    /// The fields that a word becomes.
    pub(super) fn fields(&self, word: &Word) -> Vec<OsString> {
        // Patterns: what is quoted has a backslash before each byte.
        let mut fields: Vec<Vec<u8>> = Vec::new();
        let mut open = false;
        for (place, piece) in word.iter().enumerate() {
            match piece {
                Piece::Text { bytes, quoted } => {
                    if !open {
                        fields.push(Vec::new());
                        open = true;
                    }
                    let home = place == 0 && !quoted && is_home(bytes);
                    let Some(field) = fields.last_mut() else {
                        continue;
                    };
                    if home {
                        add(field, &self.value("HOME"), true);
                    }
                    add(
                        field,
                        bytes.get(usize::from(home)..).unwrap_or_default(),
                        *quoted,
                    );
                }
                Piece::Variable { name, quoted: true } => {
                    if !open {
                        fields.push(Vec::new());
                        open = true;
                    }
                    if let Some(field) = fields.last_mut() {
                        add(field, &self.value(name), true);
                    }
                }
                Piece::Variable {
                    name,
                    quoted: false,
                } => {
                    for byte in self.value(name) {
                        if byte.is_ascii_whitespace() {
                            open = false;
                            continue;
                        }
                        if !open {
                            fields.push(Vec::new());
                            open = true;
                        }
                        if let Some(field) = fields.last_mut() {
                            add(field, &[byte], true);
                        }
                    }
                }
            }
        }
        fields.iter().flat_map(|field| paths(field)).collect()
    }
}

fn is_home(text: &[u8]) -> bool {
    matches!(text, [b'~'] | [b'~', b'/', ..])
}

fn add(field: &mut Vec<u8>, bytes: &[u8], quoted: bool) {
    for byte in bytes {
        if quoted {
            field.push(b'\\');
        }
        field.push(*byte);
    }
}

/// What a pattern stands for: paths, or itself where it fits none.
fn paths(pattern: &[u8]) -> Vec<OsString> {
    let plain = OsString::from_vec(unquoted(pattern));
    if !is_pattern(pattern) {
        return vec![plain];
    }
    let absolute = pattern.starts_with(b"/");
    let mut found = vec![PathBuf::from(if absolute { "/" } else { "" })];
    for part in pattern
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty())
    {
        let mut next = Vec::new();
        for parent in found {
            if !is_pattern(part) {
                let path = parent.join(OsString::from_vec(unquoted(part)));
                next.extend(fs::symlink_metadata(&path).is_ok().then_some(path));
                continue;
            }
            let directory = if parent.as_os_str().is_empty() {
                ".".into()
            } else {
                parent.clone()
            };
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let hidden = name.as_bytes().starts_with(b".") && !part.starts_with(b".");
                if !hidden && matches(part, name.as_bytes()) {
                    next.push(parent.join(name));
                }
            }
        }
        found = next;
    }
    found.sort();
    if found.is_empty() {
        return vec![plain];
    }
    found.into_iter().map(PathBuf::into_os_string).collect()
}

fn is_pattern(text: &[u8]) -> bool {
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'*' | b'?' | b'[' => return true,
            _ => {}
        }
    }
    false
}

fn unquoted(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        plain.push(if *byte == b'\\' {
            *bytes.next().unwrap_or(byte)
        } else {
            *byte
        });
    }
    plain
}

/// Whether a pattern of `*`, `?`, `[a-z]` and `\` fits the whole text.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (pattern, text);
    // Where the last star stands, and how much it has taken: only that one needs to be tried again.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        let step = match (p, t) {
            ([], []) => return true,
            ([b'*', rest @ ..], _) => {
                star = Some((rest, t));
                p = rest;
                continue;
            }
            ([b'?', p @ ..], [_, t @ ..]) => Some((p, t)),
            ([b'[', set @ ..], [byte, t @ ..]) => match in_set(set, *byte) {
                Some((true, p)) => Some((p, t)),
                Some((false, _)) => None,
                None => (*byte == b'[').then_some((set, t)),
            },
            ([b'\\', wanted, p @ ..], [byte, t @ ..]) if wanted == byte => Some((p, t)),
            ([wanted, p @ ..], [byte, t @ ..]) if wanted == byte && *wanted != b'\\' => {
                Some((p, t))
            }
            _ => None,
        };
        match (step, star) {
            (Some((next_p, next_t)), _) => (p, t) = (next_p, next_t),
            (None, Some((after, [_, rest @ ..]))) => {
                star = Some((after, rest));
                (p, t) = (after, rest);
            }
            (None, _) => return false,
        }
    }
}

/// Whether a byte is in a set, and what follows the set; nothing where it has no end.
fn in_set(set: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let (negated, set) = match set {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, set),
    };
    // A bracket that comes first is one of the set.
    let end = set.iter().skip(1).position(|byte| *byte == b']')? + 1;
    let (members, rest) = (set.get(..end)?, set.get(end + 1..)?);
    let mut members_left = members;
    let mut found = false;
    while let [first, others @ ..] = members_left {
        members_left = match others {
            [b'-', last, after @ ..] => {
                found |= (*first..=*last).contains(&byte);
                after
            }
            _ => {
                found |= *first == byte;
                others
            }
        };
    }
    Some((found != negated, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::parse::{Parsed, parse};

    #[test]
    fn patterns_fit_whole_names() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abbcd", false),
            ("*.rs", "x.rs", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]", "]", true),
            ("[", "[", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("*a*b*c", "xxaxxbxxc", true),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                fits,
                "{pattern} {text}"
            );
        }
        let long = vec![b'a'; 10_000];
        assert!(!matches(b"*a*a*a*a*a*a*b", &long));
    }

    #[test]
    fn words_become_fields() {
        let mut shell = Shell {
            arguments: vec!["sh".into(), "one".into(), "two".into()],
            ..Shell::default()
        };
        shell.variables.insert("A".to_owned(), " x  y ".into());
        shell.variables.insert("E".to_owned(), "".into());
        shell.variables.insert("STAR".to_owned(), "/*".into());
        let fields = |text: &str| {
            let Ok(Parsed::Lists(list)) = parse(text.as_bytes()) else {
                panic!("{text}")
            };
            let words = list[0].commands[0]
                .words
                .iter()
                .flat_map(|word| shell.fields(word));
            words
                .map(|word| word.into_string().unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            fields("echo $A \"$A\" '$A'"),
            ["echo", "x", "y", " x  y ", "$A"]
        );
        assert_eq!(fields("echo $E \"$E\" ''"), ["echo", "", ""]);
        assert_eq!(fields("echo a$E'b c'\\ d"), ["echo", "ab c d"]);
        assert_eq!(
            fields("echo $1 ${2} $# $3 \"$@\""),
            ["echo", "one", "two", "2", "one two"]
        );
        assert_eq!(
            fields("echo '*' \\? $STAR /pro[c] /no-such*"),
            ["echo", "*", "?", "/*", "/proc", "/no-such*"]
        );
    }
}
