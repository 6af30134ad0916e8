//! Directories: what is in them, and how they go away.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cx::owns_everything;

/// Names in a directory, sorted; none where there is no directory.
pub(crate) fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort_unstable();
    paths
}

pub(crate) fn has_entries(directory: &Path) -> bool {
    !entries(directory).is_empty()
}

/// Removes a tree whose files may belong to subordinate ids, and have any mode.
pub(crate) fn remove(path: &Path) {
    let mut command = if owns_everything() {
        Command::new("rm")
    } else {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--map-auto", "rm"]);
        command
    };
    let status = command.args(["-r", "-f", "--"]).arg(path).status();
    let removed = status.is_ok_and(|status| status.success());
    assert!(removed || std::thread::panicking(), "cannot remove {}", path.display());
}

/// Removes what earlier runs have left in `directory` with names that begin with `prefix`. Programs
/// that are being executed stay alive without their names.
pub(crate) fn remove_older(directory: &Path, prefix: &str) {
    let named = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(prefix) && path.is_dir()
    };
    entries(directory).iter().filter(|path| named(path)).for_each(|path| remove(path));
}
