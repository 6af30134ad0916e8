//! The space that a file system keeps: a layer that fills it would take the whole host down.

use std::os::fd::BorrowedFd;

use super::entry::refused;
use super::{Reserve, UnpackError};

/// How much is written between two looks, at most and at least.
const STRIDE: std::ops::Range<u64> = 64 << 10..16 << 20;

/// What an inode may cost beside its content.
const INODE: u64 = 4096;

pub(super) struct Space<'a> {
    directory: BorrowedFd<'a>,
    reserve: Reserve,
    /// Bytes that may be written before the next look.
    until_look: u64,
}

impl<'a> Space<'a> {
    /// Looks for the first time.
    pub(super) fn new(directory: BorrowedFd<'a>, reserve: Reserve) -> Result<Self, UnpackError> {
        let mut space = Self {
            directory,
            reserve,
            until_look: 0,
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
        match self.until_look.checked_sub(bytes) {
            Some(left) => {
                self.until_look = left;
                Ok(())
            }
            None => self.look(),
        }
    }

    fn look(&mut self) -> Result<(), UnpackError> {
        let stat = rustix::fs::fstatvfs(self.directory).map_err(|errno| refused(b"/", errno))?;
        let total = stat.f_blocks.saturating_mul(stat.f_frsize);
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let reserve = self.reserve.bytes.min(total / 100 * self.reserve.percent);
        if free < reserve {
            return Err(UnpackError::Full { reserve });
        }
        self.until_look = (free - reserve).clamp(STRIDE.start, STRIDE.end);
        Ok(())
    }
}
