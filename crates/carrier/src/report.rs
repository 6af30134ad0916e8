//! What the user reads when something went wrong, and the exit code that goes with it.

mod mistake;
mod similar;

use std::error::Error;
use std::process::ExitCode;

use carrier_engine::{Check, ErrorKind, explain};
use carrier_registry::HostFault;
use carrier_spec::{ParseReferenceError, Reference};

use mistake::Mistake;

/// Carrier itself failed, as in Docker.
const ENGINE_FAILED: u8 = 125;

/// An error of a command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] carrier_engine::Error),
    /// A registry failed, or sent what cannot be used.
    #[error(transparent)]
    Registry(#[from] carrier_registry::Error),
    /// An image that was to be used is not here, and a registry failed to give it.
    #[error("{source}")]
    Fetch {
        /// What it was called.
        reference: Reference,
        /// The cause.
        source: Box<carrier_registry::Error>,
    },
    /// An option or argument makes no sense.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What would be right.
        hint: Option<String>,
    },
    /// A file that the user named, or a stream.
    #[error("cannot {action} {path}")]
    File {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
}

impl Failure {
    #[allow(
        clippy::needless_pass_by_value,
        reason = "errors are handed over by map_err"
    )]
    pub(crate) fn usage(message: impl ToString) -> Self {
        Self::Usage {
            message: message.to_string(),
            hint: None,
        }
    }

    #[allow(
        clippy::needless_pass_by_value,
        reason = "errors are handed over by map_err"
    )]
    pub(crate) fn with_hint(message: impl ToString, hint: &str) -> Self {
        Self::Usage {
            message: message.to_string(),
            hint: Some(hint.to_owned()),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = self.plain_hint();
        let Some(name) = similar::meant(self) else {
            return hint;
        };
        Some(match (self, hint) {
            (Self::Fetch { .. }, Some(hint)) => {
                format!("did you mean {name}, which is here? Else: {hint}")
            }
            _ => format!("did you mean {name}?"),
        })
    }

    fn plain_hint(&self) -> Option<String> {
        match self {
            Self::Engine(error) => error.hint(),
            Self::Registry(error) => registry_hint(error),
            Self::Fetch { source, .. } => registry_hint(source),
            Self::Usage { hint, .. } => hint.clone(),
            Self::File {
                action: "read",
                path,
                ..
            } => Some(format!(
                "name a file that is there and yours to read: ls -l {path}"
            )),
            Self::File { .. } => None,
        }
    }

    fn code(&self) -> u8 {
        match self {
            Self::Engine(error) => match error.kind() {
                ErrorKind::ProgramNotFound => 127,
                ErrorKind::ProgramNotExecutable => 126,
                _ => ENGINE_FAILED,
            },
            _ => ENGINE_FAILED,
        }
    }
}

fn registry_hint(error: &carrier_registry::Error) -> Option<String> {
    let host = error
        .host_fault()
        .and_then(|fault| explain(&[check_of(fault)]));
    host.or_else(|| error.hint())
}

/// What of the host is to be looked at when a registry's image could not be had.
fn check_of(fault: HostFault) -> Check {
    match fault {
        HostFault::Ids => Check::SubordinateIds,
        HostFault::Space => Check::Disk,
        HostFault::Home => Check::Home,
        HostFault::Clock => Check::Clock,
    }
}

/// An error and its causes on one line, without what the causes repeat.
pub(crate) fn line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    printable(&without_error_numbers(&line))
}

/// Turns a command's outcome into an exit code, after telling about a failure.
pub(crate) fn exit(outcome: Result<u8, Failure>) -> ExitCode {
    code(outcome).into()
}

/// [`exit`], as a number.
pub(crate) fn code(outcome: Result<u8, Failure>) -> u8 {
    outcome.unwrap_or_else(|failure| {
        tell(&failure);
        failure.code()
    })
}

/// Tells about one of several failures that a command goes on after.
#[allow(clippy::print_stderr, reason = "the place where errors are printed")]
pub(crate) fn tell(failure: &Failure) {
    eprintln!("carrier: {}", line(failure));
    if let Some(hint) = failure.hint() {
        eprintln!("hint: {}", printable(&hint));
    }
}

impl From<ParseReferenceError> for Failure {
    fn from(error: ParseReferenceError) -> Self {
        let hint = match error {
            ParseReferenceError::UpperCase(_) => "write it in lower case",
            ParseReferenceError::LooksLikeId(_) => "`carrier images` lists names and ids",
            ParseReferenceError::Empty | ParseReferenceError::Malformed { .. } => {
                "names look like nginx:1.27, ghcr.io/owner/name:tag or name@sha256:DIGEST"
            }
        };
        Self::with_hint(error, hint)
    }
}

/// Prints help, or what is wrong with a command line.
#[allow(clippy::print_stderr, reason = "the place where errors are printed")]
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    if let Some(mistake) = Mistake::of(error, std::env::args_os()) {
        eprintln!("carrier: {}", printable(&mistake.message));
        eprintln!("hint: {}", printable(&mistake.hint));
        return mistake.code().into();
    }
    // A closed standard output or error leaves nobody to tell.
    let _ = error.print();
    if error.use_stderr() {
        ENGINE_FAILED.into()
    } else {
        ExitCode::SUCCESS
    }
}

/// Text that may come from an image or a registry, without power over the terminal.
pub(crate) fn printable(text: &str) -> String {
    let harmless = |c: char| !c.is_control() && !is_bidirectional(c);
    text.chars()
        .flat_map(|c| {
            let plain = harmless(c).then_some(c);
            let escaped = (!harmless(c)).then(|| c.escape_unicode());
            plain.into_iter().chain(escaped.into_iter().flatten())
        })
        .collect()
}

/// Text with lines, whose parts may come from an image: as it is for programs, and without power over
/// a terminal.
pub(crate) fn on_terminal(text: &str) -> String {
    if !rustix::termios::isatty(rustix::stdio::stdout()) {
        return text.to_owned();
    }
    text.split_inclusive(['\n', '\t'])
        .map(|line| {
            let (inner, end) = match line.chars().next_back() {
                Some(end @ ('\n' | '\t')) => (&line[..line.len() - 1], Some(end)),
                _ => (line, None),
            };
            let mut safe = printable(inner);
            safe.extend(end);
            safe
        })
        .collect()
}

/// Characters that change the order of others, Unicode TR 9.
fn is_bidirectional(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

/// The standard library's ` (os error 13)` tells users nothing.
fn without_error_numbers(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        clean.push_str(part.split_once(')').map_or("", |(_, rest)| rest));
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_with_its_causes() {
        let source = std::io::Error::from_raw_os_error(13);
        let failure = Failure::File {
            action: "read",
            path: "x".into(),
            source,
        };
        assert_eq!(line(&failure), "cannot read x: Permission denied");
    }

    #[test]
    fn text_of_strangers_cannot_move_the_cursor() {
        assert_eq!(
            printable("a\u{1b}[31m\n\u{202e}b"),
            "a\\u{1b}[31m\\u{a}\\u{202e}b"
        );
        assert_eq!(printable("käse"), "käse");
    }
}
