//! Subordinate ids, subuid(5) and subgid(5), and the maps that Carrier makes of them.

use carrier_runtime::{IdMaps, IdRange};

/// Root needs no entry to map ids, but must not share them with anybody: this range lies between
/// those that systemd gives to its containers and the limit of signed ids, and is used by no one.
const ROOTS_OWN: (u32, u32) = (1_879_048_192, 65_536);

/// The caller, as far as ids go.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Absent where the user is in no file.
    pub(crate) name: Option<String>,
}

/// Maps the caller to root, and the subordinate ids to 1 and up.
pub(crate) fn id_maps(caller: &Caller, subuid: &str, subgid: &str) -> IdMaps {
    let map = |own, file| {
        let mut ranges = vec![IdRange {
            inside: 0,
            outside: own,
            count: 1,
        }];
        let mut next = 1_u32;
        for (outside, count) in subordinate_ranges(caller, file) {
            let count = count.min(u32::MAX - next);
            ranges.push(IdRange {
                inside: next,
                outside,
                count,
            });
            next = next.saturating_add(count);
        }
        ranges
    };
    let maps = IdMaps {
        users: map(caller.uid, subuid),
        groups: map(caller.gid, subgid),
    };
    if maps.users.len() > 1 && maps.groups.len() > 1 {
        return maps;
    }
    // Groups without users, or users without groups, would be of no use to any image.
    let own = |id| {
        vec![IdRange {
            inside: 0,
            outside: id,
            count: 1,
        }]
    };
    IdMaps {
        users: own(caller.uid),
        groups: own(caller.gid),
    }
}

impl Caller {
    /// Whether the first word of a line means the caller: it is a name or a number.
    pub(crate) fn is(&self, owner: &str) -> bool {
        owner.parse() == Ok(self.uid) || self.name.as_deref() == Some(owner)
    }
}

/// The lines of subuid(5): owner, first id, count.
pub(crate) fn owned_ranges(file: &str) -> impl Iterator<Item = (&str, (u32, u32))> {
    file.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let owner = fields.next().filter(|owner| !owner.starts_with('#'))?;
        let start = fields.next()?.parse().ok()?;
        let count: u32 = fields.next()?.parse().ok()?;
        (count > 0).then_some((owner, (start, count)))
    })
}

fn subordinate_ranges(caller: &Caller, file: &str) -> Vec<(u32, u32)> {
    let found: Vec<(u32, u32)> = owned_ranges(file)
        .filter_map(|(owner, range)| caller.is(owner).then_some(range))
        .collect();
    if found.is_empty() && caller.uid == 0 {
        vec![ROOTS_OWN]
    } else {
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(uid: u32) -> Caller {
        Caller {
            uid,
            gid: uid,
            name: Some("ann".to_owned()),
        }
    }

    fn triples(ranges: &[IdRange]) -> Vec<(u32, u32, u32)> {
        ranges
            .iter()
            .map(|range| (range.inside, range.outside, range.count))
            .collect()
    }

    #[test]
    fn the_caller_is_root_and_the_rest_is_subordinate() {
        let file = "bob:1:2\nann:100000:65536\n";
        let maps = id_maps(&caller(1000), file, file);
        assert_eq!(triples(&maps.users), [(0, 1000, 1), (1, 100_000, 65_536)]);
        assert!(!maps.is_single());
    }

    #[test]
    fn several_ranges_follow_each_other_and_numbers_name_users_too() {
        let file = "1000:100000:10\nann:200000:5\n";
        let maps = id_maps(&caller(1000), file, file);
        assert_eq!(
            triples(&maps.users),
            [(0, 1000, 1), (1, 100_000, 10), (11, 200_000, 5)]
        );
    }

    #[test]
    fn without_ranges_there_is_one_id() {
        for file in ["", "ann", "ann:x:1", "ann:1:0", "bob:1:2"] {
            assert!(id_maps(&caller(1000), file, file).is_single(), "{file:?}");
        }
        assert!(id_maps(&caller(1000), "ann:1:2", "").is_single());
    }

    #[test]
    fn root_has_a_range_of_its_own() {
        let root = Caller {
            name: Some("root".to_owned()),
            ..caller(0)
        };
        let maps = id_maps(&root, "ann:100000:65536", "ann:100000:65536");
        assert_eq!(
            triples(&maps.groups),
            [(0, 0, 1), (1, 1_879_048_192, 65_536)]
        );
    }
}
