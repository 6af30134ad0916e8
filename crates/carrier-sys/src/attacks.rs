//! System calls that a confined process must not get: for tests only, feature `attacks`.

use std::io;

use crate::check;

/// What somebody who took over a process would try, each with arguments that harm nobody where the
/// kernel takes them: by name, the number of a call and its first arguments.
const CALLS: [(&str, libc::c_long, [libc::c_long; 3]); 24] = [
    (
        "ptrace",
        libc::SYS_ptrace,
        [libc::PTRACE_SEIZE as i64, 1, 0],
    ),
    ("kill", libc::SYS_kill, [1, libc::SIGKILL as i64, 0]),
    ("tkill", libc::SYS_tkill, [1, libc::SIGKILL as i64, 0]),
    ("pidfd_open", libc::SYS_pidfd_open, [1, 0, 0]),
    ("process_vm_readv", libc::SYS_process_vm_readv, [1, 0, 0]),
    (
        "socket inet",
        libc::SYS_socket,
        [libc::AF_INET as i64, 1, 0],
    ),
    (
        "socket unix",
        libc::SYS_socket,
        [libc::AF_UNIX as i64, 1, 0],
    ),
    ("connect", libc::SYS_connect, [0, 0, 0]),
    ("clone", libc::SYS_clone, [libc::SIGCHLD as i64, 0, 0]),
    ("clone3", libc::SYS_clone3, [0, 0, 0]),
    ("execve", libc::SYS_execve, [0, 0, 0]),
    ("mount", libc::SYS_mount, [0, 0, 0]),
    ("umount2", libc::SYS_umount2, [0, 0, 0]),
    ("fsopen", libc::SYS_fsopen, [0, 0, 0]),
    (
        "unshare",
        libc::SYS_unshare,
        [libc::CLONE_NEWUSER as i64, 0, 0],
    ),
    ("setns", libc::SYS_setns, [0, 0, 0]),
    ("chroot", libc::SYS_chroot, [0, 0, 0]),
    ("setuid", libc::SYS_setuid, [0, 0, 0]),
    (
        "prlimit64",
        libc::SYS_prlimit64,
        [0, libc::RLIMIT_NPROC as i64, 0],
    ),
    ("keyctl", libc::SYS_keyctl, [0, 0, 0]),
    ("bpf", libc::SYS_bpf, [0, 0, 0]),
    ("io_uring_setup", libc::SYS_io_uring_setup, [1, 0, 0]),
    ("userfaultfd", libc::SYS_userfaultfd, [0, 0, 0]),
    ("perf_event_open", libc::SYS_perf_event_open, [0, 0, 0]),
];

/// Makes each call; the answer of the kernel by its name.
///
/// In a child that the call itself has made, it ends the child.
#[must_use]
pub fn forbidden_calls() -> Vec<(&'static str, io::Result<()>)> {
    let attempt = |(name, number, [a, b, c]): (&'static str, libc::c_long, [libc::c_long; 3])| {
        // SAFETY: pointers among the arguments are null, which the kernel refuses to follow; none of
        // these calls changes memory of this process, and a child that comes into being ends below.
        let answer = check(unsafe { libc::syscall(number, a, b, c, 0, 0) });
        if name == "clone" && matches!(answer, Ok(0)) {
            // SAFETY: the child of a fork ends at once, without a handler of its parent's.
            unsafe { libc::_exit(0) }
        }
        (name, answer.map(drop))
    };
    CALLS.into_iter().map(attempt).collect()
}

/// Maps memory that can be executed.
///
/// # Errors
/// Those of mmap(2).
pub fn executable_memory() -> io::Result<()> {
    let protection = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new anonymous mapping at a place of the kernel's choice replaces nothing.
    let place = unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0) };
    if place == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Numbers of the descriptors that are open.
#[must_use]
pub fn descriptors() -> Vec<i32> {
    let is_open = |number: &i32| {
        // SAFETY: every field of stat is an integer, for which zero is valid.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: `stat` outlives the call; any number may be asked about.
        unsafe { libc::fstat(*number, &raw mut stat) == 0 }
    };
    (0..1024).filter(is_open).collect()
}
