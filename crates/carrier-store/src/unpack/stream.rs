//! The decompressed stream: hashed, counted, bounded.

use std::cell::Cell;
use std::io::{self, BufReader, Read};
use std::rc::Rc;

use carrier_spec::{Compression, DiffId, Digest};
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

use super::{Expansion, Limits, UnpackError};

const BUFFER: usize = 256 * 1024;

/// A layer's tar stream.
pub(super) struct TarStream<'a> {
    source: Box<dyn Read + 'a>,
    hash: Sha256,
    offset: u64,
    limit: u64,
    expansion: Expansion,
    /// Bytes of the compressed stream that were read.
    compressed: Rc<Cell<u64>>,
}

struct Counted<R> {
    source: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.count.set(self.count.get() + count as u64);
        Ok(count)
    }
}

impl<'a> TarStream<'a> {
    pub(super) fn new(
        source: impl Read + 'a,
        compression: Compression,
        limits: &Limits,
    ) -> io::Result<Self> {
        let compressed = Rc::new(Cell::new(0));
        let count = Rc::clone(&compressed);
        let source = BufReader::with_capacity(BUFFER, Counted { source, count });
        let source: Box<dyn Read + 'a> = match compression {
            Compression::None => Box::new(source),
            // A gzip file may consist of several members, RFC 1952 section 2.2.
            Compression::Gzip => Box::new(BufReader::with_capacity(
                BUFFER,
                MultiGzDecoder::new(source),
            )),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?;
                decoder.window_log_max(limits.zstd_window_log)?;
                Box::new(BufReader::with_capacity(BUFFER, decoder))
            }
        };
        Ok(Self {
            source,
            hash: Sha256::new(),
            offset: 0,
            limit: limits.bytes,
            expansion: limits.expansion,
            compressed,
        })
    }

    /// Bytes that were read.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads some bytes; none at the end of the stream.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, UnpackError> {
        loop {
            match self.source.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(UnpackError::Stream(error)),
                Ok(count) => {
                    self.hash.update(buffer.get(..count).unwrap_or_default());
                    self.offset += count as u64;
                    self.check()?;
                    return Ok(count);
                }
            }
        }
    }

    fn check(&self) -> Result<(), UnpackError> {
        if self.offset > self.limit {
            return Err(UnpackError::TooLarge {
                what: "bytes",
                max: self.limit,
            });
        }
        let Expansion { ratio, from } = self.expansion;
        let allowed = self.compressed.get().saturating_mul(ratio).max(from);
        if self.offset > allowed {
            return Err(UnpackError::Bomb { max: ratio });
        }
        Ok(())
    }

    /// Fills `buffer`; false when the stream ended before its first byte.
    pub(super) fn read_whole(&mut self, buffer: &mut [u8]) -> Result<bool, UnpackError> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.read(rest)? {
                0 if filled == 0 => return Ok(false),
                0 => return Err(UnpackError::Stream(io::ErrorKind::UnexpectedEof.into())),
                count => filled += count,
            }
        }
        Ok(true)
    }

    /// Reads what follows the archive, which belongs to the digest too.
    pub(super) fn finish(mut self) -> Result<DiffId, UnpackError> {
        let mut buffer = vec![0; BUFFER];
        while self.read(&mut buffer)? > 0 {}
        Ok(DiffId(Digest::from_sha256(self.hash.finalize().into())))
    }
}
