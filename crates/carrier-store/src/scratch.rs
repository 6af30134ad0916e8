//! What is written and thrown away.

use std::path::PathBuf;

use crate::error::Error;
use crate::staging::Staged;
use crate::store::Store;

/// Directories for an overlay that nobody keeps, on the file system of the containers. Dropped, they are
/// removed as far as their files allow; a sweep in the user namespace removes the rest.
#[derive(Debug)]
pub struct Scratch(Staged);

impl Store {
    /// Makes them.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn scratch(&self) -> Result<Scratch, Error> {
        let scratch = Scratch(Staged::new(self)?);
        for path in [scratch.upper(), scratch.work(), scratch.merged()] {
            std::fs::create_dir(&path).map_err(Error::io("make", &path))?;
        }
        Ok(scratch)
    }
}

impl Scratch {
    /// What is written.
    #[must_use]
    pub fn upper(&self) -> PathBuf {
        self.0.path.join("upper")
    }

    /// The kernel's scratch space.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.0.path.join("work")
    }

    /// Where a process may mount both.
    #[must_use]
    pub fn merged(&self) -> PathBuf {
        self.0.path.join("merged")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed here is left to a sweep, which the lock keeps away until now.
        let _ = self.0.discard();
    }
}
