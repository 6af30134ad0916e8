//! Archives that hold images, and layers as plain streams: read by the parser that unpacks layers, so
//! that they are refused for the same reasons.

use std::io::{self, BufRead as _, BufReader, Read};

use carrier_spec::{Compression, Descriptor, DiffId};

use super::archive::{Archive, Kind};
use super::stream::TarStream;
use super::{Limits, UnpackError};
use crate::error::Error;
use crate::store::Store;

const BUFFER: usize = 256 * 1024;

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The stream ended early, is damaged, or cannot be read.
    #[error("the archive cannot be read")]
    Stream(#[source] io::Error),
    /// Compressed in a way that Carrier does not know.
    #[error("the archive is compressed with {0}")]
    Compression(&'static str),
    /// The archive breaks its format.
    #[error("the archive is malformed at byte {offset}: {reason}")]
    Malformed {
        /// Where, in the decompressed stream.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// More than allowed.
    #[error("the archive has more than {max} {what}")]
    TooLarge {
        /// `bytes` or `entries`.
        what: &'static str,
        /// The limit.
        max: u64,
    },
}

impl From<UnpackError> for ArchiveError {
    fn from(error: UnpackError) -> Self {
        match error {
            UnpackError::Stream(source) => Self::Stream(source),
            UnpackError::Malformed { offset, reason } => Self::Malformed { offset, reason },
            UnpackError::TooLarge { what, max } => Self::TooLarge { what, max },
            other => Self::Stream(io::Error::other(other.to_string())),
        }
    }
}

/// An archive, entry by entry.
pub struct ArchiveReader<'a>(pub(crate) Archive<'a>);

/// One entry of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveEntry {
    /// Its name.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: ArchiveEntryKind,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchiveEntryKind {
    /// A regular file, whose content can be read.
    File,
    /// A symbolic link to this, relative to where the entry is.
    Symlink(Vec<u8>),
    /// Another name of this.
    HardLink(Vec<u8>),
    /// A directory.
    Directory,
    /// Anything else.
    Other,
}

impl<'a> ArchiveReader<'a> {
    /// Reads a plain archive, or one that is compressed with gzip or zstd.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn new(source: impl Read + 'a, limits: Limits) -> Result<Self, ArchiveError> {
        let mut source = BufReader::with_capacity(BUFFER, source);
        let start = source.fill_buf().map_err(ArchiveError::Stream)?;
        let compression = compression_of(start)?;
        let stream = TarStream::new(source, compression, &limits);
        let stream = stream.map_err(ArchiveError::Stream)?;
        Ok(Self(Archive::new(stream, &limits)))
    }

    /// Goes on to the next entry; nothing at the archive's end.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn next_entry(&mut self) -> Result<Option<ArchiveEntry>, ArchiveError> {
        let Some(entry) = self.0.next_entry()? else {
            return Ok(None);
        };
        let kind = match entry.kind {
            // What is stored of a file with holes is not its content.
            Kind::File if entry.sparse.is_some() => ArchiveEntryKind::Other,
            Kind::File => ArchiveEntryKind::File,
            Kind::Symlink => ArchiveEntryKind::Symlink(entry.link),
            Kind::HardLink => ArchiveEntryKind::HardLink(entry.link),
            Kind::Directory => ArchiveEntryKind::Directory,
            Kind::Fifo | Kind::Device => ArchiveEntryKind::Other,
        };
        Ok(Some(ArchiveEntry {
            path: entry.path,
            kind,
        }))
    }

    /// Reads some of the current entry's content; none at its end.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        Ok(self.0.read(buffer)?)
    }
}

/// How a stream with this beginning is compressed.
///
/// # Errors
/// [`ArchiveError::Compression`] when Carrier does not know how to decompress it.
pub fn compression_of(start: &[u8]) -> Result<Compression, ArchiveError> {
    match start {
        [0x1f, 0x8b, ..] => Ok(Compression::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Compression::Zstd),
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, ..] => Err(ArchiveError::Compression("bzip2")),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Err(ArchiveError::Compression("xz")),
        _ => Ok(Compression::None),
    }
}

/// A layer of the store as a plain tar stream.
pub struct PlainLayer(TarStream<'static>);

impl Store {
    /// Opens the blob of a layer for reading it decompressed; nothing where it is not here.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::UnsupportedDigest`].
    pub fn plain_layer(
        &self,
        layer: &Descriptor,
        compression: Compression,
    ) -> Result<Option<PlainLayer>, Error> {
        let Some(blob) = self.open_blob(&layer.digest)? else {
            return Ok(None);
        };
        let stream = TarStream::new(blob, compression, &Limits::default());
        let stream = stream.map_err(Error::io("read", self.blob_path(&layer.digest)?))?;
        Ok(Some(PlainLayer(stream)))
    }
}

impl PlainLayer {
    /// Reads the stream to its end; returns how long it is and what it hashes to.
    ///
    /// # Errors
    /// When it cannot be decompressed.
    pub fn measure(mut self) -> io::Result<(u64, DiffId)> {
        let mut buffer = vec![0; BUFFER];
        while self.read(&mut buffer)? > 0 {}
        let length = self.0.offset();
        Ok((length, self.0.finish().map_err(io::Error::other)?))
    }
}

impl Read for PlainLayer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error {
            UnpackError::Stream(source) => source,
            other => io::Error::other(other.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_is_known_by_its_first_bytes() {
        assert_eq!(compression_of(b"\x1f\x8b\x08").unwrap(), Compression::Gzip);
        assert_eq!(
            compression_of(b"\x28\xb5\x2f\xfd").unwrap(),
            Compression::Zstd
        );
        assert_eq!(compression_of(b"file name").unwrap(), Compression::None);
        assert_eq!(compression_of(b"").unwrap(), Compression::None);
        assert!(compression_of(b"BZh91AY").is_err() && compression_of(b"\xfd7zXZ\0").is_err());
    }
}
