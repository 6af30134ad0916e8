//! For tests: an allocator that ends a child which uses it between clone and exec.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io;
use std::os::fd::IntoRawFd as _;
use std::sync::atomic::{AtomicI32, Ordering};

/// The exit code of a child that used the allocator.
pub const ALLOCATED: u8 = 86;

/// The system's allocator, for one process only once it was told so.
#[derive(Debug)]
pub struct AllocGuard;

/// The process that may allocate; 0 for all.
static OWNER: AtomicI32 = AtomicI32::new(0);

/// Standard error of the owner: a child may have made its own that of a container.
static COMPLAINTS: AtomicI32 = AtomicI32::new(-1);

impl AllocGuard {
    /// From now on a process that is cloned from this one may not allocate until it executes a program.
    /// A child whose memory is that of its parent, as those of `std::process::Command` may be, is no
    /// exception.
    ///
    /// # Errors
    /// When this is the first process of a PID namespace: a child that is first in its own would look the
    /// same. When there is no standard error.
    pub fn arm() -> io::Result<()> {
        let own = process();
        if own == 1 {
            return Err(io::Error::other(
                "the guard cannot tell process 1 from another process 1",
            ));
        }
        let complaints = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3)?;
        COMPLAINTS.store(complaints.into_raw_fd(), Ordering::Relaxed);
        OWNER.store(own, Ordering::Relaxed);
        Ok(())
    }
}

fn process() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

fn check(what: &str) {
    let owner = OWNER.load(Ordering::Relaxed);
    if owner == 0 || process() == owner {
        return;
    }
    for text in [
        "a child used the allocator between clone and exec: ",
        what,
        "\n",
    ] {
        // SAFETY: the text is a valid buffer of its length; a descriptor that is not open is an error.
        let _ = unsafe {
            libc::write(
                COMPLAINTS.load(Ordering::Relaxed),
                text.as_ptr().cast(),
                text.len(),
            )
        };
    }
    // SAFETY: _exit(2) does not return and runs no handlers of the parent's copy.
    unsafe { libc::_exit(ALLOCATED.into()) }
}

// SAFETY: each method does what the system's allocator does with the same arguments, or does not return.
unsafe impl GlobalAlloc for AllocGuard {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check("alloc");
        // SAFETY: the caller keeps to the contract of the same method.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        check("dealloc");
        // SAFETY: the caller keeps to the contract of the same method; `place` came from this allocator,
        // which is the system's.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        check("alloc_zeroed");
        // SAFETY: the caller keeps to the contract of the same method.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        check("realloc");
        // SAFETY: the caller keeps to the contract of the same method; `place` came from this allocator,
        // which is the system's.
        unsafe { System.realloc(place, layout, size) }
    }
}
