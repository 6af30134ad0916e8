//! Reading events, and waiting for more.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::io::Errno;

use super::{Event, FILE, OLDER, is_same};

/// The events, from some point on.
#[derive(Debug)]
pub struct EventReader {
    runtime: PathBuf,
    /// Told of what happens in the directory: a rename makes a file that no watch is on.
    watch: OwnedFd,
    /// What is read: none while there is none yet.
    file: Option<File>,
    /// The beginning of a line whose end was not read yet.
    rest: Vec<u8>,
    since: Option<u64>,
    /// Events of files that are complete.
    past: Vec<Event>,
}

impl EventReader {
    pub(super) fn open(runtime: &Path, since: Option<u64>) -> io::Result<Self> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let watch = inotify::init(flags)?;
        let what = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_FROM;
        inotify::add_watch(&watch, runtime, what)?;
        let mut reader = Self {
            runtime: runtime.to_owned(),
            watch,
            file: None,
            rest: Vec::new(),
            since,
            past: Vec::new(),
        };
        reader.file = reader.current()?;
        if since.is_none() {
            if let Some(file) = &mut reader.file {
                file.seek(SeekFrom::End(0))?;
            }
        } else if let Ok(older) = fs::read(reader.runtime.join(OLDER)) {
            reader.past = reader.parse(&older);
        }
        Ok(reader)
    }

    fn current(&self) -> io::Result<Option<File>> {
        match File::open(self.runtime.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    /// What has happened since the last call.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&mut self) -> io::Result<Vec<Event>> {
        let mut events = std::mem::take(&mut self.past);
        loop {
            let Some(mut file) = self.file.take() else {
                self.file = self.current()?;
                if self.file.is_none() {
                    return Ok(events);
                }
                continue;
            };
            // Asked first: what is written to a file that has been put aside comes before the rest.
            let is_current = is_same(&file, &self.runtime.join(FILE)).unwrap_or(false);
            let mut bytes = std::mem::take(&mut self.rest);
            file.read_to_end(&mut bytes)?;
            if is_current {
                let whole = bytes.iter().rposition(|byte| *byte == b'\n');
                self.rest = bytes.split_off(whole.map_or(0, |at| at + 1));
            }
            events.extend(self.parse(&bytes));
            if is_current {
                self.file = Some(file);
                return Ok(events);
            }
        }
    }

    fn parse(&self, bytes: &[u8]) -> Vec<Event> {
        let lines = bytes.split(|byte| *byte == b'\n');
        let events = lines.filter_map(|line| serde_json::from_slice::<Event>(line).ok());
        let since = self.since.unwrap_or(0);
        events.filter(|event| event.nanoseconds >= since).collect()
    }

    /// Waits until there may be more, at most for `limit`; false when nobody reads `listener` any
    /// more.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn wait(&self, limit: Option<Duration>, listener: BorrowedFd<'_>) -> io::Result<bool> {
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let mut fds = [
            PollFd::new(&self.watch, PollFlags::IN),
            // Nothing is waited for but what is always told: that a pipe has no reader.
            PollFd::from_borrowed_fd(listener, PollFlags::empty()),
        ];
        match poll(&mut fds, limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        // What it was does not matter, but it must not be told again.
        let mut seen = [0; 4096];
        while rustix::io::read(&self.watch, &mut seen).is_ok_and(|length| length > 0) {}
        Ok(!fds[1].revents().contains(PollFlags::ERR))
    }
}
