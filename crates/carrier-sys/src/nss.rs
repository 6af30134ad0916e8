//! Keeps the name service switch of the C library out of the program.
//!
//! In a static binary, glibc's functions that look up hosts and users load modules of whatever C
//! library the host has, and crash where the two disagree. Carrier resolves hosts by itself and reads
//! `/etc/passwd` by itself; what the standard library would link all the same is defined here, ahead
//! of glibc's: it finds nothing, and loads nothing.

use std::ffi::{c_char, c_int};

// SAFETY: the name and the signature are those of POSIX; nobody else defines the symbol but the C
// library, whose archive is searched later.
#[unsafe(no_mangle)]
extern "C" fn getaddrinfo(
    _node: *const c_char,
    _service: *const c_char,
    _hints: *const libc::addrinfo,
    _result: *mut *mut libc::addrinfo,
) -> c_int {
    libc::EAI_FAIL
}

// SAFETY: as above. There is never a list to free.
#[unsafe(no_mangle)]
extern "C" fn freeaddrinfo(_list: *mut libc::addrinfo) {}

// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "C" fn getpwuid_r(
    _uid: libc::uid_t,
    _entry: *mut libc::passwd,
    _buffer: *mut c_char,
    _length: libc::size_t,
    result: *mut *mut libc::passwd,
) -> c_int {
    // SAFETY: POSIX has the caller pass a place for the result, which is null when there is no entry.
    unsafe { result.write(std::ptr::null_mut()) };
    0
}

// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "C" fn getpwnam_r(
    _name: *const c_char,
    _entry: *mut libc::passwd,
    _buffer: *mut c_char,
    _length: libc::size_t,
    result: *mut *mut libc::passwd,
) -> c_int {
    // SAFETY: POSIX has the caller pass a place for the result, which is null when there is no entry.
    unsafe { result.write(std::ptr::null_mut()) };
    0
}
