//! What an image has for a volume, copied there before the first use.
//!
//! A copy is made in `staging/`, becomes the volume's by one rename to `arriving`, and is then moved
//! into its place, name by name: other containers may be looking at the volume. Whoever is killed
//! before the rename leaves nothing to the volume, and whoever is killed behind it leaves all; the next
//! one goes on where he was.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use carrier_spec::DiffId;
use rustix::fs::{AtFlags, RenameFlags};
use rustix::io::Errno;

use super::{ARRIVING, VolumeLock};
use crate::error::Error;
use crate::inventory::{names, open_directory};
use crate::merge::{copy_layer, dress};
use crate::staging::Staged;
use crate::store::Store;
use crate::tree;

/// In a directory of `staging/`.
const COPY: &str = "copy";

impl VolumeLock {
    /// Fills the volume with a directory of an image as each layer has it, the topmost first; for a
    /// process that may give files to the ids of the layers. `durable`, no power cut that follows leaves
    /// a part of it. `layers` are those of the image: one that is removed meanwhile loses files first.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::LayerMissing`]; then the volume is as it was.
    pub fn fill(
        &self,
        store: &Store,
        layers: &[DiffId],
        parts: &[OwnedFd],
        durable: bool,
    ) -> Result<(), Error> {
        let staged = Staged::new(store)?;
        let copied = Self::copy(&staged, parts, durable).and_then(|path| {
            if let Some(gone) = layers.iter().find(|id| !store.has_layer(id)) {
                return Err(Error::LayerMissing(gone.clone()));
            }
            let place = self.directory().path().join(ARRIVING);
            std::fs::rename(path, &place).map_err(Error::io("write", &place))
        });
        // What cannot be removed here is left to a sweep.
        let _ = staged.discard();
        copied?;
        self.settle()
    }

    /// [`VolumeLock::fill`], where that is so little that anybody may do it: the image has an empty
    /// directory of the caller's. False where there is more to do.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn fill_with_nothing(&self, parts: &[OwnedFd]) -> Result<bool, Error> {
        let data = self.directory().data();
        let look = || -> io::Result<Option<u32>> {
            for part in parts {
                if !names(&open_directory(part.as_fd(), c".")?)?.is_empty() {
                    return Ok(None);
                }
            }
            let Some(top) = parts.first() else {
                return Ok(None);
            };
            let stat = rustix::fs::statat(top, c"", AtFlags::EMPTY_PATH)?;
            let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
            let is_callers = (stat.st_uid, stat.st_gid) == (user.as_raw(), group.as_raw());
            Ok(is_callers.then_some(stat.st_mode & 0o7777))
        };
        // A directory that the caller may not look into is more than nothing.
        let Ok(Some(mode)) = look() else {
            return Ok(false);
        };
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&data, permissions).map_err(Error::io("change", &data))?;
        Ok(true)
    }

    fn copy(staged: &Staged, parts: &[OwnedFd], durable: bool) -> Result<PathBuf, Error> {
        let path = staged.path.join(COPY);
        std::fs::create_dir(&path).map_err(Error::io("make", &path))?;
        let open = || File::open(&path).map_err(Error::io("open", &path));
        copy_up(parts, &OwnedFd::from(open()?)).map_err(Error::io("copy to", &path))?;
        if durable {
            rustix::fs::syncfs(open()?).map_err(Error::errno("sync", &path))?;
        }
        Ok(path)
    }

    /// Moves what has arrived into its place; for a process as in [`VolumeLock::fill`]. What somebody
    /// else has written there meanwhile is his.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn settle(&self) -> Result<(), Error> {
        let (place, data) = (
            self.directory().path().join(ARRIVING),
            self.directory().data(),
        );
        let open = |path: &PathBuf| File::open(path).map(OwnedFd::from);
        let arriving = match open(&place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(Error::io("open", &place))?,
        };
        let data = open(&data).map_err(Error::io("open", &data))?;
        let settle = || -> io::Result<()> {
            for name in names(&arriving)? {
                let flags = RenameFlags::NOREPLACE;
                match rustix::fs::renameat_with(&arriving, &name, &data, &name, flags) {
                    Err(Errno::EXIST) => {
                        let name = OsStr::from_bytes(name.to_bytes());
                        tree::remove(arriving.as_fd(), name).map_err(io::Error::other)?;
                    }
                    other => other?,
                }
            }
            dress(arriving.as_fd(), data.as_fd())
        };
        settle().map_err(Error::io("fill", &place))?;
        let flags = AtFlags::REMOVEDIR;
        rustix::fs::unlinkat(rustix::fs::CWD, &place, flags).map_err(Error::errno("remove", &place))
    }
}

/// Copies a directory of an image as each layer has it, the topmost first, to `target`; for a process
/// that may give files to the ids of the layers. Returns the bytes of files.
///
/// # Errors
/// When something cannot be read or made.
pub fn copy_up(parts: &[OwnedFd], target: &OwnedFd) -> io::Result<u64> {
    let copies = parts.iter().rev();
    copies
        .map(|part| {
            // A layer's descriptor may allow no more than to be looked up in.
            let readable = open_directory(part.as_fd(), c".")?;
            copy_layer(readable.as_fd(), target.as_fd())
        })
        .sum()
}
