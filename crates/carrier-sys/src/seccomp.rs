//! Loading seccomp filters, seccomp(2).

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

use crate::check;

/// One classic BPF instruction: the layout of the kernel's `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Operation, `BPF_*`.
    pub code: u16,
    /// How many instructions to skip when a comparison holds.
    pub jt: u8,
    /// How many instructions to skip when it does not.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// The kernel refuses longer programs (`BPF_MAXINSNS`).
pub const MAX_INSTRUCTIONS: usize = 4096;

/// The filter brings no mitigation against speculative execution of its own
/// (`SECCOMP_FILTER_FLAG_SPEC_ALLOW`): what other runtimes ask for, and the default of kernels since
/// Linux 5.16.
pub const SPEC_ALLOW: u32 = 4;

#[repr(C)]
struct Program {
    len: u16,
    filter: *const Instruction,
}

/// A filter that notifies a supervisor (`SECCOMP_FILTER_FLAG_NEW_LISTENER`).
pub const NEW_LISTENER: u32 = 8;

/// Puts the calling thread, and what it executes, under `program`.
///
/// `flags` are `SECCOMP_FILTER_FLAG_*`; the one for a listener brings the descriptor that is
/// returned. Needs no-new-privileges or `CAP_SYS_ADMIN` in the current user namespace. Allocates
/// nothing.
///
/// # Errors
/// `EINVAL` when the program is empty, longer than [`MAX_INSTRUCTIONS`] or not valid BPF, `EACCES`
/// without the privilege named above.
pub fn load(program: &[Instruction], flags: u32) -> io::Result<Option<OwnedFd>> {
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = Program {
        len,
        filter: program.as_ptr(),
    };
    // SAFETY: seccomp(2) reads `len` instructions from `filter`; both come from one live slice whose
    // element type has the layout of `struct sock_filter`, and the kernel keeps a copy.
    let result = check(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    })?;
    if flags & NEW_LISTENER == 0 {
        return Ok(None);
    }
    let number = i32::try_from(result).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: with this flag the kernel returns a new descriptor, which nothing else owns.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(number) }))
}
