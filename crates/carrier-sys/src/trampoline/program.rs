//! The little program between Carrier and the program of a container: see `trampoline.rs`.
//!
//! It is called with `[CONTROL, file, label, candidates..., words...]`, where CONTROL is five numbers:
//! the descriptor to which a failure is reported, the step whose failure it is, how many candidates
//! there are, a descriptor of `/proc` and the step of the label. It writes the label to the file, where
//! that descriptor is not 0, and becomes the first candidate that can be executed, with the words as its
//! arguments. There is no library behind it, so that it stays as small as it is.
// Nobody brings the `strlen` that the compiler would recognize.
#![no_builtins]
#![no_std]
#![no_main]

use core::arch::{asm, global_asm};

// The kernel begins a program with its arguments on the stack and no return address.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {begin}",
    begin = sym begin,
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, #0",
    "mov x30, #0",
    "mov x0, sp",
    "bl {begin}",
    begin = sym begin,
);

#[cfg(target_arch = "x86_64")]
mod number {
    pub const WRITE: usize = 1;
    pub const EXECVE: usize = 59;
    pub const FCNTL: usize = 72;
    pub const EXIT_GROUP: usize = 231;
    pub const OPENAT: usize = 257;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub const FCNTL: usize = 25;
    pub const OPENAT: usize = 56;
    pub const WRITE: usize = 64;
    pub const EXIT_GROUP: usize = 94;
    pub const EXECVE: usize = 221;
}

const F_SETFD: usize = 2;
const FD_CLOEXEC: usize = 1;
const O_WRONLY_CLOEXEC: usize = 0o2_000_001;

const ENOENT: i32 = 2;
const EACCES: i32 = 13;
const ENOTDIR: i32 = 20;
const EINVAL: i32 = 22;

/// Carrier's record of a failure: what, step, error number.
const FAILED: u32 = 2;

/// What Carrier's own process ends with when it could not become the program.
const SETUP_FAILED: usize = 125;

/// Somebody called it who is not Carrier.
const MISUSED: usize = 126;

type Text = *const u8;

/// # Safety
/// `stack` is where the kernel put the number of the arguments, they and the environment.
unsafe extern "C" fn begin(stack: *const usize) -> ! {
    // SAFETY: the caller's promise.
    let count = unsafe { stack.read() };
    // SAFETY: the arguments come next, `count` of them and a null.
    let arguments: *const Text = unsafe { stack.add(1) }.cast();
    // SAFETY: after that null.
    let environment = unsafe { arguments.add(count + 1) };
    // The control, the label and its file, a candidate and a word.
    if count < 5 {
        leave(MISUSED);
    }
    // SAFETY: there are at least five.
    let mut control = unsafe { arguments.read() };
    let mut next = || read_number(&mut control);
    let (channel, step, candidates, proc, label_step) = (next(), next(), next(), next(), next());
    if candidates == 0 || candidates > count - 4 {
        leave(MISUSED);
    }
    // Their ends tell Carrier that the program runs, and keep it from what is Carrier's.
    for descriptor in [channel, proc] {
        if descriptor != 0 {
            let errno = error_of(call(number::FCNTL, [descriptor, F_SETFD, FD_CLOEXEC]));
            if errno != 0 {
                fail(channel, step, errno);
            }
        }
    }
    if proc != 0 {
        // SAFETY: file and label are the second and the third argument.
        let errno = unsafe { set_label(proc, arguments.add(1).read(), arguments.add(2).read()) };
        if errno != 0 {
            fail(channel, label_step, errno);
        }
    }
    // SAFETY: so many candidates and at least one word follow the label.
    let errno = unsafe { execute(arguments.add(3), candidates, environment) };
    fail(channel, step, errno)
}

fn fail(channel: usize, step: usize, errno: i32) -> ! {
    #[expect(clippy::cast_possible_truncation, reason = "the number of a step")]
    let record = [FAILED, step as u32, errno.cast_unsigned()];
    let address = record.as_ptr().expose_provenance();
    call(number::WRITE, [channel, address, size_of_val(&record)]);
    leave(SETUP_FAILED)
}

/// Writes what a security module is to do with the program, which only the process itself may.
///
/// # Safety
/// Both texts end with a null byte.
unsafe fn set_label(proc: usize, file: Text, label: Text) -> i32 {
    let opened = call(
        number::OPENAT,
        [proc, file.expose_provenance(), O_WRONLY_CLOEXEC],
    );
    let Ok(opened) = usize::try_from(opened) else {
        return error_of(opened);
    };
    let mut length = 0;
    // SAFETY: not beyond the null byte.
    while unsafe { label.add(length).read() } != 0 {
        length += 1;
    }
    error_of(call(
        number::WRITE,
        [opened, label.expose_provenance(), length],
    ))
}

/// Tries each candidate, as execvp(3) does; the error is that of the one that came closest.
///
/// # Safety
/// At `candidates` are `count` texts, then the words and a null; `environment` ends with one too.
unsafe fn execute(candidates: *const Text, count: usize, environment: *const Text) -> i32 {
    // SAFETY: the caller's promise.
    let words = unsafe { candidates.add(count) };
    let mut verdict = ENOENT;
    for place in 0..count {
        // SAFETY: below `count`.
        let path = unsafe { candidates.add(place).read() };
        let arguments = [
            path.expose_provenance(),
            words.expose_provenance(),
            environment.expose_provenance(),
        ];
        match error_of(call(number::EXECVE, arguments)) {
            ENOENT | ENOTDIR => {}
            EACCES => verdict = EACCES,
            other => return other,
        }
    }
    verdict
}

/// Reads decimal digits, and goes to what follows the character behind them.
fn read_number(text: &mut Text) -> usize {
    let mut number: usize = 0;
    loop {
        // SAFETY: the text goes on until its null byte, which ends the loop and is not passed.
        let byte = unsafe { text.read() };
        if byte != 0 {
            // SAFETY: the byte was not the last.
            *text = unsafe { text.add(1) };
        }
        match byte {
            b'0'..=b'9' => number = number.wrapping_mul(10).wrapping_add((byte - b'0').into()),
            _ => return number,
        }
    }
}

fn error_of(result: isize) -> i32 {
    match result {
        -4095..0 => i32::try_from(-result).unwrap_or(EINVAL),
        _ => 0,
    }
}

fn leave(code: usize) -> ! {
    loop {
        call(number::EXIT_GROUP, [code, 0, 0]);
    }
}

#[cfg(target_arch = "x86_64")]
fn call(number: usize, [a, b, c]: [usize; 3]) -> isize {
    let result;
    // SAFETY: the calls of this program read memory that its callers name, and write none.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c,
             out("rcx") _, out("r11") _, options(nostack));
    }
    result
}

#[cfg(target_arch = "aarch64")]
fn call(number: usize, [a, b, c]: [usize; 3]) -> isize {
    let result;
    // SAFETY: the calls of this program read memory that its callers name, and write none.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c,
             options(nostack));
    }
    result
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    leave(SETUP_FAILED)
}
