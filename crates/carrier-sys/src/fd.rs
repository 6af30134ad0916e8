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

/// Closes every descriptor but those in `keep`: for a child that goes on without exec.
///
/// Whatever owned the others in the parent has no business in this child, which leaves by `_exit`.
///
/// # Errors
/// Those of close_range(2), but for the one of kernels that lack it.
pub fn close_all_but(keep: &[BorrowedFd<'_>], token: &ChildToken) -> io::Result<()> {
    let mut numbers: Vec<u32> = keep
        .iter()
        .map(|kept| kept.as_raw_fd().cast_unsigned())
        .collect();
    numbers.sort_unstable();
    let mut first = 0;
    for number in numbers.into_iter().chain([u32::MAX]) {
        if first < number {
            close_range(first, number - 1, token)?;
        }
        first = number.saturating_add(1);
    }
    Ok(())
}

fn close_range(first: u32, last: u32, _token: &ChildToken) -> io::Result<()> {
    // SAFETY: the child has its own table of descriptors, and those who own what is closed are never
    // dropped in it: the token says that the child ends with `_exit`.
    match check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {}
        other => return other.map(drop),
    }
    // Before Linux 5.9: no number is above the limit, unless that was lowered.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limit = limit.and_then(|limit| u32::try_from(limit).ok());
    for number in first..=last.min(limit.unwrap_or(1 << 20)) {
        // SAFETY: as above; a number that is not open is an error without consequence.
        unsafe { libc::close(number.cast_signed()) };
    }
    Ok(())
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
