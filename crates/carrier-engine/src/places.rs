//! Where a user's things are, where somebody says something else than the environment.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use carrier_spec::Digest;
use sha2::{Digest as _, Sha256};

use crate::engine::{data_dir, usual_data_dir};
use crate::error::Error;
use crate::host::runtime_dir_path;

/// Set once, before anything is opened; processes that are cloned later have it, too.
static CHOSEN: OnceLock<Places> = OnceLock::new();

/// Two directories, absolute; none where the environment decides.
#[derive(Debug, Default)]
pub struct Places {
    /// The store itself.
    pub root: Option<PathBuf>,
    /// The directory for what dies with a boot: `carrier` is made in it.
    pub runroot: Option<PathBuf>,
}

impl Places {
    /// Makes them those of this process. The first call counts.
    pub fn choose(self) {
        let _ = CHOSEN.set(self);
    }

    /// Whether the root can be a store: it is one, or empty, or not there. What is somebody's home would
    /// be filled with Carrier's things, and emptied by `system reset`.
    #[must_use]
    pub fn is_fit(root: &Path) -> bool {
        let mut entries = std::fs::read_dir(root).into_iter().flatten();
        root.join("oci-layout").exists() || entries.next().is_none()
    }
}

/// The store that was chosen.
pub(crate) fn root() -> Option<&'static Path> {
    CHOSEN.get()?.root.as_deref()
}

/// The directory that was chosen for what dies with a boot.
pub(crate) fn runroot() -> Option<&'static Path> {
    CHOSEN.get()?.runroot.as_deref()
}

/// What tells a store from others that the user has, in a few digits; nothing for the one in its usual
/// place.
pub(crate) fn key() -> Option<String> {
    let root = data_dir().ok()?;
    let usual = usual_data_dir();
    if usual.as_ref() == Some(&root) {
        return None;
    }
    let root = resolved(&root);
    if usual.is_some_and(|usual| resolved(&usual) == root) {
        return None;
    }
    let hash = Sha256::digest(root.as_os_str().as_encoded_bytes());
    Some(Digest::from_sha256(hash.into()).short().to_owned())
}

/// A path without links, of which the end need not be there yet.
fn resolved(path: &Path) -> PathBuf {
    match (path.canonicalize(), path.parent(), path.file_name()) {
        (Err(_), Some(parent), Some(name)) => resolved(parent).join(name),
        (found, ..) => found.unwrap_or_else(|_| path.to_owned()),
    }
}

/// Where the store and the runtime directory are or will be.
///
/// # Errors
/// When the environment says nothing about the store.
pub fn places() -> Result<(PathBuf, PathBuf), Error> {
    Ok((data_dir()?, runtime_dir_path()))
}

/// The options that say the same to another process of Carrier.
pub(crate) fn options() -> Vec<String> {
    let options = [("--root", root()), ("--runroot", runroot())].into_iter();
    let given = options.filter_map(|(name, path)| Some((name, path?)));
    given
        .flat_map(|(name, path)| [name.to_owned(), path.display().to_string()])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_resolved_as_far_as_it_is_there() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path().canonicalize().unwrap();
        std::fs::create_dir(place.join("real")).unwrap();
        std::os::unix::fs::symlink("real", place.join("link")).unwrap();
        for (path, expected) in [
            ("real/store", "real/store"),
            ("link/store/of mine", "real/store/of mine"),
            ("link", "real"),
        ] {
            assert_eq!(resolved(&place.join(path)), place.join(expected), "{path}");
        }
    }
}
