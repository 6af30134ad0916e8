//! Calls by name, and what filters answer, in words that tests can be read in.

use std::str::FromStr as _;

use carrier_runtime::Capabilities;
use carrier_runtime::seccomp::{self, Arch, Instruction, Profile};

use crate::interpreter::{Call, assert_kernel_would_take, run};

pub(crate) const ALLOW: u32 = 0x7fff_0000;
pub(crate) const EPERM: u32 = 0x0005_0001;
pub(crate) const ENOSYS: u32 = 0x0005_0026;
pub(crate) const KILL_PROCESS: u32 = 0x8000_0000;

pub(crate) const X32_BIT: u32 = 0x4000_0000;

/// A profile's program.
pub(crate) struct Filter(pub(crate) Vec<Instruction>);

impl Filter {
    pub(crate) fn of(profile: &Profile) -> Self {
        let program = seccomp::compile(profile).unwrap();
        assert_kernel_would_take(&program);
        Self(program)
    }

    pub(crate) fn default_for(machine: Arch, capabilities: &[&str]) -> Self {
        let capabilities = capabilities
            .iter()
            .map(|name| Capabilities::named(name).unwrap())
            .fold(Capabilities::DEFAULT, Capabilities::with);
        Self::of(&seccomp::default_profile(machine, capabilities))
    }

    /// What the call `name` gets with these first arguments, the others being 0.
    pub(crate) fn answer(&self, arch: Arch, name: &str, args: &[u64]) -> u32 {
        self.answer_number(arch, number(arch, name), args)
    }

    pub(crate) fn answer_number(&self, arch: Arch, number: u32, first: &[u64]) -> u32 {
        let mut args = [0; 6];
        args[..first.len()].copy_from_slice(first);
        run(&self.0, &Call { arch, number, args }).value
    }
}

/// The number of a call, which its architecture has.
pub(crate) fn number(arch: Arch, name: &str) -> u32 {
    find(arch, name).unwrap_or_else(|| panic!("{arch} has no {name}"))
}

/// The number of a call, from the table that Carrier's tables are made of.
pub(crate) fn find(arch: Arch, name: &str) -> Option<u32> {
    let known = match arch {
        Arch::X86_64 => syscalls::x86_64::Sysno::from_str(name).map(|call| call.id()),
        Arch::X86 => syscalls::x86::Sysno::from_str(name).map(|call| call.id()),
        Arch::Aarch64 => syscalls::aarch64::Sysno::from_str(name).map(|call| call.id()),
        Arch::Arm => syscalls::arm::Sysno::from_str(name).map(|call| call.id()),
        Arch::X32 => panic!("x32 has no table of its own there"),
    };
    known.ok().map(|number| number.try_into().unwrap())
}

/// Whether the table has a call of this number.
pub(crate) fn exists(arch: Arch, number: u32) -> bool {
    name(arch, number).is_some()
}

pub(crate) fn name(arch: Arch, number: u32) -> Option<&'static str> {
    let number = number as usize;
    match arch {
        Arch::X86_64 => syscalls::x86_64::Sysno::new(number).map(|call| call.name()),
        Arch::X86 => syscalls::x86::Sysno::new(number).map(|call| call.name()),
        Arch::Aarch64 => syscalls::aarch64::Sysno::new(number).map(|call| call.name()),
        Arch::Arm => syscalls::arm::Sysno::new(number).map(|call| call.name()),
        Arch::X32 => panic!("x32 has no table of its own there"),
    }
}
