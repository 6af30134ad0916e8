//! What GNU tar sees in an archive.

use std::path::Path;
use std::process::Command;

use super::{Seen, hex};

/// What it lists; nothing where it complains.
pub(super) fn list(archive: &Path) -> Option<Vec<Seen>> {
    let listing = run(
        archive,
        &[
            "-tPvv",
            "--quoting-style=c",
            "--numeric-owner",
            "--full-time",
        ],
    )?;
    let listing = String::from_utf8(listing).unwrap();
    Some(listing.lines().map(entry).collect())
}

/// The contents of all files; nothing where it complains.
pub(super) fn contents(archive: &Path) -> Option<Vec<u8>> {
    run(archive, &["-xPO"])
}

fn run(archive: &Path, options: &[&str]) -> Option<Vec<u8>> {
    let mut command = Command::new("tar");
    let command = command
        .args(options)
        .arg("-f")
        .arg(archive)
        .env("LC_ALL", "C");
    let output = command.output().unwrap();
    (output.status.success() && output.stderr.is_empty()).then_some(output.stdout)
}

/// A line like `lrwxrwxrwx 0/0  0 2026-11-25 09:40:16 "a b" -> "target"`.
fn entry(line: &str) -> Seen {
    let quote = line.find('"').unwrap_or(line.len());
    let (front, names) = line.split_at(quote);
    let mut fields = front.split_ascii_whitespace();
    let kind = match fields.next().and_then(|mode| mode.chars().next()) {
        Some('-' | 'C') => "file",
        Some('d') => "directory",
        Some('l') => "symlink",
        Some('h') => "hardlink",
        Some('p') => "fifo",
        Some('b' | 'c') => "device",
        other => panic!("{other:?} in {line:?}"),
    };
    let (name, rest) = unquote(names);
    let (_, link) = rest.split_once('"').unwrap_or(("", ""));
    let link = unquote(&format!("\"{link}")).0;
    let size = fields.nth(1).and_then(|size| size.parse().ok());
    Seen {
        kind: kind.to_owned(),
        name: hex(&name),
        size: if kind == "file" {
            size.unwrap_or(i64::MAX)
        } else {
            0
        },
        link: hex(&link),
        digest: String::new(),
    }
}

/// A string in C's quotes, and what follows it.
fn unquote(text: &str) -> (Vec<u8>, &str) {
    let mut bytes = Vec::new();
    let mut rest = text.strip_prefix('"').unwrap_or(text).bytes().enumerate();
    let at = |index: usize| text.get(index + 2..).unwrap_or("");
    while let Some((index, byte)) = rest.next() {
        match byte {
            b'"' => return (bytes, at(index)),
            b'\\' => {
                let escaped = rest.next().map_or(b'\\', |(_, byte)| byte);
                bytes.push(match escaped {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'a' => 7,
                    b'b' => 8,
                    b'f' => 12,
                    b'r' => b'\r',
                    b'v' => 11,
                    digit @ b'0'..=b'7' => {
                        let mut octal = || rest.next().map_or(0, |(_, byte)| byte - b'0');
                        let (second, third) = (octal(), octal());
                        (digit - b'0') << 6 | second << 3 | third
                    }
                    other => other,
                });
            }
            byte => bytes.push(byte),
        }
    }
    (bytes, "")
}
