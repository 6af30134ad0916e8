//! Making findings right.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{Finding, Remedy};
use crate::error::Error;
use crate::images::is_mark;
use crate::staging::Staged;
use crate::store::{MARK, MARK_TEXT, Store, make_private};
use crate::tree::RemoveError;

/// What became of a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repaired {
    /// It is done; with true, files of other ids are left to a sweep in the user namespace.
    Done(bool),
    /// There is nothing that the store can do.
    Nothing,
}

impl Store {
    /// Makes a finding right, as far as that is possible without fetching anything.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn repair_finding(&self, finding: &Finding) -> Result<Repaired, Error> {
        let path = self.root().join(&finding.path);
        match &finding.remedy {
            Remedy::Fetch => return Ok(Repaired::Nothing),
            Remedy::Remove => return self.take_out(&path).map(Repaired::Done),
            Remedy::RemoveLayer(id) => {
                return self.take_out(&self.layer_path(id)).map(Repaired::Done);
            }
            Remedy::SetMode(mode) => {
                let mode = fs::Permissions::from_mode(*mode);
                fs::set_permissions(&path, mode).map_err(Error::io("change", &path))?;
            }
            Remedy::MakeDirectory => {
                make_private(&path).map_err(Error::io("make", &path))?;
            }
            Remedy::Rewrite if finding.path == Path::new(MARK) => {
                fs::write(&path, MARK_TEXT).map_err(Error::io("write", &path))?;
            }
            Remedy::Rewrite if finding.path.ends_with(crate::volumes::RECORD) => {
                self.rewrite_volume(&path)?;
            }
            Remedy::Rewrite => {
                let _lock = self.lock()?;
                self.refresh_index();
            }
            Remedy::Name(id) => {
                let _names = self.lock_records()?;
                let _ = fs::remove_file(&path);
                std::os::unix::fs::symlink(id, &path).map_err(Error::io("write", &path))?;
            }
            // The parts of the image go with its mark: a sweep of the engine's knows who needs them.
            Remedy::Sweep if is_mark(&path) => return Ok(Repaired::Done(true)),
            Remedy::Sweep => {
                // What is no directory, or closed to us, was not made by a command.
                let _ = fs::set_permissions(&path, fs::Permissions::from_mode(0o700));
                let _ = fs::remove_file(&path);
                return Ok(Repaired::Done(self.sweep()?.foreign > 0));
            }
        }
        Ok(Repaired::Done(false))
    }

    /// Removes whatever is at a path of the store; says whether a sweep has to go on.
    pub(crate) fn take_out(&self, path: &Path) -> Result<bool, Error> {
        let _lock = self.lock()?;
        match fs::remove_file(path) {
            Err(error) if error.kind() == std::io::ErrorKind::IsADirectory => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            other => {
                other.map_err(Error::io("remove", path))?;
                // A name without a record of any platform is no name.
                if let Some(parent) = path.parent().filter(|parent| is_of_images(parent)) {
                    let _ = fs::remove_dir(parent);
                }
                return Ok(false);
            }
        }
        match Staged::take(self, path)?.map_or(Ok(()), |staged| staged.discard()) {
            Ok(()) => Ok(false),
            Err(RemoveError::Foreign { .. }) => Ok(true),
            Err(RemoveError::Io { path, source }) => Err(Error::Io {
                action: "remove",
                path,
                source,
            }),
        }
    }
}

fn is_of_images(directory: &Path) -> bool {
    directory
        .parent()
        .is_some_and(|parent| parent.ends_with("images"))
}
