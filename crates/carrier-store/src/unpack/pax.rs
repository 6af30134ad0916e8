//! Extended headers, POSIX.1-2017 `pax`, section "pax Extended Header".

use super::sparse::{self, SparseRecords};

/// What extended headers say about the next entry.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<i64>,
    pub(super) gid: Option<i64>,
    pub(super) mtime: Option<(i64, u32)>,
    /// Name and value of extended attributes, in order.
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: SparseRecords,
}

const XATTR: &[u8] = b"SCHILY.xattr.";

impl Extensions {
    /// Reads records of the form `LENGTH KEY=VALUE\n`.
    pub(super) fn parse(mut records: &[u8]) -> Result<Self, &'static str> {
        let mut extensions = Self::default();
        while !records.is_empty() {
            let (record, rest) = split_record(records).ok_or("a pax record has a wrong length")?;
            let equals = record.iter().position(|byte| *byte == b'=');
            let (key, value) = match equals {
                Some(0) => return Err("a pax record has no name"),
                Some(equals) => record.split_at(equals),
                None => return Err("a pax record has no value"),
            };
            extensions.set(key, value.strip_prefix(b"=").unwrap_or(value))?;
            records = rest;
        }
        Ok(extensions)
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        match key {
            b"path" => once(&mut self.path, name(value)?),
            b"linkpath" => once(&mut self.link, name(value)?),
            b"size" => once(&mut self.size, number(value)?),
            b"uid" => once(&mut self.uid, id(value)?),
            b"gid" => once(&mut self.gid, id(value)?),
            b"mtime" => once(&mut self.mtime, time(value)?),
            // star's own format of sparse files, which not every reader knows.
            b"SCHILY.realsize" => Err("a sparse file has an unknown format"),
            _ => {
                if let Some(field) = key.strip_prefix(b"GNU.sparse.") {
                    return self.sparse.set(field, value);
                }
                match key.strip_prefix(XATTR) {
                    Some(attribute) => self.set_attribute(attribute, value),
                    None => Ok(()),
                }
            }
        }
    }

    fn set_attribute(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        if name.is_empty() || name.contains(&0) {
            return Err("the name of an extended attribute is empty or contains a null byte");
        }
        if self.xattrs.iter().any(|(other, _)| other == name) {
            return Err("a pax record occurs twice");
        }
        self.xattrs.push((name.to_vec(), value.to_vec()));
        Ok(())
    }
}

impl SparseRecords {
    fn set(&mut self, field: &[u8], value: &[u8]) -> Result<(), &'static str> {
        match field {
            b"major" => once(&mut self.major, number(value)?),
            b"minor" => once(&mut self.minor, number(value)?),
            b"name" => once(&mut self.name, name(value)?),
            b"size" => once(&mut self.size, number(value)?),
            b"realsize" => once(&mut self.real_size, number(value)?),
            b"numblocks" => once(&mut self.count, number(value)?),
            b"map" => once(&mut self.map, sparse::parse_list(value)?),
            b"offset" | b"numbytes" => {
                let wanted = if self.pairs.len().is_multiple_of(2) {
                    "offset"
                } else {
                    "numbytes"
                };
                if field != wanted.as_bytes() {
                    return Err("a sparse map is malformed");
                }
                self.pairs.push(number(value)?);
                Ok(())
            }
            _ => Err("a sparse file has an unknown format"),
        }
    }
}

/// A global header may comment on the archive. Engines differ in whether they heed more: the same
/// archive would hold one thing for a scanner and another for a container.
pub(super) fn check_global(records: &[u8]) -> Result<(), &'static str> {
    if Extensions::parse(records)? == Extensions::default() {
        Ok(())
    } else {
        Err("a global header describes entries")
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), &'static str> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err("a pax record occurs twice"),
    }
}

/// Splits the first record, without its length and line end, from the rest.
fn split_record(records: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = records.iter().position(|byte| *byte == b' ')?;
    let length = usize::try_from(number(records.get(..space)?).ok()?).ok()?;
    let record = records.get(space + 1..length)?;
    Some((record.strip_suffix(b"\n")?, records.get(length..)?))
}

fn name(value: &[u8]) -> Result<Vec<u8>, &'static str> {
    if value.is_empty() || value.contains(&0) {
        return Err("a name in a pax record is empty or contains a null byte");
    }
    Ok(value.to_vec())
}

fn number(value: &[u8]) -> Result<u64, &'static str> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits);
    text.and_then(|text| text.parse().ok())
        .ok_or("a number in a pax record is malformed")
}

fn id(value: &[u8]) -> Result<i64, &'static str> {
    i64::try_from(number(value)?).map_err(|_| "an entry has an owner out of range")
}

/// Seconds, perhaps negative, perhaps with a fraction.
fn time(value: &[u8]) -> Result<(i64, u32), &'static str> {
    const BAD: &str = "a time in a pax record is malformed";
    let text = std::str::from_utf8(value).map_err(|_| BAD)?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds = whole.parse().map_err(|_| BAD)?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BAD);
    }
    let nanos = format!("{fraction:0<9}")
        .get(..9)
        .and_then(|nanos| nanos.parse().ok());
    let (seconds, nanos): (i64, u32) = (seconds, nanos.ok_or(BAD)?);
    if text.starts_with('-') && nanos > 0 {
        // The kernel counts the fraction from the second before.
        Ok((seconds.checked_sub(1).ok_or(BAD)?, 1_000_000_000 - nanos))
    } else {
        Ok((seconds, nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(records: &[u8]) -> Result<Extensions, &'static str> {
        Extensions::parse(records)
    }

    /// Puts the length, which counts its own digits, in front of a record.
    fn record(text: &str) -> Vec<u8> {
        let length = (1..).find(|length: &usize| format!("{length} {text}\n").len() == *length);
        format!("{} {text}\n", length.unwrap()).into_bytes()
    }

    #[test]
    fn records_are_read() {
        let records = [
            "path=a b=c",
            "size=1234",
            "mtime=-12.5",
            "SCHILY.xattr.user.x=1\n2",
        ];
        let parsed = parse(&records.map(record).concat()).unwrap();
        assert_eq!(parsed.path.as_deref(), Some(&b"a b=c"[..]));
        assert_eq!(parsed.size, Some(1234));
        assert_eq!(parsed.mtime, Some((-13, 500_000_000)));
        assert_eq!(parsed.xattrs, [(b"user.x".to_vec(), b"1\n2".to_vec())]);
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in [
            &b"x"[..],
            b"5 a=b",
            b"99 a=b\n",
            b"0 a=b\n",
            b"4 a\n",
            b"10 size=-1\n",
            b"8 path=\n",
            b"8 uid=1\n8 uid=1\n",
            b"+6 a=b\n",
        ] {
            assert!(parse(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
