//! Programs that make, move and remove files.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Gid, Timestamps, UTIME_NOW, Uid};

use crate::options::Options;
use crate::{Complaint, Out, Outcome, complain_of, sentence};

/// Does something with each path, and complains about those with which it fails.
fn each(name: &str, paths: &[PathBuf], act: impl Fn(&Path) -> io::Result<()>) -> Outcome {
    let mut code = 0;
    for path in paths {
        if let Err(error) = act(path) {
            complain_of(name, path, &error);
            code = 1;
        }
    }
    Ok(code)
}

/// Where a source goes: into a directory, or in the place of a name.
fn place(source: &Path, target: &Path) -> PathBuf {
    match source.file_name() {
        Some(name) if target.is_dir() => target.join(name),
        _ => target.to_owned(),
    }
}

pub(crate) fn cp(arguments: &[OsString], _: &mut Out) -> Outcome {
    let options = Options::read(arguments, "raRpf", "")?;
    let whole = [b'r', b'a', b'R'].iter().any(|letter| options.has(*letter));
    let keep = options.has(b'a') || options.has(b'p');
    let (sources, target) = options.sources_and_target()?;
    each("cp", &sources, |source| {
        copy(source, &place(source, &target), whole, keep)
    })
}

fn copy(source: &Path, target: &Path, whole: bool, keep: bool) -> io::Result<()> {
    let follow = !whole;
    let metadata = if follow {
        fs::metadata(source)?
    } else {
        fs::symlink_metadata(source)?
    };
    if metadata.is_symlink() {
        symlink(fs::read_link(source)?, target)?;
    } else if metadata.is_dir() {
        if !whole {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if target.starts_with(source) {
            return Err(io::Error::other("it would be copied into itself"));
        }
        match fs::create_dir(target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
        for entry in fs::read_dir(source)? {
            let name = entry?.file_name();
            copy(&source.join(&name), &target.join(&name), whole, keep)?;
        }
        fs::set_permissions(target, metadata.permissions())?;
    } else {
        fs::copy(source, target)?;
    }
    if keep {
        let (uid, gid) = (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()));
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        // Who is not root keeps what can be kept.
        let _ = rustix::fs::chownat(CWD, target, Some(uid), Some(gid), flags);
        let time = |seconds, nanoseconds: i64| rustix::fs::Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds,
        };
        let times = Timestamps {
            last_access: time(metadata.atime(), metadata.atime_nsec()),
            last_modification: time(metadata.mtime(), metadata.mtime_nsec()),
        };
        rustix::fs::utimensat(CWD, target, &times, flags)?;
    }
    Ok(())
}

pub(crate) fn mv(arguments: &[OsString], _: &mut Out) -> Outcome {
    let options = Options::read(arguments, "f", "")?;
    let (sources, target) = options.sources_and_target()?;
    each("mv", &sources, |source| {
        let target = place(source, &target);
        match fs::rename(source, &target) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                copy(source, &target, true, true)?;
                remove(source, true)
            }
            other => other,
        }
    })
}

pub(crate) fn rm(arguments: &[OsString], _: &mut Out) -> Outcome {
    let options = Options::read(arguments, "rRf", "")?;
    let whole = options.has(b'r') || options.has(b'R');
    let force = options.has(b'f');
    if force && options.operands.is_empty() {
        return Ok(0);
    }
    each("rm", &options.paths()?, |path| match remove(path, whole) {
        Err(error) if force && error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    })
}

#[allow(
    clippy::disallowed_methods,
    reason = "this process has the rights of the container's program, and no more"
)]
fn remove(path: &Path, whole: bool) -> io::Result<()> {
    if whole && fs::symlink_metadata(path)?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

pub(crate) fn mkdir(arguments: &[OsString], _: &mut Out) -> Outcome {
    let options = Options::read(arguments, "p", "m")?;
    let mode = match options.value(b'm') {
        Some(text) => octal(&text.to_string_lossy())?,
        None => 0o777,
    };
    each("mkdir", &options.paths()?, |path| {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(options.has(b'p')).mode(mode).create(path)
    })
}

pub(crate) fn rmdir(arguments: &[OsString], _: &mut Out) -> Outcome {
    let options = Options::read(arguments, "", "")?;
    each("rmdir", &options.paths()?, |path| fs::remove_dir(path))
}

pub(crate) fn ln(arguments: &[OsString], _: &mut Out) -> Outcome {
    let options = Options::read(arguments, "sfn", "")?;
    let (sources, target) = options.sources_and_target()?;
    each("ln", &sources, |source| {
        let target = place(source, &target);
        if options.has(b'f') {
            match fs::remove_file(&target) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if options.has(b's') {
            symlink(source, target)
        } else {
            fs::hard_link(source, target)
        }
    })
}

#[allow(clippy::disallowed_methods, reason = "the path is shown, and not used")]
pub(crate) fn readlink(arguments: &[OsString], out: &mut Out) -> Outcome {
    let options = Options::read(arguments, "f", "")?;
    for path in options.paths()? {
        let found = if options.has(b'f') {
            fs::canonicalize(&path)
        } else {
            fs::read_link(&path)
        };
        let found = found.map_err(|error| sentence(&path, &error))?;
        writeln!(out, "{}", found.display())?;
    }
    Ok(0)
}

pub(crate) fn touch(arguments: &[OsString], _: &mut Out) -> Outcome {
    let options = Options::read(arguments, "c", "")?;
    each("touch", &options.paths()?, |path| {
        if !options.has(b'c') {
            fs::File::options().create(true).append(true).open(path)?;
        }
        let now = rustix::fs::Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        };
        let times = Timestamps {
            last_access: now,
            last_modification: now,
        };
        rustix::fs::utimensat(CWD, path, &times, AtFlags::empty()).map_err(io::Error::from)
    })
}

pub(crate) fn chmod(arguments: &[OsString], _: &mut Out) -> Outcome {
    let (mode, paths) = arguments.split_first().ok_or("name a mode")?;
    let mode = octal(&mode.to_string_lossy())?;
    let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
    each("chmod", &paths, |path| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    })
}

fn octal(text: &str) -> Result<u32, Complaint> {
    let mode = u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| format!("{text:?} is not a mode in octal digits").into())
}
