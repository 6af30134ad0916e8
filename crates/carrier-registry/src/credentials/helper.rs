//! Programs that keep credentials: `docker-credential-NAME get|store|erase`.
//!
//! Secrets go through pipes, never through arguments.

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Credentials, RegistryName, TOKEN_USER};
use crate::error::Error;

/// Some ask the user to unlock something.
const PATIENCE: Duration = Duration::from_secs(120);

/// Nobody's secret is longer.
const MAX_OUTPUT: usize = 1 << 20;

/// How helpers say that they do not know a server; on standard output, with an exit code.
const NOT_FOUND: &str = "credentials not found";

/// A program that a file names.
#[derive(Clone, Debug)]
pub(super) struct Helper {
    name: String,
    /// The file that names it.
    named_by: PathBuf,
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    #[serde(rename = "ServerURL", default)]
    server: String,
    username: String,
    secret: String,
}

impl Helper {
    pub(super) fn new(name: &str, named_by: &Path) -> Self {
        Self {
            name: name.to_owned(),
            named_by: named_by.to_owned(),
        }
    }

    /// The program's name.
    pub(super) fn program(&self) -> String {
        format!("docker-credential-{}", self.name)
    }

    pub(super) fn get(&self, name: &RegistryName) -> Result<Option<Credentials>, Error> {
        let Some(output) = self.run("get", name.server())? else {
            return Ok(None);
        };
        let message: Message = serde_json::from_slice(&output)
            .map_err(|_| self.failed("get", io::Error::other("its answer makes no sense")))?;
        Ok(match (message.username, message.secret) {
            (_, secret) if secret.is_empty() => None,
            (user, token) if user == TOKEN_USER => Some(Credentials::Identity {
                user: String::new(),
                token,
            }),
            (user, password) => Some(Credentials::Password { user, password }),
        })
    }

    pub(super) fn store(&self, name: &RegistryName, what: &Credentials) -> Result<(), Error> {
        let (username, secret) = match what {
            Credentials::Password { user, password } => (user.as_str(), password),
            Credentials::Identity { token, .. } | Credentials::Token(token) => (TOKEN_USER, token),
        };
        let message = Message {
            server: name.server().to_owned(),
            username: username.to_owned(),
            secret: secret.clone(),
        };
        let message =
            serde_json::to_string(&message).map_err(|error| self.failed("store", error.into()))?;
        self.run("store", &message).map(|_| ())
    }

    /// Tells whether there was something to forget.
    pub(super) fn erase(&self, name: &RegistryName) -> Result<bool, Error> {
        Ok(self.run("erase", name.server())?.is_some())
    }

    /// Runs the program; nothing where it does not know the server.
    fn run(&self, verb: &'static str, input: &str) -> Result<Option<Vec<u8>>, Error> {
        let program = self.find().map_err(|source| self.failed(verb, source))?;
        let answer = talk(&program, verb, input).map_err(|source| self.failed(verb, source))?;
        if answer.succeeded {
            return Ok(Some(answer.output));
        }
        let said = String::from_utf8_lossy(&answer.output);
        if said.to_ascii_lowercase().contains(NOT_FOUND) {
            return Ok(None);
        }
        // Only what failed to come out can be told: a secret may be among the rest.
        let reason = match verb {
            "get" | "erase" => said.lines().next().unwrap_or_default().trim(),
            _ => "it reports a failure",
        };
        Err(self.failed(verb, io::Error::other(reason.to_owned())))
    }

    /// Looks for the program in the absolute directories of `PATH`.
    fn find(&self) -> io::Result<PathBuf> {
        let program = self.program();
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !self.name.chars().all(is_name) {
            return Err(io::Error::other("that is not the name of a program"));
        }
        let places = env::var_os("PATH").unwrap_or_default();
        let mut candidates = env::split_paths(&places)
            .filter(|place| place.is_absolute())
            .map(|place| place.join(&program));
        let is_executable = |path: &PathBuf| {
            let metadata = fs::metadata(path);
            metadata.is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
        };
        let found = candidates.find(is_executable);
        found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it is not installed"))
    }

    fn failed(&self, verb: &'static str, source: io::Error) -> Error {
        Error::CredentialHelper {
            program: self.program(),
            verb,
            named_by: self.named_by.clone(),
            source,
        }
    }
}

struct Answer {
    succeeded: bool,
    output: Vec<u8>,
}

fn talk(program: &Path, verb: &str, input: &str) -> io::Result<Answer> {
    let mut child = Command::new(program)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let deadline = Instant::now() + PATIENCE;
    let answer = listen(&mut child, input, deadline);
    if answer.is_err() {
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
    }
    answer
}

fn listen(child: &mut Child, input: &str, deadline: Instant) -> io::Result<Answer> {
    if let Some(mut pipe) = child.stdin.take() {
        match pipe.write_all(input.as_bytes()) {
            // It need not read what it does not need.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        }
    }
    let mut output = Vec::new();
    if let Some(mut pipe) = child.stdout.take() {
        let mut buffer = [0; 4096];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
            let mut fds = [PollFd::new(&pipe, PollFlags::IN)];
            match poll(&mut fds, Some(&timeout)) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            match pipe.read(&mut buffer)? {
                0 => break,
                count => output.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            }
            if output.len() > MAX_OUTPUT {
                return Err(io::Error::other("it does not stop talking"));
            }
        }
    }
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Answer {
                succeeded: status.success(),
                output,
            });
        }
        if Instant::now() > deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
