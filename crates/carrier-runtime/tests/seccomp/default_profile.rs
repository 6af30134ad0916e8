//! Each clause of the default profile, and the threats that it answers.

use carrier_runtime::Capabilities;
use carrier_runtime::seccomp::{self, Action, Arch, Rule, Syscall};

use crate::calls::{ALLOW, ENOSYS, EPERM, Filter, KILL_PROCESS, X32_BIT, find, number};
use crate::interpreter::run_raw;

/// The architectures of the machines that Carrier runs on, but for x32, with their machine.
const ARCHES: [(Arch, Arch); 4] = [
    (Arch::X86_64, Arch::X86_64),
    (Arch::X86_64, Arch::X86),
    (Arch::Aarch64, Arch::Aarch64),
    (Arch::Aarch64, Arch::Arm),
];

fn for_each_arch(test: impl Fn(&Filter, Arch)) {
    for (machine, arch) in ARCHES {
        test(&Filter::default_for(machine, &[]), arch);
    }
}

#[test]
fn the_built_in_program_is_the_one_of_the_default_capabilities() {
    let profile = seccomp::default_profile(Arch::NATIVE, Capabilities::DEFAULT);
    assert_eq!(
        seccomp::default_program(),
        seccomp::compile(&profile).unwrap()
    );
}

#[test]
fn every_name_is_one_of_a_call() {
    // 32-bit ARM has these outside of the table that the tests look in.
    let of_arm = ["breakpoint", "cacheflush", "set_tls", "sync_file_range2"];
    let profile = seccomp::default_profile(Arch::X86_64, Capabilities::ALL);
    for syscall in profile.rules.iter().flat_map(|rule| &rule.syscalls) {
        let Syscall::Name(name) = syscall else {
            panic!("{syscall:?} has no name")
        };
        let known = ARCHES.iter().any(|(_, arch)| find(*arch, name).is_some());
        assert!(known || of_arm.contains(&name.as_ref()), "{name}");
    }
}

#[test]
fn only_capabilities_that_open_calls_cost_a_compilation() {
    let program = |name: &str| {
        let capabilities = Capabilities::DEFAULT.with(Capabilities::named(name).unwrap());
        seccomp::program_for(capabilities).unwrap()
    };
    assert!(matches!(
        program("NET_ADMIN"),
        std::borrow::Cow::Borrowed(_)
    ));
    assert!(matches!(program("SYS_TIME"), std::borrow::Cow::Owned(_)));
    assert_ne!(*program("SYS_TIME"), *seccomp::default_program());
}

#[test]
fn what_programs_do_all_day_is_allowed() {
    let calls = "read write openat close mprotect futex execve exit_group clock_gettime \
        epoll_ctl sendmsg statx getrandom rseq ptrace process_vm_readv setuid mknodat capset \
        prctl seccomp landlock_create_ruleset memfd_create setxattr";
    for_each_arch(|filter, arch| {
        for call in calls.split_ascii_whitespace() {
            assert_eq!(filter.answer(arch, call, &[]), ALLOW, "{arch} {call}");
        }
    });
}

#[test]
fn new_calls_that_a_libc_may_use_are_allowed() {
    let calls = "cachestat fchmodat2 futex_wake futex_wait futex_requeue statmount listmount \
        lsm_get_self_attr lsm_list_modules mseal setxattrat getxattrat listxattrat removexattrat \
        file_getattr file_setattr map_shadow_stack";
    for_each_arch(|filter, arch| {
        for call in calls.split_ascii_whitespace() {
            assert_eq!(filter.answer(arch, call, &[]), ALLOW, "{arch} {call}");
        }
    });
    let filter = Filter::default_for(Arch::X86_64, &[]);
    assert_eq!(filter.answer(Arch::X86_64, "uretprobe", &[]), ALLOW);
}

#[test]
fn known_calls_that_are_not_allowed_are_not_permitted() {
    let calls = "mount umount2 pivot_root unshare setns fsopen open_tree move_mount \
        mount_setattr open_tree_attr keyctl add_key request_key swapon reboot settimeofday \
        quotactl acct syslog init_module finit_module kcmp pidfd_getfd process_madvise \
        move_pages migrate_pages mbind set_mempolicy vhangup sethostname lsm_set_self_attr \
        nfsservctl";
    for_each_arch(|filter, arch| {
        for call in calls.split_ascii_whitespace() {
            assert_eq!(filter.answer(arch, call, &[]), EPERM, "{arch} {call}");
        }
    });
}

/// N-09: io_uring, bpf, userfaultfd, perf, kexec, fanotify, open_by_handle_at.
#[test]
fn kernel_interfaces_with_a_history_of_holes_are_closed() {
    let calls = "io_uring_setup io_uring_enter io_uring_register bpf userfaultfd perf_event_open \
        kexec_load fanotify_init open_by_handle_at";
    for_each_arch(|filter, arch| {
        for call in calls.split_ascii_whitespace() {
            assert_eq!(filter.answer(arch, call, &[]), EPERM, "{arch} {call}");
        }
    });
}

#[test]
fn numbers_that_no_table_knows_do_not_exist() {
    for_each_arch(|filter, arch| {
        for number in [600, 9999, 0x3fff_ffff, u32::MAX] {
            assert_eq!(
                filter.answer_number(arch, number, &[]),
                ENOSYS,
                "{arch} {number}"
            );
        }
    });
    let filter = Filter::default_for(Arch::X86_64, &[]);
    for number in [337, 400, 423, X32_BIT | 337, X32_BIT | 0x3fff_ffff] {
        assert_eq!(
            filter.answer_number(Arch::X86_64, number, &[]),
            ENOSYS,
            "{number:#x}"
        );
    }
    // The 64-bit times of 32-bit architectures have no numbers here.
    let filter = Filter::default_for(Arch::Aarch64, &[]);
    assert_eq!(filter.answer_number(Arch::Aarch64, 403, &[]), ENOSYS);
}

#[test]
fn clone3_does_not_exist_and_clone_makes_no_namespace() {
    const NAMESPACES: [u64; 7] = [
        0x0002_0000,
        0x0200_0000,
        0x0400_0000,
        0x0800_0000,
        0x1000_0000,
        0x2000_0000,
        0x4000_0000,
    ];
    const THREAD: u64 = 0x003d_0f00;
    for_each_arch(|filter, arch| {
        assert_eq!(filter.answer(arch, "clone3", &[]), ENOSYS);
        assert_eq!(filter.answer(arch, "clone", &[THREAD]), ALLOW);
        assert_eq!(filter.answer(arch, "clone", &[17]), ALLOW);
        for flag in NAMESPACES {
            assert_eq!(
                filter.answer(arch, "clone", &[17 | flag]),
                EPERM,
                "{arch} {flag:#x}"
            );
        }
    });
}

/// N-08: families with holes or without a use cannot be had, whichever way a socket is made.
#[test]
fn sockets_are_of_four_families() {
    for_each_arch(|filter, arch| {
        for family in 0..=63 {
            let expected = if [1, 2, 10, 16].contains(&family) {
                ALLOW
            } else {
                EPERM
            };
            let answer = |family| filter.answer(arch, "socket", &[family, 2, 0]);
            assert_eq!(answer(family), expected, "{arch} family {family}");
            // The kernel sees an int: the upper half makes no other family of it.
            assert_eq!(answer(family | 1 << 32), expected, "{arch} family {family}");
        }
    });
    let with_raw = Filter::default_for(Arch::X86_64, &["NET_RAW"]);
    assert_eq!(with_raw.answer(Arch::X86_64, "socket", &[17]), ALLOW);
    assert_eq!(with_raw.answer(Arch::X86_64, "socket", &[38]), EPERM);
}

/// N-08 and P-06: int 0x80 of a 64-bit program. socketcall(2) hides the family behind a pointer.
#[test]
fn socketcall_makes_no_socket() {
    let filter = Filter::default_for(Arch::X86_64, &[]);
    let (socket, bind, socketpair) = (1, 2, 8);
    assert_eq!(filter.answer(Arch::X86, "socketcall", &[socket]), EPERM);
    assert_eq!(
        filter.answer(Arch::X86, "socketcall", &[socket | 1 << 32]),
        EPERM
    );
    assert_eq!(filter.answer(Arch::X86, "socketcall", &[bind]), ALLOW);
    assert_eq!(filter.answer(Arch::X86, "socketcall", &[socketpair]), ALLOW);
}

#[test]
fn a_caller_can_open_socketcall_again() {
    let mut profile = seccomp::default_profile(Arch::X86_64, Capabilities::DEFAULT);
    profile.rules.push(Rule {
        syscalls: vec![Syscall::Name("socketcall".into())],
        action: Action::Allow,
        args: Vec::new(),
    });
    assert_eq!(
        Filter::of(&profile).answer(Arch::X86, "socketcall", &[1]),
        ALLOW
    );
}

/// P-07, CVE-2017-5226 and CVE-2019-10063.
#[test]
fn nothing_types_into_a_terminal() {
    for_each_arch(|filter, arch| {
        for command in [0x5412, 0x541c] {
            for garbage in [0, 1 << 32, 0xffff_ffff << 32] {
                assert_eq!(filter.answer(arch, "ioctl", &[0, command | garbage]), EPERM);
            }
        }
        for command in [0x5401, 0x5411, 0x5413, 0x541b, 0x541d, 0x5412_5412, 0] {
            assert_eq!(
                filter.answer(arch, "ioctl", &[0, command]),
                ALLOW,
                "{command:#x}"
            );
        }
    });
    let filter = Filter::default_for(Arch::X86_64, &["SYS_ADMIN"]);
    assert_eq!(
        filter.answer_number(Arch::X32, X32_BIT | 514, &[0, 0x5412]),
        EPERM
    );
}

#[test]
fn personality_takes_the_listed_values() {
    for_each_arch(|filter, arch| {
        for persona in [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff] {
            assert_eq!(
                filter.answer(arch, "personality", &[persona]),
                ALLOW,
                "{persona:#x}"
            );
        }
        for persona in [1, 9, 0x4_0000, 0x40_0000, 0xffff_fffe] {
            assert_eq!(
                filter.answer(arch, "personality", &[persona]),
                EPERM,
                "{persona:#x}"
            );
        }
    });
}

/// P-06: the other ways into the kernel of one machine.
#[test]
fn no_architecture_is_a_way_around() {
    let filter = Filter::default_for(Arch::X86_64, &[]);
    let x32 = |number: u32, args: &[u64]| filter.answer_number(Arch::X32, X32_BIT | number, args);

    assert_eq!(filter.answer(Arch::X86, "mount", &[]), EPERM);
    assert_eq!(filter.answer(Arch::X86, "umount", &[]), EPERM);
    assert_eq!(filter.answer(Arch::X86, "vm86", &[]), EPERM);
    assert_eq!(x32(number(Arch::X86_64, "getpid"), &[]), ALLOW);
    assert_eq!(x32(number(Arch::X86_64, "mount"), &[]), EPERM);
    assert_eq!(x32(number(Arch::X86_64, "clone3"), &[]), ENOSYS);
    assert_eq!(x32(number(Arch::X86_64, "clone"), &[0x1000_0000]), EPERM);
    assert_eq!(x32(number(Arch::X86_64, "socket"), &[38]), EPERM);
    assert_eq!(x32(528, &[]), EPERM, "kexec_load has a number of its own");
    // Numbers of 64-bit calls that x32 renumbers mean nothing with the bit set, and theirs without.
    for renumbered in ["ioctl", "execve", "ptrace", "vmsplice", "kexec_load"] {
        assert_eq!(
            x32(number(Arch::X86_64, renumbered), &[]),
            ENOSYS,
            "{renumbered}"
        );
    }
    for number in 512..=547 {
        assert_eq!(
            filter.answer_number(Arch::X86_64, number, &[]),
            ENOSYS,
            "{number}"
        );
    }
}

#[test]
fn other_architectures_kill() {
    const AUDIT_ARCH_RISCV64: u32 = 0xc000_00f3;
    const AUDIT_ARCH_I386: u32 = 0x4000_0003;
    for (machine, audit) in [
        (Arch::X86_64, AUDIT_ARCH_RISCV64),
        (Arch::Aarch64, AUDIT_ARCH_I386),
    ] {
        let filter = Filter::default_for(machine, &[]);
        assert_eq!(run_raw(&filter.0, audit, 0, &[0; 6]).value, KILL_PROCESS);
    }
}

#[test]
fn capabilities_open_the_calls_that_need_them() {
    let groups = [
        ("BPF", "bpf"),
        ("DAC_READ_SEARCH", "open_by_handle_at"),
        ("PERFMON", "perf_event_open"),
        (
            "SYS_ADMIN",
            "mount umount2 unshare setns clone3 fsopen sethostname bpf perf_event_open",
        ),
        ("SYS_ADMIN", "syslog quotactl fanotify_init"),
        ("SYS_BOOT", "reboot"),
        ("SYS_MODULE", "init_module finit_module delete_module"),
        (
            "SYS_NICE",
            "mbind get_mempolicy set_mempolicy set_mempolicy_home_node",
        ),
        ("SYS_PACCT", "acct"),
        ("SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
        ("SYS_RAWIO", "iopl ioperm"),
        ("SYS_TIME", "settimeofday clock_settime"),
        ("SYS_TTY_CONFIG", "vhangup"),
        ("SYSLOG", "syslog"),
    ];
    let without = Filter::default_for(Arch::X86_64, &[]);
    for (capability, calls) in groups {
        let with = Filter::default_for(Arch::X86_64, &[capability]);
        for call in calls.split_ascii_whitespace() {
            assert_ne!(without.answer(Arch::X86_64, call, &[]), ALLOW, "{call}");
            assert_eq!(
                with.answer(Arch::X86_64, call, &[]),
                ALLOW,
                "{capability} {call}"
            );
        }
    }
    let with = Filter::default_for(Arch::X86_64, &["SYS_ADMIN"]);
    assert_eq!(with.answer(Arch::X86_64, "clone", &[0x1000_0000]), ALLOW);
    assert_eq!(with.answer(Arch::X86_64, "keyctl", &[]), EPERM);

    assert_eq!(without.answer(Arch::X86_64, "chroot", &[]), ALLOW);
    let none = Filter::of(&seccomp::default_profile(Arch::X86_64, Capabilities::NONE));
    assert_eq!(none.answer(Arch::X86_64, "chroot", &[]), EPERM);
}
