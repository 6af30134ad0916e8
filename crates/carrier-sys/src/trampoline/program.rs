//! The little program between Carrier and the program of a container: see `trampoline.rs`.
//!
//! It is called with `[CONTROL, file, label, candidates..., words...]`, where CONTROL is six numbers:
//! the descriptor to which a failure is reported, the step whose failure it is, how many candidates
//! there are, a descriptor of `/proc`, the step of the label, and whether it is to stay. It writes the
//! label to the file, where that descriptor is not 0, and becomes the first candidate that can be
//! executed, with the words as its arguments. Where it is to stay, a child of it does that, and it becomes
//! the first process that a program without care for others wants: see `stay`. There is no library
//! behind it, so that it stays as small as it is.
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
    pub const CLOSE: usize = 3;
    pub const SIGPROCMASK: usize = 14;
    pub const IOCTL: usize = 16;
    pub const GETPID: usize = 39;
    pub const CLONE: usize = 56;
    pub const EXECVE: usize = 59;
    pub const WAIT4: usize = 61;
    pub const KILL: usize = 62;
    pub const FCNTL: usize = 72;
    pub const SETPGID: usize = 109;
    pub const SIGTIMEDWAIT: usize = 128;
    pub const PRCTL: usize = 157;
    pub const EXIT_GROUP: usize = 231;
    pub const OPENAT: usize = 257;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub const FCNTL: usize = 25;
    pub const IOCTL: usize = 29;
    pub const OPENAT: usize = 56;
    pub const CLOSE: usize = 57;
    pub const WRITE: usize = 64;
    pub const EXIT_GROUP: usize = 94;
    pub const KILL: usize = 129;
    pub const SIGPROCMASK: usize = 135;
    pub const SIGTIMEDWAIT: usize = 137;
    pub const SETPGID: usize = 154;
    pub const PRCTL: usize = 167;
    pub const GETPID: usize = 172;
    pub const CLONE: usize = 220;
    pub const EXECVE: usize = 221;
    pub const WAIT4: usize = 260;
}

const F_SETFD: usize = 2;
const FD_CLOEXEC: usize = 1;
const O_WRONLY_CLOEXEC: usize = 0o2_000_001;

const SIG_SETMASK: usize = 2;
const SIGCHLD: usize = 17;
const WNOHANG: usize = 1;
const TIOCSPGRP: usize = 0x5410;
const PR_SET_NAME: usize = 15;
const PR_SET_CHILD_SUBREAPER: usize = 36;

/// Bytes of the kernel's set of signals.
const SET: usize = 8;

/// What Docker calls its own, and what stands before the program's words there.
const TITLE: &[u8; 21] = b"/sbin/docker-init\0--\0";

const NAME: &[u8; 12] = b"docker-init\0";

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
    let stays = next() != 0;
    if candidates == 0 || candidates > count - 4 {
        leave(MISUSED);
    }
    if stays {
        match clone_child() {
            // The child goes on, and is told of by its own means.
            Ok(0) => {}
            Ok(child) => {
                call(number::CLOSE, [channel, 0, 0]);
                if proc != 0 {
                    call(number::CLOSE, [proc, 0, 0]);
                }
                // SAFETY: the words follow the candidates, and the arguments are not read any more.
                unsafe { show_as_init(arguments, 3 + candidates, count) };
                stay(child)
            }
            Err(errno) => fail(channel, step, errno),
        }
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

/// Clones a child into a process group of its own, which gets the terminal; 0 in the child. All
/// signals wait from then on in the parent.
fn clone_child() -> Result<usize, i32> {
    let all = u64::MAX;
    let mut before: u64 = 0;
    let set = (&raw const all).expose_provenance();
    let old = (&raw mut before).expose_provenance();
    call_4(number::SIGPROCMASK, [SIG_SETMASK, set, old, SET]);
    let pid = call_5(number::CLONE, [SIGCHLD, 0, 0, 0, 0]);
    if pid == 0 {
        call(number::SETPGID, [0, 0, 0]);
        #[expect(clippy::cast_possible_truncation, reason = "a process id")]
        let own = call(number::GETPID, [0, 0, 0]) as i32;
        // Without a terminal that is an error. In the background it is a signal, which is blocked.
        call(number::IOCTL, [0, TIOCSPGRP, (&raw const own).expose_provenance()]);
        call_4(number::SIGPROCMASK, [SIG_SETMASK, old, 0, SET]);
    }
    usize::try_from(pid).map_err(|_| error_of(pid))
}

/// Passes signals on to `child`, and buries whoever has lost his parent, until the child has ended;
/// then leaves with its code.
fn stay(child: usize) -> ! {
    call(number::PRCTL, [PR_SET_NAME, NAME.as_ptr().expose_provenance(), 0]);
    call(number::PRCTL, [PR_SET_CHILD_SUBREAPER, 1, 0]);
    let all = u64::MAX;
    loop {
        let set = (&raw const all).expose_provenance();
        let signal = call_4(number::SIGTIMEDWAIT, [set, 0, 0, SET]);
        match usize::try_from(signal) {
            Ok(SIGCHLD) => bury(child),
            Ok(signal) if signal > 0 => drop(call(number::KILL, [child, signal, 0])),
            // A stop and its end interrupt the call.
            _ => {}
        }
    }
}

/// Waits for all that have ended. Several ends may be one signal.
fn bury(child: usize) {
    loop {
        let mut status: i32 = 0;
        let place = (&raw mut status).expose_provenance();
        let any = usize::MAX;
        let pid = call_4(number::WAIT4, [any, place, WNOHANG, 0]);
        if pid <= 0 {
            return;
        }
        if usize::try_from(pid) == Ok(child) {
            // SAFETY: the kernel has written it meanwhile, behind the compiler's back.
            let status = unsafe { (&raw const status).read_volatile() }.cast_unsigned();
            let signal = status & 0x7f;
            let code = match signal {
                0 => status >> 8 & 0xff,
                signal => 128 + signal,
            };
            leave(code as usize);
        }
    }
}

/// Makes the command line what Docker shows, instead of what is Carrier's: others read it.
///
/// # Safety
/// `arguments` are `count` texts that follow each other in memory; nobody reads them afterwards.
unsafe fn show_as_init(arguments: *const Text, words: usize, count: usize) {
    // SAFETY: there is a first text, and a last one, which ends with a null byte.
    let (first, words, last) = unsafe {
        let first = arguments.read().cast_mut();
        (first, arguments.add(words).read(), arguments.add(count - 1).read())
    };
    let mut end = last;
    // SAFETY: not beyond the null byte.
    while unsafe { end.read() } != 0 {
        // SAFETY: the byte was not the last.
        end = unsafe { end.add(1) };
    }
    let room = words.addr() - first.addr();
    let length = end.addr() - words.addr();
    let all = end.addr() - first.addr();
    let title = if TITLE.len() <= room { TITLE.len() } else { 0 };
    let mut place = 0;
    while place < all {
        let byte = match TITLE.get(place) {
            Some(byte) if place < title => *byte,
            // SAFETY: the words are behind the place that is written, or at it.
            _ if place - title < length => unsafe { words.add(place - title).read() },
            _ => 0,
        };
        // SAFETY: before the end, on the stack, which can be written.
        unsafe { first.add(place).write_volatile(byte) };
        place += 1;
    }
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

fn call(number: usize, [a, b, c]: [usize; 3]) -> isize {
    call_5(number, [a, b, c, 0, 0])
}

fn call_4(number: usize, [a, b, c, d]: [usize; 4]) -> isize {
    call_5(number, [a, b, c, d, 0])
}

#[cfg(target_arch = "x86_64")]
fn call_5(number: usize, [a, b, c, d, e]: [usize; 5]) -> isize {
    let result;
    // SAFETY: the calls of this program read and write memory that its callers name, and a clone gets
    // a copy of the stack.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c,
             in("r10") d, in("r8") e, out("rcx") _, out("r11") _, options(nostack));
    }
    result
}

#[cfg(target_arch = "aarch64")]
fn call_5(number: usize, [a, b, c, d, e]: [usize; 5]) -> isize {
    let result;
    // SAFETY: the calls of this program read and write memory that its callers name, and a clone gets
    // a copy of the stack.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c,
             in("x3") d, in("x4") e, options(nostack));
    }
    result
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    leave(SETUP_FAILED)
}
