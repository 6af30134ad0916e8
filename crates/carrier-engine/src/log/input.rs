//! The lines of one file, forwards and backwards, in bounded memory.

use std::io;
use std::ops::Range;

use memchr::{memchr, memrchr};

use super::files::OpenFile;

const BLOCK: usize = 128 << 10;
/// No record of ours is so long: a longer line is damage, and skipped.
const LONGEST: usize = 1 << 20;

/// Reads a file line by line, also while it grows.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) file: OpenFile,
    buffer: Vec<u8>,
    /// What of the buffer was read from the file, and not given out.
    start: usize,
    end: usize,
    /// Where the file is read next.
    offset: u64,
    /// Where it ends for us.
    limit: u64,
    /// The rest of a line that is too long is left out.
    skips: bool,
}

impl Input {
    /// Reads from `offset` on. The buffer is one that was used before, to be used again.
    pub(super) fn new(file: OpenFile, offset: u64, limit: u64, mut buffer: Vec<u8>) -> Self {
        buffer.resize(BLOCK, 0);
        Self {
            file,
            buffer,
            start: 0,
            end: 0,
            offset,
            limit,
            skips: false,
        }
    }

    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    pub(super) fn line(&self, line: Range<usize>) -> &[u8] {
        self.buffer.get(line).unwrap_or_default()
    }

    /// The place of the next line in the buffer, without its newline; nothing where there is none
    /// yet.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Range<usize>>> {
        let mut searched = self.start;
        loop {
            if let Some(at) = memchr(b'\n', &self.buffer[searched..self.end]) {
                let line = self.start..searched + at;
                self.start = searched + at + 1;
                searched = self.start;
                if !std::mem::take(&mut self.skips) {
                    return Ok(Some(line));
                }
                continue;
            }
            searched = self.end;
            self.make_room(&mut searched);
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
    }

    fn make_room(&mut self, searched: &mut usize) {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            *searched -= self.start;
            self.start = 0;
        }
        if self.end < self.buffer.len() {
            return;
        }
        if self.buffer.len() < LONGEST {
            self.buffer.resize(2 * self.buffer.len(), 0);
        } else {
            self.skips = true;
            self.end = 0;
            *searched = 0;
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let left = usize::try_from(self.limit.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let room = left.min(self.buffer.len() - self.end);
        let place = &mut self.buffer[self.end..self.end + room];
        let read = rustix::io::retry_on_intr(|| {
            rustix::io::pread(&self.file.fd, &mut *place, self.offset)
        })?;
        self.end += read;
        self.offset += u64::try_from(read).unwrap_or(0);
        if read == 0 {
            self.notice_a_cut()?;
        }
        Ok(read)
    }

    /// The next writer cuts off half a record that a crash left: what we have of it means nothing.
    fn notice_a_cut(&mut self) -> io::Result<()> {
        let size = rustix::fs::fstat(&self.file.fd)?.st_size.unsigned_abs();
        if size < self.offset {
            self.offset = size;
            (self.start, self.end) = (0, 0);
        }
        Ok(())
    }
}

/// Reads a file line by line from its end.
#[derive(Debug)]
pub(super) struct Backwards<'a> {
    file: &'a OpenFile,
    /// A part of the file: where it begins, and how much of it was not given out.
    block: Vec<u8>,
    begins: u64,
    end: usize,
}

impl<'a> Backwards<'a> {
    pub(super) fn new(file: &'a OpenFile) -> Self {
        Self {
            file,
            block: Vec::new(),
            begins: file.size,
            end: 0,
        }
    }

    /// Where the line before begins in the file, and its place in the block. The newline is not part
    /// of it; what follows the last newline of the file is no line.
    pub(super) fn previous_line(&mut self) -> io::Result<Option<(u64, Range<usize>)>> {
        if self.block.is_empty() && !self.skip_half_line()? {
            return Ok(None);
        }
        loop {
            // The byte before the end is the newline of the line that is looked for.
            let Some(newline) = self.end.checked_sub(1) else {
                if !self.extend()? {
                    return Ok(None);
                }
                continue;
            };
            let before = memrchr(b'\n', &self.block[..newline]);
            if before.is_none() && newline < LONGEST && self.extend()? {
                continue;
            }
            let start = before.map_or(0, |at| at + 1);
            self.end = start;
            let offset = self.begins + u64::try_from(start).unwrap_or(0);
            return Ok(Some((offset, start..newline)));
        }
    }

    pub(super) fn line(&self, line: Range<usize>) -> &[u8] {
        self.block.get(line).unwrap_or_default()
    }

    fn skip_half_line(&mut self) -> io::Result<bool> {
        while self.extend()? {
            if let Some(at) = memrchr(b'\n', &self.block[..self.end]) {
                self.end = at + 1;
                return Ok(true);
            }
            if self.end > LONGEST {
                self.end = 0;
            }
        }
        Ok(false)
    }

    /// Puts the part of the file before the block in front of it; false at the file's beginning.
    fn extend(&mut self) -> io::Result<bool> {
        let length = usize::try_from(self.begins).unwrap_or(BLOCK).min(BLOCK);
        if length == 0 {
            return Ok(false);
        }
        self.block.truncate(self.end);
        self.block.splice(..0, std::iter::repeat_n(0, length));
        let offset = self.begins - u64::try_from(length).unwrap_or(0);
        let mut read = 0;
        while read < length {
            let place = &mut self.block[read..length];
            let at = offset + u64::try_from(read).unwrap_or(0);
            match rustix::io::retry_on_intr(|| rustix::io::pread(&self.file.fd, &mut *place, at))? {
                // Somebody cut the file: what was there is gone.
                0 => break,
                count => read += count,
            }
        }
        self.begins = offset;
        self.end += length;
        Ok(true)
    }
}
