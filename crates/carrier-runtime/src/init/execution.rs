//! The last step: the program.

use std::os::fd::{AsFd as _, BorrowedFd};

use carrier_sys::exec::{Program, Report};
use rustix::fs::{OFlags, ResolveFlags};
use rustix::io::{Errno, FdFlags};

use super::{Machine, errno, itself, mounts, path};
use crate::plan::Execution;

impl Machine<'_> {
    /// Becomes the program, or the trampoline that does.
    pub(super) fn execute(&self, execution: &Execution) -> Result<(), Errno> {
        carrier_sys::signal::reset(self.token).map_err(|e| errno(&e))?;
        carrier_sys::fd::close_on_exec_from(execution.first_closed).map_err(|e| errno(&e))?;
        let program = &execution.program;
        if let Some(sealed) = &execution.sealed {
            self.set_label(program)?;
            return Err(errno(&program.execute_sealed(sealed, self.token)));
        }
        if let Some(own) = execution.own {
            let mut candidates = program.candidates().iter();
            if candidates.any(|candidate| itself::leads_to(candidate, own)) {
                return Err(Errno::ACCESS);
            }
        }
        let Some(trampoline) = &execution.trampoline else {
            self.set_label(program)?;
            return self.execute_directly(program);
        };
        let number = |step| u32::try_from(step).unwrap_or(u32::MAX);
        let report = Report {
            channel: self.listener().as_fd(),
            step: number(self.step),
            label: (self.label.as_ref()).map(|(proc, step)| (proc.as_fd(), number(*step))),
            stays: execution.init,
        };
        keep_open(report.channel)?;
        if let Some((proc, _)) = report.label {
            keep_open(proc)?;
        }
        Err(errno(&program.execute_by(trampoline, report, self.token)))
    }

    /// Writes a file of `/proc/self/attr` through a proc filesystem of our own (CVE-2019-16884).
    fn set_label(&self, program: &Program) -> Result<(), Errno> {
        let Some((proc, _)) = &self.label else {
            return Ok(());
        };
        let label = program.label();
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
        let file = path::open_with(proc.as_fd(), &label.file, OFlags::WRONLY, resolve)?;
        mounts::write_whole(&file, label.content.to_bytes())
    }

    /// Tries each place, as execvp(3) does, and reports what it found last.
    fn execute_directly(&self, program: &Program) -> Result<(), Errno> {
        let mut verdict = Errno::NOENT;
        for candidate in program.candidates() {
            match errno(&program.execute(candidate, self.token)) {
                Errno::NOENT | Errno::NOTDIR => {}
                // Another directory of PATH may hold one that can be executed.
                Errno::ACCESS => verdict = Errno::ACCESS,
                other => return Err(other),
            }
        }
        Err(verdict)
    }
}

/// The trampoline closes it when it has become the program.
fn keep_open(descriptor: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::io::fcntl_setfd(descriptor, FdFlags::empty())
}
