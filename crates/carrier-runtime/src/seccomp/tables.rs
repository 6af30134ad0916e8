//! The system call tables of all architectures, as text that the build script writes.
//!
//! Text without a pointer in it costs a start of the program nothing: no relocation, and no page is
//! read until a profile is compiled.

use super::arch::{Arch, Table};

/// The tables of `architectures`, each once.
pub(super) fn of(architectures: &[Arch]) -> Vec<Table<'static>> {
    let mut tables: Vec<Table<'static>> = Vec::new();
    for &arch in architectures {
        if tables.iter().all(|table| table.arch != arch) {
            tables.push(Table::parse(arch, text(arch)));
        }
    }
    tables
}

const fn text(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => include_str!(concat!(env!("OUT_DIR"), "/x86_64.txt")),
        Arch::X86 => include_str!(concat!(env!("OUT_DIR"), "/x86.txt")),
        Arch::X32 => include_str!(concat!(env!("OUT_DIR"), "/x32.txt")),
        Arch::Aarch64 => include_str!(concat!(env!("OUT_DIR"), "/aarch64.txt")),
        Arch::Arm => include_str!(concat!(env!("OUT_DIR"), "/arm.txt")),
    }
}
