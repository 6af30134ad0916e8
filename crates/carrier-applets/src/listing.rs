//! Programs that show what files are.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::options::Options;
use crate::system::{Accounts, moment};
use crate::{Out, Outcome, complain_of};

pub(crate) fn ls(arguments: &[OsString], out: &mut Out) -> Outcome {
    let options = Options::read(arguments, "laA1dhRrtSin", "")?;
    let mut operands: Vec<PathBuf> = options.operands.iter().map(PathBuf::from).collect();
    if operands.is_empty() {
        operands.push(".".into());
    }
    let accounts = Accounts::read();
    let (mut code, mut files, mut directories) = (0, Vec::new(), Vec::new());
    for path in operands {
        match fs::symlink_metadata(&path) {
            Err(error) => {
                complain_of("ls", &path, &error);
                code = 1;
            }
            Ok(found) => {
                let enters = !options.has(b'd')
                    && (path.is_dir() && (!found.is_symlink() || !options.has(b'l')));
                if enters {
                    directories.push(path);
                } else {
                    files.push((path.clone().into_os_string(), path));
                }
            }
        }
    }
    show(files, &options, &accounts, out)?;
    let titles = directories.len() > 1 || options.has(b'R');
    while !directories.is_empty() {
        let directory = directories.remove(0);
        let entries = match entries(&directory, &options) {
            Ok(entries) => entries,
            Err(error) => {
                complain_of("ls", &directory, &error);
                code = 1;
                continue;
            }
        };
        if titles {
            writeln!(out, "{}:", directory.display())?;
        }
        if options.has(b'R') {
            let below = entries.iter().filter(|(name, path)| {
                let is_own = name == "." || name == "..";
                !is_own && fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
            });
            let below: Vec<PathBuf> = below.map(|(_, path)| path.clone()).collect();
            directories.splice(0..0, below);
        }
        show(entries, &options, &accounts, out)?;
        if titles && !directories.is_empty() {
            writeln!(out)?;
        }
    }
    Ok(code)
}

type Named = (OsString, PathBuf);

fn entries(directory: &Path, options: &Options) -> io::Result<Vec<Named>> {
    let mut entries: Vec<Named> = Vec::new();
    if options.has(b'a') {
        entries.extend([".", ".."].map(|name| (name.into(), directory.join(name))));
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let hidden = entry.file_name().as_bytes().starts_with(b".");
        if !hidden || options.has(b'a') || options.has(b'A') {
            entries.push((entry.file_name(), entry.path()));
        }
    }
    entries.sort();
    let metadata = |entry: &Named| fs::symlink_metadata(&entry.1).ok();
    if options.has(b't') {
        entries.sort_by_key(|entry| std::cmp::Reverse(metadata(entry).map(|found| found.mtime())));
    }
    if options.has(b'S') {
        entries.sort_by_key(|entry| std::cmp::Reverse(metadata(entry).map(|found| found.len())));
    }
    if options.has(b'r') {
        entries.reverse();
    }
    Ok(entries)
}

fn show(
    entries: Vec<Named>,
    options: &Options,
    accounts: &Accounts,
    out: &mut Out,
) -> io::Result<()> {
    if !options.has(b'l') {
        for (name, path) in &entries {
            if options.has(b'i') {
                let inode = fs::symlink_metadata(path).map_or(0, |found| found.ino());
                write!(out, "{inode} ")?;
            }
            out.write_all(name.as_bytes())?;
            out.write_all(b"\n")?;
        }
        return Ok(());
    }
    let mut rows = Vec::new();
    for (name, path) in entries {
        // What is removed meanwhile is not there.
        if let Ok(found) = fs::symlink_metadata(&path) {
            rows.push((row(&found, options, accounts), name, path, found));
        }
    }
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|(cells, ..)| cells.get(column));
        cells.map(String::len).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..6).map(width).collect();
    for (cells, name, path, found) in &rows {
        for (place, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            // Names of users to the left, numbers to the right.
            if matches!(place, 0 | 2 | 3) {
                write!(out, "{cell:<width$} ")?;
            } else {
                write!(out, "{cell:>width$} ")?;
            }
        }
        out.write_all(name.as_bytes())?;
        if found.is_symlink() {
            let target = fs::read_link(path).unwrap_or_default();
            write!(out, " -> {}", target.display())?;
        }
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Mode, links, owner, group, size and time.
fn row(found: &Metadata, options: &Options, accounts: &Accounts) -> Vec<String> {
    let numbers = options.has(b'n');
    let name =
        |name: Option<String>, id: u32| name.filter(|_| !numbers).unwrap_or_else(|| id.to_string());
    let size = if found.file_type().is_char_device() || found.file_type().is_block_device() {
        let device = found.rdev();
        format!(
            "{}, {}",
            rustix::fs::major(device),
            rustix::fs::minor(device)
        )
    } else if options.has(b'h') {
        human(found.len())
    } else {
        found.len().to_string()
    };
    vec![
        mode(found),
        found.nlink().to_string(),
        name(accounts.user(found.uid()), found.uid()),
        name(accounts.group(found.gid()), found.gid()),
        size,
        moment(found.mtime()),
    ]
}

fn mode(found: &Metadata) -> String {
    let kind = found.file_type();
    let kind = [
        (kind.is_dir(), 'd'),
        (kind.is_symlink(), 'l'),
        (kind.is_char_device(), 'c'),
        (kind.is_block_device(), 'b'),
        (kind.is_fifo(), 'p'),
        (kind.is_socket(), 's'),
    ];
    let kind = kind
        .iter()
        .find(|(is, _)| *is)
        .map_or('-', |(_, letter)| *letter);
    let mode = found.mode();
    let mut text = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// Bytes in the largest unit that leaves a whole part.
pub(crate) fn human(bytes: u64) -> String {
    let units = ["", "K", "M", "G", "T", "P"];
    let mut rest = bytes.saturating_mul(10);
    for unit in units {
        if rest < 10_240 {
            let small = rest < 100 && !unit.is_empty();
            return if small {
                format!("{}.{}{unit}", rest / 10, rest % 10)
            } else {
                format!("{}{unit}", rest / 10)
            };
        }
        rest /= 1024;
    }
    format!("{}E", rest / 10)
}

pub(crate) fn stat(arguments: &[OsString], out: &mut Out) -> Outcome {
    let options = Options::read(arguments, "L", "")?;
    let accounts = Accounts::read();
    let mut code = 0;
    for path in options.paths()? {
        let found = if options.has(b'L') {
            fs::metadata(&path)
        } else {
            fs::symlink_metadata(&path)
        };
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                complain_of("stat", &path, &error);
                code = 1;
                continue;
            }
        };
        let name = |name: Option<String>| name.unwrap_or_else(|| "?".to_owned());
        writeln!(out, "  File: {}", path.display())?;
        writeln!(
            out,
            "  Size: {}  Blocks: {}  Inode: {}  Links: {}",
            found.len(),
            found.blocks(),
            found.ino(),
            found.nlink()
        )?;
        writeln!(
            out,
            "Access: {:04o}/{}  Uid: {} ({})  Gid: {} ({})",
            found.mode() & 0o7777,
            mode(&found),
            found.uid(),
            name(accounts.user(found.uid())),
            found.gid(),
            name(accounts.group(found.gid())),
        )?;
        writeln!(out, "Modify: {}", moment(found.mtime()))?;
        writeln!(out, "Change: {}", moment(found.ctime()))?;
    }
    Ok(code)
}

pub(crate) fn du(arguments: &[OsString], out: &mut Out) -> Outcome {
    let options = Options::read(arguments, "sh", "")?;
    let mut operands: Vec<PathBuf> = options.operands.iter().map(PathBuf::from).collect();
    if operands.is_empty() {
        operands.push(".".into());
    }
    for path in operands {
        let mut kibibytes = 0;
        let mut pending = vec![path.clone()];
        while let Some(path) = pending.pop() {
            let Ok(found) = fs::symlink_metadata(&path) else {
                continue;
            };
            kibibytes += found.blocks() / 2;
            if found.is_dir() {
                let entries = fs::read_dir(&path).into_iter().flatten().flatten();
                pending.extend(entries.map(|entry| entry.path()));
            }
        }
        let size = if options.has(b'h') {
            human(kibibytes * 1024)
        } else {
            kibibytes.to_string()
        };
        writeln!(out, "{size}\t{}", path.display())?;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0"),
            (999, "999"),
            (2048, "2.0K"),
            (20_480, "20K"),
            (1 << 30, "1.0G"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}
