//! Maps of ids as they are written into files and messages.

use carrier_runtime::{IdMaps, IdRange};
use serde::{Deserialize, Serialize};

/// Ranges of ids: inside, outside, how many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WrittenMaps {
    users: Vec<(u32, u32, u32)>,
    groups: Vec<(u32, u32, u32)>,
}

impl From<&IdMaps> for WrittenMaps {
    fn from(maps: &IdMaps) -> Self {
        let triples = |ranges: &[IdRange]| {
            let triple = |range: &IdRange| (range.inside, range.outside, range.count);
            ranges.iter().map(triple).collect()
        };
        Self {
            users: triples(&maps.users),
            groups: triples(&maps.groups),
        }
    }
}

impl From<WrittenMaps> for IdMaps {
    fn from(maps: WrittenMaps) -> Self {
        let ranges = |triples: Vec<(u32, u32, u32)>| {
            let range = |(inside, outside, count)| IdRange {
                inside,
                outside,
                count,
            };
            triples.into_iter().map(range).collect()
        };
        Self {
            users: ranges(maps.users),
            groups: ranges(maps.groups),
        }
    }
}
