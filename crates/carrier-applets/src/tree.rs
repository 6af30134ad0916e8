//! Looking through directories.

use std::ffi::{OsStr, OsString};
use std::fs::{self, FileType};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use crate::shell::matches;
use crate::{Complaint, Out, Outcome, complain_of};

/// One condition that a file has to meet.
enum Test {
    Name(OsString),
    Kind(u8),
    Newer(std::time::SystemTime),
}

/// `find [PATH...] [-name PATTERN] [-type LETTER] [-newer FILE] [-maxdepth NUMBER]`
pub(crate) fn find(arguments: &[OsString], out: &mut Out) -> Outcome {
    let is_path = |word: &&OsString| !word.as_bytes().starts_with(b"-");
    let mut roots: Vec<PathBuf> = arguments
        .iter()
        .take_while(is_path)
        .map(PathBuf::from)
        .collect();
    let mut words = arguments.iter().skip(roots.len());
    if roots.is_empty() {
        roots.push(".".into());
    }
    let (mut tests, mut depth) = (Vec::new(), usize::MAX);
    while let Some(word) = words.next() {
        if word == "-print" {
            continue;
        }
        let value = words
            .next()
            .ok_or_else(|| format!("{} needs a value", word.display()))?;
        let unknown = || {
            Complaint::Words(format!(
                "{} {} is not known",
                word.display(),
                value.display()
            ))
        };
        match word.as_bytes() {
            b"-name" => tests.push(Test::Name(value.clone())),
            b"-type" => match value.as_bytes() {
                [letter @ (b'f' | b'd' | b'l' | b'c' | b'b' | b'p' | b's')] => {
                    tests.push(Test::Kind(*letter));
                }
                _ => return Err(unknown()),
            },
            b"-newer" => tests.push(Test::Newer(fs::metadata(value)?.modified()?)),
            b"-maxdepth" => depth = value.to_string_lossy().parse().map_err(|_| unknown())?,
            _ => return Err(unknown()),
        }
    }
    let mut code = 0;
    for root in roots {
        walk(
            &root,
            depth,
            &mut |path, kind| {
                if tests.iter().all(|test| test.holds(path, kind)) {
                    out.write_all(path.as_os_str().as_bytes())?;
                    out.write_all(b"\n")?;
                }
                Ok(())
            },
            &mut code,
        )?;
    }
    Ok(code)
}

impl Test {
    fn holds(&self, path: &Path, kind: FileType) -> bool {
        match self {
            Self::Name(pattern) => {
                let name = path.file_name().unwrap_or(path.as_os_str());
                matches(pattern.as_bytes(), name.as_bytes())
            }
            Self::Kind(b'd') => kind.is_dir(),
            Self::Kind(b'l') => kind.is_symlink(),
            Self::Kind(b'c') => kind.is_char_device(),
            Self::Kind(b'b') => kind.is_block_device(),
            Self::Kind(b'p') => kind.is_fifo(),
            Self::Kind(b's') => kind.is_socket(),
            Self::Kind(_) => kind.is_file(),
            Self::Newer(time) => {
                let modified = fs::symlink_metadata(path).and_then(|found| found.modified());
                modified.is_ok_and(|modified| modified > *time)
            }
        }
    }
}

/// Visits a tree, the directories before what is in them; without recursion, however deep it is.
fn walk(
    root: &Path,
    depth: usize,
    visit: &mut impl FnMut(&Path, FileType) -> Result<(), Complaint>,
    code: &mut u8,
) -> Result<(), Complaint> {
    let mut pending = vec![(root.to_owned(), 0)];
    while let Some((path, level)) = pending.pop() {
        let kind = match fs::symlink_metadata(&path) {
            Ok(found) => found.file_type(),
            Err(error) => {
                complain_of("find", &path, &error);
                *code = 1;
                continue;
            }
        };
        visit(&path, kind)?;
        if !kind.is_dir() || level >= depth {
            continue;
        }
        match fs::read_dir(&path) {
            Err(error) => {
                complain_of("find", &path, &error);
                *code = 1;
            }
            Ok(entries) => {
                let mut below: Vec<_> = entries
                    .flatten()
                    .map(|entry| (entry.path(), level + 1))
                    .collect();
                below.sort_by(|one, other| other.cmp(one));
                pending.extend(below);
            }
        }
    }
    Ok(())
}

/// The files in and below what is named, or in the current directory.
pub(crate) fn files_below(operands: &[OsString]) -> Vec<OsString> {
    let here = [OsString::from(".")];
    let roots = if operands.is_empty() { &here } else { operands };
    let mut files = Vec::new();
    for root in roots {
        let mut code = 0;
        let _ = walk(
            Path::new(root),
            usize::MAX,
            &mut |path: &Path, kind| {
                if kind.is_file() {
                    files.push(OsStr::to_owned(path.as_os_str()));
                }
                Ok(())
            },
            &mut code,
        );
    }
    files
}
