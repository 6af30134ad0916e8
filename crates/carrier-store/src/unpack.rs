//! Unpacking a layer: from a compressed tar stream to a directory in overlay's format.
//!
//! The stream comes from a stranger. Every entry is placed relative to a descriptor of its parent
//! directory, which was opened with the layer's root for its root, so that no link leads out; the entry itself
//! is never followed. Whiteouts become overlay's marks (image-spec `layer.md`). Overlay's own marks in a
//! stream are dropped: they would let a layer show one thing to a scanner and another to a container.

pub(crate) mod archive;
pub(crate) mod attributes;
pub(crate) mod directories;
mod entry;
mod header;
mod pax;
pub(crate) mod place;
mod reader;
mod recompress;
mod space;
pub(crate) mod sparse;
mod stream;

use std::io::{self, Read};
use std::os::fd::BorrowedFd;

use carrier_spec::{Compression, DiffId};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use archive::Archive;
use entry::Extractor;
pub use reader::{
    ArchiveEntry, ArchiveEntryKind, ArchiveError, ArchiveReader, PlainLayer, compression_of,
};
pub use recompress::Recompressed;
use stream::TarStream;

use crate::inventory::TreeSize;

/// How a layer is unpacked.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnpackOptions {
    /// Whose the files will be.
    pub ownership: Ownership,
    /// When to stop.
    pub limits: Limits,
}

/// Whose the files of a layer will be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ownership {
    /// As the layer says; an id that does not exist here is an error. For root of a user namespace.
    #[default]
    Exact,
    /// The caller's.
    Caller,
}

/// What no layer may exceed.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the decompressed stream, and of a file with its holes.
    pub bytes: u64,
    /// Headers of the archive, extended ones too.
    pub entries: u64,
    /// Bytes of what has to be remembered until the end: names of directories and devices.
    pub memory: u64,
    /// How much it may expand.
    pub expansion: Expansion,
    /// The binary logarithm of the largest window that a zstd decoder has to keep.
    pub zstd_window_log: u32,
    /// What the file system keeps.
    pub reserve: Reserve,
}

/// How many times as long as the compressed stream the decompressed one may be.
#[derive(Clone, Copy, Debug)]
pub struct Expansion {
    /// The factor.
    pub ratio: u64,
    /// Decompressed bytes before anybody counts: what is small harms nobody.
    pub from: u64,
}

/// Space of the file system that unpacking leaves to others: the smaller of the two.
#[derive(Clone, Copy, Debug)]
pub struct Reserve {
    /// Bytes.
    pub bytes: u64,
    /// Percent of the file system.
    pub percent: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 256 << 30,
            entries: 10_000_000,
            memory: 64 << 20,
            expansion: Expansion {
                ratio: 500,
                from: 1 << 30,
            },
            // zstd's own limit for decoders that were not told otherwise: 128 MiB.
            zstd_window_log: 27,
            reserve: Reserve {
                bytes: 512 << 20,
                percent: 5,
            },
        }
    }
}

/// What was unpacked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerSummary {
    /// The digest of the decompressed stream, all of it.
    pub diff_id: DiffId,
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of regular files.
    pub bytes: u64,
    /// Device nodes and sockets, which are not made.
    pub skipped_devices: u64,
    /// What the unpacked tree has in it; not known of layers of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeSize>,
}

/// What an unpacking process tells the one that feeds it, as one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnpackReport {
    /// The layer is unpacked.
    Ok(LayerSummary),
    /// It is not, for this reason.
    Error(String),
}

/// Why a layer cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The stream ended early, is not what it is said to be, or cannot be read.
    #[error("cannot read the layer: {0}")]
    Stream(#[source] io::Error),
    /// The archive breaks its format.
    #[error("the layer is malformed at byte {offset}: {reason}")]
    Malformed {
        /// Where, in the decompressed stream.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// An entry that no layer may have.
    #[error("the layer has a bad entry {name:?}: {reason}")]
    BadEntry {
        /// The entry's name, made safe for terminals.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// An entry belongs to an id that does not exist here.
    #[error("{name:?} belongs to {uid}:{gid}, which is not mapped in the user namespace")]
    Unmapped {
        /// The entry's name, made safe for terminals.
        name: String,
        /// Its user.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// The file system refused an entry.
    #[error("cannot unpack {name:?}: {source}")]
    Entry {
        /// The entry's name, made safe for terminals.
        name: String,
        /// The kernel's answer.
        source: Errno,
    },
    /// A file capability that no kernel wrote.
    #[error("{name:?} has a malformed file capability")]
    Capability {
        /// The entry's name, made safe for terminals.
        name: String,
    },
    /// More bytes or entries than allowed.
    #[error("the layer has more than {max} {what}")]
    TooLarge {
        /// `bytes`, `entries`, or what else is counted.
        what: &'static str,
        /// The limit.
        max: u64,
    },
    /// A few bytes that become many.
    #[error("the layer is a decompression bomb: it expands more than {max} times")]
    Bomb {
        /// The limit.
        max: u64,
    },
    /// The file system is nearly full.
    #[error("No space left on device, which has to keep {} MiB free", reserve >> 20)]
    Full {
        /// Bytes that must stay free.
        reserve: u64,
    },
}

/// Unpacks the layer in `stream` into the empty `directory`.
///
/// # Errors
/// [`UnpackError`]; what was made so far stays, for the caller to remove.
pub fn unpack(
    stream: impl Read,
    compression: Compression,
    directory: BorrowedFd<'_>,
    options: &UnpackOptions,
) -> Result<LayerSummary, UnpackError> {
    let limits = &options.limits;
    let stream = TarStream::new(stream, compression, limits).map_err(UnpackError::Stream)?;
    let mut archive = Archive::new(stream, limits);
    let mut extractor = Extractor::new(directory, options)?;
    let mut entries = 0;
    while let Some(entry) = archive.next_entry()? {
        entries += 1;
        extractor.extract(&entry, &mut archive)?;
    }
    let (totals, tree) = extractor.finish()?;
    Ok(LayerSummary {
        diff_id: archive.into_stream().finish()?,
        entries,
        bytes: totals.bytes,
        skipped_devices: totals.skipped_devices,
        tree: Some(tree),
    })
}

/// A name from a layer, safe to print.
pub(crate) fn printable(name: &[u8]) -> String {
    const LONGEST: usize = 200;
    let text = String::from_utf8_lossy(name);
    let cut: String = text.chars().take(LONGEST).collect();
    cut
}

#[cfg(test)]
mod tests;
