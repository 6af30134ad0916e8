//! The archive: headers, extended headers, and where one entry ends and the next begins.
//!
//! One parser decides that for everything: where two sources speak of a size and differ, a scanner
//! and Carrier could see different files (CVE-2025-62518), and the archive is refused.

use super::header::{BLOCK, Format, Header, OldSparse, more_sparse};
use super::pax::{self, Extensions};
use super::sparse::{MapInContent, SparseFormat, SparseMap};
use super::stream::TarStream;
use super::{Limits, UnpackError};

/// No name is longer than a path can be, and no file has more attributes than this.
const MAX_EXTENSION: u64 = 1 << 20;

/// The type of a file with holes in GNU's old format.
const OLD_SPARSE: u8 = b'S';

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
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
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: (i64, u32),
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the content belongs, in a file with holes.
    pub(crate) sparse: Option<SparseMap>,
}

pub(crate) struct Archive<'a> {
    stream: TarStream<'a>,
    headers: u64,
    max_headers: u64,
    longest_file: u64,
    /// Bytes of the current entry's content that were not read yet.
    content: u64,
    /// Bytes that fill the last block of the current entry.
    padding: usize,
}

impl<'a> Archive<'a> {
    pub(super) fn new(stream: TarStream<'a>, limits: &Limits) -> Self {
        Self {
            stream,
            headers: 0,
            max_headers: limits.entries,
            longest_file: limits.bytes,
            content: 0,
            padding: 0,
        }
    }

    pub(super) fn into_stream(self) -> TarStream<'a> {
        self.stream
    }

    /// Reads some of the current entry's content; none at its end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, UnpackError> {
        let wanted = usize::try_from(self.content)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let buffer = buffer.get_mut(..wanted).unwrap_or_default();
        if buffer.is_empty() {
            return Ok(0);
        }
        match self.stream.read(buffer)? {
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
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, UnpackError> {
        let mut pending = Pending::default();
        let mut block = [0; BLOCK];
        loop {
            self.skip_rest()?;
            let offset = self.stream.offset();
            if !self.read_header(&mut block)? {
                return match pending.is_empty() {
                    true => Ok(None),
                    false => Err(malformed(offset)("an extended header has no entry")),
                };
            }
            let header = Header::new(&block).map_err(malformed(offset))?;
            match header.kind() {
                kind @ (b'x' | b'g' | b'L' | b'K') => {
                    let data = self.read_extension(&header, offset)?;
                    pending.take(kind, data).map_err(malformed(offset))?;
                }
                _ => {
                    let described = pending.describe(&header).map_err(malformed(offset))?;
                    let (mut entry, size, format) = described;
                    self.expect(size);
                    entry.sparse = self.sparse_map(&header, format, offset)?;
                    return Ok(Some(entry));
                }
            }
        }
    }

    /// Reads where the content of the current entry belongs, as far as the stream tells.
    fn sparse_map(
        &mut self,
        header: &Header<'_>,
        format: SparseFormat,
        offset: u64,
    ) -> Result<Option<SparseMap>, UnpackError> {
        let (size, parts) = match format {
            SparseFormat::Whole if header.kind() == OLD_SPARSE => {
                let OldSparse {
                    mut parts,
                    mut more,
                    size,
                } = header.sparse().map_err(malformed(offset))?;
                let mut block = [0; BLOCK];
                while more {
                    self.read_block(&mut block)?;
                    more = more_sparse(&block, &mut parts).map_err(malformed(offset))?;
                }
                (size, parts)
            }
            SparseFormat::Whole => return Ok(None),
            SparseFormat::Known { size, parts } => (size, parts),
            SparseFormat::InContent { size } => {
                let mut map = MapInContent::default();
                let mut block = [0; BLOCK];
                loop {
                    let rest = self.content.checked_sub(BLOCK as u64);
                    self.content =
                        rest.ok_or_else(|| malformed(offset)("a sparse file has no map"))?;
                    self.read_block(&mut block)?;
                    if let Some(parts) = map.take(&block).map_err(malformed(offset))? {
                        break (size, parts);
                    }
                }
            }
        };
        if size > self.longest_file {
            return Err(UnpackError::TooLarge {
                what: "bytes",
                max: self.longest_file,
            });
        }
        let map = SparseMap::new(size, parts, self.content);
        map.map(Some).map_err(malformed(offset))
    }

    fn read_block(&mut self, block: &mut [u8; BLOCK]) -> Result<(), UnpackError> {
        if self.stream.read_whole(block)? {
            return Ok(());
        }
        Err(UnpackError::Stream(
            std::io::ErrorKind::UnexpectedEof.into(),
        ))
    }

    fn expect(&mut self, size: u64) {
        self.content = size;
        self.padding =
            usize::try_from(size % BLOCK as u64).map_or(0, |over| (BLOCK - over) % BLOCK);
    }

    fn skip_rest(&mut self) -> Result<(), UnpackError> {
        let mut buffer = [0; 8 * BLOCK];
        while self.read(&mut buffer)? > 0 {}
        let padding = std::mem::take(&mut self.padding);
        let padding = buffer.get_mut(..padding).unwrap_or_default();
        if padding.is_empty() || self.stream.read_whole(padding)? {
            Ok(())
        } else {
            Err(UnpackError::Stream(
                std::io::ErrorKind::UnexpectedEof.into(),
            ))
        }
    }

    /// False at the end: two empty blocks, or just no more blocks.
    fn read_header(&mut self, block: &mut [u8; BLOCK]) -> Result<bool, UnpackError> {
        let offset = self.stream.offset();
        if !self.stream.read_whole(block)? {
            return Ok(false);
        }
        if is_empty(block) {
            if self.stream.read_whole(block)? && !is_empty(block) {
                // Some readers stop at the first empty block, others go on behind it.
                return Err(malformed(offset)("a lone empty block"));
            }
            return Ok(false);
        }
        self.headers += 1;
        if self.headers > self.max_headers {
            return Err(UnpackError::TooLarge {
                what: "entries",
                max: self.max_headers,
            });
        }
        Ok(true)
    }

    fn read_extension(&mut self, header: &Header<'_>, offset: u64) -> Result<Vec<u8>, UnpackError> {
        let size = header.size().map_err(malformed(offset))?;
        if size > MAX_EXTENSION {
            return Err(malformed(offset)("an extended header is too large"));
        }
        self.expect(size);
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            filled += self.read(rest)?;
        }
        Ok(bytes)
    }
}

fn is_empty(block: &[u8; BLOCK]) -> bool {
    block.iter().all(|byte| *byte == 0)
}

fn malformed(offset: u64) -> impl Fn(&'static str) -> UnpackError {
    move |reason| UnpackError::Malformed {
        offset,
        reason: reason.to_owned(),
    }
}

/// What extended headers said since the last entry.
#[derive(Default)]
struct Pending {
    pax: Option<Extensions>,
    gnu_path: Option<Vec<u8>>,
    gnu_link: Option<Vec<u8>>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.pax.is_none() && self.gnu_path.is_none() && self.gnu_link.is_none()
    }

    fn take(&mut self, kind: u8, data: Vec<u8>) -> Result<(), &'static str> {
        let repeated = match kind {
            b'x' => self.pax.replace(Extensions::parse(&data)?).is_some(),
            b'L' => self.gnu_path.replace(gnu_name(data)?).is_some(),
            b'K' => self.gnu_link.replace(gnu_name(data)?).is_some(),
            _ => return pax::check_global(&data),
        };
        if repeated {
            return Err("two extended headers of one kind describe an entry");
        }
        Ok(())
    }

    /// The entry of `header`, the size of its content, and where the content belongs.
    fn describe(self, header: &Header<'_>) -> Result<(Entry, u64, SparseFormat), &'static str> {
        let mut pax = self.pax.unwrap_or_default();
        // The other name of a sparse file is one for readers that do not know about holes.
        let sparse_name = pax.sparse.name.take();
        let format = pax.sparse.format()?;
        let whole = format == SparseFormat::Whole;
        if sparse_name.is_some() && (whole || self.gnu_path.is_some()) {
            return Err("an entry has two different names");
        }
        let name = header.name()?;
        let path = agreed(sparse_name.or(pax.path), self.gnu_path)?;
        let path = path.unwrap_or_else(|| name.clone());
        check_sparse(header, &format)?;
        let link = agreed(pax.link, self.gnu_link)?.unwrap_or_else(|| header.link());
        let kind = kind(header.kind(), &name, &path)?;
        if matches!(kind, Kind::Symlink | Kind::HardLink) && link.is_empty() {
            return Err("a link leads nowhere");
        }
        let size = agreed_size(header.size()?, pax.size)?;
        if kind != Kind::File && size > 0 {
            // Some readers skip that content, others take it for headers.
            return Err("an entry that is no file has content");
        }
        let id = |id: i64| {
            // The highest one means "unchanged" to chown(2).
            let id = u32::try_from(id).ok().filter(|id| *id != u32::MAX);
            id.ok_or("an entry has an owner out of range")
        };
        let entry = Entry {
            path,
            link,
            kind,
            mode: header.mode()?,
            uid: id(pax.uid.map_or_else(|| header.uid(), Ok)?)?,
            gid: id(pax.gid.map_or_else(|| header.gid(), Ok)?)?,
            mtime: match pax.mtime {
                Some(mtime) => mtime,
                None => (header.mtime()?, 0),
            },
            xattrs: pax.xattrs,
            sparse: None,
        };
        Ok((entry, size, format))
    }
}

/// Readers go by the format of the header, by its type, or by the records of an extended header: all
/// have to agree on whether a file has holes.
fn check_sparse(header: &Header<'_>, format: &SparseFormat) -> Result<(), &'static str> {
    let by_record = *format != SparseFormat::Whole;
    let by_type = header.kind() == OLD_SPARSE;
    let fits = match header.format() {
        Some(Format::Posix) => !by_type && (!by_record || matches!(header.kind(), 0 | b'0')),
        Some(Format::Gnu) => !by_record && (by_type || !header.has_sparse_fields()),
        None => !by_record && !by_type,
    };
    if fits {
        Ok(())
    } else {
        Err("an entry is sparse in one format and not in another")
    }
}

/// What an entry is that says it is `flag`, is called `name` in its header and `path` in the end.
fn kind(flag: u8, name: &[u8], path: &[u8]) -> Result<Kind, &'static str> {
    // Before POSIX, a directory was a file whose name ends with a slash. Readers differ in which of
    // two names counts, and for which types.
    let slash = |name: &[u8]| name.ends_with(b"/");
    Ok(match flag {
        0 if slash(name) != slash(path) => return Err("an entry has two different types"),
        b'7' | OLD_SPARSE if slash(name) || slash(path) => {
            return Err("the name of a file ends with a slash");
        }
        0 | b'0' if path.iter().all(|byte| *byte == b'/') => {
            return Err("the root of a layer is a directory");
        }
        0 | b'0' if slash(path) => Kind::Directory,
        0 | b'0' | b'7' | OLD_SPARSE => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' | b'4' => Kind::Device,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        _ => return Err("an entry has an unknown type"),
    })
}

/// The extended header wins; a header that names another size, other than none at all, is a trap.
fn agreed_size(header: u64, pax: Option<u64>) -> Result<u64, &'static str> {
    match pax {
        Some(pax) if header != 0 && header != pax => Err("an entry has two different sizes"),
        pax => Ok(pax.unwrap_or(header)),
    }
}

fn agreed(pax: Option<Vec<u8>>, gnu: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, &'static str> {
    match (pax, gnu) {
        (Some(pax), Some(gnu)) if pax != gnu => Err("an entry has two different names"),
        (pax, gnu) => Ok(pax.or(gnu)),
    }
}

/// GNU's long names end with a null byte.
fn gnu_name(mut name: Vec<u8>) -> Result<Vec<u8>, &'static str> {
    if !name.ends_with(b"\0") {
        // Some readers would go on behind it.
        return Err("a long name has no end");
    }
    while name.pop_if(|byte| *byte == 0).is_some() {}
    if name.is_empty() || name.contains(&0) {
        return Err("a long name is empty or contains a null byte");
    }
    Ok(name)
}
