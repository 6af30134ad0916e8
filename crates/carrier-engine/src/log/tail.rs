//! Where the last lines of a log begin.

use std::io;

use super::files::OpenFile;
use super::input::Backwards;
use super::reader::Wanted;
use super::record::{LogRecord, decode};

/// The file, counted from the oldest, and the place in it where the last `lines` wanted lines begin.
pub(super) fn find(
    files: &[OpenFile],
    lines: u64,
    wanted: &Wanted<'_>,
) -> io::Result<(usize, u64)> {
    let mut start = match files.last() {
        Some(newest) => (files.len() - 1, newest.size),
        None => return Ok((0, 0)),
    };
    let mut count = LineCount::default();
    let mut scratch = Vec::new();
    for (index, file) in files.iter().enumerate().rev() {
        let mut backwards = Backwards::new(file);
        while let Some((offset, line)) = backwards.previous_line()? {
            let record = decode(backwards.line(line), &mut scratch);
            if let Some(record) = record.filter(|record| wanted(record)) {
                if count.with(&record) > lines {
                    return Ok(start);
                }
                start = (index, offset);
            }
        }
    }
    Ok(start)
}

/// Counts lines from the last to the first; the records of a long one are one line.
#[derive(Default)]
struct LineCount {
    lines: u64,
    /// A later record of the stream was seen.
    seen: [bool; 2],
}

impl LineCount {
    fn with(&mut self, record: &LogRecord<'_>) -> u64 {
        let seen = std::mem::replace(&mut self.seen[record.stream as usize], true);
        if record.text.ends_with(b"\n") || !seen {
            self.lines += 1;
        }
        self.lines
    }
}
