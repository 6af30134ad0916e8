//! Files with holes: GNU tar's old format and its three formats in extended headers, GNU tar manual,
//! section "Storing Sparse Files".

use super::header::BLOCK;

/// No map is longer: its parts are counted by the entries of the archive's author.
const MOST_PARTS: usize = 1 << 16;

const BAD: &str = "a sparse map is malformed";

/// Where the stored bytes of a file belong.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SparseMap {
    /// The size of the file, with its holes.
    pub(crate) size: u64,
    /// Place and length of each part, in order.
    pub(crate) parts: Vec<(u64, u64)>,
}

impl SparseMap {
    /// Checks that the parts lie one behind the other in a file of `size`, and hold `stored` bytes.
    pub(super) fn new(
        size: u64,
        parts: Vec<(u64, u64)>,
        stored: u64,
    ) -> Result<Self, &'static str> {
        let mut end = 0;
        let mut sum: u64 = 0;
        for (place, length) in &parts {
            if *place < end {
                return Err("the parts of a sparse file overlap");
            }
            end = place.checked_add(*length).ok_or(BAD)?;
            sum += length;
        }
        if end > size || i64::try_from(size).is_err() {
            return Err("a sparse file is shorter than its parts");
        }
        if sum != stored {
            return Err("the parts of a sparse file do not make up its content");
        }
        Ok(Self { size, parts })
    }
}

/// What extended headers say of a sparse file, `GNU.sparse.*`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SparseRecords {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) real_size: Option<u64>,
    pub(super) count: Option<u64>,
    pub(super) map: Option<Vec<(u64, u64)>>,
    /// Format 0.0: pairs of records, which may occur often.
    pub(super) pairs: Vec<u64>,
}

/// How the map is stored.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SparseFormat {
    /// The file has none.
    Whole,
    /// It is known already.
    Known { size: u64, parts: Vec<(u64, u64)> },
    /// It is in front of the content.
    InContent { size: u64 },
}

impl SparseRecords {
    /// Which format it is.
    pub(super) fn format(self) -> Result<SparseFormat, &'static str> {
        if self == Self::default() {
            return Ok(SparseFormat::Whole);
        }
        let version = (self.major, self.minor);
        if version == (Some(1), Some(0)) {
            let size = self.real_size.ok_or(BAD)?;
            let other = self.size.is_some() || self.count.is_some() || self.map.is_some();
            if other || !self.pairs.is_empty() {
                return Err("a sparse file has two maps");
            }
            return Ok(SparseFormat::InContent { size });
        }
        if !matches!(version, (None, None) | (Some(0), Some(0 | 1))) {
            return Err("a sparse file has an unknown format");
        }
        if self.real_size.is_some() {
            return Err(BAD);
        }
        let size = self.size.ok_or(BAD)?;
        let parts = match (self.map, self.pairs.as_slice()) {
            (Some(map), []) => map,
            (None, pairs) if pairs.len().is_multiple_of(2) => pairs
                .chunks_exact(2)
                .map(|pair| (pair[0], pair[1]))
                .collect(),
            _ => return Err(BAD),
        };
        if self.count.is_some_and(|count| count != parts.len() as u64) {
            return Err("a sparse map has another length than it says");
        }
        Ok(SparseFormat::Known { size, parts })
    }
}

/// Format 0.1: numbers, with commas in between.
pub(super) fn parse_list(value: &[u8]) -> Result<Vec<(u64, u64)>, &'static str> {
    let text = std::str::from_utf8(value).map_err(|_| BAD)?;
    let numbers: Result<Vec<u64>, _> = text.split(',').map(decimal).collect();
    pairs(&numbers?)
}

fn pairs(numbers: &[u64]) -> Result<Vec<(u64, u64)>, &'static str> {
    if !numbers.len().is_multiple_of(2) || numbers.len() / 2 > MOST_PARTS {
        return Err(BAD);
    }
    Ok(numbers
        .chunks_exact(2)
        .map(|pair| (pair[0], pair[1]))
        .collect())
}

fn decimal(text: &str) -> Result<u64, &'static str> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(BAD)
}

/// Format 1.0: a number of parts, then the parts, each number on a line, in whole blocks.
#[derive(Default)]
pub(super) struct MapInContent {
    text: Vec<u8>,
    wanted: Option<usize>,
    numbers: Vec<u64>,
}

impl MapInContent {
    /// Takes the next block; the parts when they are complete.
    pub(super) fn take(
        &mut self,
        block: &[u8; BLOCK],
    ) -> Result<Option<Vec<(u64, u64)>>, &'static str> {
        for byte in block {
            if *byte != b'\n' {
                self.text.push(*byte);
                // 2^64 has twenty digits.
                if self.text.len() > 20 {
                    return Err(BAD);
                }
                continue;
            }
            let number = decimal(std::str::from_utf8(&self.text).map_err(|_| BAD)?)?;
            self.text.clear();
            match self.wanted {
                None => {
                    let count = usize::try_from(number).ok();
                    let count = count.filter(|count| *count <= MOST_PARTS).ok_or(BAD)?;
                    self.wanted = Some(2 * count);
                }
                Some(_) => self.numbers.push(number),
            }
            if self.wanted == Some(self.numbers.len()) {
                // The rest of the block is padding.
                return pairs(&self.numbers).map(Some);
            }
        }
        Ok(None)
    }
}

/// The parts in a table of GNU's old format; whether the table is full, so that another may follow.
pub(super) fn old_parts(
    table: &[u8],
    number: impl Fn(&[u8]) -> Option<i64>,
    parts: &mut Vec<(u64, u64)>,
) -> Result<bool, &'static str> {
    let mut rest = table.chunks_exact(24);
    while let Some(part) = rest.next() {
        let (place, length) = part.split_at(12);
        if length[0] == 0 {
            let empty = |part: &[u8]| part.iter().all(|byte| *byte == 0);
            // Some readers look at all of the table.
            return match empty(part) && rest.all(empty) {
                true => Ok(false),
                false => Err(BAD),
            };
        }
        let read = |field| number(field).and_then(|value| u64::try_from(value).ok());
        parts.push((read(place).ok_or(BAD)?, read(length).ok_or(BAD)?));
        if parts.len() > MOST_PARTS {
            return Err(BAD);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_contradict_each_other_are_refused() {
        assert!(SparseMap::new(10, vec![(0, 2), (5, 5)], 7).is_ok());
        assert!(SparseMap::new(10, vec![(10, 0)], 0).is_ok());
        for (size, parts, stored) in [
            (10, vec![(0, 6), (5, 5)], 11),
            (10, vec![(5, 6)], 6),
            (10, vec![(0, 5)], 6),
            (10, vec![(u64::MAX, 2)], 2),
            (u64::MAX, vec![], 0),
        ] {
            assert!(SparseMap::new(size, parts, stored).is_err());
        }
    }

    #[test]
    fn a_map_in_front_of_the_content_may_span_blocks() {
        let mut text = b"100\n".to_vec();
        for part in 0..100_u64 {
            text.extend_from_slice(format!("{}\n1\n", part * 1000).as_bytes());
        }
        text.resize(text.len().next_multiple_of(BLOCK), 0);
        let mut map = MapInContent::default();
        let blocks = text.chunks_exact(BLOCK);
        let found: Vec<_> = blocks
            .filter_map(|block| map.take(block.try_into().unwrap()).unwrap())
            .collect();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].len(), 100);
        assert_eq!(found[0][99], (99_000, 1));
    }

    #[test]
    fn malformed_maps_are_refused() {
        for text in ["", "1", "1,2,3", "1,,2", "-1,2", "1,x", "+1,2"] {
            assert!(parse_list(text.as_bytes()).is_err(), "{text}");
        }
        for text in ["x\n", "99999999999999999999999\n", "70000\n", "1\n-1\n"] {
            let mut block = [0; BLOCK];
            block[..text.len()].copy_from_slice(text.as_bytes());
            assert!(MapInContent::default().take(&block).is_err(), "{text}");
        }
    }
}
