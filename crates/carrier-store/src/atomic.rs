//! Small files that change as a whole.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// Whether a change survives a power cut that follows it at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
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

/// Reads what [`write_json`] wrote; nothing where there is no file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| Error::Damaged {
                path: path.to_owned(),
                source,
            }),
    }
}
