//! What the forwarder cannot do: open a file, make a process, or use its power over the container's
//! network for anything but sockets and routes.

use std::io;

use carrier_runtime::seccomp::{
    self, Action, Arch, ArgTest, Enosys, Instruction, Op, Profile, Rule,
};
use rustix::thread::CapabilitySet;

use crate::net::powers::keep_only;

/// The calls of the forwarder, of its allocator and of a panic in it.
const ALLOWED: &[&str] = &[
    "accept4 bind connect getpeername getsockname getsockopt setsockopt shutdown",
    "sendto recvfrom sendmsg recvmsg splice pipe2 read write close fcntl",
    "epoll_ctl epoll_pwait epoll_pwait2 epoll_wait",
    "brk munmap mremap madvise futex getrandom sigaltstack rt_sigaction rt_sigprocmask rt_sigreturn",
    "clock_gettime getpid gettid sched_yield restart_syscall exit exit_group",
];

/// The program of the filter for this process, compiled where allocations and files are still allowed.
pub(super) fn filter() -> io::Result<Vec<Instruction>> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    seccomp::compile(&profile(own.unsigned_abs())).map_err(io::Error::other)
}

/// Gives everything up but the power that transparent sockets, marks and routes need.
pub(super) fn enter(filter: &[Instruction]) -> io::Result<()> {
    keep_only(CapabilitySet::NET_ADMIN)?;
    carrier_sys::seccomp::load(filter, carrier_sys::seccomp::SPEC_ALLOW).map(drop)
}

fn profile(own: u32) -> Profile {
    const PROT_EXEC: u32 = 4;
    const AF_INET: u32 = 2;
    const AF_INET6: u32 = 10;
    let rule = |names: &'static str, args: Vec<ArgTest>| Rule {
        syscalls: names
            .split_ascii_whitespace()
            .map(|name| seccomp::Syscall::Name(name.into()))
            .collect(),
        action: Action::Allow,
        args,
    };
    let mut rules: Vec<Rule> = ALLOWED
        .iter()
        .map(|names| rule(names, Vec::new()))
        .collect();
    let no_code = ArgTest {
        mask: PROT_EXEC.into(),
        ..ArgTest::new(2, Op::Eq, 0)
    };
    rules.push(rule("mmap mprotect", vec![no_code]));
    // What a panic ends with, and nobody else.
    rules.push(rule("tgkill", vec![ArgTest::int(0, Op::Eq, own)]));
    let families = [AF_INET, AF_INET6];
    rules.extend(families.map(|family| rule("socket", vec![ArgTest::int(0, Op::Eq, family)])));
    Profile {
        default_action: Action::NOT_PERMITTED,
        enosys: Enosys::Never,
        architectures: vec![Arch::NATIVE],
        rules,
    }
}
