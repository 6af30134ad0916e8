//! Network devices, netdevice(7).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use crate::check;

/// Brings the loopback device of the current network namespace up; `socket` is any socket of it.
/// Allocates nothing.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN` in the user namespace that owns the network namespace.
pub fn bring_loopback_up(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: `ifreq` holds integers, byte arrays and a pointer that this request does not use:
    // all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l'.cast_signed();
    request.ifr_name[1] = b'o'.cast_signed();
    #[allow(
        clippy::cast_possible_truncation,
        reason = "IFF_UP is 1; the field is 16 bits wide"
    )]
    let up = libc::IFF_UP as i16;
    request.ifr_ifru.ifru_flags = up;
    // SAFETY: SIOCSIFFLAGS reads one `ifreq`, which outlives the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) }.into())
        .map(drop)
}
