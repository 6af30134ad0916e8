//! The same profiles compiled by libseccomp 2.5: both programs must answer the same.
//!
//! Only what libseccomp can say is compared: no masks with other comparisons than equality, no
//! `ENOSYS` for some numbers, and only calls that it knows. To run it on Debian:
//!
//! ```sh
//! apt-get install libseccomp-dev
//! LIBSECCOMP_LINK_TYPE=static LIBSECCOMP_LIB_PATH=/usr/lib/x86_64-linux-gnu \
//!     cargo test -p carrier-runtime --features libseccomp-oracle --test seccomp
//! ```

use std::io::{Read as _, Seek as _};

use carrier_runtime::Capabilities;
use carrier_runtime::seccomp::{
    self, Action, Arch, ArgTest, Enosys, Instruction, Op, Profile, Rule, Syscall,
};
use libseccomp::{
    ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall,
};
use rustix::fs::MemfdFlags;

use crate::calls::{Filter, X32_BIT};
use crate::docker::{DOCKER, PODMAN, host};
use crate::interpreter::{Call, run};

#[test]
fn dockers_profile_means_the_same() {
    for (machine, capabilities) in [
        (Arch::X86_64, &[][..]),
        (Arch::X86_64, &["SYS_ADMIN", "SYS_TIME"]),
        (Arch::Aarch64, &[]),
    ] {
        let profile = Profile::from_docker_json(DOCKER, &host(machine, capabilities)).unwrap();
        compare(profile);
    }
}

#[test]
fn podmans_profile_means_the_same() {
    for machine in [Arch::X86_64, Arch::Aarch64] {
        compare(Profile::from_docker_json(PODMAN, &host(machine, &[])).unwrap());
    }
}

#[test]
fn the_default_profile_means_the_same() {
    for machine in [Arch::X86_64, Arch::Aarch64] {
        let mut profile = seccomp::default_profile(machine, Capabilities::DEFAULT);
        // libseccomp lets sockets of every family through socketcall.
        profile.rules.push(Rule {
            syscalls: vec![Syscall::Name("socketcall".into())],
            action: Action::Allow,
            args: vec![],
        });
        compare(profile);
    }
}

#[test]
fn every_comparison_means_the_same() {
    let ops = [Op::Ne, Op::Lt, Op::Le, Op::Eq, Op::Ge, Op::Gt];
    for op in ops {
        for value in INTERESTING {
            compare(one_rule(ArgTest::new(0, op, value)));
        }
    }
    for value in INTERESTING {
        for mask in [
            0xff,
            0x7e02_0000,
            0xffff_ffff,
            0xffff_ffff_0000_0000,
            u64::MAX,
        ] {
            compare(one_rule(ArgTest {
                index: 0,
                op: Op::Eq,
                value,
                mask,
            }));
        }
    }
}

/// Words at the edges of halves, and what the profiles compare with.
const INTERESTING: [u64; 16] = [
    0,
    1,
    8,
    9,
    16,
    38,
    40,
    17,
    0x2_0008,
    0x5412,
    0x1000_0011,
    0x7fff_ffff,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0026,
    u64::MAX,
];

fn one_rule(test: ArgTest) -> Profile {
    let syscalls = vec![Syscall::Name("futex".into())];
    Profile {
        default_action: Action::NOT_PERMITTED,
        enosys: Enosys::Never,
        architectures: vec![Arch::X86_64, Arch::X86],
        rules: vec![Rule {
            syscalls,
            action: Action::Allow,
            args: vec![test],
        }],
    }
}

fn compare(mut profile: Profile) {
    profile.enosys = Enosys::Never;
    profile
        .rules
        .retain(|rule| rule.args.iter().all(can_be_said));
    for rule in &mut profile.rules {
        rule.syscalls.retain(|syscall| resolve(syscall).is_some());
    }
    let ours = Filter::of(&profile).0;
    let theirs = compiled_by_libseccomp(&profile);
    for &arch in &profile.architectures {
        let base = if arch == Arch::X32 { X32_BIT } else { 0 };
        let arm_private = if arch == Arch::Arm {
            0xf_0000..0xf_0008
        } else {
            0..0
        };
        for number in (0..1024).chain(arm_private).map(|number| base | number) {
            for args in arguments(arch) {
                let call = Call { arch, number, args };
                let (ours, theirs) = (run(&ours, &call).value, run(&theirs, &call).value);
                assert_eq!(ours, theirs, "{ours:#x} {theirs:#x} {call:x?}");
            }
        }
    }
}

/// Every interesting word first, in a few company. libseccomp looks only at lower halves on x32.
fn arguments(arch: Arch) -> impl Iterator<Item = [u64; 6]> {
    let seen = if arch == Arch::X32 {
        0xffff_ffff
    } else {
        u64::MAX
    };
    INTERESTING
        .into_iter()
        .flat_map(move |first| [0, 9].map(|third| [first & seen, first & seen, third, 0, 0, 0]))
}

fn can_be_said(test: &ArgTest) -> bool {
    test.mask == u64::MAX || test.op == Op::Eq
}

fn resolve(syscall: &Syscall) -> Option<ScmpSyscall> {
    match syscall {
        // libseccomp took its number from a kernel that had not given it to x32 yet.
        Syscall::Name(name) if name == "map_shadow_stack" => None,
        Syscall::Name(name) => ScmpSyscall::from_name(name).ok(),
        Syscall::Number(..) => None,
    }
}

fn compiled_by_libseccomp(profile: &Profile) -> Vec<Instruction> {
    let mut filter = ScmpFilterContext::new(action(profile.default_action)).unwrap();
    filter.set_act_badarch(ScmpAction::KillProcess).unwrap();
    for arch in &profile.architectures {
        filter.add_arch(architecture(*arch)).unwrap();
    }
    if !profile.architectures.contains(&Arch::X86_64) {
        filter.remove_arch(ScmpArch::X8664).unwrap();
    }
    for rule in profile
        .rules
        .iter()
        .filter(|rule| rule.action != profile.default_action)
    {
        let comparators: Vec<_> = rule.args.iter().map(comparator).collect();
        for syscall in rule.syscalls.iter().filter_map(resolve) {
            filter
                .add_rule_conditional(action(rule.action), syscall, &comparators)
                .unwrap();
        }
    }
    let memory = rustix::fs::memfd_create("program", MemfdFlags::CLOEXEC).unwrap();
    filter.export_bpf(&memory).unwrap();
    let (mut file, mut bytes) = (std::fs::File::from(memory), Vec::new());
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes.chunks_exact(8).map(instruction).collect()
}

/// The layout of the kernel's `struct sock_filter`.
fn instruction(bytes: &[u8]) -> Instruction {
    Instruction {
        code: u16::from_ne_bytes([bytes[0], bytes[1]]),
        jt: bytes[2],
        jf: bytes[3],
        k: u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
    }
}

fn action(action: Action) -> ScmpAction {
    match action {
        Action::Allow => ScmpAction::Allow,
        Action::Errno(errno) => ScmpAction::Errno(errno.into()),
        other => panic!("no profile here has {other:?}"),
    }
}

fn architecture(arch: Arch) -> ScmpArch {
    match arch {
        Arch::X86_64 => ScmpArch::X8664,
        Arch::X86 => ScmpArch::X86,
        Arch::X32 => ScmpArch::X32,
        Arch::Aarch64 => ScmpArch::Aarch64,
        Arch::Arm => ScmpArch::Arm,
    }
}

fn comparator(test: &ArgTest) -> ScmpArgCompare {
    let op = match test.op {
        Op::Eq if test.mask != u64::MAX => ScmpCompareOp::MaskedEqual(test.mask),
        Op::Ne => ScmpCompareOp::NotEqual,
        Op::Lt => ScmpCompareOp::Less,
        Op::Le => ScmpCompareOp::LessOrEqual,
        Op::Eq => ScmpCompareOp::Equal,
        Op::Ge => ScmpCompareOp::GreaterEqual,
        Op::Gt => ScmpCompareOp::Greater,
    };
    ScmpArgCompare::new(test.index.into(), op, test.value)
}
