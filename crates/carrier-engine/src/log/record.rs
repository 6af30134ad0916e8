//! One record: a line that a container wrote, or a part of one.
//!
//! `{"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.123456789Z"}`
//!
//! Text without `\n` at its end is a part of a line that goes on in the next record of its stream.
//! Where the text has bytes that are no UTF-8, `"bytes"` behind the stream has them in hexadecimal
//! digits; other readers see U+FFFD and skip the field.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::escape::{escape, hex, unescape};
use super::stamp;

/// Where a container wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, and what a terminal shows.
    Stdout,
    /// Standard error.
    Stderr,
}

const HEAD: &[u8] = br#"{"log":""#;
const STDOUT: &[u8] = br#"","stream":"stdout""#;
const STDERR: &[u8] = br#"","stream":"stderr""#;
const BYTES: &[u8] = br#","bytes":""#;
const TIME: &[u8] = br#","time":""#;
const TAIL: &[u8] = br#""}"#;

/// Appends a record and the end of its line. `scratch` is for its use.
pub(super) fn encode(
    out: &mut Vec<u8>,
    stream: Stream,
    text: &[u8],
    time: &[u8; stamp::LENGTH],
    scratch: &mut Vec<u8>,
) {
    scratch.clear();
    out.extend_from_slice(HEAD);
    escape(out, text, scratch);
    out.extend_from_slice(match stream {
        Stream::Stdout => STDOUT,
        Stream::Stderr => STDERR,
    });
    if !scratch.is_empty() {
        out.extend_from_slice(BYTES);
        hex(out, scratch);
        out.push(b'"');
    }
    out.extend_from_slice(TIME);
    out.extend_from_slice(time);
    out.extend_from_slice(TAIL);
    out.push(b'\n');
}

/// A record that was read.
#[derive(Debug)]
pub struct LogRecord<'a> {
    /// Where the container wrote it to.
    pub stream: Stream,
    /// When, as it stands in the file: RFC 3339.
    pub time: &'a str,
    /// What, to the byte. Without a newline at its end it is a part of a line.
    pub text: &'a [u8],
    /// What else a writer noted, as `docker logs --details` shows it.
    pub attributes: BTreeMap<String, String>,
}

/// Reads one line of a log; nothing when it is no record. `scratch` will hold the text.
pub(super) fn decode<'a>(line: &'a [u8], scratch: &'a mut Vec<u8>) -> Option<LogRecord<'a>> {
    scratch.clear();
    match split(line) {
        Some(parts) => unescape(scratch, parts.text, parts.bytes).then_some(LogRecord {
            stream: parts.stream,
            time: parts.time,
            text: scratch,
            attributes: BTreeMap::new(),
        }),
        None => decode_foreign(line, scratch),
    }
}

struct Parts<'a> {
    text: &'a [u8],
    stream: Stream,
    bytes: &'a [u8],
    time: &'a str,
}

/// Takes a record of [`encode`] apart from its end, where all has its place. A quotation mark in the
/// text has a backslash before it, so that no text can look like what follows it.
fn split(line: &[u8]) -> Option<Parts<'_>> {
    let line = line.strip_prefix(HEAD)?.strip_suffix(TAIL)?;
    let (line, time) = line.split_at_checked(line.len().checked_sub(stamp::LENGTH)?)?;
    let line = line.strip_suffix(TIME)?;
    let (line, bytes) = match line.strip_suffix(b"\"") {
        Some(inner) if !line.ends_with(b"out\"") && !line.ends_with(b"err\"") => {
            let digits = inner
                .iter()
                .rev()
                .take_while(|byte| byte.is_ascii_hexdigit());
            let (line, bytes) = inner.split_at(inner.len() - digits.count());
            (line.strip_suffix(BYTES)?, bytes)
        }
        _ => (line, &b""[..]),
    };
    let (text, stream) = match line.strip_suffix(STDOUT) {
        Some(text) => (text, Stream::Stdout),
        None => (line.strip_suffix(STDERR)?, Stream::Stderr),
    };
    let time = str::from_utf8(time).ok()?;
    Some(Parts {
        text,
        stream,
        bytes,
        time,
    })
}

/// A record as Docker and others may write it.
#[derive(Deserialize)]
struct Foreign<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    #[serde(borrow, default)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: &'a str,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
}

fn decode_foreign<'a>(line: &'a [u8], scratch: &'a mut Vec<u8>) -> Option<LogRecord<'a>> {
    let record: Foreign<'a> = serde_json::from_slice(line).ok()?;
    scratch.extend_from_slice(record.log.as_bytes());
    Some(LogRecord {
        stream: if record.stream == "stderr" {
            Stream::Stderr
        } else {
            Stream::Stdout
        },
        time: record.time,
        text: scratch,
        attributes: record.attrs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &[u8; stamp::LENGTH] = b"2026-01-02T03:04:05.123456789Z";

    fn encoded(stream: Stream, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out, stream, text, NOW, &mut Vec::new());
        assert_eq!(out.pop(), Some(b'\n'));
        out
    }

    #[test]
    fn records_are_those_of_docker() {
        assert_eq!(
            String::from_utf8(encoded(Stream::Stderr, b"it's \"on\"\n")).unwrap(),
            r#"{"log":"it's \"on\"\n","stream":"stderr","time":"2026-01-02T03:04:05.123456789Z"}"#
        );
        let line = encoded(Stream::Stdout, b"\xff\x00\x80");
        assert_eq!(
            String::from_utf8(line).unwrap(),
            r#"{"log":"\ufffd\u0000\ufffd","stream":"stdout","bytes":"ff80","time":"2026-01-02T03:04:05.123456789Z"}"#
        );
    }

    #[test]
    fn a_container_cannot_forge_a_record() {
        for text in [
            &br#"","stream":"stderr","time":"1970-01-01T00:00:00.000000000Z"}"#[..],
            b"{\"log\":\"x\\n\",\"stream\":\"stderr\",\"time\":\"\"}\n",
            br#"\","stream":"stderr"#,
            br#"x","stream":"stdout","bytes":"ff"#,
            b"\r\x1b[2K\x00\xe2\x80\xa8\n",
            b"\xff\",\"bytes\":\"00\"",
            b"\\",
            b"",
        ] {
            for stream in [Stream::Stdout, Stream::Stderr] {
                let line = encoded(stream, text);
                assert!(!line.contains(&b'\n'));
                let mut scratch = Vec::new();
                let record = decode(&line, &mut scratch).unwrap();
                assert_eq!((record.stream, record.text), (stream, text));
                assert_eq!(record.time.as_bytes(), NOW);
                let json: serde_json::Value = serde_json::from_slice(&line).unwrap();
                let name = if stream == Stream::Stdout {
                    "stdout"
                } else {
                    "stderr"
                };
                assert_eq!(json["stream"], name);
            }
        }
    }

    #[test]
    fn records_of_docker_itself_are_read() {
        let line = br#"{"log":"a\tb\n","stream":"stderr","attrs":{"tag":"web"},"time":"2026-01-02T03:04:05.12Z"}"#;
        let mut scratch = Vec::new();
        let record = decode(line, &mut scratch).unwrap();
        assert_eq!(record.text, b"a\tb\n");
        assert_eq!(record.time, "2026-01-02T03:04:05.12Z");
        assert_eq!(record.attributes["tag"], "web");
    }

    #[test]
    fn what_is_no_record_is_none() {
        for line in [
            &b""[..],
            b"{",
            b"null",
            b"\0\0\0",
            br#"{"log":"half"#,
            br#"{"log":"a"}"#,
        ] {
            assert!(decode(line, &mut Vec::new()).is_none());
        }
    }
}
