//! Executing a program from prepared data, execve(2).

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use crate::process::ChildToken;
use crate::trampoline::{SealedProgram, Trampoline};

/// A program, ready for the kernel: where it may be, its arguments and its environment.
#[derive(Debug)]
pub struct Program {
    /// What a trampoline is told, and the words of the command line.
    arguments: PointerArray,
    environment: PointerArray,
    candidates: Vec<CString>,
    label: Label,
    control: Box<Cell<Control>>,
}

/// What a security module is to do with the program, and the file below `/proc` for it.
#[derive(Debug, Default)]
pub struct Label {
    /// The file.
    pub file: CString,
    /// What is written to it.
    pub content: CString,
}

/// Whom a trampoline tells what failed, and as the failure of which step.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// Gets three numbers of 32 bits: 2, the step, the error.
    pub channel: BorrowedFd<'a>,
    /// The execution of the program.
    pub step: u32,
    /// `/proc`, where there is a label to be set, and that step.
    pub label: Option<(BorrowedFd<'a>, u32)>,
    /// Whether the trampoline stays, as the first process of the container, with the program as its
    /// child.
    pub stays: bool,
}

/// Six decimal numbers with a space behind each, and a null byte.
type Control = [u8; 6 * 11 + 1];

/// Strings, and the null-terminated array of pointers to them that execve(2) wants.
#[derive(Debug)]
struct PointerArray {
    pointers: Vec<*const c_char>,
    _strings: Vec<CString>,
}

impl PointerArray {
    /// Puts `first` before the strings: whoever makes the array keeps what that points to.
    fn new(first: &[*const c_char], strings: Vec<CString>) -> Self {
        // A CString's bytes stay where they are when the vector that holds it moves.
        let own = strings.iter().map(|string| string.as_ptr());
        let pointers = first.iter().copied().chain(own).chain([std::ptr::null()]);
        Self {
            pointers: pointers.collect(),
            _strings: strings,
        }
    }
}

impl Program {
    /// Takes the files that are tried in their order, the words of the command line, the first being
    /// the program's own name, and `NAME=VALUE` lines.
    #[must_use]
    pub fn new(
        candidates: Vec<CString>,
        arguments: Vec<CString>,
        environment: Vec<CString>,
        label: Label,
    ) -> Self {
        let control = Box::new(Cell::new([0; size_of::<Control>()]));
        let mut before: Vec<*const c_char> = vec![
            control.as_ptr().cast_const().cast(),
            label.file.as_ptr(),
            label.content.as_ptr(),
        ];
        before.extend(candidates.iter().map(|candidate| candidate.as_ptr()));
        Self {
            arguments: PointerArray::new(&before, arguments),
            environment: PointerArray::new(&[], environment),
            candidates,
            label,
            control,
        }
    }

    /// What a security module is to do with it; empty where there is nothing.
    #[must_use]
    pub fn label(&self) -> &Label {
        &self.label
    }

    /// Where the program may be.
    #[must_use]
    pub fn candidates(&self) -> &[CString] {
        &self.candidates
    }

    /// Becomes the program in the file `path`; returns only when that fails. Allocates nothing.
    pub fn execute(&self, path: &CStr, _token: &ChildToken) -> io::Error {
        let words = self.arguments.pointers.get(3 + self.candidates.len()..);
        let words = words.unwrap_or_default();
        // SAFETY: `path` ends with a null byte; both arrays end with a null pointer and point to
        // strings that `self` owns, each of which ends with a null byte.
        unsafe {
            libc::execve(
                path.as_ptr(),
                words.as_ptr(),
                self.environment.pointers.as_ptr(),
            )
        };
        io::Error::last_os_error()
    }

    /// Becomes a program in memory, wherever the candidates are; returns only when that fails.
    /// Allocates nothing.
    pub fn execute_sealed(&self, program: &SealedProgram, _token: &ChildToken) -> io::Error {
        let words = self.arguments.pointers.get(3 + self.candidates.len()..);
        let words = words.unwrap_or_default();
        // SAFETY: the descriptor is open, and the path is empty; both arrays end with a null pointer
        // and point to strings that `self` owns, each of which ends with a null byte.
        unsafe {
            libc::syscall(
                libc::SYS_execveat,
                program.descriptor().as_raw_fd(),
                c"".as_ptr(),
                words.as_ptr(),
                self.environment.pointers.as_ptr(),
                libc::AT_EMPTY_PATH,
            )
        };
        io::Error::last_os_error()
    }

    /// Becomes the trampoline, which sets the label and becomes the first of the candidates that it can.
    /// Returns only when the trampoline itself cannot be executed. Allocates nothing.
    pub fn execute_by(
        &self,
        trampoline: &Trampoline,
        report: Report<'_>,
        _token: &ChildToken,
    ) -> io::Error {
        let number = |descriptor: BorrowedFd<'_>| descriptor.as_raw_fd().cast_unsigned();
        let count = u32::try_from(self.candidates.len()).unwrap_or(u32::MAX);
        let (proc, label_step) = match report.label {
            Some((proc, step)) => (number(proc), step),
            None => (0, 0),
        };
        let numbers = [
            number(report.channel),
            report.step,
            count,
            proc,
            label_step,
            report.stays.into(),
        ];
        self.control.set(control(numbers));
        // SAFETY: the descriptor is open, and the path is empty; both arrays end with a null pointer
        // and point to bytes that `self` owns, each of which end with a null byte.
        unsafe {
            libc::syscall(
                libc::SYS_execveat,
                trampoline.descriptor().as_raw_fd(),
                c"".as_ptr(),
                self.arguments.pointers.as_ptr(),
                self.environment.pointers.as_ptr(),
                libc::AT_EMPTY_PATH,
            )
        };
        io::Error::last_os_error()
    }
}

fn control(numbers: [u32; 6]) -> Control {
    let mut text: Control = [0; size_of::<Control>()];
    let mut places = text.iter_mut();
    for number in numbers {
        let digits = number.checked_ilog10().unwrap_or(0);
        for power in (0..=digits).rev() {
            let digit = number / 10_u32.pow(power) % 10;
            if let Some(place) = places.next() {
                *place = b'0' + u8::try_from(digit).unwrap_or(0);
            }
        }
        if let Some(place) = places.next() {
            *place = b' ';
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_is_six_numbers() {
        let text = |numbers| {
            let control = control(numbers);
            let text = CStr::from_bytes_until_nul(&control).unwrap();
            text.to_str().unwrap().to_owned()
        };
        assert_eq!(text([0, 10, 109, 9, 1, 0]), "0 10 109 9 1 0 ");
        let most = u32::MAX.to_string();
        assert_eq!(text([u32::MAX; 6]), format!("{most} ").repeat(6));
    }
}
