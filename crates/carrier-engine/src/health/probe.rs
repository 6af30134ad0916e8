//! One check that is being made: a process that joins the container, runs the command there, and
//! ends with its code.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Instant;

use carrier_sys::fd::close_all_but;
use carrier_sys::process::{Child, ChildToken, ExitStatus, Namespaces, SingleThreaded, clone_into};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Signal;

use super::check::HealthCheck;
use super::show_duration;
use super::state::Probe;
use crate::engine::Engine;
use crate::error::Error;
use crate::exec::ExecOptions;
use crate::moment::Moment;
use carrier_spec::ContainerId;

/// More is left out, as in Docker.
const MAX_OUTPUT: usize = 4096;

/// A check whose answer has not come.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    output: OwnedFd,
    text: Vec<u8>,
    truncated: bool,
    start: Moment,
    pub(super) began: Instant,
    deadline: Instant,
}

impl Running {
    /// Begins a check of the container. The process has no other descriptor of ours: a client of the
    /// monitor must see when the monitor lets go of it.
    pub(super) fn start(id: &ContainerId, check: &HealthCheck, now: Instant) -> io::Result<Self> {
        let (output, write) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&output, true)?;
        let proof = SingleThreaded::check()?;
        let child = clone_into(Namespaces::empty(), &proof, |token| {
            let entered = set_up(&write, &token)
                .and_then(|()| enter(id, check).map_err(|error| io::Error::other(line(&error))));
            entered.unwrap_or_else(|error| {
                // Who reads it is the monitor, which shows it.
                let _ = writeln!(io::stderr(), "{error}");
                125
            })
        })?;
        Ok(Self {
            child,
            output,
            text: Vec::new(),
            truncated: false,
            start: Moment::now(),
            began: now,
            deadline: now + check.timeout(),
        })
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) fn fds(&self) -> [BorrowedFd<'_>; 2] {
        [self.child.as_fd(), self.output.as_fd()]
    }

    /// Reads what has come, and says whether there is an answer.
    pub(super) fn turn(&mut self) -> bool {
        let ended = {
            let mut fds = [PollFd::new(&self.child, PollFlags::IN)];
            let at_once = Timespec::default();
            poll(&mut fds, Some(&at_once)).is_ok_and(|ready| ready > 0)
        };
        self.read();
        ended
    }

    /// The answer of a check that has ended, or has to.
    pub(super) fn finish(self, check: &HealthCheck) -> Probe {
        let in_time = Instant::now() < self.deadline;
        let text = self.shown();
        let start = self.start;
        let (exit_code, output) = if in_time {
            match self.child.wait() {
                Ok(status) => (i32::from(ExitStatus::code(status)), text),
                Err(error) => (-1, error.to_string()),
            }
        } else {
            // The command dies with the process that is dropped here.
            let limit = show_duration(check.timeout());
            let colon = if text.is_empty() { "" } else { ": " };
            (
                -1,
                format!("Health check exceeded timeout ({limit}){colon}{text}"),
            )
        };
        Probe {
            start,
            end: Moment::now(),
            exit_code,
            output,
        }
    }

    fn read(&mut self) {
        let mut buffer = [0; 4096];
        loop {
            match rustix::io::read(&self.output, &mut buffer) {
                Ok(0) => break,
                Ok(length) => {
                    let room = (MAX_OUTPUT - self.text.len()).min(length);
                    self.text.extend_from_slice(&buffer[..room]);
                    self.truncated |= room < length;
                }
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
    }

    fn shown(&self) -> String {
        let text = String::from_utf8_lossy(&self.text).into_owned();
        if self.truncated { text + "..." } else { text }
    }
}

fn set_up(output: &OwnedFd, token: &ChildToken) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::stdio::dup2_stdout(output)?;
    rustix::stdio::dup2_stderr(output)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    let streams = [
        rustix::stdio::stdin(),
        rustix::stdio::stdout(),
        rustix::stdio::stderr(),
    ];
    close_all_but(&streams, token)
}

fn enter(id: &ContainerId, check: &HealthCheck) -> Result<u8, Error> {
    let engine = Engine::open()?;
    let record = engine.container(id.as_str())?;
    let options = ExecOptions {
        command: check.command.clone(),
        ..ExecOptions::default()
    };
    engine.exec(&record, &options)
}

fn line(error: &Error) -> String {
    let mut line = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}
