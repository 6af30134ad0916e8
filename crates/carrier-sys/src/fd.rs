//! Descriptors.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use crate::check;
use crate::process::ChildToken;

/// Marks every descriptor from `first` on close-on-exec, close_range(2). Allocates nothing.
///
/// # Errors
/// `ENOSYS` before Linux 5.9, `EINVAL` before 5.11.
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: the flag makes the call change nothing but close-on-exec flags.
    check(unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    })
    .map(drop)
}

/// Makes the number of `place` mean the file of `file`, close-on-exec, dup3(2): for numbers that were
/// written down before the clone. Allocates nothing.
///
/// # Errors
/// `EBUSY` in a race with open(2), which a single thread cannot have.
pub fn replace(place: BorrowedFd<'_>, file: &OwnedFd, _token: &ChildToken) -> io::Result<()> {
    // SAFETY: both numbers are open. What `place` meant was inherited for its number alone; its owner
    // in this child goes on to own the number, which stays open.
    check(unsafe { libc::dup3(file.as_raw_fd(), place.as_raw_fd(), libc::O_CLOEXEC) }.into())
        .map(drop)
}

/// Whether the number is an open descriptor.
#[must_use]
pub fn is_open(number: std::os::fd::RawFd) -> bool {
    // SAFETY: fcntl(2) with F_GETFD changes nothing, whatever the number means.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    flags >= 0
}
