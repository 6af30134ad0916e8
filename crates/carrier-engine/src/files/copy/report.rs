//! What the process among a container's files tells the other one.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};

use carrier_store::{PutError, PutSummary};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use serde::{Deserialize, Serialize};

use super::super::path::{TypedPath, split};

/// Reports are short.
const MAX_REPORT: u64 = 64 * 1024;

/// Why something cannot be copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct CopyError {
    message: String,
    hint: Option<String>,
}

impl CopyError {
    fn new(message: impl Into<String>, hint: &str) -> Self {
        Self {
            message: message.into(),
            hint: Some(hint.to_owned()),
        }
    }

    /// What the user can do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        self.hint.clone()
    }

    fn missing(path: &str, container: &str) -> Self {
        let message = format!(
            "could not find the file {path} in container {container}: no such file or directory"
        );
        Self::new(message, "paths in a container begin at its root")
    }

    /// For a path of a container that cannot be opened.
    pub(super) fn source(errno: Errno, path: &str, container: &str) -> Self {
        match errno {
            Errno::NOENT => Self::missing(path, container),
            Errno::NOTDIR => Self::new(
                format!("{container}:{path} is not a directory"),
                "leave out the slash at its end",
            ),
            Errno::LOOP => Self::new(
                format!("{container}:{path}: {}", words(errno)),
                "links of /proc lead out of the container, and are not followed",
            ),
            errno => Self::failed(&errno),
        }
    }

    /// For a path of a container that nothing can be copied to.
    pub(super) fn target(errno: Errno, path: &TypedPath, container: &str) -> Self {
        let path = match errno {
            Errno::NOENT => split(&path.clean).0,
            _ => &path.clean,
        };
        Self::source(errno, &String::from_utf8_lossy(path), container)
    }

    pub(super) fn not_a_directory(path: &str, container: &str) -> Self {
        Self::new(
            format!("destination \"{container}:{path}\" must be a directory"),
            "an archive is unpacked into a directory that exists",
        )
    }

    pub(super) fn host(errno: Errno, path: &[u8]) -> Self {
        let path = String::from_utf8_lossy(path);
        let message = format!("lstat {path}: {}", words(errno));
        Self::new(message, "check the path on this host")
    }

    pub(super) fn output(errno: Errno, path: &[u8]) -> Self {
        let (above, _) = split(path);
        let above = String::from_utf8_lossy(above);
        let path = String::from_utf8_lossy(path);
        match errno {
            Errno::NOENT => Self::new(
                format!("invalid output path: directory {above:?} does not exist"),
                "make the directory first",
            ),
            errno => Self::new(
                format!("invalid output path: {path}: {}", words(errno)),
                "name a directory, or a file in one",
            ),
        }
    }

    pub(super) fn cannot_copy_directory() -> Self {
        Self::new(
            "cannot copy directory: the destination is a file",
            "name a directory as the destination",
        )
    }

    pub(super) fn no_such_directory() -> Self {
        Self::new(
            "no such directory: the destination ends with a slash and does not exist",
            "make the directory first, or leave out the slash",
        )
    }

    pub(super) fn died() -> Self {
        Self {
            message: "the process that copies has died".to_owned(),
            hint: None,
        }
    }

    pub(super) fn put(error: &PutError) -> Self {
        let hint = match error {
            PutError::Archive(_) | PutError::BadEntry { .. } => {
                "what came before it was copied; make the archive again"
            }
            PutError::DirectoryInTheWay(_) | PutError::FileInTheWay(_) => {
                "remove what is in the way first"
            }
            PutError::Unmapped { .. } => {
                "leave --archive out, or give the file to an id that the container has"
            }
            PutError::Entry { .. } => return Self::failed(error),
        };
        Self {
            hint: Some(hint.to_owned()),
            ..Self::failed(error)
        }
    }

    pub(super) fn failed(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        Self {
            hint: crate::error::io_hint_of(error),
            message: format!("cannot copy: {message}"),
        }
    }
}

impl From<io::Error> for CopyError {
    fn from(error: io::Error) -> Self {
        Self::failed(&error)
    }
}

fn words(errno: Errno) -> String {
    crate::fallback::words(errno).to_lowercase()
}

/// The end of a copy.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) bytes: u64,
    pub(super) changed: Vec<String>,
    pub(super) skipped_devices: u64,
}

impl Report {
    pub(super) fn packed(changed: Vec<String>) -> Self {
        Self {
            changed,
            ..Self::default()
        }
    }

    pub(super) fn put(bytes: u64, summary: PutSummary) -> Self {
        Self {
            bytes,
            skipped_devices: summary.skipped_devices,
            ..Self::default()
        }
    }
}

#[derive(Serialize, Deserialize)]
enum Line {
    /// What is copied was found, and is a directory or not.
    Begun(bool),
    Ended(Report),
    Failed(CopyError),
}

/// Where reports come out.
pub(super) struct Reports(BufReader<io::Take<File>>);

/// Where reports go in.
pub(super) struct Reporter(File);

pub(super) fn channel() -> io::Result<(Reports, Reporter)> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    let reader = File::from(reader).take(MAX_REPORT);
    Ok((Reports(BufReader::new(reader)), Reporter(writer.into())))
}

impl Reporter {
    fn tell(&mut self, line: &Line) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.0.write_all(&bytes)
    }

    pub(super) fn begin(&mut self, is_directory: bool) -> Result<(), CopyError> {
        let told = self.tell(&Line::Begun(is_directory));
        told.map_err(|error| CopyError::failed(&error))
    }

    /// Reports the end; returns the code that the process leaves with.
    pub(super) fn end(&mut self, outcome: Result<Report, CopyError>) -> u8 {
        let line = match outcome {
            Ok(report) => Line::Ended(report),
            Err(error) => Line::Failed(error),
        };
        u8::from(self.tell(&line).is_err())
    }
}

impl Reports {
    fn next(&mut self) -> Result<Line, CopyError> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line);
        read.map_err(|error| CopyError::failed(&error))?;
        serde_json::from_str(&line).map_err(|_| CopyError::died())
    }

    /// Whether what is copied is a directory.
    pub(super) fn begun(&mut self) -> Result<bool, CopyError> {
        match self.next()? {
            Line::Begun(is_directory) => Ok(is_directory),
            Line::Failed(error) => Err(error),
            Line::Ended(_) => Err(CopyError::died()),
        }
    }

    pub(super) fn ended(&mut self) -> Result<Report, CopyError> {
        match self.next()? {
            Line::Ended(report) => Ok(report),
            Line::Failed(error) => Err(error),
            Line::Begun(_) => Err(CopyError::died()),
        }
    }
}
