//! What a command did, and sentences about it.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Output;

/// A command that has ended; its debug form is what a failed test shows.
#[derive(Debug)]
#[allow(dead_code, reason = "the command is there to be shown")]
pub struct Outcome {
    command: String,
    code: i32,
    stdout: String,
    stderr: String,
}

impl Outcome {
    pub(crate) fn new(command: String, output: &Output) -> Self {
        let signal = output.status.signal().map(|signal| 128 + signal);
        Self {
            command,
            code: output.status.code().or(signal).unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The exit code is 0.
    #[track_caller]
    pub fn succeeds(self) -> Self {
        self.exits_with(0)
    }

    /// Whether the exit code is 0, where a test allows for more than one.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.code == 0
    }

    /// Whether the exit code is `code`.
    #[must_use]
    pub fn has_code(&self, code: i32) -> bool {
        self.code == code
    }

    /// The exit code is `code`.
    #[track_caller]
    pub fn exits_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code of {self:#?}");
        self
    }

    /// Standard output is `expected`, but for space around it.
    #[track_caller]
    pub fn prints(self, expected: &str) -> Self {
        assert_eq!(self.stdout.trim(), expected.trim(), "output of {self:#?}");
        self
    }

    /// Standard output has `part` in it.
    #[track_caller]
    pub fn shows(self, part: &str) -> Self {
        assert!(
            self.stdout.contains(part),
            "{part:?} is not in the output of {self:#?}"
        );
        self
    }

    /// Standard output does not have `part` in it.
    #[track_caller]
    pub fn hides(self, part: &str) -> Self {
        assert!(
            !self.stdout.contains(part),
            "{part:?} is in the output of {self:#?}"
        );
        self
    }

    /// Standard error is one line that says `part`, and one hint.
    #[track_caller]
    pub fn complains(self, part: &str) -> Self {
        let lines: Vec<&str> = self.complaint_lines();
        assert_eq!(lines.len(), 2, "one error and one hint in {self:#?}");
        assert!(
            lines[0].starts_with("carrier: ") && lines[0].contains(part),
            "{part:?} in {self:#?}"
        );
        assert!(lines[1].starts_with("hint: "), "a hint in {self:#?}");
        self
    }

    /// The hint says `part`.
    #[track_caller]
    pub fn hints(self, part: &str) -> Self {
        let is_one = |line: &str| line.starts_with("hint: ") && line.contains(part);
        assert!(self.stderr.lines().any(is_one), "{part:?} in {self:#?}");
        self
    }

    /// A warning says `part`.
    #[track_caller]
    pub fn warns(self, part: &str) -> Self {
        let is_one = |line: &str| line.starts_with("warning: ") && line.contains(part);
        assert!(self.stderr.lines().any(is_one), "{part:?} in {self:#?}");
        self
    }

    /// What Carrier itself said, without the notes of a pull.
    fn complaint_lines(&self) -> Vec<&str> {
        let ours = |line: &&str| line.starts_with("carrier: ") || line.starts_with("hint: ");
        self.stderr.lines().filter(ours).collect()
    }

    /// Standard output, without space around it.
    #[must_use]
    pub fn text(&self) -> &str {
        self.stdout.trim()
    }

    /// Standard error.
    #[must_use]
    pub fn errors(&self) -> &str {
        &self.stderr
    }
}
