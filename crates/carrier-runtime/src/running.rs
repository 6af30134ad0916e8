//! One more process in a container that runs.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};

use carrier_sys::process::SingleThreaded;
use carrier_sys::seccomp::Instruction;
use oci_spec::runtime::{Process, Spec};
use rustix::fs::{Mode, OFlags};

use crate::cgroup::Cgroup;
use crate::compile::{self, Launch};
use crate::error::Error;
use crate::join;
use crate::launch::{Prepared, Ready, leave_login_keyring};
use crate::state::{ProcessIdentity, start_time_of};

/// The first process of a container, held by a descriptor: whoever gets its number later is not
/// mistaken for it.
#[derive(Debug)]
pub struct Running {
    /// Its directory in `/proc`, which is empty once the process has ended.
    directory: OwnedFd,
    start_time: u64,
}

/// What is to run beside the first process.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The configuration of the container.
    pub spec: &'a Spec,
    /// The process.
    pub process: &'a Process,
    /// A compiled seccomp filter, instead of the profile in the configuration.
    pub filter: Option<Cow<'static, [Instruction]>>,
    /// How the process stands to the one that makes it.
    pub launch: Launch,
}

impl Running {
    /// Takes hold of the process; nothing when it has ended.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn of(process: &ProcessIdentity) -> io::Result<Option<Self>> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = format!("/proc/{}", process.pid);
        let directory = match rustix::fs::open(&path, flags, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            other => other?,
        };
        let running = Self {
            directory,
            start_time: process.start_time,
        };
        let is_it = running.is_alive() && process.is_of_this_boot();
        Ok(is_it.then_some(running))
    }

    /// Whether the process has not ended.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let start_time = self.read("stat").and_then(|stat| start_time_of(&stat));
        start_time.is_ok_and(|time| time == self.start_time)
    }

    /// The root of the process: what is below it is the container's, and not to be trusted.
    ///
    /// # Errors
    /// Those of open(2); `ESRCH` and `ENOENT` when it has ended.
    pub fn root(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(
            &self.directory,
            "root",
            flags,
            Mode::empty(),
        )?)
    }

    /// Carries a process up to the last step before its program runs: it has the namespaces of the
    /// container, and not the session keyring of the caller.
    ///
    /// # Errors
    /// [`Error::Step`] names what failed; [`Error::ChildDied`] when the container ends meanwhile.
    pub fn enter(&self, entry: Entry<'_>, proof: &SingleThreaded) -> Result<Ready, Error> {
        leave_login_keyring()?;
        let prepared = self.prepare(entry)?;
        let ready = prepared.spawn_and(proof, |_: u32| Ok(()))?.wait_ready()?;
        self.check_alive()?;
        Ok(ready)
    }

    /// [`enter`](Self::enter) with the process in the container's cgroup, where it has one.
    ///
    /// # Errors
    /// As [`enter`](Self::enter), and when the process cannot be moved.
    pub fn enter_in(
        &self,
        cgroup: Option<&Cgroup>,
        mut entry: Entry<'_>,
        proof: &SingleThreaded,
    ) -> Result<Ready, Error> {
        let Some(cgroup) = cgroup else {
            return self.enter(entry, proof);
        };
        leave_login_keyring()?;
        entry.launch.has_cgroup = true;
        let prepared = self.prepare(entry)?;
        let spawned = prepared.spawn_and(proof, |pid: u32| self.add_to(cgroup, pid))?;
        let ready = spawned.wait_ready()?;
        self.check_alive()?;
        Ok(ready)
    }

    pub(crate) fn prepare(&self, entry: Entry<'_>) -> Result<Prepared, Error> {
        let awaits_parent = entry.launch.has_cgroup;
        let plan = compile::compile_joining(entry)?;
        let joined = join::namespaces_of(self.directory.as_fd())?;
        Ok(Prepared::joining(plan, joined, awaits_parent))
    }

    /// Puts a process into the cgroup of the container, or where in it the first one is.
    pub(crate) fn add_to(&self, cgroup: &Cgroup, pid: u32) -> Result<(), Error> {
        cgroup.add_beside(|| self.read("cgroup").ok(), pid)
    }

    /// A file of the process in `/proc`.
    fn read(&self, name: &str) -> io::Result<String> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.directory, name, flags, Mode::empty())?;
        let mut text = String::new();
        File::from(file).read_to_string(&mut text)?;
        Ok(text)
    }

    pub(crate) fn check_alive(&self) -> Result<(), Error> {
        if self.is_alive() {
            Ok(())
        } else {
            Err(Error::ChildDied)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_has_ended_is_not_running() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let identity = ProcessIdentity::of(child.id()).unwrap();
        let running = Running::of(&identity).unwrap().unwrap();
        assert!(running.is_alive() && running.root().is_ok());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!running.is_alive() && running.root().is_err());
        assert!(Running::of(&identity).unwrap().is_none());
    }

    #[test]
    fn a_recycled_number_is_another_process() {
        let me = ProcessIdentity::of(std::process::id()).unwrap();
        let earlier = ProcessIdentity {
            start_time: me.start_time - 1,
            ..me.clone()
        };
        assert!(Running::of(&me).unwrap().is_some());
        assert!(Running::of(&earlier).unwrap().is_none());
        let other_boot = ProcessIdentity {
            boot_id: "another".to_owned(),
            ..me
        };
        assert!(Running::of(&other_boot).unwrap().is_none());
    }
}
