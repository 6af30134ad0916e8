//! `start`, `kill`, `delete`, `pause`, `resume`.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use carrier_sys::process::SingleThreaded;
use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType, Spec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use super::hooks::{self, Place, wait_for_end};
use super::{CONFIG, Directory, GATE, Record, Runtime, warnings};
use crate::cgroup::Cgroup;
use crate::config;
use crate::error::Error;
use crate::launch::open_gate;
use crate::state::{ProcessIdentity, Status};

/// How long the kernel may take to end a process that was killed.
const END: Duration = Duration::from_secs(10);

impl Runtime {
    /// Lets the program of a created container run.
    ///
    /// # Errors
    /// [`Error::WrongStatus`] for any other container; what the program's execution fails with. A
    /// container whose hook fails is stopped and removed.
    pub fn start(&self, id: &str, proof: &SingleThreaded) -> Result<(), Error> {
        let (directory, mut record, _lock) = self.lock(id)?;
        record.require("start", &[Status::Created])?;
        let spec = directory.configuration()?;
        if spec.process().is_none() {
            return Err(Error::Invalid {
                field: "process".to_owned(),
                reason: "it is required to start a container".to_owned(),
            });
        }
        let kinds = spec.hooks().as_ref();
        let before = kinds.and_then(|hooks| hooks.start_container().as_deref());
        let state = record.state_as(Status::Created);
        let inside = Place::Container(record.process.pid);
        let ran = hooks::run("startContainer", before, &state, inside, proof);
        ran.or_else(|error| destroy(&directory, &record, proof).and(Err(error)))?;
        let gate = directory.path(GATE);
        let listener = open_gate(&gate, &record.explanations)?;
        if let Some(listener) = listener {
            record.deliver_listener(&listener, record.process.pid, Status::Created)?;
        }
        // What cannot be removed is never used again.
        let _ = std::fs::remove_file(gate);
        record.set_running();
        directory.write(&record)?;
        let after = kinds.and_then(|hooks| hooks.poststart().as_deref());
        let state = record.state_as(Status::Running);
        let ran = hooks::run("poststart", after, &state, Place::Runtime, proof);
        ran.or_else(|error| destroy(&directory, &record, proof).and(Err(error)))
    }

    /// Sends `signal` to the container's process, or with `all` to each of its processes.
    ///
    /// # Errors
    /// [`Error::WrongStatus`] when there is no process.
    pub fn kill(&self, id: &str, signal: i32, all: bool) -> Result<(), Error> {
        let record = self.record(id)?;
        let status = record.status();
        if all && status == Status::Stopped {
            return record.signal_survivors(&self.directory(id)?, signal);
        }
        let running = [Status::Created, Status::Running, Status::Paused];
        record.require("kill", &running)?;
        if all && signal == Signal::KILL.as_raw() {
            if let Some(cgroup) = &record.cgroup {
                cgroup.kill()?;
            }
        } else if all {
            for pid in record.pids()? {
                // It may end meanwhile; the signal is for those that are there.
                let _ = signal_process(pid, None, signal);
            }
            return Ok(());
        }
        signal_process(record.process.pid, Some(&record.process), signal)
    }

    /// Removes a container that has stopped or was never started; with `force` any.
    ///
    /// # Errors
    /// [`Error::WrongStatus`], and without `force` [`Error::UnknownContainer`].
    pub fn delete(&self, id: &str, force: bool, proof: &SingleThreaded) -> Result<(), Error> {
        match self.lock(id) {
            Ok((directory, record, _lock)) => {
                if !force {
                    record.require("delete", &[Status::Created, Status::Stopped])?;
                }
                destroy(&directory, &record, proof)
            }
            Err(Error::UnknownContainer { .. }) if force => {
                // What `create` left when it was killed.
                self.directory(id)?.remove()
            }
            Err(error) => Err(error),
        }
    }

    /// Holds all processes of a container.
    ///
    /// # Errors
    /// [`Error::WrongStatus`]; [`Error::Limit`] without a cgroup that can freeze.
    pub fn pause(&self, id: &str) -> Result<(), Error> {
        let (_, record, _lock) = self.lock(id)?;
        record.require("pause", &[Status::Created, Status::Running])?;
        record.cgroup_for("pause")?.freeze(true)
    }

    /// Lets the processes of a paused container go on.
    ///
    /// # Errors
    /// [`Error::WrongStatus`].
    pub fn resume(&self, id: &str) -> Result<(), Error> {
        let (_, record, _lock) = self.lock(id)?;
        record.require("resume", &[Status::Paused])?;
        record.cgroup_for("resume")?.freeze(false)
    }
}

impl Record {
    pub(super) fn require(&self, operation: &'static str, allowed: &[Status]) -> Result<(), Error> {
        let status = self.status();
        if allowed.contains(&status) {
            return Ok(());
        }
        Err(Error::WrongStatus {
            operation,
            id: self.id.clone(),
            status,
        })
    }

    pub(super) fn cgroup_for(&self, operation: &str) -> Result<&Cgroup, Error> {
        self.cgroup.as_ref().ok_or_else(|| Error::Limit {
            field: operation.to_owned(),
            reason: "the container has no cgroup of its own".to_owned(),
        })
    }
}

impl Record {
    /// The cgroup of a container whose first process has ended: without a PID namespace of their own the
    /// others live on in it.
    fn cgroup_of_survivors(&self, directory: &Directory) -> Option<&Cgroup> {
        let has_none = || {
            directory
                .configuration()
                .is_ok_and(|spec| has_own_pids(&spec))
        };
        // Somebody else may have it by now, in another boot in any case.
        let cgroup = self.cgroup.as_ref();
        cgroup.filter(|_| self.process.is_of_this_boot() && !has_none())
    }

    fn signal_survivors(&self, directory: &Directory, signal: i32) -> Result<(), Error> {
        let Some(cgroup) = self.cgroup_of_survivors(directory) else {
            return Ok(());
        };
        if signal == Signal::KILL.as_raw() {
            return cgroup.kill();
        }
        for pid in cgroup.pids()? {
            let _ = signal_process(pid, None, signal);
        }
        Ok(())
    }
}

impl Directory {
    /// The configuration that the container was made with.
    fn configuration(&self) -> Result<Spec, Error> {
        config::read(&self.path(CONFIG))
    }
}

/// Whether a container has a PID namespace of its own, in which nothing outlives its first process.
fn has_own_pids(spec: &Spec) -> bool {
    let namespaces = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.namespaces().as_ref());
    let is_own =
        |one: &LinuxNamespace| one.typ() == LinuxNamespaceType::Pid && one.path().is_none();
    namespaces.is_some_and(|all| all.iter().any(is_own))
}

/// Ends what runs of a container, and removes what is left of it.
fn destroy(directory: &Directory, record: &Record, proof: &SingleThreaded) -> Result<(), Error> {
    if record.status() == Status::Stopped {
        record.signal_survivors(directory, Signal::KILL.as_raw())?;
    } else {
        if let Some(cgroup) = &record.cgroup {
            cgroup.kill()?;
        }
        end(&record.process)?;
    }
    if let Some(cgroup) = &record.cgroup {
        cgroup.remove()?;
    }
    // The configuration goes last: a `delete` that was interrupted can be repeated.
    let poststop = directory
        .configuration()
        .ok()
        .and_then(|spec| spec.hooks().as_ref()?.poststop().clone());
    directory.remove()?;
    let state = record.state_as(Status::Stopped);
    // runtime-spec: a failing hook is warned about, and the lifecycle goes on.
    for hook in poststop.iter().flatten() {
        let alone = std::slice::from_ref(hook);
        if let Err(error) = hooks::run("poststop", Some(alone), &state, Place::Runtime, proof) {
            warnings::warn(&error);
        }
    }
    Ok(())
}

fn end(process: &ProcessIdentity) -> Result<(), Error> {
    let failed = |errno: Errno| Error::Channel(errno);
    let Some(pidfd) = open_process(process.pid, Some(process)).map_err(failed)? else {
        return Ok(());
    };
    rustix::process::pidfd_send_signal(&pidfd, Signal::KILL)
        .or_else(|errno| {
            if errno == Errno::SRCH {
                Ok(())
            } else {
                Err(errno)
            }
        })
        .map_err(failed)?;
    if wait_for_end(&pidfd, END).map_err(failed)? {
        Ok(())
    } else {
        Err(failed(Errno::TIMEDOUT))
    }
}

/// A pidfd of a process that still is the one that is known; nothing when it has ended.
fn open_process(pid: u32, known: Option<&ProcessIdentity>) -> Result<Option<OwnedFd>, Errno> {
    let number = Pid::from_raw(pid.cast_signed()).ok_or(Errno::SRCH)?;
    let pidfd = match rustix::process::pidfd_open(number, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(None),
        other => other?,
    };
    // After the opening: now the number cannot come to mean another process.
    Ok(known.is_none_or(ProcessIdentity::is_alive).then_some(pidfd))
}

fn signal_process(pid: u32, known: Option<&ProcessIdentity>, signal: i32) -> Result<(), Error> {
    use std::os::fd::AsFd as _;
    let opened = open_process(pid, known).map_err(Error::Channel)?;
    match opened {
        None => Ok(()),
        Some(pidfd) => {
            carrier_sys::process::signal_process(pidfd.as_fd(), signal).map_err(|error| {
                Error::File {
                    action: "signal process of",
                    path: Path::new("container").to_owned(),
                    source: error,
                }
            })
        }
    }
}
