//! Descriptors.

use std::io;

use crate::check;

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
