//! A command that runs.

use std::io::{Read, Write as _};
use std::process::{Child, ChildStdin, Command};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open};

use crate::outcome::Outcome;

/// How often something is looked at that cannot be waited for.
pub(crate) const INTERVAL: Duration = Duration::from_millis(5);

/// How long a stream may stay open after its command has ended.
const GRACE: Duration = Duration::from_secs(5);

/// A command that was started; killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    title: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Capture,
    stderr: Capture,
    deadline: Instant,
    ended: bool,
}

impl Running {
    pub(crate) fn spawn(mut command: Command, title: String, timeout: Duration) -> Self {
        let spawned = command.spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("cannot start {title}: {error}"));
        let stdout = Capture::of(child.stdout.take().expect("standard output is a pipe"));
        let stderr = Capture::of(child.stderr.take().expect("standard error is a pipe"));
        Self {
            title,
            stdin: child.stdin.take(),
            child,
            stdout,
            stderr,
            deadline: Instant::now() + timeout,
            ended: false,
        }
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Writes to standard input. A command that does not read is no error.
    pub fn send(&mut self, bytes: &[u8]) {
        if let Some(stdin) = &mut self.stdin {
            let _ = stdin.write_all(bytes);
        }
    }

    /// Ends standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Sends a signal to the command alone.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("cannot signal a command");
    }

    /// Waits until standard output contains `text`.
    #[track_caller]
    pub fn waits_for_stdout(&self, text: &str) -> String {
        self.waits_for(&self.stdout, text)
    }

    /// Waits until standard error contains `text`.
    #[track_caller]
    pub fn waits_for_stderr(&self, text: &str) -> String {
        self.waits_for(&self.stderr, text)
    }

    #[track_caller]
    fn waits_for(&self, capture: &Capture, text: &str) -> String {
        loop {
            let is_last_look = capture.is_closed() || Instant::now() > self.deadline;
            let seen = capture.text();
            if seen.contains(text) {
                return seen;
            }
            assert!(!is_last_look, "no {text:?} from {}\n{}", self.title, self.outputs());
            std::thread::sleep(INTERVAL);
        }
    }

    /// Waits for the end.
    #[must_use]
    #[track_caller]
    pub fn wait(mut self) -> Outcome {
        if !self.has_ended_by(self.deadline) {
            self.kill();
            panic!("{} did not end in time\n{}", self.title, self.outputs());
        }
        self.ended = true;
        let status = self.child.wait().expect("a command that ended has a status");
        for (name, stream) in [("output", &self.stdout), ("error", &self.stderr)] {
            let closed = stream.closes_within(GRACE);
            assert!(closed, "{} ended, but its standard {name} is still open", self.title);
        }
        Outcome {
            title: self.title.clone(),
            status,
            stdout: self.stdout.bytes(),
            stderr: self.stderr.bytes(),
        }
    }

    fn has_ended_by(&self, deadline: Instant) -> bool {
        let pidfd = pidfd_open(self.pid(), PidfdFlags::empty()).expect("a child has a pidfd");
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        matches!(poll(&mut fds, Some(&timeout)), Ok(ready) if ready > 0)
    }

    fn kill(&mut self) {
        // Gone already, at worst.
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
        self.ended = true;
    }

    fn outputs(&self) -> String {
        format!("stdout:\n{}\nstderr:\n{}", self.stdout.text(), self.stderr.text())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            self.kill();
        }
    }
}

/// What has come out of a pipe so far; a thread reads it, so that the command never waits.
#[derive(Debug)]
struct Capture {
    bytes: Arc<Mutex<Vec<u8>>>,
    closed: Receiver<()>,
    was_closed: std::cell::Cell<bool>,
}

impl Capture {
    fn of(mut stream: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (sender, closed) = channel();
        let sink = Arc::clone(&bytes);
        let reader = move || {
            let mut chunk = [0; 8192];
            while let Ok(count) = stream.read(&mut chunk) {
                let Some(read) = chunk.get(..count).filter(|read| !read.is_empty()) else { break };
                sink.lock().expect("readers do not panic").extend_from_slice(read);
            }
            // Nobody waits any more, at worst.
            let _ = sender.send(());
        };
        std::thread::Builder::new().spawn(reader).expect("cannot start a reader");
        Self { bytes, closed, was_closed: false.into() }
    }

    fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().expect("readers do not panic").clone()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    fn is_closed(&self) -> bool {
        self.closes_within(Duration::ZERO)
    }

    fn closes_within(&self, time: Duration) -> bool {
        let closed = self.was_closed.get() || self.closed.recv_timeout(time).is_ok();
        self.was_closed.set(closed);
        closed
    }
}
