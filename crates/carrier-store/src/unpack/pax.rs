//! Extended headers, POSIX.1-2017 `pax`, section "pax Extended Header".

/// What extended headers say about the next entry.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<(i64, u32)>,
    /// Name and value of extended attributes, in order.
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

const XATTR: &[u8] = b"SCHILY.xattr.";

impl Extensions {
    /// Reads records of the form `LENGTH KEY=VALUE\n`.
    pub(super) fn parse(&mut self, mut records: &[u8]) -> Result<(), &'static str> {
        while !records.is_empty() {
            let (record, rest) = split_record(records).ok_or("a pax record has a wrong length")?;
            let equals = record.iter().position(|byte| *byte == b'=');
            let (key, value) = match equals {
                Some(equals) => record.split_at(equals),
                None => return Err("a pax record has no value"),
            };
            self.set(key, value.strip_prefix(b"=").unwrap_or(value))?;
            records = rest;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        match key {
            b"path" => self.path = Some(name(value)?),
            b"linkpath" => self.link = Some(name(value)?),
            b"size" => self.size = Some(number(value)?),
            b"uid" => self.uid = Some(number(value)?),
            b"gid" => self.gid = Some(number(value)?),
            b"mtime" => self.mtime = Some(time(value)?),
            _ if key.starts_with(b"GNU.sparse.") => return Err("sparse entries are not supported"),
            _ => {
                if let Some(attribute) = key.strip_prefix(XATTR) {
                    self.xattrs.push((attribute.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
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
    Ok((seconds, nanos.ok_or(BAD)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(records: &[u8]) -> Result<Extensions, &'static str> {
        let mut extensions = Extensions::default();
        extensions.parse(records).map(|()| extensions)
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
        assert_eq!(parsed.mtime, Some((-12, 500_000_000)));
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
        ] {
            assert!(parse(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
