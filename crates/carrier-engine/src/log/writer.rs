//! The monitor's side of the driver `json-file`.

use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::path::Path;

use memchr::{memchr, memrchr};
use rustix::io::Errno;

use super::driver::LogLimits;
use super::files::LogFiles;
use super::record::{Stream, encode};
use super::stamp::Stamp;

/// A line that is longer comes in several records, as in Docker.
const LONGEST: usize = 16 << 10;
/// Records go to the file when there are so many bytes of them.
const ENOUGH: usize = 32 << 10;
/// What may stay allocated; escapes can make a line six times as long.
const KEPT: usize = 2 * ENOUGH;
/// No record is longer: a half one at the end of a file begins less far before it.
const FARTHEST: usize = 128 << 10;

/// Writes a container's log. Nothing fails and nothing waits: what the disk does not take is
/// counted.
#[derive(Debug)]
pub(crate) struct LogWriter {
    files: LogFiles,
    limits: LogLimits,
    /// The newest file; none where it could not be made.
    file: Option<OwnedFd>,
    size: u64,
    /// Whole records that are not in the file yet.
    records: Vec<u8>,
    /// Lines that have not ended, of both streams.
    held: [Vec<u8>; 2],
    scratch: Vec<u8>,
    stamp: Stamp,
    lost: u64,
}

impl LogWriter {
    /// Goes on with the log in `directory`, or begins it.
    pub(crate) fn open(directory: &Path, limits: LogLimits) -> io::Result<Self> {
        let files = LogFiles::open(directory)?;
        let (file, size) = files.append()?;
        let size = cut_half_record(&file, size)?;
        Ok(Self {
            files,
            limits,
            file: Some(file),
            size,
            records: Vec::new(),
            held: [Vec::new(), Vec::new()],
            scratch: Vec::new(),
            stamp: Stamp::new(),
            lost: 0,
        })
    }

    /// Takes what the container wrote. Lines that have ended become records.
    pub(crate) fn write(&mut self, stream: Stream, mut bytes: &[u8]) {
        self.stamp.update();
        while let Some(end) = memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end + 1);
            self.add(stream, line);
            bytes = rest;
        }
        if !bytes.is_empty() {
            self.add(stream, bytes);
        }
    }

    /// Brings all whole records into the file.
    pub(crate) fn flush(&mut self) {
        self.put(self.records.len());
    }

    /// The program has ended: lines that it did not end are not gone on with by the next one.
    pub(crate) fn end_of_program(&mut self) {
        self.stamp.update();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let held = mem::take(&mut self.held[stream as usize]);
            if !held.is_empty() {
                self.record(stream, &held);
            }
        }
        self.flush();
    }

    /// Writes all that there is, also lines that have not ended.
    #[cfg(test)]
    pub(crate) fn close(mut self) {
        self.end_of_program();
    }

    /// How many bytes of records the disk did not take.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// Adds to the line of `stream`; a newline can only be at the end of `bytes`.
    fn add(&mut self, stream: Stream, mut bytes: &[u8]) {
        let mut held = mem::take(&mut self.held[stream as usize]);
        while !held.is_empty() && !bytes.is_empty() {
            let room = (LONGEST - held.len()).min(bytes.len());
            let (first, rest) = bytes.split_at(room);
            held.extend_from_slice(first);
            bytes = rest;
            if held.ends_with(b"\n") {
                self.record(stream, &held);
                held.clear();
            } else if held.len() == LONGEST {
                let end = whole_characters(&held);
                self.record(stream, &held[..end]);
                held.drain(..end);
            }
        }
        if held.is_empty() {
            while bytes.len() >= LONGEST && bytes.get(LONGEST - 1) != Some(&b'\n') {
                let (part, rest) = bytes.split_at(whole_characters(&bytes[..LONGEST]));
                self.record(stream, part);
                bytes = rest;
            }
            if bytes.ends_with(b"\n") {
                self.record(stream, bytes);
                bytes = &[];
            }
        }
        held.extend_from_slice(bytes);
        self.held[stream as usize] = held;
    }

    /// Makes a record, in the next file when this one has no room for it.
    fn record(&mut self, stream: Stream, text: &[u8]) {
        let before = self.records.len();
        let time = self.stamp.text();
        encode(&mut self.records, stream, text, time, &mut self.scratch);
        let bytes = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        let full = self.size + bytes(self.records.len()) > self.limits.max_size;
        if full && self.size + bytes(before) > 0 {
            self.put(before);
            self.rotate();
        }
        if self.records.len() >= ENOUGH {
            self.put(self.records.len());
        }
    }

    fn rotate(&mut self) {
        self.file = None;
        self.size = 0;
        // Where the new file cannot be made, each write tries again.
        let _ = self.files.rotate(self.limits.max_file);
    }

    /// Brings the first `length` bytes of the records, which are whole ones, into the file.
    fn put(&mut self, length: usize) {
        if length == 0 {
            return;
        }
        self.open_again();
        let file = self.file.as_ref();
        let written = file.map_or(0, |file| write_all(file, &self.records[..length]));
        self.size += u64::try_from(written).unwrap_or(0);
        if written < length {
            self.give_up(written, length);
        }
        if length == self.records.len() {
            self.records.clear();
            self.records.shrink_to(KEPT);
        } else {
            self.records.drain(..length);
        }
    }

    /// The disk took a part: the file shall end with a whole record.
    fn give_up(&mut self, written: usize, length: usize) {
        let whole = memrchr(b'\n', &self.records[..written]).map_or(0, |end| end + 1);
        self.lost += u64::try_from(length - whole).unwrap_or(0);
        let half = u64::try_from(written - whole).unwrap_or(0);
        if half > 0
            && let Some(file) = &self.file
            && rustix::fs::ftruncate(file, self.size - half).is_ok()
        {
            self.size -= half;
        }
    }

    fn open_again(&mut self) {
        if self.file.is_none()
            && let Ok((file, size)) = self.files.append()
        {
            (self.file, self.size) = (Some(file), size);
        }
    }
}

/// How many bytes the file took.
fn write_all(file: &OwnedFd, bytes: &[u8]) -> usize {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..)
        && !rest.is_empty()
    {
        match rustix::io::write(file, rest) {
            Ok(0) => break,
            Ok(count) => written += count,
            Err(Errno::INTR) => {}
            Err(_) => break,
        }
    }
    written
}

/// The longest beginning that does not end in the middle of a character.
fn whole_characters(bytes: &[u8]) -> usize {
    let is_first = |byte: &u8| *byte & 0xc0 != 0x80;
    match bytes.iter().rev().take(4).position(is_first) {
        Some(behind) => {
            let first = bytes.len() - behind - 1;
            let is_cut = matches!(str::from_utf8(&bytes[first..]), Err(error) if error.error_len().is_none());
            if is_cut && first > 0 {
                first
            } else {
                bytes.len()
            }
        }
        None => bytes.len(),
    }
}

/// Removes half a record, which a crash left at the end of a file, and returns the new size.
fn cut_half_record(file: &OwnedFd, size: u64) -> io::Result<u64> {
    let length = usize::try_from(size).unwrap_or(FARTHEST).min(FARTHEST);
    let mut last = [0];
    if length == 0 || rustix::io::pread(file, &mut last, size - 1)? == 1 && last == *b"\n" {
        return Ok(size);
    }
    let start = size - u64::try_from(length).unwrap_or(0);
    let mut end = vec![0; length];
    let read = rustix::io::pread(file, &mut end, start)?;
    let whole = memrchr(b'\n', &end[..read]).map_or(0, |at| at + 1);
    let size = start + u64::try_from(whole).unwrap_or(0);
    rustix::fs::ftruncate(file, size)?;
    Ok(size)
}

#[cfg(test)]
mod tests;
