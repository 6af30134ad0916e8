//! `U`: what is mounted becomes the container's user's.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use carrier_store::change_owner;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::error::VolumeError;
use super::mount_point::MountPoint;
use super::oci::Place;
use crate::engine::Engine;
use crate::error::Error;
use crate::host::home_directory;
use crate::identity::ResolvedUser;
use crate::record::ContainerRecord;
use crate::system::in_namespace;

impl Engine {
    /// Gives away only what the caller's ids own, and what was looked at: it is opened once.
    pub(super) fn give_away(
        &self,
        record: &ContainerRecord,
        mount: &MountPoint,
        place: &Place,
        user: &ResolvedUser,
    ) -> Result<(), Error> {
        let Place::Path { path, .. } = place else {
            return Ok(());
        };
        let is_in_store = mount
            .volume()
            .is_some_and(|name| *path == self.store.volume(name).data());
        // No container can put a link on the way to the store's own; on the way to others it may have
        // had one put, to what is not its own.
        let links = match is_in_store {
            true => ResolveFlags::NO_MAGICLINKS,
            false => ResolveFlags::NO_SYMLINKS,
        };
        let homes = homes();
        let give = || -> Result<(), String> {
            let root = open(path, mount.subpath.as_deref(), links).map_err(reason)?;
            if holds_home(&root, &homes) {
                return Err("your home directory is in it".to_owned());
            }
            change_owner(&root, user.uid, user.gid).map_err(|error| error.to_string())
        };
        let given: Result<(), String> = in_namespace(&self.maps_of(record), give)?;
        Ok(given.map_err(|reason| VolumeError::Chown {
            path: path.clone(),
            reason,
        })?)
    }
}

fn reason(errno: Errno) -> String {
    match errno {
        Errno::LOOP => "a symbolic link leads there: name the path behind it".to_owned(),
        errno => io::Error::from(errno).to_string(),
    }
}

fn homes() -> Vec<PathBuf> {
    let told = std::env::var_os("HOME").map(PathBuf::from);
    told.into_iter().chain(home_directory()).collect()
}

/// Whether it is a home or above one: who gives that away cannot log in any more.
fn holds_home(given: &OwnedFd, homes: &[PathBuf]) -> bool {
    let Ok(given) = rustix::fs::fstat(given) else {
        return true;
    };
    let is_given = |path: &Path| {
        let found = fs::metadata(path);
        found.is_ok_and(|found| (found.dev(), found.ino()) == (given.st_dev, given.st_ino))
    };
    homes.iter().any(|home| home.ancestors().any(is_given))
}

fn open(path: &Path, subpath: Option<&str>, links: ResolveFlags) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let root = rustix::fs::openat2(CWD, path, flags, Mode::empty(), links)?;
    match subpath {
        None => Ok(root),
        Some(subpath) => {
            let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            rustix::fs::openat2(root.as_fd(), subpath, flags, Mode::empty(), inside)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_link_leads_to_what_is_given_away() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path();
        fs::create_dir_all(place.join("home/own")).unwrap();
        std::os::unix::fs::symlink("home", place.join("link")).unwrap();
        for path in ["link", "link/own"] {
            let refused = open(&place.join(path), None, ResolveFlags::NO_SYMLINKS);
            assert_eq!(refused.unwrap_err(), Errno::LOOP, "{path}");
        }
        let homes = [place.join("link/own")];
        for (path, expected) in [("home", true), ("home/own", true), ("", true)] {
            let given = open(&place.join(path), None, ResolveFlags::NO_SYMLINKS).unwrap();
            assert_eq!(holds_home(&given, &homes), expected, "{path}");
        }
        fs::create_dir(place.join("home/own/data")).unwrap();
        let given = place.join("home/own/data");
        let given = open(&given, None, ResolveFlags::NO_SYMLINKS).unwrap();
        assert!(!holds_home(&given, &homes));
    }
}
