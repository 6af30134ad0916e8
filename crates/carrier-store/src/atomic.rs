//! Small files that change as a whole.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// Whether a change survives a power cut that follows it at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// For facts that a command has promised.
    Synced,
    /// For facts that die with what they are about.
    Cached,
}

/// Writes `value` as JSON into a file that readers see in its old or new form.
pub(crate) fn write_json<T: Serialize>(
    path: &Path,
    value: &T,
    durability: Durability,
) -> Result<(), Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let write = || {
        let bytes = serde_json::to_vec(value)?;
        let mut file = fs::File::create(&temporary)?;
        file.write_all(&bytes)?;
        if durability == Durability::Synced {
            file.sync_data()?;
        }
        fs::rename(&temporary, path)?;
        if durability == Durability::Synced
            && let Some(parent) = path.parent()
        {
            fs::File::open(parent)?.sync_all()?;
        }
        Ok(())
    };
    write().map_err(|error| {
        // The file may not exist; a full disk is no reason to leave one.
        let _ = fs::remove_file(&temporary);
        Error::io("write", path)(error)
    })
}

/// Writes `value` over the file that is there, which needs no space where that has as much: by one
/// call and within a page, so that readers hardly meet the one half and the other.
pub(crate) fn overwrite_json<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let write = || {
        let mut bytes = serde_json::to_vec(value)?;
        let file = fs::File::options().write(true).open(path)?;
        let length = usize::try_from(file.metadata()?.len()).unwrap_or_default();
        // Space behind a value means nothing.
        bytes.resize(bytes.len().max(length), b' ');
        file.write_all_at(&bytes, 0)
    };
    write().map_err(Error::io("write", path))
}

/// Reads a file that is only ever replaced as a whole into `space`: a short read is its end, and one call
/// is enough for most. A list of a thousand containers is two thousand such files.
fn read_whole(mut file: fs::File, space: &mut Vec<u8>) -> std::io::Result<&[u8]> {
    const MOST: usize = 4096;
    space.resize(space.len().max(MOST), 0);
    let mut count = file.read(space)?;
    if count == space.len() {
        file.read_to_end(space)?;
        count = space.len();
    }
    Ok(space.get(..count).unwrap_or_default())
}

/// Reads what [`write_json`] wrote; nothing where there is no file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let opened = fs::File::open(path);
    parse(opened, &mut Vec::new(), || path.to_owned())
}

/// The same for `path` below a directory that is open; `space` is there for the next file, too.
pub(crate) fn read_json_at<T: DeserializeOwned>(
    (directory, name): (BorrowedFd<'_>, &Path),
    path: &Path,
    space: &mut Vec<u8>,
) -> Result<Option<T>, Error> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(directory, path, flags, Mode::empty());
    let opened = opened.map(Into::into).map_err(Into::into);
    parse(opened, space, || name.join(path))
}

/// Nothing where a power cut has emptied a file that was not synced.
pub(crate) fn unless_emptied<T>(read: Result<Option<T>, Error>) -> Result<Option<T>, Error> {
    match read {
        Err(Error::Damaged { source, .. }) if source.is_eof() => Ok(None),
        other => other,
    }
}

/// The same, where half a value would be damage.
pub(crate) fn unless_empty<T>(read: Result<Option<T>, Error>) -> Result<Option<T>, Error> {
    match read {
        Err(Error::Damaged { source, .. }) if source.is_eof() && source.column() == 0 => Ok(None),
        other => other,
    }
}

fn parse<T: DeserializeOwned>(
    opened: std::io::Result<fs::File>,
    space: &mut Vec<u8>,
    path: impl Fn() -> PathBuf,
) -> Result<Option<T>, Error> {
    match opened.and_then(|file| read_whole(file, space)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path())(error)),
        Ok(bytes) => serde_json::from_slice(bytes)
            .map(Some)
            .map_err(|source| Error::Damaged {
                path: path(),
                source,
            }),
    }
}
