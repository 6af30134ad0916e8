//! Cloning a process into new namespaces, clone3(2).

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use crate::check;

/// Proof that the process had one thread when it was made: the right to clone it.
///
/// A child of a threaded process may find the allocator's lock taken by a thread that does not
/// exist in it. The proof cannot be sent to another thread.
#[derive(Debug)]
pub struct SingleThreaded(PhantomData<*const ()>);

impl SingleThreaded {
    /// Asks the kernel. A thread that was joined may be on its way out of the process for a moment
    /// more: that is waited for.
    ///
    /// # Errors
    /// `EINVAL` when the process has other threads.
    pub fn check() -> io::Result<Self> {
        const WAYS_OUT: u32 = 1000;
        let mut waited = 0;
        loop {
            // SAFETY: unshare(2) with CLONE_THREAD changes nothing: the kernel just refuses it in a
            // process that has more than one thread.
            match check(unsafe { libc::unshare(libc::CLONE_THREAD) }.into()) {
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) && waited < WAYS_OUT => {
                    waited += 1;
                    std::thread::sleep(Duration::from_millis(1));
                }
                other => return other.map(|_| Self(PhantomData)),
            }
        }
    }
}

/// Proof of being the only thread of a child that [`clone_into`] made.
///
/// What such a child does until exec must not allocate; the functions that ask for this token keep
/// to that.
#[derive(Debug)]
pub struct ChildToken(PhantomData<*const ()>);

bitflags::bitflags! {
    /// The kinds of namespaces, namespaces(7).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Namespaces: u64 {
        /// Cgroup root directory.
        const CGROUP = libc::CLONE_NEWCGROUP as u64;
        /// System V IPC and POSIX message queues.
        const IPC = libc::CLONE_NEWIPC as u64;
        /// Mount points.
        const MOUNT = libc::CLONE_NEWNS as u64;
        /// Network devices, addresses, ports.
        const NETWORK = libc::CLONE_NEWNET as u64;
        /// Process ids.
        const PID = libc::CLONE_NEWPID as u64;
        /// User and group ids, capabilities.
        const USER = libc::CLONE_NEWUSER as u64;
        /// Clocks that count from the boot.
        const TIME = libc::CLONE_NEWTIME as u64;
        /// Host and domain name.
        const UTS = libc::CLONE_NEWUTS as u64;
    }
}

/// A child process, killed and reaped when this is dropped before it was waited for.
#[derive(Debug)]
pub struct Child {
    pid: u32,
    pidfd: OwnedFd,
    reaped: bool,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It left with this code.
    Exited(u8),
    /// This signal ended it.
    Signaled(u8),
}

impl ExitStatus {
    /// The code that shells and Docker report: 128 + n for signal n.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => 128_u8.saturating_add(signal),
        }
    }
}

impl Child {
    /// Takes charge of a child of this process that another one has cloned, see [`clone_sibling`].
    #[must_use]
    pub fn adopt(pid: u32, pidfd: OwnedFd) -> Self {
        Self {
            pid,
            pidfd,
            reaped: false,
        }
    }

    /// Lets the child live on, also after this process.
    pub fn release(mut self) {
        self.reaped = true;
    }

    /// The process id in the caller's namespace.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends `signal`; a child that has ended is no error.
    ///
    /// # Errors
    /// `EINVAL` for a number that is no signal, `EPERM` when the child has changed its ids.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        signal_process(self.pidfd.as_fd(), signal)
    }

    /// Waits until the child has ended, and reaps it.
    ///
    /// # Errors
    /// Those of waitid(2), none of which happens to an unreaped child.
    pub fn wait(mut self) -> io::Result<ExitStatus> {
        self.reap()
    }

    fn reap(&mut self) -> io::Result<ExitStatus> {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        loop {
            match waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED) {
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
                Ok(None) => unreachable!("waitid without NOHANG returns when a child has ended"),
                Ok(Some(status)) => {
                    self.reaped = true;
                    let small = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
                    return Ok(match status.exit_status() {
                        Some(code) => ExitStatus::Exited(small(code)),
                        None => {
                            ExitStatus::Signaled(small(status.terminating_signal().unwrap_or(0)))
                        }
                    });
                }
            }
        }
    }
}

impl AsFd for Child {
    /// The pidfd: readable once the child has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            // The child is ours and unreaped, so that both calls reach it or find it ended.
            let _ = self.signal(libc::SIGKILL);
            let _ = self.reap();
        }
    }
}

/// Sends `signal` to the process behind `pidfd`; one that has ended is no error.
///
/// # Errors
/// `EINVAL` for a number that is no signal, `EPERM` without permission.
pub fn signal_process(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;
    let no_info: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: the descriptor is borrowed, so it is open; a null siginfo asks for the default one.
    let sent = check(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            no_info,
            0,
        )
    });
    match sent {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        other => other.map(drop),
    }
}

/// Clones the process into new `namespaces` and runs `child` in the copy, which ends with the code
/// that `child` returns.
///
/// # Errors
/// Those of clone3(2): `EPERM` or `ENOSPC` where user namespaces are forbidden or used up.
pub fn clone_into(
    namespaces: Namespaces,
    _proof: &SingleThreaded,
    child: impl FnOnce(ChildToken) -> u8,
) -> io::Result<Child> {
    clone(namespaces.bits(), child)
}

/// [`clone_into`] for a child that clones in turn: the new process is a child of the caller's
/// parent, which can [`Child::adopt`] it, and is not waited for here. Allocates nothing.
///
/// # Errors
/// Those of clone3(2).
pub fn clone_sibling(
    namespaces: Namespaces,
    _token: &ChildToken,
    child: impl FnOnce(ChildToken) -> u8,
) -> io::Result<(u32, OwnedFd)> {
    let mut sibling = clone(namespaces.bits() | libc::CLONE_PARENT as u64, child)?;
    sibling.reaped = true;
    let pidfd = sibling.pidfd.try_clone()?;
    Ok((sibling.pid, pidfd))
}

/// Forks the process, fork(2), and runs `child` in the copy, which ends with the code that `child`
/// returns. Unlike the child of [`clone_into`], this one may do whatever a program does.
///
/// # Errors
/// `EAGAIN` when the user has too many processes.
pub fn fork(_proof: &SingleThreaded, child: impl FnOnce(ChildToken) -> u8) -> io::Result<Child> {
    // SAFETY: the caller is single-threaded, so that no lock is held in the copy, and the C library
    // brings itself up to date there.
    let pid = check(unsafe { libc::fork() }.into())?;
    if pid == 0 {
        let code = child(ChildToken(PhantomData));
        // SAFETY: _exit(2) does not return and runs no handlers of the parent's copy.
        unsafe { libc::_exit(code.into()) }
    }
    let number = i32::try_from(pid).ok();
    let process = number.and_then(rustix::process::Pid::from_raw);
    let process = process.ok_or(io::ErrorKind::InvalidData)?;
    // The number is the child's until it is waited for.
    let pidfd = rustix::process::pidfd_open(process, rustix::process::PidfdFlags::empty())?;
    Ok(Child {
        pid: process.as_raw_nonzero().get().cast_unsigned(),
        pidfd,
        reaped: false,
    })
}

/// Runs `act` in a process of its own, which has the caller's memory and descriptors, and returns when
/// that has ended: what `act` changes of its namespaces and ids is changed for it alone. Costs far less
/// than a copy of the process.
///
/// # Errors
/// `EAGAIN` when the user has too many processes, `ENOMEM` without memory for a stack.
pub fn aside<T>(_proof: &SingleThreaded, act: impl FnOnce(ChildToken) -> T) -> io::Result<T> {
    struct Call<A, T>(Option<A>, Option<T>);
    extern "C" fn enter<A: FnOnce(ChildToken) -> T, T>(call: *mut libc::c_void) -> libc::c_int {
        // SAFETY: `aside` passes a pointer to a `Call` of these types, and waits for the end of this
        // process before it looks at it again.
        let call = unsafe { &mut *call.cast::<Call<A, T>>() };
        call.1 = call.0.take().map(|act| act(ChildToken(PhantomData)));
        0
    }
    fn entry<A: FnOnce(ChildToken) -> T, T>(
        _: &Call<A, T>,
    ) -> extern "C" fn(*mut libc::c_void) -> libc::c_int {
        enter::<A, T>
    }
    let stack = Stack::new()?;
    let mut call = Call(Some(act), None);
    let entry = entry(&call);
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES | libc::SIGCHLD;
    // SAFETY: the stack is memory of this process that nobody else uses, and outlives the call; the
    // caller has one thread, which the kernel suspends (CLONE_VFORK) until the child has ended, so that
    // nothing else touches the memory and the thread-local storage that the two share.
    let pid =
        check(unsafe { libc::clone(entry, stack.top(), flags, (&raw mut call).cast()) }.into())?;
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    // It has ended; what matters is what it has left.
    let _ = rustix::process::waitpid(pid, rustix::process::WaitOptions::empty());
    call.1.ok_or_else(|| io::ErrorKind::Interrupted.into())
}

/// Memory for the stack of a process that shares memory with this one.
struct Stack(*mut libc::c_void);

impl Stack {
    /// As much as a thread has; only what is used costs something.
    const SIZE: usize = 1 << 20;
    /// Below it, nothing may be touched.
    const GUARD: usize = 1 << 16;

    fn new() -> io::Result<Self> {
        use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::STACK;
        // SAFETY: the kernel chooses the place, so that nothing else is there.
        let base = unsafe { mmap_anonymous(std::ptr::null_mut(), Self::SIZE, access, flags) }?;
        let stack = Self(base);
        // SAFETY: the pages were just mapped, and nobody uses them yet.
        unsafe { mprotect(base, Self::GUARD, MprotectFlags::empty()) }?;
        Ok(stack)
    }

    fn top(&self) -> *mut libc::c_void {
        // SAFETY: one past the end of the mapping; its size and place are multiples of 16.
        unsafe { self.0.byte_add(Self::SIZE) }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's, and no process runs on it any more.
        let _ = unsafe { rustix::mm::munmap(self.0, Self::SIZE) };
    }
}

/// Lets the calling process be killed when its parent ends, prctl(2) `PR_SET_PDEATHSIG`. In a PID
/// namespace of its own it does not see `parent`, and cannot look whether that has ended before.
///
/// # Errors
/// `ESRCH` when the parent has ended before.
pub fn die_with(parent: rustix::process::Pid) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    match rustix::process::getppid() {
        Some(found) if found != parent => Err(rustix::io::Errno::SRCH.into()),
        _ => Ok(()),
    }
}

fn clone(flags: u64, child: impl FnOnce(ChildToken) -> u8) -> io::Result<Child> {
    let mut pidfd: libc::c_int = -1;
    // SAFETY: every field of clone_args is an integer, for which zero is valid and means "unused".
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    #[allow(
        clippy::cast_sign_loss,
        reason = "a flag of the kernel's 32 bit interface"
    )]
    let pidfd_flag = libc::CLONE_PIDFD as u64;
    args.flags = flags | pidfd_flag;
    args.pidfd = (&raw mut pidfd).addr() as u64;
    // A sibling's signal is that of the process that clones it, clone(2).
    if flags & libc::CLONE_PARENT as u64 == 0 {
        args.exit_signal = libc::SIGCHLD as u64;
    }
    // SAFETY: without CLONE_VM the child gets its own copy of memory and stack, as with fork(2);
    // `args` and the integer behind `args.pidfd` outlive the call, and the size is that of `args`.
    // The caller is single-threaded, so that no lock is held by a thread that the child lacks.
    let pid = check(unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut args,
            size_of::<libc::clone_args>(),
        )
    })?;
    if pid == 0 {
        let code = child(ChildToken(PhantomData));
        // SAFETY: _exit(2) does not return and runs no handlers of the parent's copy.
        unsafe { libc::_exit(code.into()) }
    }
    // SAFETY: the kernel stored a new descriptor that nothing else owns, as CLONE_PIDFD promises.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let pid = u32::try_from(pid).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok(Child {
        pid,
        pidfd,
        reaped: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // The test runner is threaded, which the proof must notice; clones are tested end to end.
    #[test]
    fn a_threaded_process_gets_no_proof() {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::Builder::new()
            .spawn(move || receiver.recv())
            .unwrap();
        assert!(SingleThreaded::check().is_err());
        drop(sender);
        assert!(thread.join().unwrap().is_err());
    }

    #[test]
    fn exit_codes_are_the_shells() {
        assert_eq!(ExitStatus::Exited(7).code(), 7);
        assert_eq!(ExitStatus::Signaled(9).code(), 137);
    }
}
