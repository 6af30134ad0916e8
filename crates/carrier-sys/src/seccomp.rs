//! Loading seccomp filters, seccomp(2).

use std::io;

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

/// Puts the calling thread, and what it executes, under `program`.
///
/// `flags` are `SECCOMP_FILTER_FLAG_*`. Needs no-new-privileges or `CAP_SYS_ADMIN` in the current
/// user namespace. Allocates nothing.
///
/// # Errors
/// `EINVAL` when the program is empty, longer than [`MAX_INSTRUCTIONS`] or not valid BPF, `EACCES`
/// without the privilege named above.
pub fn load(program: &[Instruction], flags: u32) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = Program {
        len,
        filter: program.as_ptr(),
    };
    // SAFETY: seccomp(2) reads `len` instructions from `filter`; both come from one live slice whose
    // element type has the layout of `struct sock_filter`, and the kernel keeps a copy.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
