//! The space that a file system keeps: a layer that fills it would take the whole host down.

use std::os::fd::BorrowedFd;

use super::entry::refused;
use super::{Reserve, UnpackError};

/// How much is written between two looks.
const STRIDE: u64 = 16 << 20;

/// What an inode may cost beside its content.
const INODE: u64 = 4096;

pub(super) struct Space<'a> {
    directory: BorrowedFd<'a>,
    reserve: Reserve,
    unseen: u64,
}

impl<'a> Space<'a> {
    /// Looks for the first time.
    pub(super) fn new(directory: BorrowedFd<'a>, reserve: Reserve) -> Result<Self, UnpackError> {
        let space = Self {
            directory,
            reserve,
            unseen: 0,
        };
        space.look()?;
        Ok(space)
    }

    /// Before something is made.
    pub(super) fn make(&mut self) -> Result<(), UnpackError> {
        self.write(INODE)
    }

    /// Before `bytes` are written.
    pub(super) fn write(&mut self, bytes: u64) -> Result<(), UnpackError> {
        self.unseen += bytes;
        if self.unseen < STRIDE {
            return Ok(());
        }
        self.unseen = 0;
        self.look()
    }

    fn look(&self) -> Result<(), UnpackError> {
        let stat = rustix::fs::fstatvfs(self.directory).map_err(|errno| refused(b"/", errno))?;
        let total = stat.f_blocks.saturating_mul(stat.f_frsize);
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let reserve = self.reserve.bytes.min(total / 100 * self.reserve.percent);
        if free < reserve {
            return Err(UnpackError::Full { reserve });
        }
        Ok(())
    }
}
