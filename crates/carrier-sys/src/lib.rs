//! System calls that the well-kept crates lack, as safe functions on owned and borrowed descriptors.
//!
//! This is the only crate of Carrier that may contain `unsafe`: each block holds one operation and
//! states why its requirements hold. Functions that a child calls between clone and exec allocate
//! nothing, and say so.
#![allow(
    unsafe_code,
    reason = "the one place for it: see the crate documentation"
)]

#[cfg(feature = "alloc-guard")]
pub mod alloc_guard;
#[cfg(feature = "attacks")]
pub mod attacks;
pub mod bpf;
pub mod exec;
pub mod fd;
pub mod keyring;
pub mod landlock;
pub mod memory;
pub mod mount;
pub mod namespace;
pub mod net;
mod nss;
pub mod process;
pub mod schedule;
pub mod seccomp;
pub mod signal;
pub mod socket;
pub mod trampoline;
pub mod umask;

use std::io;

/// Turns the result of a raw system call into the value or the error that it left behind.
fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
