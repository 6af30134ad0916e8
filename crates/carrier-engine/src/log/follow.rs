//! `logs`: what a container wrote, and what it writes until it ends.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use carrier_spec::ContainerId;
use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::io::Errno;

use super::driver::LogDriver;
use super::reader::{Begin, LogReader};
use super::record::LogRecord;
use super::select::{LogOptions, Selection};
use crate::engine::Engine;
use crate::error::Error;

/// Where the records go.
pub trait LogSink {
    /// Shows a record.
    ///
    /// # Errors
    /// When it cannot be written.
    fn record(&mut self, record: &LogRecord<'_>) -> io::Result<()>;

    /// Shows what was held back: there may be no other record for long.
    ///
    /// # Errors
    /// When it cannot be written.
    fn flush(&mut self) -> io::Result<()>;

    /// Records were written faster than they were shown, and have gone.
    fn missed(&mut self);

    /// What tells that nobody reads any more.
    fn output(&self) -> BorrowedFd<'_>;
}

impl Engine {
    /// Shows what the container wrote. Whoever has not read the last record when the container ends
    /// still gets it.
    ///
    /// # Errors
    /// When there is no such container, when its driver keeps no log here, and when the log cannot
    /// be read or shown.
    pub fn logs(
        &self,
        word: &str,
        options: &LogOptions,
        sink: &mut dyn LogSink,
    ) -> Result<(), Error> {
        let record = self
            .find_container(word)?
            .ok_or_else(|| Error::NoSuchContainer(word.to_owned()))?;
        let driver = record.log.driver;
        if !matches!(driver, LogDriver::JsonFile(_)) {
            return Err(Error::LogNotReadable {
                driver: driver.name(),
                container: record.name,
            });
        }
        let directory = self.store.container(&record.id).path().to_owned();
        let failed = |source| Error::ReadLog {
            container: record.name.clone(),
            source,
        };
        let shown = if options.follow && self.writes_log(&record.id) {
            self.follow(&record.id, &directory, options, sink)
        } else {
            show(&directory, options, sink)
        };
        match shown {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            // Removed while we looked.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !directory.exists() => {
                Err(Error::NoSuchContainer(word.to_owned()))
            }
            other => other.map_err(failed),
        }
    }

    fn follow(
        &self,
        id: &ContainerId,
        directory: &Path,
        options: &LogOptions,
        sink: &mut dyn LogSink,
    ) -> io::Result<()> {
        // First of all: what happens from now on wakes us.
        let watch = Watch::new(directory);
        let selection = Selection::new(options);
        let mut reader = open(directory, options, &selection)?;
        loop {
            // Asked before the reading: what was written before the end is read then.
            let ended = !self.comes_back(id) || is_over(options.until);
            let read = reader.read(&mut |record| show_selected(record, &selection, sink))?;
            if reader.has_missed() {
                sink.missed();
            }
            sink.flush()?;
            if ended || read.is_break() || watch.wait(options.until, sink.output())?.is_break() {
                return Ok(());
            }
        }
    }

    /// Whether the container runs, or will in a moment: a restart by a command is an end and a start.
    fn comes_back(&self, id: &ContainerId) -> bool {
        const PAUSE: Duration = Duration::from_millis(10);
        const MOMENT: u32 = 20;
        for _ in 0..MOMENT {
            if self.writes_log(id) {
                return true;
            }
            if !self.store.container(id).path().exists() {
                return false;
            }
            std::thread::sleep(PAUSE);
        }
        false
    }

    /// Whether there is somebody who may still write to the container's log.
    fn writes_log(&self, id: &ContainerId) -> bool {
        self.runs(id).unwrap_or(false)
    }
}

fn show(directory: &Path, options: &LogOptions, sink: &mut dyn LogSink) -> io::Result<()> {
    let selection = Selection::new(options);
    let mut reader = open(directory, options, &selection)?;
    let _ = reader.read(&mut |record| show_selected(record, &selection, sink))?;
    sink.flush()
}

fn open(
    directory: &Path,
    options: &LogOptions,
    selection: &Selection<'_>,
) -> io::Result<LogReader> {
    let begin = options.tail.map_or(Begin::Beginning, Begin::End);
    // Docker counts lines from the end before it looks at times; of a search, the last lines that
    // were found are wanted.
    let wanted = |record: &LogRecord<'_>| {
        options.filter.is_none() || selection.shows(record) == ControlFlow::Continue(true)
    };
    LogReader::open(directory, begin, options.follow, &wanted)
}

fn show_selected(
    record: &LogRecord<'_>,
    selection: &Selection<'_>,
    sink: &mut dyn LogSink,
) -> io::Result<ControlFlow<()>> {
    match selection.shows(record) {
        ControlFlow::Continue(true) => sink.record(record).map(ControlFlow::Continue),
        ControlFlow::Continue(false) => Ok(ControlFlow::Continue(())),
        ControlFlow::Break(()) => Ok(ControlFlow::Break(())),
    }
}

fn is_over(until: Option<Timestamp>) -> bool {
    until.is_some_and(|until| until < Timestamp::now())
}

/// Wakes when something happens in a container's directories.
struct Watch(Option<OwnedFd>);

impl Watch {
    /// Where the kernel gives no watch, time alone wakes.
    fn new(directory: &Path) -> Self {
        use inotify::{CreateFlags, WatchFlags};
        let Ok(watch) = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK) else {
            return Self(None);
        };
        let what = WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF;
        let watches = inotify::add_watch(&watch, directory, what).is_ok();
        Self(watches.then_some(watch))
    }

    /// A break when nobody reads `output` any more.
    fn wait(
        &self,
        until: Option<Timestamp>,
        output: BorrowedFd<'_>,
    ) -> io::Result<ControlFlow<()>> {
        const SELDOM: Duration = Duration::from_secs(1);
        const OFTEN: Duration = Duration::from_millis(50);
        let mut limit = if self.0.is_some() { SELDOM } else { OFTEN };
        if let Some(until) = until {
            let left = Timestamp::now().duration_until(until);
            limit = limit.min(Duration::try_from(left).unwrap_or_default() + OFTEN);
        }
        let limit = Timespec::try_from(limit).ok();
        // Only errors of the output are asked for, which are always told.
        let mut fds = vec![PollFd::from_borrowed_fd(output, PollFlags::empty())];
        fds.extend(self.0.iter().map(|watch| PollFd::new(watch, PollFlags::IN)));
        match poll(&mut fds, limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let gone = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
        if fds.first().is_some_and(|fd| fd.revents().intersects(gone)) {
            return Ok(ControlFlow::Break(()));
        }
        if let Some(watch) = &self.0 {
            let mut seen = [0; 4096];
            while rustix::io::read(watch, &mut seen).is_ok_and(|length| length > 0) {}
        }
        Ok(ControlFlow::Continue(()))
    }
}
