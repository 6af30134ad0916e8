//! Joining namespaces and leaving them, setns(2) and unshare(2).

use std::io;

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
