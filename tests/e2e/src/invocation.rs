//! A command that a test wants to run.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::actor::Actor;
use crate::cx::Cx;
use crate::outcome::Outcome;
use crate::running::Running;

/// No command of a test takes longer, even on a loaded machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A command in the making: its methods that expect something also run it.
#[derive(Debug)]
#[must_use = "nothing has run yet"]
pub struct Invocation<'a> {
    cx: &'a Cx,
    /// Words in front of the program, which root runs; they see to it that the actor runs the rest.
    prefix: Vec<String>,
    words: Vec<OsString>,
    environment: Vec<(String, Option<OsString>)>,
    directory: Option<PathBuf>,
    stdin: Vec<u8>,
    keeps_stdin_open: bool,
    timeout: Duration,
}

impl<'a> Invocation<'a> {
    pub(crate) fn new<W: AsRef<OsStr>>(
        cx: &'a Cx,
        program: &OsStr,
        words: impl IntoIterator<Item = W>,
    ) -> Self {
        let words = words.into_iter().map(|word| word.as_ref().to_owned());
        Self {
            cx,
            prefix: Vec::new(),
            words: std::iter::once(program.to_owned()).chain(words).collect(),
            environment: Vec::new(),
            directory: None,
            stdin: Vec::new(),
            keeps_stdin_open: false,
            timeout: TIMEOUT,
        }
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.to_owned(), Some(value.into())));
        self
    }

    /// Removes a variable.
    pub fn without_env(mut self, name: &str) -> Self {
        self.environment.push((name.to_owned(), None));
        self
    }

    /// Starts the command in a directory.
    pub fn in_directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.directory = Some(path.into());
        self
    }

    /// Sends this through a pipe, then the end of file.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Never sends the end of file: standard input is a pipe that stays open.
    pub fn keeping_stdin_open(mut self) -> Self {
        self.keeps_stdin_open = true;
        self
    }

    /// Allows more or less time than usual.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Runs the command in a mount namespace that a shell script of root has prepared.
    pub fn where_root_did(mut self, script: &str) -> Self {
        let become_actor = Actor::get().become_words().join(" ");
        let script = format!("{script}\nexec {become_actor} \"$@\"");
        let words = ["unshare", "--mount", "sh", "-ec", &script, "sh"];
        self.prefix = words.map(str::to_owned).into();
        self
    }

    /// Runs the command below `strace`, by root, so that set-user-ID programs work.
    pub fn traced(mut self, options: &[&str], output: &std::path::Path) -> Self {
        let mut words = vec!["strace".to_owned()];
        words.extend(options.iter().map(ToString::to_string));
        words.extend(["-u".to_owned(), Actor::get().name.clone()]);
        words.extend(["-o".to_owned(), output.display().to_string()]);
        self.prefix = words;
        self
    }

    /// Starts the command and lets it run.
    #[must_use]
    pub fn start(self) -> Running {
        let title = self.title();
        let mut words = self.prefix.iter().map(OsString::from).chain(self.words);
        let mut command = Command::new(words.next().expect("a command has a program"));
        command.args(words).env_clear().envs(self.cx.environment());
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if self.prefix.is_empty() {
            Actor::get().run(&mut command);
        }
        command.current_dir(self.directory.unwrap_or_else(|| self.cx.directory().to_owned()));
        // A group of its own, so that a timeout reaches all that the command has started.
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Running::spawn(command, title, self.timeout);
        running.send(&self.stdin);
        if !self.keeps_stdin_open {
            running.close_stdin();
        }
        running
    }

    /// Runs the command to its end.
    #[must_use]
    #[track_caller]
    pub fn run(self) -> Outcome {
        self.start().wait()
    }

    /// Runs the command and expects exit code 0.
    #[track_caller]
    pub fn succeeds(self) -> Outcome {
        self.run().succeeds()
    }

    /// Runs the command and expects an exit code.
    #[track_caller]
    pub fn fails_with(self, code: i32) -> Outcome {
        self.run().fails_with(code)
    }

    fn title(&self) -> String {
        let words = self.words.iter().map(|word| word.to_string_lossy().into_owned());
        let words: Vec<String> = self.prefix.iter().cloned().chain(words).collect();
        format!("$ {}", words.join(" "))
    }
}
