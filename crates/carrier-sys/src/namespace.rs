//! Joining namespaces and leaving them, setns(2) and unshare(2).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use crate::check;
use crate::process::ChildToken;

/// Gives the children of this process new clocks; they can still be set. Allocates nothing.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`, `EINVAL` in a kernel without time namespaces.
pub fn unshare_time(_token: &ChildToken) -> io::Result<()> {
    // SAFETY: the flag changes what children get, and nothing that this process shares with others.
    check(unsafe { libc::unshare(libc::CLONE_NEWTIME) }.into()).map(drop)
}

/// Makes the cgroup of this process the root of what it and its children can see. Allocates nothing.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`.
pub fn unshare_cgroups(_token: &ChildToken) -> io::Result<()> {
    // SAFETY: the flag changes how cgroups are shown, and nothing that threads share.
    check(unsafe { libc::unshare(libc::CLONE_NEWCGROUP) }.into()).map(drop)
}

/// Goes over to a new network namespace, which belongs to the user namespace of this process.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`.
pub fn unshare_network(_token: &ChildToken) -> io::Result<()> {
    // SAFETY: the flag changes which network this process sees, and nothing that threads share.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) }.into()).map(drop)
}

/// The user namespace in which `users` was made, ioctl_nsfs(2).
///
/// # Errors
/// `EPERM` when that is not below the caller's own, `EINVAL` for what is no user namespace.
pub fn parent_of(users: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    /// linux/nsfs.h
    const NS_GET_PARENT: libc::c_ulong = 0xb702;
    // SAFETY: the request reads no argument, and the descriptor is borrowed, so it is open.
    let parent = check(unsafe { libc::ioctl(users.as_raw_fd(), NS_GET_PARENT) }.into())?;
    let parent = i32::try_from(parent).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: the kernel has just made the descriptor for the caller.
    Ok(unsafe { OwnedFd::from_raw_fd(parent) })
}
