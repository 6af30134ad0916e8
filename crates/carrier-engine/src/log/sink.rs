//! What the monitor hands a container's output to, whichever driver the container has.

use std::path::Path;

use super::driver::{LogConfig, LogDriver};
use super::journald::{JournalWriter, Origin, SOCKET};
use super::record::Stream;
use super::writer::LogWriter;
use crate::error::Error;

/// An open log.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "a monitor has one")]
pub(crate) enum Log {
    /// Driver `json-file`.
    Files(LogWriter),
    /// Driver `journald`.
    Journal(JournalWriter),
    /// Drivers `none` and `passthrough`.
    Nowhere,
}

impl Log {
    /// Opens the log that `config` asks for; files are in the container's `directory`.
    pub(crate) fn open(
        config: &LogConfig,
        directory: &Path,
        origin: &Origin<'_>,
    ) -> Result<Self, Error> {
        match config.driver {
            LogDriver::JsonFile(limits) => LogWriter::open(directory, limits)
                .map(Self::Files)
                .map_err(|source| Error::Write {
                    path: directory.join("log.json"),
                    source,
                }),
            LogDriver::Journald => JournalWriter::open(Path::new(SOCKET), origin)
                .map(Self::Journal)
                .map_err(|source| Error::NoJournal { source }),
            LogDriver::None | LogDriver::Passthrough => Ok(Self::Nowhere),
        }
    }

    /// Takes what the container wrote.
    pub(crate) fn write(&mut self, stream: Stream, bytes: &[u8]) {
        match self {
            Self::Files(log) => log.write(stream, bytes),
            Self::Journal(log) => log.write(stream, bytes),
            Self::Nowhere => {}
        }
    }

    /// Brings what is complete to where readers look, at the end of a turn.
    pub(crate) fn flush(&mut self) {
        if let Self::Files(log) = self {
            log.flush();
        }
    }

    /// The program has ended: also lines that have not are brought there.
    pub(crate) fn end_of_program(&mut self) {
        match self {
            Self::Files(log) => log.end_of_program(),
            Self::Journal(log) => log.end_of_program(),
            Self::Nowhere => {}
        }
    }

    /// How many bytes were not taken.
    pub(crate) fn lost(&self) -> u64 {
        match self {
            Self::Files(log) => log.lost(),
            Self::Journal(log) => log.lost(),
            Self::Nowhere => 0,
        }
    }
}
