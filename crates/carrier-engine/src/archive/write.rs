//! Writing tar archives, POSIX.1-2001 `pax`: what GNU tar, bsdtar and Python's tarfile read alike.

use std::io::{self, Read, Write};

const BLOCK: usize = 512;

/// What `ustar` has room for.
const MAX_NAME: usize = 100;
const MAX_OCTAL_7: u64 = 0o777_7777;
const MAX_OCTAL_11: u64 = 0o777_7777_7777;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    HardLink,
    Symlink,
    Character,
    Block,
    Directory,
    Fifo,
}

impl Kind {
    fn flag(self) -> u8 {
        match self {
            Self::File => b'0',
            Self::HardLink => b'1',
            Self::Symlink => b'2',
            Self::Character => b'3',
            Self::Block => b'4',
            Self::Directory => b'5',
            Self::Fifo => b'6',
        }
    }
}

/// Name and value of an extended attribute.
pub(crate) type Attribute = (Vec<u8>, Vec<u8>);

/// One entry.
#[derive(Clone, Debug)]
pub(crate) struct Header<'a> {
    pub(crate) path: &'a [u8],
    pub(crate) link: &'a [u8],
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Seconds since 1970, and nanoseconds.
    pub(crate) mtime: (i64, u32),
    pub(crate) size: u64,
    /// Major and minor number.
    pub(crate) device: (u32, u32),
    pub(crate) xattrs: Vec<Attribute>,
}

impl<'a> Header<'a> {
    /// A file of root's.
    pub(crate) fn file(path: &'a str, size: u64) -> Self {
        Self {
            path: path.as_bytes(),
            link: b"",
            kind: Kind::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: (0, 0),
            size,
            device: (0, 0),
            xattrs: Vec::new(),
        }
    }
}

impl<'a> Header<'a> {
    /// A directory of root's.
    pub(crate) fn directory(path: &'a str) -> Self {
        Self {
            kind: Kind::Directory,
            mode: 0o755,
            ..Self::file(path, 0)
        }
    }
}

/// An archive that is being written.
pub(crate) struct Writer<W> {
    output: W,
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(output: W) -> Self {
        Self { output }
    }

    /// Writes an entry of as many bytes as its header says. Content that is shorter, because it shrank
    /// meanwhile, is filled up, so that what follows can be found; then this is false.
    pub(crate) fn append(&mut self, header: &Header<'_>, content: impl Read) -> io::Result<bool> {
        self.output.write_all(&encode(header))?;
        let copied = io::copy(&mut content.take(header.size), &mut self.output)?;
        self.fill(header.size - copied)?;
        self.fill(padding(header.size))?;
        Ok(copied == header.size)
    }

    fn fill(&mut self, count: u64) -> io::Result<()> {
        io::copy(&mut io::repeat(0).take(count), &mut self.output).map(drop)
    }

    /// Writes a file as its parts, in the format that GNU tar calls `PAX 1.0`; what lies between them is
    /// not stored. Each part is read from `content` by `read_at`, whose gaps are filled up as in
    /// [`Self::append`].
    pub(crate) fn append_sparse(
        &mut self,
        header: &Header<'_>,
        parts: &[(u64, u64)],
        mut read_at: impl FnMut(u64, u64, &mut dyn Write) -> io::Result<u64>,
    ) -> io::Result<bool> {
        let mut map = format!("{}\n", parts.len());
        for (place, length) in parts {
            map.push_str(&format!("{place}\n{length}\n"));
        }
        let mut map = map.into_bytes();
        map.resize(map.len().next_multiple_of(BLOCK), 0);
        let data: u64 = parts.iter().map(|(_, length)| length).sum();
        let stored = Header {
            size: map.len() as u64 + data,
            ..header.clone()
        };
        self.output
            .write_all(&encode_sparse(&stored, header.size))?;
        self.output.write_all(&map)?;
        let mut whole = true;
        for (place, length) in parts {
            let copied = read_at(*place, *length, &mut self.output)?;
            whole &= copied == *length;
            self.fill(length - copied)?;
        }
        self.fill(padding(stored.size))?;
        Ok(whole)
    }

    /// Two empty blocks.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.output.write_all(&[0; 2 * BLOCK])?;
        self.output.flush()?;
        Ok(self.output)
    }
}

fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64) - size
}

/// The header of a file with holes, whose real size is this.
fn encode_sparse(header: &Header<'_>, size: u64) -> Vec<u8> {
    let mut records = Vec::new();
    record(&mut records, b"GNU.sparse.major", b"1");
    record(&mut records, b"GNU.sparse.minor", b"0");
    record(&mut records, b"GNU.sparse.name", header.path);
    let size = size.to_string();
    record(&mut records, b"GNU.sparse.realsize", size.as_bytes());
    encode_with(records, header)
}

fn encode(header: &Header<'_>) -> Vec<u8> {
    encode_with(Vec::new(), header)
}

/// The header, and in front of it what `ustar` has no room for.
fn encode_with(mut records: Vec<u8>, header: &Header<'_>) -> Vec<u8> {
    if needs_record(header.path) {
        record(&mut records, b"path", header.path);
    }
    if needs_record(header.link) {
        record(&mut records, b"linkpath", header.link);
    }
    for (name, id) in [(&b"uid"[..], header.uid), (b"gid", header.gid)] {
        if u64::from(id) > MAX_OCTAL_7 {
            record(&mut records, name, id.to_string().as_bytes());
        }
    }
    if header.size > MAX_OCTAL_11 {
        record(&mut records, b"size", header.size.to_string().as_bytes());
    }
    let (seconds, nanoseconds) = header.mtime;
    if nanoseconds != 0 || u64::try_from(seconds).is_ok_and(|s| s > MAX_OCTAL_11) || seconds < 0 {
        record(
            &mut records,
            b"mtime",
            time(seconds, nanoseconds).as_bytes(),
        );
    }
    for (name, value) in &header.xattrs {
        record(
            &mut records,
            &[b"SCHILY.xattr.", name.as_slice()].concat(),
            value,
        );
    }
    let mut bytes = Vec::new();
    if !records.is_empty() {
        let extension = Header::file("PaxHeader", records.len() as u64);
        bytes.extend(block(&extension, b'x'));
        bytes.extend(&records);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    bytes.extend(block(header, header.kind.flag()));
    bytes
}

/// Without a record, readers disagree on the encoding of names.
fn needs_record(name: &[u8]) -> bool {
    name.len() > MAX_NAME || !name.is_ascii()
}

/// `LENGTH NAME=VALUE\n`, whose length counts its own digits.
fn record(records: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let rest = name.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    records.extend(format!("{length} ").bytes());
    records.extend([name, b"=", value, b"\n"].concat());
}

/// A decimal fraction, which for times before 1970 counts from the other side.
fn time(seconds: i64, nanoseconds: u32) -> String {
    if seconds >= 0 || nanoseconds == 0 {
        return format!("{seconds}.{nanoseconds:09}");
    }
    let (whole, fraction) = (-(seconds + 1), 1_000_000_000 - nanoseconds);
    format!("-{whole}.{fraction:09}")
}

fn block(header: &Header<'_>, flag: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| {
        for (to, from) in block.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    };
    let cut = |name: &'_ [u8]| {
        name.get(..name.len().min(MAX_NAME))
            .unwrap_or_default()
            .to_vec()
    };
    let octal_7 = |value: u64| format!("{:07o}", if value > MAX_OCTAL_7 { 0 } else { value });
    let octal_11 = |value: u64| format!("{:011o}", if value > MAX_OCTAL_11 { 0 } else { value });
    put(0, &cut(header.path));
    put(100, octal_7(u64::from(header.mode & 0o7777)).as_bytes());
    put(108, octal_7(header.uid.into()).as_bytes());
    put(116, octal_7(header.gid.into()).as_bytes());
    put(124, octal_11(header.size).as_bytes());
    put(
        136,
        octal_11(u64::try_from(header.mtime.0).unwrap_or(0)).as_bytes(),
    );
    put(148, b"        ");
    put(156, &[flag]);
    put(157, &cut(header.link));
    put(257, b"ustar\x0000");
    put(329, octal_7(header.device.0.into()).as_bytes());
    put(337, octal_7(header.device.1.into()).as_bytes());
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    for (to, from) in block
        .iter_mut()
        .skip(148)
        .zip(format!("{sum:06o}\0 ").bytes())
    {
        *to = from;
    }
    block
}
