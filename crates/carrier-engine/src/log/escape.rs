//! Text in a JSON string, escaped as Docker's `json-file` does it.
//!
//! Docker writes each byte that is no UTF-8 as `\ufffd` and forgets it. So does this, but the bytes
//! are kept beside the text: there `\ufffd` in its escaped form stands for such a byte and for
//! nothing else, since the character U+FFFD itself is written as it is.

use memchr::memchr;

const HEX: &[u8; 16] = b"0123456789abcdef";
const REPLACED: &[u8] = br"\ufffd";

/// Appends `text` to `out`, and to `invalid` the bytes that are no UTF-8.
pub(super) fn escape(out: &mut Vec<u8>, text: &[u8], invalid: &mut Vec<u8>) {
    // Most lines are nothing but plain text and a newline.
    if let Some(line) = text.strip_suffix(b"\n")
        && is_plain_ascii(line)
    {
        out.extend_from_slice(line);
        out.extend_from_slice(br"\n");
        return;
    }
    if let Ok(text) = str::from_utf8(text) {
        return escape_valid(out, text.as_bytes());
    }
    for chunk in text.utf8_chunks() {
        escape_valid(out, chunk.valid().as_bytes());
        for byte in chunk.invalid() {
            out.extend_from_slice(REPLACED);
            invalid.push(*byte);
        }
    }
}

fn escape_valid(out: &mut Vec<u8>, mut text: &[u8]) {
    loop {
        let (plain, rest) = text.split_at(plain(text));
        out.extend_from_slice(plain);
        let Some((&byte, behind)) = rest.split_first() else {
            return;
        };
        text = behind;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(br"\n"),
            b'\r' => out.extend_from_slice(br"\r"),
            0xe2 => text = escape_separator(out, behind),
            _ => {
                out.extend_from_slice(br"\u00");
                out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
}

/// Escapes U+2028 and U+2029, which JavaScript takes for ends of lines. Their first byte is behind
/// us.
fn escape_separator<'a>(out: &mut Vec<u8>, text: &'a [u8]) -> &'a [u8] {
    match text {
        [0x80, last @ 0xa8..=0xa9, rest @ ..] => {
            out.extend_from_slice(br"\u202");
            out.push(digit(last & 15));
            rest
        }
        _ => {
            out.push(0xe2);
            text
        }
    }
}

/// The compiler makes vector instructions of a loop over so many bytes, if it has no early way out.
const STEP: usize = 16;

/// How many bytes at the beginning of `text` stand for themselves.
fn plain(text: &[u8]) -> usize {
    let is_plain =
        |step: &&[u8; STEP]| !step.iter().fold(false, |any, byte| any | is_special(*byte));
    let length = STEP * text.as_chunks().0.iter().take_while(is_plain).count();
    let rest = text.get(length..).unwrap_or_default();
    let special = rest.iter().position(|byte| is_special(*byte));
    length + special.unwrap_or(rest.len())
}

/// Whether all of `text` is ASCII that stands for itself.
fn is_plain_ascii(text: &[u8]) -> bool {
    let is_special = |byte: &u8| is_special(*byte) | !byte.is_ascii();
    let is_plain = |step: &[u8; STEP]| !step.iter().fold(false, |any, byte| any | is_special(byte));
    match text.last_chunk() {
        // The last step goes over some of the bytes again, which is faster than one by one.
        Some(last) => text.as_chunks().0.iter().all(is_plain) && is_plain(last),
        None => !text.iter().any(is_special),
    }
}

fn is_special(byte: u8) -> bool {
    // `<`, `>` and `&` are escaped for the sake of pages that show a log.
    (byte < 0x20)
        | (byte == b'"')
        | (byte == b'\\')
        | (byte == b'<')
        | (byte == b'>')
        | (byte == b'&')
        | (byte == 0xe2)
}

fn digit(value: u8) -> u8 {
    HEX[usize::from(value & 15)]
}

/// Appends `bytes` as hexadecimal digits.
pub(super) fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
}

/// Appends what the inside of a JSON string means. `invalid` has, in hexadecimal digits, the bytes
/// that `\ufffd` stands for. False when it is no such string.
pub(super) fn unescape(out: &mut Vec<u8>, mut text: &[u8], invalid: &[u8]) -> bool {
    let mut invalid = invalid.chunks_exact(2);
    while let Some(at) = memchr(b'\\', text) {
        let (plain, escaped) = text.split_at(at);
        out.extend_from_slice(plain);
        let [_, kind, rest @ ..] = escaped else {
            return false;
        };
        text = rest;
        match kind {
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'"' | b'\\' | b'/' => out.push(*kind),
            b'u' => match unit(rest) {
                Some(0xfffd) => {
                    text = &rest[4..];
                    match invalid.next().and_then(byte) {
                        Some(byte) => out.push(byte),
                        None => out.extend_from_slice("\u{fffd}".as_bytes()),
                    }
                }
                Some(first) => text = push_unit(out, first, &rest[4..]),
                None => return false,
            },
            _ => return false,
        }
    }
    out.extend_from_slice(text);
    true
}

/// Appends the character of one or two UTF-16 units, and returns what follows.
fn push_unit<'a>(out: &mut Vec<u8>, first: u16, rest: &'a [u8]) -> &'a [u8] {
    let second = match rest {
        [b'\\', b'u', digits @ ..] => unit(digits),
        _ => None,
    };
    let mut buffer = [0; 4];
    let alone = char::decode_utf16([first]).next();
    let (character, behind) = match (alone, second) {
        (Some(Ok(character)), _) => (character, rest),
        (_, Some(second)) => match char::decode_utf16([first, second]).next() {
            Some(Ok(character)) => (character, &rest[6..]),
            _ => (char::REPLACEMENT_CHARACTER, rest),
        },
        _ => (char::REPLACEMENT_CHARACTER, rest),
    };
    out.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
    behind
}

fn unit(digits: &[u8]) -> Option<u16> {
    let digits = digits.first_chunk::<4>()?;
    digits.iter().try_fold(0, |value, digit| {
        Some(value << 4 | u16::from(nibble(*digit)?))
    })
}

fn byte(digits: &[u8]) -> Option<u8> {
    match digits {
        [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
        _ => None,
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &[u8]) -> (String, Vec<u8>) {
        let (mut out, mut invalid) = (Vec::new(), Vec::new());
        escape(&mut out, text, &mut invalid);
        (String::from_utf8(out).unwrap(), invalid)
    }

    #[test]
    fn text_is_escaped_as_dockers_json_file_does_it() {
        for (text, expected) in [
            (
                &b"plain text, 16 bytes and more\n"[..],
                r"plain text, 16 bytes and more\n",
            ),
            (b"a\"b\\c", r#"a\"b\\c"#),
            (b"\r\t\x08\x1b[0m\x7f", "\\r\\u0009\\u0008\\u001b[0m\x7f"),
            (b"<b>&</b>", r"\u003cb\u003e\u0026\u003c/b\u003e"),
            ("é€😀\u{fffd}".as_bytes(), "é€😀\u{fffd}"),
            (
                "\u{2028}\u{2029}\u{2027}".as_bytes(),
                "\\u2028\\u2029\u{2027}",
            ),
            (b"a\xffb\xe2\x80", r"a\ufffdb\ufffd\ufffd"),
        ] {
            assert_eq!(escaped(text).0, expected);
        }
    }

    #[test]
    fn every_byte_comes_back() {
        let mut text = Vec::new();
        let mut seed = 1_u32;
        for length in 0..400 {
            for _ in 0..length {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                text.push(seed.to_be_bytes()[0]);
            }
            text.extend_from_slice("\u{fffd}\u{2028}\\ufffd\"".as_bytes());
            let (out, invalid) = escaped(&text);
            let mut digits = Vec::new();
            hex(&mut digits, &invalid);
            let mut back = Vec::new();
            assert!(unescape(&mut back, out.as_bytes(), &digits));
            assert_eq!(back, text);
            let json: String = serde_json::from_str(&format!("\"{out}\"")).unwrap();
            // Docker's encoder replaces each byte, as Go does, and not each sequence of them.
            let go: String = text
                .utf8_chunks()
                .map(|chunk| chunk.valid().to_owned() + &"\u{fffd}".repeat(chunk.invalid().len()))
                .collect();
            assert_eq!(json, go, "what other readers see");
            text.clear();
        }
    }

    #[test]
    fn escapes_of_other_writers_are_understood() {
        let mut out = Vec::new();
        assert!(unescape(
            &mut out,
            br"\ud83d\ude00\/\b\f\t\u00E9\ud800x\ufffd",
            b""
        ));
        assert_eq!(out, "😀/\u{8}\u{c}\té\u{fffd}x\u{fffd}".as_bytes());
        for bad in [&br"\"[..], br"\x", br"\u12", br"\u12g4"] {
            assert!(!unescape(&mut Vec::new(), bad, b""));
        }
    }
}
