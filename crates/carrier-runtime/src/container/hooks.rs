//! Hooks, runtime-spec `config.md`, section "POSIX-platform Hooks".

use std::ffi::CString;
use std::os::fd::AsFd as _;
use std::time::Duration;

use carrier_sys::exec::{Label, Program};
use carrier_sys::process::SingleThreaded;
use carrier_sys::trampoline::Trampoline;
use oci_spec::runtime::Hook;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, Mode, OFlags};

use crate::error::Error;
use crate::join;
use crate::launch::{Prepared, Started};
use crate::plan::{Execution, InitPlan, Step};

/// Where hooks run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// In the namespaces of the caller.
    Runtime,
    /// In those of the container with this process.
    Container(u32),
}

/// Runs `hooks` one after the other; each reads `state`.
pub(super) fn run(
    kind: &'static str,
    hooks: Option<&[Hook]>,
    state: &serde_json::Value,
    place: Place,
    proof: &SingleThreaded,
) -> Result<(), Error> {
    let state = state.to_string();
    for hook in hooks.unwrap_or_default() {
        let failed = |reason: String| Error::Hook {
            kind,
            path: hook.path().display().to_string(),
            reason,
        };
        let started =
            start(hook, &state, place, proof).map_err(|error| failed(describe(&error)))?;
        finish(started, hook.timeout()).map_err(failed)?;
    }
    Ok(())
}

fn describe(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("could not be run: {error}: {source}"),
        None => format!("could not be run: {error}"),
    }
}

fn start(hook: &Hook, state: &str, place: Place, proof: &SingleThreaded) -> Result<Started, Error> {
    let text = |text: &str| CString::new(text).map_err(|_| Error::ChildDied);
    let texts = |lines: Option<&Vec<String>>| {
        let lines = lines.into_iter().flatten();
        lines.map(|line| text(line)).collect::<Result<Vec<_>, _>>()
    };
    let path = hook.path().display().to_string();
    let arguments = match texts(hook.args().as_ref())? {
        empty if empty.is_empty() => vec![text(&path)?],
        arguments => arguments,
    };
    let mut plan = InitPlan::default();
    // Not a pipe: the state may be longer than what one holds while nobody reads.
    let stdin = memory_file(state).map_err(|errno| Error::Prepare(errno.into()))?;
    plan.push("hooks", Step::TakeStdin(stdin));
    plan.push(
        "hooks",
        Step::Execute(Execution {
            program: Program::new(
                vec![text(&path)?],
                arguments,
                texts(hook.env().as_ref())?,
                Label::default(),
            ),
            name: path,
            own: None,
            trampoline: match place {
                Place::Runtime => None,
                Place::Container(_) => Trampoline::new().ok(),
            },
            sealed: None,
            init: false,
            first_closed: 3,
        }),
    );
    let joined = match place {
        Place::Runtime => Vec::new(),
        Place::Container(pid) => join::namespaces_of(directory_of(pid)?.as_fd())?,
    };
    let prepared = Prepared::joining(plan, joined, false);
    prepared.spawn_and(proof, |_| Ok(()))?.wait_running()
}

/// A process that is a child of ours, and not reaped.
fn directory_of(pid: u32) -> Result<std::os::fd::OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(format!("/proc/{pid}"), flags, Mode::empty())
        .map_err(|errno| Error::Prepare(errno.into()))
}

fn memory_file(content: &str) -> rustix::io::Result<std::os::fd::OwnedFd> {
    let file = rustix::fs::memfd_create(c"state", MemfdFlags::CLOEXEC)?;
    let mut rest = content.as_bytes();
    while !rest.is_empty() {
        let written = rustix::io::write(&file, rest)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
    Ok(file)
}

/// Waits for the end, at most `timeout` seconds; a hook that takes longer is killed.
fn finish(started: Started, timeout: Option<i64>) -> Result<(), String> {
    if let Some(seconds) = timeout.filter(|seconds| *seconds > 0) {
        let limit = Duration::from_secs(seconds.unsigned_abs());
        let ended = wait_for_end(&started, limit).map_err(|errno| errno.to_string())?;
        if !ended {
            return Err(format!("took longer than {seconds} s"));
        }
    }
    match started.wait() {
        Ok(status) if status.code() == 0 => Ok(()),
        Ok(status) => Err(format!("failed with exit code {}", status.code())),
        Err(error) => Err(error.to_string()),
    }
}

/// Waits until the process of a pidfd has ended; whether it has.
pub(super) fn wait_for_end(
    process: &impl std::os::fd::AsFd,
    limit: Duration,
) -> rustix::io::Result<bool> {
    let deadline = std::time::Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        let timeout = Timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut fds = [PollFd::new(process, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map(|count| count > 0),
        }
    }
}
