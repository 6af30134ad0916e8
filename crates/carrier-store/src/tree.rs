//! Removing trees that somebody hostile may have made.
//!
//! Every step is relative to a descriptor and follows no link, and no depth of the tree costs
//! memory or descriptors: a directory that is not empty is first moved up beside its root, and
//! emptied there (threat: CVE-2022-21658 and its relatives).

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Why a tree is still there, at least in part.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// Some files belong to ids that only the caller's user namespace may touch.
    #[error("{path} belongs to another id")]
    Foreign {
        /// The first such file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot remove {path}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Removes `name` below `parent` with all that is in it. What does not exist is removed already.
///
/// # Errors
/// [`RemoveError::Foreign`] when another user namespace is needed, else [`RemoveError::Io`].
pub fn remove(parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), RemoveError> {
    use std::os::unix::ffi::OsStrExt as _;
    let name = CString::new(name.as_bytes()).map_err(|_| io_error(c"?", Errno::INVAL))?;
    let Some(root) = open_or_unlink(parent, &name)? else {
        return Ok(());
    };
    empty(root.as_fd())?;
    match rustix::fs::unlinkat(parent, &name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(error(&name, errno)),
    }
}

/// Removes everything in `root`, but not the directory itself.
///
/// # Errors
/// As [`remove`].
pub fn empty(root: BorrowedFd<'_>) -> Result<(), RemoveError> {
    let mut moved: u64 = 0;
    loop {
        // What a pass moves up to the root, the next one finds there.
        let left = empty_once(root, root, &mut moved)?;
        if left == 0 {
            return Ok(());
        }
    }
}

/// Deletes the entries of `directory`, moving full directories to `root`; returns how many entries
/// it came across.
fn empty_once(
    root: BorrowedFd<'_>,
    directory: BorrowedFd<'_>,
    moved: &mut u64,
) -> Result<usize, RemoveError> {
    let names = names(directory).map_err(|errno| error(c".", errno))?;
    for name in &names {
        let Some(child) = open_or_unlink(directory, name)? else {
            continue;
        };
        if rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR).is_ok() {
            continue;
        }
        hoist_children(root, child.as_fd(), moved)?;
        match rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR) {
            // A name that appeared meanwhile is found by the next pass.
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY) => {}
            Err(errno) => return Err(error(name, errno)),
        }
    }
    Ok(names.len())
}

/// Deletes what is in `directory`; directories in it are moved to `root` with new names.
fn hoist_children(
    root: BorrowedFd<'_>,
    directory: BorrowedFd<'_>,
    moved: &mut u64,
) -> Result<(), RemoveError> {
    for name in names(directory).map_err(|errno| error(c".", errno))? {
        let Some(_child) = open_or_unlink(directory, &name)? else {
            continue;
        };
        if rustix::fs::unlinkat(directory, &name, AtFlags::REMOVEDIR).is_ok() {
            continue;
        }
        loop {
            *moved += 1;
            let place = format!(".carrier-removed-{moved}");
            let flags = rustix::fs::RenameFlags::NOREPLACE;
            match rustix::fs::renameat_with(directory, &name, root, &place, flags) {
                Err(Errno::EXIST) => {}
                Ok(()) | Err(Errno::NOENT) => break,
                Err(errno) => return Err(error(&name, errno)),
            }
        }
    }
    Ok(())
}

/// The names in a directory, or the first million: the next pass finds the others.
fn names(directory: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
    const MOST: usize = 1 << 20;
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
        if names.len() == MOST {
            break;
        }
    }
    Ok(names)
}

/// Opens `name` when it is a directory, after making it accessible; deletes it when it is not.
fn open_or_unlink(directory: BorrowedFd<'_>, name: &CStr) -> Result<Option<OwnedFd>, RemoveError> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(None),
        Err(Errno::ISDIR) => {}
        Err(errno) => return Err(error(name, errno)),
    }
    match open(directory, name) {
        Err(Errno::ACCESS) => {
            make_accessible(directory, name)?;
            open(directory, name)
                .map(Some)
                .map_err(|errno| error(name, errno))
        }
        Err(Errno::NOENT) => Ok(None),
        other => other.map(Some).map_err(|errno| error(name, errno)),
    }
}

fn open(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // What somebody mounted in the tree is not part of it.
    let below = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let opened = rustix::fs::openat2(directory, name, flags, Mode::empty(), below)?;
    // Being readable is not enough to delete from it, or to move it away.
    let mode = rustix::fs::fstat(&opened)?.st_mode;
    if mode & 0o700 != 0o700 {
        rustix::fs::fchmod(&opened, Mode::from_raw_mode(0o700))?;
    }
    Ok(opened)
}

/// Directories of mode 000 are their owner's all the same.
fn make_accessible(directory: BorrowedFd<'_>, name: &CStr) -> Result<(), RemoveError> {
    use std::os::fd::AsRawFd as _;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let chmod = || {
        let handle = rustix::fs::openat(directory, name, flags, Mode::empty())?;
        // fchmod(2) takes no O_PATH descriptor, but its entry in /proc.
        let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
        rustix::fs::chmod(path, Mode::from_raw_mode(0o700))
    };
    chmod().map_err(|errno| error(name, errno))
}

fn error(name: &CStr, errno: Errno) -> RemoveError {
    match errno {
        Errno::ACCESS | Errno::PERM => RemoveError::Foreign {
            path: path_of(name),
        },
        errno => io_error(name, errno),
    }
}

fn io_error(name: &CStr, errno: Errno) -> RemoveError {
    RemoveError::Io {
        path: path_of(name),
        source: errno.into(),
    }
}

fn path_of(name: &CStr) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    OsStr::from_bytes(name.to_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn remove_in(home: &tempfile::TempDir, name: &str) {
        let parent = crate::store::open_directory(home.path()).unwrap();
        remove(parent.as_fd(), OsStr::new(name)).unwrap();
        assert!(!home.path().join(name).exists());
    }

    #[test]
    fn a_very_deep_tree_is_removed() {
        let home = tempfile::tempdir().unwrap();
        let mut directory = crate::store::open_directory(home.path()).unwrap();
        for _ in 0..5000 {
            rustix::fs::mkdirat(&directory, "d", Mode::from_raw_mode(0o755)).unwrap();
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            directory = rustix::fs::openat(&directory, "d", flags, Mode::empty()).unwrap();
        }
        remove_in(&home, "d");
    }

    #[test]
    fn closed_directories_are_removed() {
        let home = tempfile::tempdir().unwrap();
        let tree = home.path().join("t");
        fs::create_dir_all(tree.join("a/b/c")).unwrap();
        fs::write(tree.join("a/b/f"), "x").unwrap();
        for path in ["a/b", "a", ""] {
            let closed = fs::Permissions::from_mode(0o000);
            fs::set_permissions(tree.join(path), closed).unwrap();
        }
        remove_in(&home, "t");
    }

    #[test]
    fn what_links_point_to_stays() {
        let home = tempfile::tempdir().unwrap();
        let canary = tempfile::tempdir().unwrap();
        fs::write(canary.path().join("target"), "safe").unwrap();
        fs::create_dir(home.path().join("t")).unwrap();
        symlink(canary.path(), home.path().join("t/l")).unwrap();
        remove_in(&home, "t");
        assert_eq!(fs::read(canary.path().join("target")).unwrap(), b"safe");
        symlink(canary.path(), home.path().join("l")).unwrap();
        remove_in(&home, "l");
        assert!(canary.path().join("target").exists());
    }

    #[test]
    fn removing_twice_is_no_error() {
        let home = tempfile::tempdir().unwrap();
        remove_in(&home, "never-there");
    }
}
