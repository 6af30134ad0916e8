//! The records of a log, the oldest first, across rotated files.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use super::files::{LogFiles, OpenFile};
use super::input::Input;
use super::record::{LogRecord, decode};
use super::tail;

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    Beginning,
    /// So many lines before the end.
    End(u64),
}

/// What is done with each record; a break ends the reading.
pub(super) type Visit<'a> = dyn FnMut(&LogRecord<'_>) -> io::Result<ControlFlow<()>> + 'a;

/// Whether a record is one of those that are asked for.
pub(super) type Wanted<'a> = dyn Fn(&LogRecord<'_>) -> bool + 'a;

#[derive(Debug)]
pub(super) struct LogReader {
    files: LogFiles,
    /// The file that is read; none before the first one is there.
    current: Option<Input>,
    /// The files behind it, and where to begin in them.
    waiting: VecDeque<(OpenFile, u64)>,
    /// Also what is written from now on.
    follows: bool,
    /// Files were rotated away before they could be read.
    missed: bool,
    scratch: Vec<u8>,
}

impl LogReader {
    /// Opens the log in `directory` as it is now.
    pub(super) fn open(
        directory: &Path,
        from: Begin,
        follows: bool,
        wanted: &Wanted<'_>,
    ) -> io::Result<Self> {
        let files = LogFiles::open(directory)?;
        let all = files.read()?;
        let (first, offset) = match from {
            Begin::Beginning => (0, 0),
            Begin::End(lines) => tail::find(&all, lines, wanted)?,
        };
        let waiting = all.into_iter().enumerate().skip(first);
        let waiting = waiting.map(|(index, file)| (file, if index == first { offset } else { 0 }));
        Ok(Self {
            files,
            current: None,
            waiting: waiting.collect(),
            follows,
            missed: false,
            scratch: Vec::new(),
        })
    }

    /// Shows all records that are there and were not shown yet.
    pub(super) fn read(&mut self, visit: &mut Visit<'_>) -> io::Result<ControlFlow<()>> {
        loop {
            if let Some(input) = &mut self.current {
                while let Some(line) = input.next_line()? {
                    let record = decode(input.line(line), &mut self.scratch);
                    if let Some(record) = record
                        && visit(&record)?.is_break()
                    {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
            if !self.advance()? {
                return Ok(ControlFlow::Continue(()));
            }
        }
    }

    /// Whether records have gone since the last call that could not be read in time.
    pub(super) fn has_missed(&mut self) -> bool {
        std::mem::take(&mut self.missed)
    }

    /// Looks for more at the end of a file; false where there is nothing more for now.
    fn advance(&mut self) -> io::Result<bool> {
        if let Some((file, offset)) = self.waiting.pop_front() {
            let buffer = self
                .current
                .take()
                .map_or_else(Vec::new, Input::into_buffer);
            // What is written meanwhile is for those who follow; the others come to an end.
            let limit = if self.follows { u64::MAX } else { file.size };
            self.current = Some(Input::new(file, offset, limit, buffer));
            return Ok(true);
        }
        if !self.follows {
            return Ok(false);
        }
        let current = self.current.as_ref().map(|input| input.file.id);
        if current.is_some() && self.files.newest() == current {
            return Ok(false);
        }
        let mut all = self.files.read()?;
        let known = all.iter().position(|file| Some(file.id) == current);
        let behind = all.split_off(known.map_or(0, |at| at + 1));
        self.missed |= current.is_some() && known.is_none() && !behind.is_empty();
        let found = !behind.is_empty();
        // The file at hand is read once more before them: it may have grown until it was rotated.
        self.waiting = behind.into_iter().map(|file| (file, 0)).collect();
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
