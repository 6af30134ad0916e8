//! How much of the processor and the disks a process gets.

use std::io;

use crate::check;

/// What sched_setattr(2) takes; zero where a policy does not use a field.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// Of this structure; [`set_scheduling`] writes it.
    pub size: u32,
    /// `SCHED_*`
    pub policy: u32,
    /// `SCHED_FLAG_*`
    pub flags: u64,
    /// -20 to 19, for the policies that share the time.
    pub nice: i32,
    /// 1 to 99, for the policies of real time.
    pub priority: u32,
    /// Nanoseconds of each period, for `SCHED_DEADLINE`.
    pub runtime: u64,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    pub deadline: u64,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    pub period: u64,
}

/// Puts the calling thread under a policy, sched_setattr(2). Allocates nothing.
///
/// # Errors
/// `EPERM` without `CAP_SYS_NICE`, `EINVAL` for values that the policy does not take.
pub fn set_scheduling(wanted: &Scheduling) -> io::Result<()> {
    let mut attributes = *wanted;
    attributes.size = u32::try_from(size_of::<Scheduling>()).unwrap_or(0);
    // SAFETY: the structure has the layout of `struct sched_attr` of the size that it states, and
    // outlives the call.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) }).map(drop)
}

/// Sets the calling thread's class (1 real time, 2 best effort, 3 idle) and priority for disks,
/// ioprio_set(2). Allocates nothing.
///
/// # Errors
/// `EPERM` without `CAP_SYS_NICE` for real time, `EINVAL` for numbers that do not exist.
pub fn set_io_priority(class: u32, priority: u32) -> io::Result<()> {
    const WHO_PROCESS: libc::c_int = 1;
    const CLASS_SHIFT: u32 = 13;
    let value = (class << CLASS_SHIFT) | priority;
    // SAFETY: the call takes three integers; 0 is the calling thread.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, value) }).map(drop)
}

/// Sets the execution domain of the calling process, personality(2). Allocates nothing.
///
/// # Errors
/// Those of personality(2).
pub fn set_personality(domain: u32) -> io::Result<()> {
    // SAFETY: the call takes one integer.
    check(unsafe { libc::personality(domain.into()) }.into()).map(drop)
}
