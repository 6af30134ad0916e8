//! Programs of others that Carrier starts: where they are, and whether they are to be trusted.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Directories whose programs only root can replace.
const TRUSTED: [&str; 4] = ["/usr/local/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin"];

/// Finds a program in the directories of the system.
///
/// # Errors
/// Why not, in words.
pub(crate) fn find(program: &str) -> Result<PathBuf, String> {
    find_in(TRUSTED.iter().map(PathBuf::from), program)
}

/// The same, then in those of the caller's `PATH`: never in one that depends on where the caller is.
///
/// # Errors
/// Why not, in words.
pub(crate) fn find_also_in_path(program: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = std::env::split_paths(&path).filter(|directory| directory.is_absolute());
    find_in(TRUSTED.iter().map(PathBuf::from).chain(own), program)
}

/// The same in a directory that stands for a host.
pub(crate) fn find_below(root: &Path, program: &str) -> Result<PathBuf, String> {
    let directories = TRUSTED.iter();
    let directories = directories.map(|path| root.join(path.trim_start_matches('/')));
    find_in(directories, program)
}

fn find_in(directories: impl Iterator<Item = PathBuf>, program: &str) -> Result<PathBuf, String> {
    let mut replaceable = None;
    for directory in directories {
        let path = directory.join(program);
        let Ok(found) = fs::metadata(&path) else {
            continue;
        };
        if !found.is_file() || found.mode() & 0o111 == 0 {
            continue;
        }
        if is_trusted(&found) && fs::metadata(&directory).is_ok_and(|place| is_trusted(&place)) {
            return Ok(path);
        }
        replaceable.get_or_insert(path);
    }
    Err(match replaceable {
        Some(path) => format!("{} can be replaced by other users", shown(&path)),
        None => format!("{program} is not installed"),
    })
}

/// Whether nobody but root and the caller can change it.
fn is_trusted(found: &fs::Metadata) -> bool {
    let caller = rustix::process::geteuid().as_raw();
    [0, caller].contains(&found.uid()) && found.mode() & 0o022 == 0
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn program(directory: &Path, mode: u32) {
        let path = directory.join("helper");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_program_that_others_can_replace_is_not_started() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let find = || {
            let directories = [first.path(), second.path()].map(Path::to_owned);
            find_in(directories.into_iter(), "helper")
        };
        assert_eq!(find().unwrap_err(), "helper is not installed");
        program(first.path(), 0o777);
        assert!(
            find()
                .unwrap_err()
                .ends_with("can be replaced by other users")
        );
        program(second.path(), 0o755);
        assert_eq!(find().unwrap(), second.path().join("helper"));
        program(first.path(), 0o755);
        assert_eq!(find().unwrap(), first.path().join("helper"));
        fs::set_permissions(first.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(find().unwrap(), second.path().join("helper"));
    }
}
