//! Network devices, netdevice(7).

use std::ffi::CStr;
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

/// `TUNSETIFF`, linux/if_tun.h.
const TUNSETIFF: libc::Ioctl = 0x4004_54ca;
/// `TUNSETPERSIST`.
const TUNSETPERSIST: libc::Ioctl = 0x4004_54cb;

/// Makes a device of Ethernet in the current network namespace, whose packets go to whichever program
/// opens it by its name. It goes with the namespace.
///
/// # Errors
/// `EINVAL` for a name that is too long, `ENOENT` or `EACCES` where `/dev/net/tun` cannot be opened,
/// `EBUSY` when there is such a device.
pub fn make_tap(name: &CStr) -> io::Result<()> {
    let tun = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")?;
    // SAFETY: `ifreq` holds integers, byte arrays and a pointer that this request does not use:
    // all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let bytes = name.to_bytes_with_nul();
    let places = request.ifr_name.get_mut(..bytes.len());
    let places = places.ok_or(io::ErrorKind::InvalidInput)?;
    for (place, byte) in places.iter_mut().zip(bytes) {
        *place = byte.cast_signed();
    }
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_TUN_EXCL;
    #[allow(
        clippy::cast_possible_truncation,
        reason = "flags of 16 bits, the highest of which is the sign"
    )]
    let flags = flags as i16;
    request.ifr_ifru.ifru_flags = flags;
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, which outlives the call.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), TUNSETIFF, &raw mut request) }.into())?;
    // SAFETY: TUNSETPERSIST takes a number.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), TUNSETPERSIST, 1) }.into()).map(drop)
}
