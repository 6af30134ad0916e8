//! The archive: headers, extended headers, and where one entry ends and the next begins.
//!
//! One parser decides that for everything: where two sources speak of a size and differ, a scanner
//! and Carrier could see different files (CVE-2025-62518), and the archive is refused.

use tar::{EntryType, Header};

use super::UnpackError;
use super::pax::Extensions;
use super::stream::TarStream;

const BLOCK: usize = 512;

/// No name is longer than a path can be, and no file has more attributes than this.
const MAX_EXTENSION: u64 = 1 << 20;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File,
    Symlink,
    HardLink,
    Fifo,
    /// A device node.
    Device,
}

/// One entry's header, with what its extended headers said.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) path: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: (i64, u32),
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

pub(super) struct Archive<'a> {
    stream: TarStream<'a>,
    /// Bytes of the current entry's content that were not read yet.
    content: u64,
    /// Bytes that fill the last block of the current entry.
    padding: u64,
}

impl<'a> Archive<'a> {
    pub(super) fn new(stream: TarStream<'a>) -> Self {
        Self {
            stream,
            content: 0,
            padding: 0,
        }
    }

    pub(super) fn into_stream(self) -> TarStream<'a> {
        self.stream
    }

    /// Reads some of the current entry's content; none at its end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, UnpackError> {
        let wanted = usize::try_from(self.content)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        match self
            .stream
            .read(buffer.get_mut(..wanted).unwrap_or_default())?
        {
            0 => Err(UnpackError::Stream(
                std::io::ErrorKind::UnexpectedEof.into(),
            )),
            count => {
                self.content -= count as u64;
                Ok(count)
            }
        }
    }

    /// Goes on to the next entry; nothing at the archive's end.
    pub(super) fn next_entry(&mut self) -> Result<Option<Entry>, UnpackError> {
        let mut extensions = Extensions::default();
        loop {
            self.skip_rest()?;
            let Some(header) = self.read_header()? else {
                return Ok(None);
            };
            let size = self.size(&header, &extensions)?;
            self.content = size;
            self.padding = size.next_multiple_of(BLOCK as u64) - size;
            match header.entry_type() {
                EntryType::XHeader => {
                    let records = self.read_extension()?;
                    extensions
                        .parse(&records)
                        .map_err(|reason| self.malformed(reason))?;
                }
                EntryType::XGlobalHeader => self.check_global_header()?,
                EntryType::GNULongName => extensions.path = Some(self.read_name()?),
                EntryType::GNULongLink => extensions.link = Some(self.read_name()?),
                kind => return self.entry(kind, &header, extensions).map(Some),
            }
        }
    }

    fn entry(
        &self,
        kind: EntryType,
        header: &Header,
        extensions: Extensions,
    ) -> Result<Entry, UnpackError> {
        let id = |field: std::io::Result<u64>, extended: Option<u64>, what| {
            let id = extended
                .map_or(field, Ok)
                .ok()
                .and_then(|id| u32::try_from(id).ok());
            id.filter(|id| *id != u32::MAX)
                .ok_or_else(|| self.malformed(what))
        };
        let path = extensions
            .path
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let in_header = || header.link_name_bytes().map(std::borrow::Cow::into_owned);
        let kind = match kind {
            EntryType::Directory => Kind::Directory,
            // Before POSIX, a directory was a file whose name ends with a slash.
            EntryType::Regular | EntryType::Continuous if path.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Symlink => Kind::Symlink,
            EntryType::Link => Kind::HardLink,
            EntryType::Fifo => Kind::Fifo,
            EntryType::Block | EntryType::Char => Kind::Device,
            EntryType::GNUSparse => return Err(self.malformed("sparse entries are not supported")),
            _ => return Err(self.malformed("an entry has an unknown type")),
        };
        if kind != Kind::File && self.content > 0 {
            return Err(self.malformed("an entry that is no file has content"));
        }
        let seconds = header
            .mtime()
            .ok()
            .and_then(|time| i64::try_from(time).ok());
        Ok(Entry {
            path,
            link: extensions.link.or_else(in_header).unwrap_or_default(),
            kind,
            mode: header
                .mode()
                .map_err(|_| self.malformed("an entry has no mode"))?
                & 0o7777,
            uid: id(
                header.uid(),
                extensions.uid,
                "an entry has a user id out of range",
            )?,
            gid: id(
                header.gid(),
                extensions.gid,
                "an entry has a group id out of range",
            )?,
            mtime: extensions.mtime.unwrap_or((seconds.unwrap_or(0), 0)),
            xattrs: extensions.xattrs,
        })
    }

    fn size(&self, header: &Header, extensions: &Extensions) -> Result<u64, UnpackError> {
        let size = header
            .entry_size()
            .map_err(|_| self.malformed("an entry has no size"))?;
        let describes_entry = !matches!(
            header.entry_type(),
            EntryType::XHeader
                | EntryType::XGlobalHeader
                | EntryType::GNULongName
                | EntryType::GNULongLink
        );
        match extensions.size.filter(|_| describes_entry) {
            Some(extended) if size != 0 && size != extended => {
                Err(self.malformed("an entry has two different sizes"))
            }
            Some(extended) => Ok(extended),
            None => Ok(size),
        }
    }

    fn skip_rest(&mut self) -> Result<(), UnpackError> {
        let mut buffer = [0; 8 * BLOCK];
        while self.read(&mut buffer)? > 0 {}
        let padding = usize::try_from(self.padding).unwrap_or(0);
        self.padding = 0;
        let Some(padding) = buffer
            .get_mut(..padding)
            .filter(|padding| !padding.is_empty())
        else {
            return Ok(());
        };
        if self.stream.read_whole(padding)? {
            Ok(())
        } else {
            Err(UnpackError::Stream(
                std::io::ErrorKind::UnexpectedEof.into(),
            ))
        }
    }

    /// Reads a header block; nothing at the first empty block, or where the stream ends.
    fn read_header(&mut self) -> Result<Option<Header>, UnpackError> {
        let mut header = Header::new_old();
        if !self.stream.read_whole(header.as_mut_bytes())? {
            return Ok(None);
        }
        let bytes = header.as_bytes();
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        // The sum is taken with its own eight bytes as spaces.
        let sum: u32 = bytes
            .iter()
            .enumerate()
            .map(|(place, byte)| {
                if (148..156).contains(&place) {
                    32
                } else {
                    u32::from(*byte)
                }
            })
            .sum();
        if header.cksum().ok() == Some(sum) {
            Ok(Some(header))
        } else {
            Err(self.malformed("a header has a wrong checksum"))
        }
    }

    fn read_extension(&mut self) -> Result<Vec<u8>, UnpackError> {
        if self.content > MAX_EXTENSION {
            return Err(self.malformed("an extended header is too large"));
        }
        let mut bytes = vec![0; usize::try_from(self.content).unwrap_or(0)];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            filled += self.read(rest)?;
        }
        Ok(bytes)
    }

    /// GNU's long names end with a null byte.
    fn read_name(&mut self) -> Result<Vec<u8>, UnpackError> {
        let mut name = self.read_extension()?;
        let end = name
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(name.len());
        name.truncate(end);
        if name.is_empty() {
            Err(self.malformed("a long name is empty"))
        } else {
            Ok(name)
        }
    }

    /// A global header may hold comments; names and sizes for all entries at once make no sense.
    fn check_global_header(&mut self) -> Result<(), UnpackError> {
        let mut global = Extensions::default();
        let records = self.read_extension()?;
        global
            .parse(&records)
            .map_err(|reason| self.malformed(reason))?;
        if global.path.is_some() || global.link.is_some() || global.size.is_some() {
            return Err(self.malformed("a global header names an entry"));
        }
        Ok(())
    }

    fn malformed(&self, reason: &str) -> UnpackError {
        UnpackError::Malformed {
            offset: self.stream.offset(),
            reason: reason.to_owned(),
        }
    }
}
