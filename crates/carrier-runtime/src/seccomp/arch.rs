//! The system call interfaces of a machine, and the names and numbers of their calls.

use std::fmt;
use std::ops::RangeInclusive;

use super::profile::Syscall;

/// A system call interface of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86, also through `int 0x80` of a 64-bit program.
    X86,
    /// 32-bit pointers on 64-bit x86: the architecture of `X86_64` with bit 30 of the number set.
    X32,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM.
    Arm,
}

/// Marks a number as a call of x32, `__X32_SYSCALL_BIT`.
pub(super) const X32_BIT: u32 = 0x4000_0000;

impl Arch {
    /// The interfaces that a kernel offers whose native one this is, itself first.
    #[must_use]
    pub const fn with_siblings(self) -> &'static [Self] {
        match self {
            Self::X86_64 => &[Self::X86_64, Self::X86, Self::X32],
            Self::Aarch64 => &[Self::Aarch64, Self::Arm],
            Self::X86 => &[Self::X86],
            Self::X32 => &[Self::X32],
            Self::Arm => &[Self::Arm],
        }
    }

    /// What the kernel calls it in `seccomp_data.arch`, `AUDIT_ARCH_*`.
    pub(super) const fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// The numbers that a call of it may have.
    pub(super) const fn numbers(self) -> RangeInclusive<u32> {
        match self {
            Self::X32 => X32_BIT..=X32_BIT | (X32_BIT - 1),
            _ => 0..=X32_BIT - 1,
        }
    }

    /// The bits of an argument that the kernel passes on.
    pub(super) const fn argument_mask(self) -> u64 {
        match self {
            Self::X86 | Self::Arm => u32::MAX as u64,
            Self::X86_64 | Self::X32 | Self::Aarch64 => u64::MAX,
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::X86 => "x86",
            Self::X32 => "x32",
            Self::Aarch64 => "aarch64",
            Self::Arm => "arm",
        })
    }
}

/// The system calls of one architecture.
pub(super) struct Table<'a> {
    pub(super) arch: Arch,
    /// By name.
    calls: Vec<(&'a str, u32)>,
}

impl<'a> Table<'a> {
    /// Reads lines of `name number`, which are in the order of the names.
    pub(super) fn parse(arch: Arch, text: &'a str) -> Self {
        let calls = text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter_map(|(name, number)| Some((name, number.parse().ok()?)))
            .collect();
        Self { arch, calls }
    }

    /// The number of a call here, if this architecture has it.
    pub(super) fn number(&self, syscall: &Syscall) -> Option<u32> {
        match syscall {
            Syscall::Name(name) => {
                let index = self.calls.binary_search_by(|(known, _)| (*known).cmp(name));
                index.ok().map(|index| self.calls[index].1)
            }
            Syscall::Number(arch, number) => (*arch == self.arch).then_some(*number),
        }
    }

    /// Every known number, in no order.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.calls.iter().map(|(_, number)| *number)
    }
}
