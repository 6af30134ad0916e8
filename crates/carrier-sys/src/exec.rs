//! Executing a program from prepared data, execve(2).

use std::ffi::{CStr, CString, c_char};
use std::io;

use crate::process::ChildToken;

/// Arguments and environment of a program, ready for the kernel.
#[derive(Debug)]
pub struct Program {
    arguments: PointerArray,
    environment: PointerArray,
}

/// Strings, and the null-terminated array of pointers to them that execve(2) wants.
#[derive(Debug)]
struct PointerArray {
    pointers: Vec<*const c_char>,
    _strings: Vec<CString>,
}

impl PointerArray {
    fn new(strings: Vec<CString>) -> Self {
        // A CString's bytes stay where they are when the vector that holds it moves.
        let mut pointers: Vec<*const c_char> = strings.iter().map(|s| s.as_ptr()).collect();
        pointers.push(std::ptr::null());
        Self {
            pointers,
            _strings: strings,
        }
    }
}

impl Program {
    /// Takes the words of the command line, the first being the program's own name, and
    /// `NAME=VALUE` lines.
    #[must_use]
    pub fn new(arguments: Vec<CString>, environment: Vec<CString>) -> Self {
        Self {
            arguments: PointerArray::new(arguments),
            environment: PointerArray::new(environment),
        }
    }

    /// Becomes the program in the file `path`; returns only when that fails. Allocates nothing.
    pub fn execute(&self, path: &CStr, _token: &ChildToken) -> io::Error {
        // SAFETY: `path` ends with a null byte; both arrays end with a null pointer and point to
        // strings that `self` owns, each of which ends with a null byte.
        unsafe {
            libc::execve(
                path.as_ptr(),
                self.arguments.pointers.as_ptr(),
                self.environment.pointers.as_ptr(),
            )
        };
        io::Error::last_os_error()
    }
}
