//! The 512 bytes in front of each member: V7, POSIX ustar and GNU tar headers.

use super::sparse;

/// Archives consist of blocks of this size.
pub(super) const BLOCK: usize = 512;

/// A header block whose checksum is right.
pub(super) struct Header<'a>(&'a [u8; BLOCK]);

/// Who has defined what stands behind the name of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Posix,
    Gnu,
}

/// A sparse file in GNU's old format.
pub(super) struct OldSparse {
    /// The first parts.
    pub(super) parts: Vec<(u64, u64)>,
    /// Whether a block with further parts follows.
    pub(super) more: bool,
    /// The size with holes.
    pub(super) size: u64,
}

const NAME: std::ops::Range<usize> = 0..100;
const MODE: std::ops::Range<usize> = 100..108;
const UID: std::ops::Range<usize> = 108..116;
const GID: std::ops::Range<usize> = 116..124;
const SIZE: std::ops::Range<usize> = 124..136;
const MTIME: std::ops::Range<usize> = 136..148;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const TYPE: usize = 156;
const LINK: std::ops::Range<usize> = 157..257;
const MAGIC: std::ops::Range<usize> = 257..265;
const POSIX: &[u8] = b"ustar\x0000";
const GNU: &[u8] = b"ustar  \0";
const MAJOR: std::ops::Range<usize> = 329..337;
const MINOR: std::ops::Range<usize> = 337..345;
const PREFIX: std::ops::Range<usize> = 345..500;
/// GNU's times of access and change, and an offset, of twelve bytes each.
const TIMES: std::ops::Range<usize> = 345..381;
/// GNU's old format of sparse files: the first parts, whether more follow, the size with holes.
const SPARSE: std::ops::Range<usize> = 386..482;
const SPARSE_MORE: usize = 482;
const SPARSE_SIZE: std::ops::Range<usize> = 483..495;
/// A block with further parts.
const SPARSE_BLOCK: std::ops::Range<usize> = 0..504;
const SPARSE_BLOCK_MORE: usize = 504;

impl<'a> Header<'a> {
    /// Takes a block for a header; the error says why it is none.
    pub(super) fn new(block: &'a [u8; BLOCK]) -> Result<Self, &'static str> {
        let stored = number(&block[CHECKSUM]).ok_or("a header's checksum is malformed")?;
        // The field itself counts as spaces.
        let blank = i64::from(b' ') * 8;
        let sum = |value: fn(&u8) -> i64| {
            let all = |bytes: &[u8]| bytes.iter().map(value).sum::<i64>();
            all(block) - all(&block[CHECKSUM]) + blank
        };
        let unsigned = sum(|byte| (*byte).into());
        // Some old writers summed signed characters.
        let signed = || sum(|byte| byte.cast_signed().into());
        if stored != unsigned && stored != signed() {
            return Err("a header's checksum is wrong");
        }
        let header = Self(block);
        // Also of extended headers, where nobody needs them: some readers end an archive there.
        header.mode()?;
        header.uid()?;
        header.gid()?;
        header.size()?;
        header.mtime()?;
        header.check_device()?;
        header.check_times()?;
        Ok(header)
    }

    fn check_device(&self) -> Result<(), &'static str> {
        for field in [MAJOR, MINOR] {
            number(&self.0[field]).ok_or("a member's device is malformed")?;
        }
        Ok(())
    }

    /// GNU's headers may have times where those of POSIX have the front of a name.
    fn check_times(&self) -> Result<(), &'static str> {
        let mut starts = TIMES.step_by(12);
        let all = starts.all(|start| octal(&self.0[start..start + 12]).is_some());
        if self.format() == Some(Format::Gnu) && !all {
            return Err("a header is of an unknown format");
        }
        Ok(())
    }

    /// Whether it is a header of POSIX or of GNU; V7 and others are neither.
    pub(super) fn format(&self) -> Option<Format> {
        match &self.0[MAGIC] {
            POSIX => Some(Format::Posix),
            GNU => Some(Format::Gnu),
            _ => None,
        }
    }

    /// Whether a header of GNU's speaks of holes.
    pub(super) fn has_sparse_fields(&self) -> bool {
        let fields = SPARSE.start..SPARSE_SIZE.end;
        self.format() == Some(Format::Gnu) && self.0[fields].iter().any(|byte| *byte != 0)
    }

    /// The type flag.
    pub(super) fn kind(&self) -> u8 {
        self.0[TYPE]
    }

    /// The name; POSIX headers keep the front of a long one in a field of its own.
    pub(super) fn name(&self) -> Result<Vec<u8>, &'static str> {
        let name = text(&self.0[NAME]);
        let prefix = text(&self.0[PREFIX]);
        match self.format() {
            _ if prefix.is_empty() => Ok(name.to_vec()),
            Some(Format::Posix) => Ok([prefix, b"/", name].concat()),
            // It has times there, and parts of sparse files.
            Some(Format::Gnu) => Ok(name.to_vec()),
            None => Err("a header is of an unknown format"),
        }
    }

    /// What a link points to.
    pub(super) fn link(&self) -> Vec<u8> {
        text(&self.0[LINK]).to_vec()
    }

    /// The permission bits, with set-user-id, set-group-id and sticky.
    pub(super) fn mode(&self) -> Result<u32, &'static str> {
        let mode = number(&self.0[MODE]).ok_or("a member's mode is malformed")?;
        u32::try_from(mode & 0o7777).map_err(|_| "a member's mode is malformed")
    }

    pub(super) fn uid(&self) -> Result<i64, &'static str> {
        number(&self.0[UID]).ok_or("a member's user id is malformed")
    }

    pub(super) fn gid(&self) -> Result<i64, &'static str> {
        number(&self.0[GID]).ok_or("a member's group id is malformed")
    }

    pub(super) fn size(&self) -> Result<u64, &'static str> {
        let size = number(&self.0[SIZE]).ok_or("a member's size is malformed")?;
        u64::try_from(size).map_err(|_| "a member's size is negative")
    }

    /// What the header of a sparse file says.
    pub(super) fn sparse(&self) -> Result<OldSparse, &'static str> {
        let mut parts = Vec::new();
        let full = sparse::old_parts(&self.0[SPARSE], number, &mut parts)?;
        let more = more_follow(self.0[SPARSE_MORE], full)?;
        let size = number(&self.0[SPARSE_SIZE]).and_then(|size| u64::try_from(size).ok());
        Ok(OldSparse {
            parts,
            more,
            size: size.ok_or("a sparse file's size is malformed")?,
        })
    }

    pub(super) fn mtime(&self) -> Result<i64, &'static str> {
        number(&self.0[MTIME]).ok_or("a member's time is malformed")
    }
}

/// Adds the parts of a block that follows the header of a sparse file; whether another one does.
pub(super) fn more_sparse(
    block: &[u8; BLOCK],
    parts: &mut Vec<(u64, u64)>,
) -> Result<bool, &'static str> {
    let full = sparse::old_parts(&block[SPARSE_BLOCK], number, parts)?;
    more_follow(block[SPARSE_BLOCK_MORE], full)
}

/// Readers differ in whether a table follows one that has room left.
fn more_follow(flag: u8, full: bool) -> Result<bool, &'static str> {
    match (flag, full) {
        (0, _) => Ok(false),
        (1, true) => Ok(true),
        _ => Err("a sparse map is malformed"),
    }
}

/// A field's bytes up to the first NUL.
fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0);
    &field[..end.unwrap_or(field.len())]
}

/// A number in octal digits, or in GNU's base 256, which has the highest bit of the field set.
fn number(field: &[u8]) -> Option<i64> {
    match field {
        [first, rest @ ..] if first & 0x80 != 0 => base_256(*first, rest),
        _ => octal(field),
    }
}

fn octal(field: &[u8]) -> Option<i64> {
    let padding = |byte: &u8| matches!(byte, b' ' | 0);
    // Not null bytes: some readers take what follows those for nothing.
    let start = field.iter().position(|byte| *byte != b' ');
    let digits = &field[start.unwrap_or(field.len())..];
    let end = digits.iter().position(padding).unwrap_or(digits.len());
    let (digits, tail) = digits.split_at(end);
    if !tail.iter().all(padding) {
        return None;
    }
    digits.iter().try_fold(0_i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

/// Two's complement, big-endian, behind a byte that says no more than which sign it has: with another
/// one there readers differ.
fn base_256(first: u8, rest: &[u8]) -> Option<i64> {
    let start = match first {
        0x80 => 0,
        0xff => -1,
        _ => return None,
    };
    rest.iter().try_fold(start, |value: i64, byte| {
        value.checked_mul(256)?.checked_add(i64::from(*byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        let cases: [(&[u8], Option<i64>); 16] = [
            (b"0000644\0", Some(0o644)),
            (b"    644 ", Some(0o644)),
            (b"00000644", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"0000648\0", None),
            (b"644\x00x\0\0\0", None),
            (b"\x00000644\0", None),
            (b"-000644\0", None),
            (b"\x80\0\0\0\0\0\x01\0", Some(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xff\xff\xff\xff\xff\xff\xff\0", Some(-256)),
            (b"\xbf\xff\xff\xff\xff\xff\xff\xff", None),
            (b"\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff", None),
            (b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"", Some(0)),
        ];
        for (field, meant) in cases {
            assert_eq!(number(field), meant, "{}", field.escape_ascii());
        }
    }
}
