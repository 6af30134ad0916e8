//! Modes and times of directories, which they get last: until then they must take their entries, and
//! each entry changes the time.

use std::os::fd::OwnedFd;

use rustix::fs::Mode;
use rustix::io::Errno;

use super::archive::Entry;
use super::attributes::times;

/// Directories that were made, by the name that the archive calls them.
#[derive(Default)]
pub(crate) struct Directories(Vec<Directory>);

struct Directory {
    path: Box<[u8]>,
    mode: u32,
    mtime: (i64, u32),
}

impl Directories {
    pub(crate) fn add(&mut self, path: Vec<u8>, entry: &Entry) {
        self.0.push(Directory {
            path: path.into(),
            mode: entry.mode,
            mtime: entry.mtime,
        });
    }

    /// Gives them their modes and times, the deepest first: what the last entry of each says, as every
    /// reader of archives does. On failure with the path.
    pub(crate) fn settle(
        mut self,
        mut open: impl FnMut(&[u8]) -> Result<OwnedFd, Errno>,
    ) -> Result<(), (Box<[u8]>, Errno)> {
        // Entries of one path stay in their order.
        self.0.sort_by(|one, other| one.path.cmp(&other.path));
        self.0.reverse();
        self.0.dedup_by(|later, first| later.path == first.path);
        for directory in self.0 {
            let settled = match open(&directory.path) {
                // A later entry, or somebody, has put something else there.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(errno) => Err(errno),
                Ok(opened) => rustix::fs::fchmod(&opened, Mode::from_raw_mode(directory.mode))
                    .and_then(|()| rustix::fs::futimens(&opened, &times(directory.mtime))),
            };
            settled.map_err(|errno| (directory.path, errno))?;
        }
        Ok(())
    }
}
