//! What was observed of a container: runtime-spec `runtime.md`, section "State".
//!
//! A state file lives in a directory that dies with a boot, but is never trusted for that: a process
//! is known by its id, its start time and the boot in which both were read.

use std::fs;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use carrier_spec::ContainerId;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::PidfdFlags;
use serde::{Deserialize, Serialize};

use crate::error::Error;

const FILE: &str = "state.json";

/// A process that was started, known well enough to never be mistaken for another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessIdentity {
    /// Process id in the namespace of Carrier.
    pub pid: u32,
    /// Clock ticks between the boot and the start of the process.
    pub start_time: u64,
    /// The boot, `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// What Linux 6.9 and later give to a process once in a boot, the inode of its pidfd: cheaper to look
    /// up than the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inode: Option<u64>,
}

impl ProcessIdentity {
    /// Identifies the process `pid`, which must not be reaped meanwhile.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn of(pid: u32) -> io::Result<Self> {
        Ok(Self {
            pid,
            start_time: start_time(pid)?,
            boot_id: boot_id()?.to_owned(),
            inode: open(pid).and_then(|pidfd| inode_of(&pidfd)),
        })
    }

    /// Whether that very process still exists.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let is_it = match self.inode {
            Some(inode) => open(self.pid).is_some_and(|pidfd| runs(&pidfd, inode)),
            None => start_time(self.pid).is_ok_and(|time| time == self.start_time),
        };
        is_it && self.is_of_this_boot()
    }

    /// Whether it was identified since the host has booted.
    #[must_use]
    pub fn is_of_this_boot(&self) -> bool {
        boot_id().is_ok_and(|id| id == self.boot_id)
    }
}

/// How far a container has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// All is set up, the program waits.
    Created,
    /// The program runs.
    Running,
    /// The program is held in its tracks.
    Paused,
    /// The program has ended.
    Stopped,
}

/// The state of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Version of the runtime specification.
    pub oci_version: String,
    /// The container.
    pub id: ContainerId,
    /// What was true when the file was written; see [`State::status_now`].
    pub status: Status,
    /// Its first process.
    #[serde(flatten)]
    pub process: ProcessIdentity,
}

impl State {
    /// What is true: a container whose process is gone has stopped, whatever the file says.
    #[must_use]
    pub fn status_now(&self) -> Status {
        if self.process.is_alive() {
            self.status
        } else {
            Status::Stopped
        }
    }
}

/// The directory of a container's state.
#[derive(Clone, Debug)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// Names the directory; nothing is made yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes the state: readers see the old one or the new one.
    ///
    /// # Errors
    /// [`Error::State`].
    pub fn write(&self, state: &State) -> Result<(), Error> {
        let path = self.0.join(FILE);
        let write = || {
            let temporary = self.0.join(".state.json");
            fs::write(&temporary, serde_json::to_vec(state)?)?;
            fs::rename(&temporary, &path)
        };
        write().map_err(|source| Error::State {
            action: "write",
            path: path.clone(),
            source,
        })
    }

    /// Reads the state; nothing where the container has none.
    ///
    /// # Errors
    /// [`Error::State`] when the file is there and cannot be read or understood.
    pub fn read(&self) -> Result<Option<State>, Error> {
        let path = self.0.join(FILE);
        let parsed = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => Err(error),
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(Into::into),
        };
        parsed.map(Some).map_err(|source| Error::State {
            action: "read",
            path,
            source,
        })
    }
}

fn open(pid: u32) -> Option<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(pid.try_into().ok()?)?;
    rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()
}

/// Where pidfds have a file system of their own.
fn inode_of(pidfd: &OwnedFd) -> Option<u64> {
    /// linux/magic.h
    const PID_FS: u64 = 0x5049_4446;
    let file_system = rustix::fs::fstatfs(pidfd).ok()?;
    // The type has another width elsewhere.
    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_sign_loss,
        reason = "it is positive"
    )]
    let is_own = file_system.f_type as u64 == PID_FS;
    let stat = is_own.then(|| rustix::fs::fstat(pidfd).ok())?;
    stat.map(|stat| stat.st_ino)
}

/// Whether the process behind `pidfd` is the one with that inode, and has not ended.
fn runs(pidfd: &OwnedFd, inode: u64) -> bool {
    let mut ended = [PollFd::new(pidfd, PollFlags::IN)];
    rustix::fs::fstat(pidfd).is_ok_and(|stat| stat.st_ino == inode)
        && rustix::event::poll(&mut ended, Some(&Timespec::default())) == Ok(0)
}

fn start_time(pid: u32) -> io::Result<u64> {
    // The kernel gives all of it at once: a name of 16 bytes and some fifty numbers.
    let mut stat = [0; 2048];
    let count = fs::File::open(format!("/proc/{pid}/stat"))?.read(&mut stat)?;
    start_time_of(&String::from_utf8_lossy(
        stat.get(..count).unwrap_or_default(),
    ))
}

/// Field 22 of `/proc/PID/stat`, proc_pid_stat(5). A process that has ended counts as gone, whether
/// or not its new parent has reaped it.
pub(crate) fn start_time_of(stat: &str) -> io::Result<u64> {
    // The name in field 2 may hold spaces and parentheses; what follows the last one does not.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let mut fields = fields.split_ascii_whitespace();
    if matches!(fields.next(), Some("Z" | "X")) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let time = fields.nth(18).and_then(|field| field.parse().ok());
    time.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn boot_id() -> io::Result<&'static str> {
    // A process does not outlive its boot.
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    if let Some(id) = BOOT_ID.get() {
        return Ok(id);
    }
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(BOOT_ID.get_or_init(|| id.trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recycled_pid_is_another_process() {
        let known = ProcessIdentity::of(std::process::id()).unwrap();
        assert!(known.is_alive());
        let another = known.inode.map(|inode| inode + 1);
        assert!(
            !ProcessIdentity {
                inode: another.or(Some(1)),
                ..known.clone()
            }
            .is_alive()
        );
        let me = ProcessIdentity {
            inode: None,
            ..known
        };
        assert!(me.is_alive());
        assert!(
            !ProcessIdentity {
                start_time: me.start_time + 1,
                ..me.clone()
            }
            .is_alive()
        );
        assert!(
            !ProcessIdentity {
                boot_id: "another".to_owned(),
                ..me
            }
            .is_alive()
        );
    }

    #[test]
    fn a_process_that_was_not_reaped_is_gone() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let path = format!("/proc/{}/stat", child.id());
        while !fs::read_to_string(&path).unwrap().contains(") Z ") {
            std::thread::yield_now();
        }
        assert!(ProcessIdentity::of(child.id()).is_err());
        child.wait().unwrap();
    }

    #[test]
    fn a_state_survives_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let states = StateDir::new(directory.path().to_owned());
        assert_eq!(states.read().unwrap(), None);
        let state = State {
            oci_version: "1.2.0".to_owned(),
            id: ContainerId::from_random([1; 32]),
            status: Status::Running,
            process: ProcessIdentity::of(std::process::id()).unwrap(),
        };
        states.write(&state).unwrap();
        assert_eq!(states.read().unwrap(), Some(state.clone()));
        assert_eq!(state.status_now(), Status::Running);
    }
}
