//! Assembles classic BPF from its end to its start.
//!
//! Jumps of classic BPF only lead forwards, so a program that is written backwards knows each target
//! before the jump: no label is ever patched.

use std::collections::HashMap;

use super::Instruction;

const LOAD_WORD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const RETURN: u16 = 0x06;

/// A comparison of the accumulator with a constant, `BPF_JMP | BPF_K | ...`.
#[derive(Clone, Copy)]
#[repr(u16)]
pub(super) enum Compare {
    Equal = 0x15,
    Greater = 0x25,
    GreaterOrEqual = 0x35,
}

/// Where a program goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// At a written instruction, counted from the end of the program.
    At(usize),
    /// It ends with this value.
    Return(u32),
}

/// How far a conditional jump is let reach: one instruction less than it could, for the one that
/// bringing its other branch near may put in between.
const REACH: usize = u8::MAX as usize;

/// A program in the making. Each method writes in front of what is there already.
#[derive(Default)]
pub(super) struct Assembler {
    /// The program, last instruction first.
    reversed: Vec<Instruction>,
    /// The latest position of each `return`, for the branches that come near enough.
    returns: HashMap<u32, usize>,
}

impl Assembler {
    /// Loads the word at `offset` of `struct seccomp_data` into the accumulator.
    pub(super) fn load(&mut self, offset: u32, next: Target) -> Target {
        self.fall_into(next);
        self.push(LOAD_WORD, 0, 0, offset)
    }

    /// Clears the bits of the accumulator that are not in `mask`.
    pub(super) fn and(&mut self, mask: u32, next: Target) -> Target {
        self.fall_into(next);
        self.push(AND, 0, 0, mask)
    }

    /// Goes on at `yes` if the comparison holds, else at `no`.
    pub(super) fn branch(&mut self, compare: Compare, k: u32, yes: Target, no: Target) -> Target {
        if yes == no {
            return yes;
        }
        let no = self.near(no);
        let yes = self.near(yes);
        let (jt, jf) = (self.skip_to(yes), self.skip_to(no));
        self.push(compare as u16, jt, jf, k)
    }

    /// Past the load of `offset` at `target`, if that is what stands there: for a jump that comes
    /// with this word in the accumulator.
    pub(super) fn past_load(&self, offset: u32, target: Target) -> Target {
        let load = Instruction {
            code: LOAD_WORD,
            jt: 0,
            jf: 0,
            k: offset,
        };
        match target {
            Target::At(position) if self.reversed[position] == load => Target::At(position - 1),
            _ => target,
        }
    }

    /// The whole program, which starts at `entry`.
    pub(super) fn finish(mut self, entry: Target) -> Vec<Instruction> {
        self.fall_into(entry);
        self.reversed.reverse();
        self.reversed
    }

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> Target {
        self.reversed.push(Instruction { code, jt, jf, k });
        Target::At(self.reversed.len() - 1)
    }

    fn push_return(&mut self, value: u32) -> usize {
        let position = self.reversed.len();
        self.push(RETURN, 0, 0, value);
        self.returns.insert(value, position);
        position
    }

    /// Makes `target` what the next written instruction falls into.
    fn fall_into(&mut self, target: Target) {
        match target {
            Target::At(position) if position + 1 == self.reversed.len() => {}
            Target::At(position) => {
                self.push_jump(position);
            }
            Target::Return(value) => {
                self.push_return(value);
            }
        }
    }

    /// A position that a conditional jump can reach and that leads to `target`.
    fn near(&mut self, target: Target) -> usize {
        let reachable = |position: usize| self.reversed.len() - position <= REACH;
        match target {
            Target::At(position) if reachable(position) => position,
            Target::At(position) => self.push_jump(position),
            Target::Return(value) => match self.returns.get(&value) {
                Some(&position) if reachable(position) => position,
                _ => self.push_return(value),
            },
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a program is shorter than 4 GiB"
    )]
    fn push_jump(&mut self, position: usize) -> usize {
        let here = self.reversed.len();
        self.push(JUMP, 0, 0, (here - position - 1) as u32);
        here
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "`near` keeps positions within reach"
    )]
    fn skip_to(&self, position: usize) -> u8 {
        (self.reversed.len() - position - 1) as u8
    }
}
