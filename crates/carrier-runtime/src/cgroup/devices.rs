//! `linux.resources.devices`: from rules to a program that the kernel asks at each use of a device.

use carrier_sys::bpf::Instruction;
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

/// What every container may use, runtime-spec `config-linux.md`, section "Default Devices", and making
/// nodes, which is of no use without the right to open them.
const ALWAYS: [(u8, Option<u32>, Option<u32>, i32); 11] = [
    (CHARACTER, None, None, MAKE),
    (BLOCK, None, None, MAKE),
    (CHARACTER, Some(1), Some(3), ALL),
    (CHARACTER, Some(1), Some(5), ALL),
    (CHARACTER, Some(1), Some(7), ALL),
    (CHARACTER, Some(1), Some(8), ALL),
    (CHARACTER, Some(1), Some(9), ALL),
    (CHARACTER, Some(5), Some(0), ALL),
    (CHARACTER, Some(5), Some(1), ALL),
    (CHARACTER, Some(5), Some(2), ALL),
    (CHARACTER, Some(136), None, ALL),
];

/// `BPF_DEVCG_DEV_*`
const BLOCK: u8 = 1;
const CHARACTER: u8 = 2;

/// `BPF_DEVCG_ACC_*`
const MAKE: i32 = 1;
const READ: i32 = 2;
const WRITE: i32 = 4;
const ALL: i32 = MAKE | READ | WRITE;

/// Registers: what is returned, the question, and its parts.
const RESULT: u8 = 0;
const QUESTION: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

struct Rule {
    kind: Option<u8>,
    major: Option<u32>,
    minor: Option<u32>,
    access: i32,
    allow: bool,
}

/// The program for `rules`, of which the last that fits counts; what none fits is forbidden. What
/// every container may use comes before them.
pub(super) fn program(rules: &[LinuxDeviceCgroup]) -> Vec<Instruction> {
    let always = ALWAYS.iter().map(|(kind, major, minor, access)| Rule {
        kind: Some(*kind),
        major: *major,
        minor: *minor,
        access: *access,
        allow: true,
    });
    let mut program = vec![
        // The low half is the kind of device, the high half what is to be done with it.
        load(KIND, 0),
        operation(0x57, KIND, 0xffff),
        load(ACCESS, 0),
        operation(0x77, ACCESS, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    for rule in always.chain(rules.iter().rev().map(Rule::of)) {
        program.extend(rule.compile());
        if rule.fits_all() {
            // The kernel trusts no program with instructions that cannot be reached.
            return program;
        }
    }
    program.extend(verdict(false));
    program
}

impl Rule {
    fn of(rule: &LinuxDeviceCgroup) -> Self {
        let kind = match rule.typ() {
            Some(LinuxDeviceType::B) => Some(BLOCK),
            Some(LinuxDeviceType::C | LinuxDeviceType::U) => Some(CHARACTER),
            _ => None,
        };
        let words = rule.access().as_deref().unwrap_or_default();
        let bit = |word: char| match word {
            'm' => MAKE,
            'r' => READ,
            'w' => WRITE,
            _ => 0,
        };
        let access = words.chars().map(bit).fold(0, |bits, bit| bits | bit);
        // The specification's word for any number is -1.
        let number = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
        Self {
            kind,
            major: number(rule.major()),
            minor: number(rule.minor()),
            access: if access == 0 { ALL } else { access },
            allow: rule.allow(),
        }
    }

    fn fits_all(&self) -> bool {
        let any = self.kind.is_none() && self.major.is_none() && self.minor.is_none();
        any && self.access == ALL
    }

    fn compile(&self) -> Vec<Instruction> {
        let mut tests: Vec<Instruction> = Vec::new();
        if let Some(kind) = self.kind {
            tests.push(unless_equal(KIND, u32::from(kind)));
        }
        if self.access != ALL {
            // Allowed is what asks for nothing else; forbidden what asks for any of it.
            tests.push(copy(QUESTION, ACCESS));
            if self.allow {
                tests.push(operation(0x57, QUESTION, !self.access & ALL));
                tests.push(unless_equal(QUESTION, 0));
            } else {
                tests.push(operation(0x57, QUESTION, self.access));
                tests.push(if_equal(QUESTION, 0));
            }
        }
        for (register, number) in [(MAJOR, self.major), (MINOR, self.minor)] {
            if let Some(number) = number {
                tests.push(unless_equal(register, number));
            }
        }
        let end = tests.len() + 2;
        for (place, test) in tests.iter_mut().enumerate() {
            if matches!(test.code, JUMP_IF_EQUAL | JUMP_UNLESS_EQUAL) {
                test.offset = i16::try_from(end - place - 1).unwrap_or(i16::MAX);
            }
        }
        tests.extend(verdict(self.allow));
        tests
    }
}

/// `BPF_JMP32`: numbers of devices have 32 bits.
const JUMP_IF_EQUAL: u8 = 0x16;
const JUMP_UNLESS_EQUAL: u8 = 0x56;

fn load(register: u8, offset: i16) -> Instruction {
    Instruction {
        code: 0x61,
        registers: register | (QUESTION << 4),
        offset,
        immediate: 0,
    }
}

fn operation(code: u8, register: u8, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers: register,
        offset: 0,
        immediate,
    }
}

fn copy(to: u8, from: u8) -> Instruction {
    operation(0xbf, to | (from << 4), 0)
}

fn if_equal(register: u8, number: u32) -> Instruction {
    operation(JUMP_IF_EQUAL, register, number.cast_signed())
}

fn unless_equal(register: u8, number: u32) -> Instruction {
    operation(JUMP_UNLESS_EQUAL, register, number.cast_signed())
}

fn verdict(allow: bool) -> [Instruction; 2] {
    [
        operation(0xb7, RESULT, i32::from(allow)),
        operation(0x95, 0, 0),
    ]
}
