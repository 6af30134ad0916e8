//! From a profile to the program that the kernel runs at each system call.
//!
//! The program finds the architecture, then the number in a search tree over ranges of numbers, and
//! looks at arguments last. The kernel (5.11 and later) works out when the filter is loaded which
//! numbers are allowed whatever the arguments, and runs no program for these; it can follow only
//! the instructions that are used here. See `seccomp_is_const_allow` in kernel/seccomp.c.

use std::collections::HashMap;

use super::Instruction;
use super::arch::{Arch, Table};
use super::bpf::{Assembler, Compare, Target};
use super::profile::{Action, ArgTest, LAST_ARGUMENT, Op, Profile, Syscall};
use super::verdict::{Alternative, Range, Ranges, Verdict};

/// The kernel refuses longer programs, `BPF_MAXINSNS`.
const MAX_INSTRUCTIONS: usize = 4096;

/// `struct seccomp_data`: where the number, the architecture and the first argument are.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// Why a profile has no program.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The kernel takes only short programs.
    #[error("the seccomp profile needs {instructions} instructions, the kernel takes 4096")]
    TooLong {
        /// How many instructions the program would have.
        instructions: usize,
    },
    /// Every call would kill.
    #[error("the seccomp profile names no architecture of this machine")]
    NoArchitecture,
    /// System calls have six arguments.
    #[error("a seccomp rule tests argument {index}, the last one is 5")]
    ArgumentIndex {
        /// The index that was asked for.
        index: u8,
    },
    /// No call of the architecture can have this number.
    #[error("{number:#x} is no system call number of {arch}")]
    Number {
        /// The architecture.
        arch: Arch,
        /// The number that was asked for.
        number: u32,
    },
}

/// The program of `profile`, of which `tables` are the architectures in order of preference.
pub(super) fn program(
    profile: &Profile,
    tables: &[Table<'_>],
) -> Result<Vec<Instruction>, CompileError> {
    check(profile, tables)?;
    let mut generator = Generator::new(profile.default_action);
    let mut entry = Target::Return(Action::KillProcess.return_value());
    for audit in audit_values(tables).into_iter().rev() {
        let tables: Vec<_> = tables
            .iter()
            .filter(|table| table.arch.audit() == audit)
            .collect();
        let section = generator.section(profile, &tables);
        entry = generator
            .assembler
            .branch(Compare::Equal, audit, section, entry);
    }
    let entry = generator.assembler.load(ARCH, entry);
    let program = generator.assembler.finish(entry);
    if program.len() > MAX_INSTRUCTIONS {
        return Err(CompileError::TooLong {
            instructions: program.len(),
        });
    }
    Ok(program)
}

fn check(profile: &Profile, tables: &[Table<'_>]) -> Result<(), CompileError> {
    if tables.is_empty() {
        return Err(CompileError::NoArchitecture);
    }
    for rule in &profile.rules {
        for syscall in &rule.syscalls {
            if let Syscall::Number(arch, number) = *syscall
                && !arch.numbers().contains(&number)
            {
                return Err(CompileError::Number { arch, number });
            }
        }
        if let Some(test) = rule.args.iter().find(|test| test.index > LAST_ARGUMENT) {
            return Err(CompileError::ArgumentIndex { index: test.index });
        }
    }
    Ok(())
}

/// The architectures as the kernel tells them apart, each once.
fn audit_values(tables: &[Table<'_>]) -> Vec<u32> {
    let mut values = Vec::new();
    for table in tables {
        if !values.contains(&table.arch.audit()) {
            values.push(table.arch.audit());
        }
    }
    values
}

struct Generator<'p> {
    assembler: Assembler,
    default: Target,
    /// The bits of arguments that the architecture at hand has.
    argument_mask: u64,
    /// The tests that are written already, for the other numbers that get the same.
    written: HashMap<Vec<Alternative<'p>>, Target>,
}

impl<'p> Generator<'p> {
    fn new(default_action: Action) -> Self {
        Self {
            assembler: Assembler::default(),
            default: Target::Return(default_action.return_value()),
            argument_mask: u64::MAX,
            written: HashMap::new(),
        }
    }

    /// All calls of the architectures that share an audit value.
    fn section(&mut self, profile: &'p Profile, tables: &[&Table<'_>]) -> Target {
        self.written.clear();
        self.argument_mask = tables[0].arch.argument_mask();
        let tree = self.tree(Ranges::of(profile, tables).as_slice());
        self.assembler.load(NUMBER, tree)
    }

    /// A search tree whose branches are weighted by the calls behind them.
    fn tree(&mut self, ranges: &[Range<'p>]) -> Target {
        if let [range] = ranges {
            return self.verdict(&range.verdict);
        }
        let (left, right) = ranges.split_at(middle(ranges));
        let first = right[0].first;
        let right = self.tree(right);
        let left = self.tree(left);
        self.assembler
            .branch(Compare::GreaterOrEqual, first, right, left)
    }

    fn verdict(&mut self, verdict: &Verdict<'p>) -> Target {
        let alternatives = match verdict {
            Verdict::Always(action) => return Target::Return(action.return_value()),
            Verdict::ByArguments(alternatives) => alternatives,
        };
        if let Some(&written) = self.written.get(alternatives) {
            return written;
        }
        let mut otherwise = self.default;
        for alternative in alternatives.iter().rev() {
            let mut matched = Target::Return(alternative.action.return_value());
            for test in alternative.tests.iter().rev() {
                matched = self.test(test, matched, otherwise);
            }
            otherwise = matched;
        }
        self.written.insert(alternatives.clone(), otherwise);
        otherwise
    }

    fn test(&mut self, test: &ArgTest, yes: Target, no: Target) -> Target {
        let mask = test.mask & self.argument_mask;
        let offset = ARGUMENTS + 8 * u32::from(test.index);
        let low = Word {
            offset,
            mask: low(mask),
            value: low(test.value & mask),
        };
        let high = Word {
            offset: offset + 4,
            mask: high(mask),
            value: high(test.value & mask),
        };
        let (compare, yes, no) = match test.op {
            Op::Eq => (Compare::Equal, yes, no),
            Op::Ne => (Compare::Equal, no, yes),
            Op::Gt => (Compare::Greater, yes, no),
            Op::Le => (Compare::Greater, no, yes),
            Op::Ge => (Compare::GreaterOrEqual, yes, no),
            Op::Lt => (Compare::GreaterOrEqual, no, yes),
        };
        let low = self.word(low, compare, yes, no);
        match compare {
            _ if high.mask == 0 => low,
            Compare::Equal => self.word(high, Compare::Equal, low, no),
            Compare::Greater | Compare::GreaterOrEqual => {
                let equal = self.assembler.branch(Compare::Equal, high.value, low, no);
                let greater = self
                    .assembler
                    .branch(Compare::Greater, high.value, yes, equal);
                self.masked_load(high, greater)
            }
        }
    }

    fn word(&mut self, word: Word, compare: Compare, yes: Target, no: Target) -> Target {
        let no = if word.mask == u32::MAX {
            self.assembler.past_load(word.offset, no)
        } else {
            no
        };
        let branch = self.assembler.branch(compare, word.value, yes, no);
        self.masked_load(word, branch)
    }

    fn masked_load(&mut self, word: Word, next: Target) -> Target {
        let masked = match word.mask {
            u32::MAX => next,
            mask => self.assembler.and(mask, next),
        };
        self.assembler.load(word.offset, masked)
    }
}

/// One half of an argument, and what it is compared with.
#[derive(Clone, Copy)]
struct Word {
    offset: u32,
    mask: u32,
    value: u32,
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
const fn low(value: u64) -> u32 {
    value as u32
}

const fn high(value: u64) -> u32 {
    low(value >> 32)
}

/// Where to split at least two ranges so that both sides weigh about the same.
fn middle(ranges: &[Range<'_>]) -> usize {
    let weight = |range: &Range<'_>| range.calls + 1;
    let total: usize = ranges.iter().map(weight).sum();
    let mut left = 0;
    let mut best = (usize::MAX, 1);
    for (index, range) in ranges.iter().enumerate().take(ranges.len() - 1) {
        left += weight(range);
        best = best.min((left.abs_diff(total - left), index + 1));
    }
    best.1
}
