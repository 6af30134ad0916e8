//! The session keyring, session-keyring(7).

use std::ffi::CStr;
use std::io;

use crate::check;

/// Possessor may do all, the owner may view, read, search and link: without the owner's right to
/// search, a second process cannot join the keyring by its name and gets a new one.
const PERMISSIONS: u32 = 0x3f1b_0000;

/// Leaves the session keyring of the caller's login for the user's keyring called `name`, which is
/// made when it does not exist. Allocates nothing.
///
/// One shared name keeps a user below `kernel.keys.maxkeys`, which a keyring for each container
/// does not.
///
/// # Errors
/// `EDQUOT` when the user has used up that limit, `ENOSYS` without key management.
pub fn join_session(name: &CStr) -> io::Result<()> {
    // SAFETY: the operation reads one C string, which `name` is.
    let serial = check(unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            libc::KEYCTL_JOIN_SESSION_KEYRING,
            name.as_ptr(),
        )
    })?;
    // The kernel's answer when it is the caller's session keyring already.
    if serial == 0 {
        return Ok(());
    }
    // SAFETY: the operation takes two integers: a key's serial number and permission bits.
    check(unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_SETPERM, serial, PERMISSIONS) })
        .map(drop)
}
