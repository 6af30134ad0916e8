//! A little program that executes that of a container, so that nothing in a container leads to
//! Carrier's own binary.
//!
//! When a process executes a file, `/proc/self/exe` is what it executed before. A container whose program
//! is that path, by a link or as the interpreter of a script, would execute Carrier's binary, and could
//! then open it for writing where the user owns it (CVE-2019-5736). No look at the path beforehand
//! helps, since it can change until the kernel has opened it. So the child becomes a program of some
//! hundred bytes first, in memory that nobody can change.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;

const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/trampoline"));

/// The program, in sealed memory.
#[derive(Debug)]
pub struct Trampoline(SealedProgram);

/// A program in memory that nobody can change.
#[derive(Debug)]
pub struct SealedProgram(OwnedFd);

impl Trampoline {
    /// Puts the program into memory.
    ///
    /// # Errors
    /// Those of memfd_create(2). `EACCES`: the administrator lets nobody execute memory, sysctl
    /// `vm.memfd_noexec`.
    pub fn new() -> io::Result<Self> {
        SealedProgram::copy_of(PROGRAM, c"trampoline").map(Self)
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.descriptor()
    }
}

impl SealedProgram {
    /// Copies a program, which is shown by `name` in `/proc`.
    ///
    /// # Errors
    /// Those of reading, and of memfd_create(2) as for [`Trampoline::new`].
    pub fn copy_of(mut program: impl io::Read, name: &CStr) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Since Linux 6.3 memory that is to be executed has to be asked for.
        let memory = match rustix::fs::memfd_create(name, flags | MemfdFlags::EXEC) {
            Err(Errno::INVAL) => rustix::fs::memfd_create(name, flags)?,
            other => other?,
        };
        let mut memory = std::fs::File::from(memory);
        io::copy(&mut program, &mut memory)?;
        let all = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&memory, all)?;
        Ok(Self(memory.into()))
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
