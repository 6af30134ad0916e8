//! Signals as a stream, signalfd(2).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use crate::check;
use crate::process::ChildToken;

/// Signals that arrive on a descriptor instead of interrupting the program.
///
/// They stay blocked after this is dropped: a program that forwards signals ends right after it
/// stopped forwarding, and a late one must not kill it before it has reported.
#[derive(Debug)]
pub struct SignalStream {
    fd: OwnedFd,
    set: libc::sigset_t,
}

impl SignalStream {
    /// Blocks `signals` and collects them.
    ///
    /// # Errors
    /// `EINVAL` for a number that is no signal, `EMFILE` without a free descriptor.
    pub fn new(signals: &[i32]) -> io::Result<Self> {
        let set = signal_set(signals)?;
        let old = std::ptr::null_mut();
        // SAFETY: `set` is initialised and outlives the call; a null pointer declines the old mask.
        let blocked = unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, old) };
        check(blocked.into())?;
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: `set` is initialised and outlives the call; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, &raw const set, flags) };
        check(fd.into())?;
        // SAFETY: signalfd returned a new descriptor, which nothing else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, set })
    }

    /// The next signal's number, or nothing when none is pending.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn next(&self) -> io::Result<Option<i32>> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the buffer is writable for `size` bytes.
        let read = unsafe { libc::read(self.fd.as_raw_fd(), info.as_mut_ptr().cast(), size) };
        match check(read as libc::c_long) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
            Ok(_) => {
                // SAFETY: a signalfd delivers whole records, so that the read filled the buffer.
                let info = unsafe { info.assume_init() };
                Ok(i32::try_from(info.ssi_signo).ok())
            }
        }
    }

    /// Lets the signals act again, on a program that goes on.
    ///
    /// # Errors
    /// None that happens to valid arguments.
    pub fn release(self) -> io::Result<()> {
        let old = std::ptr::null_mut();
        // SAFETY: the set is initialised and outlives the call; a null pointer declines the old mask.
        let unblocked = unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &raw const self.set, old) };
        check(unblocked.into()).map(drop)
    }
}

impl AsFd for SignalStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Unblocks every signal and gives each its default action, as a new program expects. Allocates
/// nothing.
///
/// # Errors
/// None that happens to valid arguments.
pub fn reset(_token: &ChildToken) -> io::Result<()> {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: the default action runs no code of ours. The call fails harmlessly for SIGKILL,
        // SIGSTOP and the two signals that the C library keeps to itself.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let empty = signal_set(&[])?;
    let old = std::ptr::null_mut();
    // SAFETY: `empty` is initialised and outlives the call; a null pointer declines the old mask.
    let unblocked = unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, old) };
    check(unblocked.into()).map(drop)
}

/// Has `signals` interrupt calls that wait, and do nothing else; a program that is executed has their
/// default actions.
///
/// # Errors
/// `EINVAL` for a number that is no signal, or one that cannot be caught.
pub fn only_interrupt(signals: &[i32]) -> io::Result<()> {
    extern "C" fn nothing(_signal: libc::c_int) {}
    for signal in signals {
        let handler: extern "C" fn(libc::c_int) = nothing;
        // SAFETY: every field is an integer or a set of bits, for which zero is valid: no flags, so
        // that calls are not restarted, and no further signals blocked.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handler as libc::sighandler_t;
        // SAFETY: the handler has the signature that goes with no SA_SIGINFO, and touches nothing; a
        // null pointer declines the old action.
        check(unsafe { libc::sigaction(*signal, &raw const action, std::ptr::null_mut()) }.into())?;
    }
    Ok(())
}

fn signal_set(signals: &[i32]) -> io::Result<libc::sigset_t> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set that it is given.
    check(unsafe { libc::sigemptyset(set.as_mut_ptr()) }.into())?;
    // SAFETY: sigemptyset succeeded.
    let mut set = unsafe { set.assume_init() };
    for signal in signals {
        // SAFETY: the set is initialised.
        check(unsafe { libc::sigaddset(&raw mut set, *signal) }.into())?;
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_signal_arrives_on_the_stream() {
        let stream = SignalStream::new(&[libc::SIGURG]).unwrap();
        assert_eq!(stream.next().unwrap(), None);
        // SAFETY: raise(3) sends the signal to this thread, which has blocked it.
        unsafe { libc::raise(libc::SIGURG) };
        assert_eq!(stream.next().unwrap(), Some(libc::SIGURG));
        assert_eq!(stream.next().unwrap(), None);
        stream.release().unwrap();
        // SAFETY: SIGURG is ignored where nothing else was said, so that it does nothing now.
        unsafe { libc::raise(libc::SIGURG) };
        let stream = SignalStream::new(&[libc::SIGURG]).unwrap();
        assert_eq!(stream.next().unwrap(), None);
    }

    #[test]
    fn a_signal_that_only_interrupts_ends_nothing() {
        only_interrupt(&[libc::SIGUSR2]).unwrap();
        // SAFETY: raise(3) sends the signal to this thread, whose handler does nothing.
        unsafe { libc::raise(libc::SIGUSR2) };
    }

    #[test]
    fn a_number_that_is_no_signal_is_refused() {
        assert!(only_interrupt(&[4711]).is_err() && only_interrupt(&[libc::SIGKILL]).is_err());
        assert!(SignalStream::new(&[4711]).is_err());
    }
}
