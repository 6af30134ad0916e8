//! The kernel's side: runs programs on calls, and checks what the kernel checks of a program.

use carrier_runtime::seccomp::{Arch, Instruction};

/// A system call as a filter sees it, `struct seccomp_data` without the instruction pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) arch: Arch,
    pub(crate) number: u32,
    pub(crate) args: [u64; 6],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) value: u32,
    /// How many instructions ran.
    pub(crate) steps: usize,
    /// Whether the value depends on more than the architecture and the number: the kernel then runs
    /// the program at each call.
    pub(crate) looked_at_arguments: bool,
}

pub(crate) const fn audit(arch: Arch) -> u32 {
    match arch {
        Arch::X86_64 | Arch::X32 => 0xc000_003e,
        Arch::X86 => 0x4000_0003,
        Arch::Aarch64 => 0xc000_00b7,
        Arch::Arm => 0x4000_0028,
    }
}

pub(crate) fn run(program: &[Instruction], call: &Call) -> Outcome {
    run_raw(program, audit(call.arch), call.number, &call.args)
}

pub(crate) fn run_raw(
    program: &[Instruction],
    audit: u32,
    number: u32,
    args: &[u64; 6],
) -> Outcome {
    let mut accumulator = 0;
    let mut looked_at_arguments = false;
    let mut at = 0;
    for steps in 1.. {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        let holds = match code {
            0x06 => {
                return Outcome {
                    value: k,
                    steps,
                    looked_at_arguments,
                };
            }
            0x20 => {
                looked_at_arguments |= k >= 16;
                accumulator = word(audit, number, args, k);
                continue;
            }
            0x54 => {
                accumulator &= k;
                continue;
            }
            0x05 => {
                at += k as usize;
                continue;
            }
            0x15 => accumulator == k,
            0x25 => accumulator > k,
            0x35 => accumulator >= k,
            0x45 => accumulator & k != 0,
            _ => panic!("instruction {code:#x} is not expected of a filter"),
        };
        at += usize::from(if holds { jt } else { jf });
    }
    unreachable!("the loop has no end")
}

fn word(audit: u32, number: u32, args: &[u64; 6], offset: u32) -> u32 {
    match offset {
        0 => number,
        4 => audit,
        16.. => {
            let bytes = args[(offset as usize - 16) / 8].to_le_bytes();
            let half = offset as usize % 8;
            u32::from_le_bytes([
                bytes[half],
                bytes[half + 1],
                bytes[half + 2],
                bytes[half + 3],
            ])
        }
        _ => panic!("no filter reads the instruction pointer, offset {offset}"),
    }
}

/// What bpf_check_classic() and seccomp_check_filter() of the kernel ask for.
pub(crate) fn assert_kernel_would_take(program: &[Instruction]) {
    assert!(
        (1..=4096).contains(&program.len()),
        "{} instructions",
        program.len()
    );
    for (at, instruction) in program.iter().enumerate() {
        let left = program.len() - at - 1;
        let Instruction { code, jt, jf, k } = *instruction;
        match code {
            0x06 | 0x54 => {}
            0x20 => assert!(k < 64 && k.is_multiple_of(4), "load of {k} at {at}"),
            0x05 => assert!((k as usize) < left, "jump of {k} at {at}"),
            0x15 | 0x25 | 0x35 | 0x45 => {
                assert!(
                    usize::from(jt.max(jf)) < left,
                    "branch of {jt}, {jf} at {at}"
                );
            }
            _ => panic!("instruction {code:#x} at {at}"),
        }
    }
    assert_eq!(
        program.last().map(|last| last.code),
        Some(0x06),
        "the end must return"
    );
}
