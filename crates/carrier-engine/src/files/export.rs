//! A container's files as an archive.
//!
//! They are read by root of the container's user namespace, so that owners are those that the
//! container sees; whatever is mounted into it is not among them. A container that runs may change its
//! files meanwhile; nothing that it does leads the reader elsewhere, or makes it wait.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write as _};
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};

use super::inside::View;
use super::pack;
use crate::engine::Engine;
use crate::error::Error;

/// What the reading process says is short.
const MAX_REPORT: u64 = 64 * 1024;
const BUFFER: usize = 256 * 1024;

impl Engine {
    /// Writes the files of the container that `word` names, running or not, as a tar archive.
    /// Returns the names of files that changed while they were read.
    ///
    /// # Errors
    /// When there is no such container, or its files cannot be read, or `output` cannot be written.
    pub fn export(&self, word: &str, output: BorrowedFd<'_>) -> Result<Vec<String>, Error> {
        let record = self.find_container(word)?;
        let record = record.ok_or_else(|| Error::NoSuchContainer(word.to_owned()))?;
        let failed = |reason: String| Error::Files {
            container: word.to_owned(),
            reason,
        };
        let (report, told) =
            pipe_with(PipeFlags::CLOEXEC).map_err(|errno| failed(errno.to_string()))?;
        let mut told = Some(told);
        let inside = self.inside(&record, View::Bare, |root| {
            let Some(told) = told.take() else { return 1 };
            tell(told, archive(root, output))
        })?;
        drop(told);
        let mut text = String::new();
        let read = File::from(report)
            .take(MAX_REPORT)
            .read_to_string(&mut text);
        read.map_err(|error| failed(error.to_string()))?;
        match inside.wait() {
            Ok(true) => Ok(text.lines().map(str::to_owned).collect()),
            _ if text.is_empty() => Err(failed("the process that reads them has died".to_owned())),
            _ => Err(failed(text)),
        }
    }
}

/// Tells the parent what went wrong, or which files changed.
fn tell(told: OwnedFd, result: io::Result<Vec<String>>) -> u8 {
    let (text, code) = match result {
        Ok(changed) => (changed.join("\n"), 0),
        Err(error) => (error.to_string(), 1),
    };
    // A parent that is gone needs to know nothing.
    let _ = File::from(told).write_all(text.as_bytes());
    code
}

fn archive(root: BorrowedFd<'_>, output: BorrowedFd<'_>) -> io::Result<Vec<String>> {
    let output = BufWriter::with_capacity(BUFFER, File::from(output.try_clone_to_owned()?));
    pack::contents(root.try_clone_to_owned()?, output)
}
