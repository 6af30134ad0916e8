//! How soon the kernel kills a process when memory runs out, proc_pid_oom_score_adj(5).

use std::fs;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::Error;

/// Sets that of the process `pid`, which waits.
pub(crate) fn set_score(pid: u32, score: i32) -> Result<(), Error> {
    let written = fs::write(format!("/proc/{pid}/oom_score_adj"), score.to_string());
    written.map_err(|error| failed(crate::init::errno(&error)))
}

/// Sets that of this process, and so of those that it clones. Allocates nothing.
pub(crate) fn set_own_score(score: &str) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(c"/proc/self/oom_score_adj", flags, Mode::empty())?;
    rustix::io::write(&file, score.as_bytes()).map(drop)
}

/// What the kernel said to a score.
pub(crate) fn failed(source: Errno) -> Error {
    Error::Step {
        action: "set the OOM score".to_owned(),
        origin: "process.oomScoreAdj".to_owned(),
        source,
    }
}
