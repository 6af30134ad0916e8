//! Writes the system call tables, and the seccomp program of the default profile, so that a start of
//! a container computes neither.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "the library uses the rest of the shared modules"
)]

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

use arch::{Arch, Table};
use default_profile::{DEFAULT_CAPABILITIES, default_profile};

#[path = "src/seccomp/arch.rs"]
mod arch;
#[path = "src/seccomp/bpf.rs"]
mod bpf;
#[path = "src/seccomp/compile.rs"]
mod compile;
#[path = "src/seccomp/default_profile.rs"]
mod default_profile;
#[path = "src/seccomp/multiplex.rs"]
mod multiplex;
#[path = "src/seccomp/profile.rs"]
mod profile;
#[path = "src/seccomp/verdict.rs"]
mod verdict;

/// Stands for the type of carrier-sys, which is built for another machine.
#[derive(Clone, Copy, PartialEq)]
struct Instruction {
    code: u16,
    jt: u8,
    jf: u8,
    k: u32,
}

/// System calls above this number are not looked for in the crate's tables.
const MAX_NUMBER: u16 = 1023;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/seccomp");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let machine = match env::var("CARGO_CFG_TARGET_ARCH")?.as_str() {
        "x86_64" => Arch::X86_64,
        "aarch64" => Arch::Aarch64,
        other => return Err(format!("no system call tables for {other}").into()),
    };

    for arch in [Arch::X86_64, Arch::X86, Arch::X32, Arch::Aarch64, Arch::Arm] {
        fs::write(out.join(format!("{arch}.txt")), text(&calls(arch)))?;
    }
    let arches = machine.with_siblings();
    let texts: Vec<_> = arches.iter().map(|&arch| text(&calls(arch))).collect();
    let tables: Vec<_> = arches
        .iter()
        .zip(&texts)
        .map(|(&arch, text)| Table::parse(arch, text))
        .collect();
    let program = compile::program(&default_profile(machine, DEFAULT_CAPABILITIES), &tables)?;
    fs::write(out.join("default_program.rs"), source(&program))?;
    Ok(())
}

type Call = (u32, &'static str);

/// The crate's table of an architecture, with what it lacks and without what it has too much.
fn calls(arch: Arch) -> Vec<Call> {
    match arch {
        Arch::X86_64 => from_crate(|number| Some(syscalls::x86_64::Sysno::new(number)?.name())),
        Arch::X86 => from_crate(|number| Some(syscalls::x86::Sysno::new(number)?.name())),
        Arch::X32 => x32(&calls(Arch::X86_64)),
        Arch::Aarch64 => {
            let mut calls =
                from_crate(|number| Some(syscalls::aarch64::Sysno::new(number)?.name()));
            // Calls for 64-bit times that only 32-bit architectures have.
            calls.retain(|(number, _)| !(403..=423).contains(number));
            // The kernel's headers and every profile say newfstatat.
            calls.push((79, "newfstatat"));
            calls
        }
        Arch::Arm => {
            let mut calls = from_crate(|number| Some(syscalls::arm::Sysno::new(number)?.name()));
            calls.extend(ARM_ONLY);
            calls
        }
    }
}

fn from_crate(name: impl Fn(usize) -> Option<&'static str>) -> Vec<Call> {
    (0..=MAX_NUMBER)
        .filter_map(|number| Some((u32::from(number), name(usize::from(number))?)))
        .map(|(number, name)| (number, name.trim_start_matches("r#")))
        .collect()
}

/// 64-bit calls, without those that x32 has under another number or not at all.
fn x32(x86_64: &[Call]) -> Vec<Call> {
    let renumbered = |name| X32_NUMBERS.iter().any(|(_, x32)| *x32 == name);
    x86_64
        .iter()
        .copied()
        .filter(|(_, name)| !X32_LACKS.contains(name) && !renumbered(*name))
        .chain(X32_NUMBERS.iter().copied())
        .map(|(number, name)| (arch::X32_BIT | number, name))
        .collect()
}

/// The form that [`Table::parse`] reads.
fn text(calls: &[Call]) -> String {
    let mut by_name = calls.to_vec();
    by_name.sort_unstable_by_key(|(_, name)| *name);
    by_name
        .iter()
        .map(|(number, name)| format!("{name} {number}\n"))
        .collect()
}

fn source(program: &[Instruction]) -> String {
    let mut source = String::from("&[\n");
    for Instruction { code, jt, jf, k } in program {
        // Writing to a string cannot fail.
        let _ = writeln!(
            source,
            "Instruction {{ code: {code}, jt: {jt}, jf: {jf}, k: {k} }},"
        );
    }
    source + "]\n"
}

/// Calls of 32-bit ARM outside of the common numbers (arch/arm/include/uapi/asm/unistd.h), and an
/// alias (arch/arm/tools/syscall.tbl).
const ARM_ONLY: [Call; 7] = [
    (341, "sync_file_range2"),
    (0xf_0001, "breakpoint"),
    (0xf_0002, "cacheflush"),
    (0xf_0003, "usr26"),
    (0xf_0004, "usr32"),
    (0xf_0005, "set_tls"),
    (0xf_0006, "get_tls"),
];

/// 64-bit calls marked `64` in arch/x86/entry/syscalls/syscall_64.tbl that x32 does without.
const X32_LACKS: [&str; 11] = [
    "_sysctl",
    "create_module",
    "epoll_ctl_old",
    "epoll_wait_old",
    "get_kernel_syms",
    "get_thread_area",
    "nfsservctl",
    "query_module",
    "set_thread_area",
    "uselib",
    "vserver",
];

/// Calls marked `x32` there: their 64-bit numbers mean nothing with the bit of x32 set.
const X32_NUMBERS: [Call; 36] = [
    (512, "rt_sigaction"),
    (513, "rt_sigreturn"),
    (514, "ioctl"),
    (515, "readv"),
    (516, "writev"),
    (517, "recvfrom"),
    (518, "sendmsg"),
    (519, "recvmsg"),
    (520, "execve"),
    (521, "ptrace"),
    (522, "rt_sigpending"),
    (523, "rt_sigtimedwait"),
    (524, "rt_sigqueueinfo"),
    (525, "sigaltstack"),
    (526, "timer_create"),
    (527, "mq_notify"),
    (528, "kexec_load"),
    (529, "waitid"),
    (530, "set_robust_list"),
    (531, "get_robust_list"),
    (532, "vmsplice"),
    (533, "move_pages"),
    (534, "preadv"),
    (535, "pwritev"),
    (536, "rt_tgsigqueueinfo"),
    (537, "recvmmsg"),
    (538, "sendmmsg"),
    (539, "process_vm_readv"),
    (540, "process_vm_writev"),
    (541, "setsockopt"),
    (542, "getsockopt"),
    (543, "io_setup"),
    (544, "io_submit"),
    (545, "execveat"),
    (546, "preadv2"),
    (547, "pwritev2"),
];
