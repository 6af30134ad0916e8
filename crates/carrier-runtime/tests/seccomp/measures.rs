//! How much the default profile allows, and how little its program runs.

use carrier_runtime::seccomp::Arch;

use crate::calls::{ALLOW, Filter, exists, name, number};
use crate::interpreter::{Call, run};

/// Kernels from 5.11 on then run no program for them. Only these are looked at more closely.
#[test]
fn arguments_are_looked_at_in_a_few_calls_only() {
    let filter = Filter::default_for(Arch::X86_64, &[]);
    let looked = (0..1024).filter(|&number| {
        let call = Call {
            arch: Arch::X86_64,
            number,
            args: [0; 6],
        };
        run(&filter.0, &call).looked_at_arguments
    });
    let names: Vec<_> = looked
        .filter_map(|number| name(Arch::X86_64, number))
        .collect();
    assert_eq!(names, ["ioctl", "socket", "clone", "personality"]);
}

/// Docker's profile allows 292 of the 362 calls of Linux 6.1 whatever the arguments. Here `ioctl` is
/// allowed by argument, and two calls are left out that no kernel implements: `epoll_ctl_old` and
/// `epoll_wait_old`.
#[test]
fn no_more_is_allowed_than_by_docker() {
    let filter = Filter::default_for(Arch::X86_64, &[]);
    let allowed = |number: &u32| {
        let call = Call {
            arch: Arch::X86_64,
            number: *number,
            args: [0; 6],
        };
        let outcome = run(&filter.0, &call);
        outcome.value == ALLOW && !outcome.looked_at_arguments
    };
    let linux_6_1: Vec<u32> = (0..=334).chain(424..=450).collect();
    let newest = (0..1024)
        .filter(|&number| exists(Arch::X86_64, number))
        .collect();
    let counts = [linux_6_1, newest]
        .map(|calls| (calls.len(), calls.iter().copied().filter(allowed).count()));
    println!("x86-64 calls of Linux 6.1 and of the table, and how many are allowed: {counts:?}");
    assert_eq!(counts[0], (362, 289));
}

#[test]
fn few_instructions_run() {
    let filter = Filter::default_for(Arch::X86_64, &[]);
    println!("{} instructions", filter.0.len());
    assert!(filter.0.len() <= 420);
    for name in [
        "read", "write", "openat", "close", "futex", "ioctl", "socket", "clone", "mount",
    ] {
        let call = Call {
            arch: Arch::X86_64,
            number: number(Arch::X86_64, name),
            args: [1, 0x5401, 0, 0, 0, 0],
        };
        let steps = run(&filter.0, &call).steps;
        println!("{name}: {steps} of them run");
        assert!(steps <= 14, "{name} runs {steps}");
    }
}
