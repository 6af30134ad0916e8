//! Subordinate ids that are somebody else's too: whoever has them is an owner of the files of the
//! other's containers, and can signal and trace their processes (CVE-2024-56433).

use std::fmt;

use crate::doctor::quoted;
use crate::subordinate::{Caller, owned_ranges};

/// The files that say whose ids are whose.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub(crate) subuid: String,
    pub(crate) subgid: String,
    pub(crate) passwd: String,
    pub(crate) group: String,
}

/// Ids of the caller that are not only the caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedIds {
    kind: Kind,
    owner: String,
    /// The owner as the file has it, by name or by number.
    entry: String,
    range: Range,
    with: With,
    /// Ids that are nobody's.
    free: Option<Range>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    User,
    Group,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum With {
    RangeOf(String, Range),
    Account(String, u32),
}

/// Ids from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    first: u32,
    last: u32,
}

impl Range {
    fn of((first, count): (u32, u32)) -> Self {
        Self {
            first,
            last: first.saturating_add(count.saturating_sub(1)),
        }
    }

    fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl fmt::Display for SharedIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            owner, range, kind, ..
        } = self;
        let kind = match kind {
            Kind::User => "user",
            Kind::Group => "group",
        };
        write!(f, "subordinate {kind} ids {range} of {owner} ")?;
        match &self.with {
            With::RangeOf(other, theirs) => write!(f, "overlap {theirs} of {other}"),
            With::Account(name, id) => write!(f, "contain {id}, which is {kind} {name}"),
        }
    }
}

impl SharedIds {
    /// The first ids of `caller` that somebody else has too.
    pub(crate) fn find(caller: &Caller, files: &Files) -> Option<Self> {
        let kinds = [
            (Kind::User, &files.subuid, &files.passwd),
            (Kind::Group, &files.subgid, &files.group),
        ];
        let (kind, (entry, range, with)) =
            kinds.into_iter().find_map(|(kind, ranges, accounts)| {
                Some((kind, find_in(caller, ranges, accounts)?))
            })?;
        let uid = || caller.uid.to_string();
        Some(Self {
            kind,
            owner: caller.name.clone().unwrap_or_else(uid),
            entry: entry.to_owned(),
            range,
            with,
            free: free_range(files),
        })
    }

    /// What root can do about it: usermod(8) takes no ids from a user who has a process.
    pub(crate) fn command(&self) -> String {
        let file = match self.kind {
            Kind::User => "/etc/subuid",
            Kind::Group => "/etc/subgid",
        };
        let line = |range: Range| {
            let (first, count) = (range.first, u64::from(range.last - range.first) + 1);
            format!("{}:{first}:{count}", for_sed(&self.entry))
        };
        let old = line(self.range);
        let edit = match self.free {
            Some(free) => format!("s/^{old}$/{}/", line(free)),
            None => format!("/^{old}$/d"),
        };
        format!("sed -i {} {file}", quoted(edit.as_ref()))
    }
}

/// Text that stands for itself, in what sed(1) looks for and in what it writes.
fn for_sed(text: &str) -> String {
    let escaped = text.chars().flat_map(|c| {
        let special = ".[]*^$/\\&".contains(c);
        special.then_some('\\').into_iter().chain([c])
    });
    escaped.collect()
}

fn find_in<'a>(caller: &Caller, ranges: &'a str, accounts: &str) -> Option<(&'a str, Range, With)> {
    let is_callers = |owner: &str| caller.is(owner);
    let (own, others): (Vec<_>, Vec<_>) =
        owned_ranges(ranges).partition(|(owner, _)| is_callers(owner));
    own.into_iter().find_map(|(entry, range)| {
        let range = Range::of(range);
        let theirs = others.iter().find_map(|(owner, other)| {
            let other = Range::of(*other);
            range
                .overlaps(other)
                .then(|| With::RangeOf((*owner).to_owned(), other))
        });
        let account = || {
            let mut accounts = entries(accounts);
            let (name, id) = accounts.find(|(_, id)| range.overlaps(Range::of((*id, 1))))?;
            Some(With::Account(name.to_owned(), id))
        };
        Some((entry, range, theirs.or_else(account)?))
    })
}

/// Names and ids of passwd(5) and group(5).
fn entries(file: &str) -> impl Iterator<Item = (&str, u32)> {
    file.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        Some((name, fields.nth(1)?.parse().ok()?))
    })
}

/// As many ids as useradd(8) gives, the first that nobody has, neither as users nor as groups.
pub(crate) fn free_range(files: &Files) -> Option<Range> {
    const FIRST: u32 = 100_000;
    const COUNT: u32 = 65_536;
    let ranges = [&files.subuid, &files.subgid].into_iter();
    let ranges = ranges.flat_map(|file| owned_ranges(file).map(|(_, range)| Range::of(range)));
    let accounts = [&files.passwd, &files.group].into_iter();
    let accounts = accounts.flat_map(|file| entries(file).map(|(_, id)| Range::of((id, 1))));
    let mut taken: Vec<Range> = ranges.chain(accounts).collect();
    taken.sort_unstable_by_key(|range| range.first);
    let mut free = Range::of((FIRST, COUNT));
    for range in taken {
        if range.overlaps(free) {
            free = Range::of((range.last.checked_add(1)?, COUNT));
        }
    }
    (free.last - free.first == COUNT - 1).then_some(free)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNTS: &str = "root:x:0:0::/:/bin/sh\nann:x:1000:1000::/:\nbob:x:1001:1001::/:\n\
                            nobody:x:65534:65534::/:\n+nis\n";
    const GROUPS: &str = "root:x:0:\nann:x:1000:\nstaff:x:150000:ann\n";

    fn find(subuid: &str, subgid: &str) -> Option<SharedIds> {
        let caller = Caller {
            uid: 1000,
            gid: 1000,
            name: Some("ann".to_owned()),
        };
        let files = Files {
            subuid: subuid.to_owned(),
            subgid: subgid.to_owned(),
            passwd: ACCOUNTS.to_owned(),
            group: GROUPS.to_owned(),
        };
        SharedIds::find(&caller, &files)
    }

    #[test]
    fn ids_of_ones_own_are_nobody_elses() {
        let own = "ann:200000:65536";
        for file in [
            "",
            "ann:200000:65536",
            "bob:134464:65536\nann:200000:65536\nroot:265536:1",
            // One user by name and by number.
            "ann:200000:65536\n1000:230000:10",
            // Others may have what they like among themselves.
            "ann:200000:65536\nbob:300000:9\nroot:300000:9",
            "ann:200000:65536\nbob:x:1\nbob:200000:0\nbob\n# bob:200000:9",
        ] {
            assert_eq!(find(file, own), None, "{file:?}");
        }
    }

    #[test]
    fn ids_that_others_have_too_are_named_with_their_owners() {
        for (subuid, subgid, message) in [
            (
                "ann:100000:65536\nbob:165535:65536",
                "",
                "subordinate user ids 100000-165535 of ann overlap 165535-231070 of bob",
            ),
            (
                "bob:100000:65536\nann:300000:9\n1000:90000:10001",
                "",
                "subordinate user ids 90000-100000 of ann overlap 100000-165535 of bob",
            ),
            (
                "ann:200000:9\n1001:200004:1",
                "",
                "subordinate user ids 200000-200008 of ann overlap 200004-200004 of 1001",
            ),
            (
                "ann:65000:1000",
                "",
                "subordinate user ids 65000-65999 of ann contain 65534, which is user nobody",
            ),
            (
                "ann:200000:9",
                "ann:100000:65536",
                "subordinate group ids 100000-165535 of ann contain 150000, which is group staff",
            ),
        ] {
            let found = find(subuid, subgid).map(|found| found.to_string());
            assert_eq!(found.as_deref(), Some(message));
        }
    }

    #[test]
    fn the_command_gives_ids_that_are_nobodys() {
        let found = find("ann:100000:65536\nbob:100000:65536", "bob:165536:65536").unwrap();
        let command = "sed -i 's/^ann:100000:65536$/ann:231072:65536/' /etc/subuid";
        assert_eq!(found.command(), command);
        let found = find("1000:1:9\nbob:1:4294967295", "").unwrap();
        assert_eq!(found.command(), "sed -i '/^1000:1:9$/d' /etc/subuid");
    }

    #[test]
    fn the_command_takes_a_name_as_it_is() {
        let found = SharedIds {
            entry: r"DOM\a.b$&".to_owned(),
            ..find("ann:100000:65536\nbob:100000:65536", "").unwrap()
        };
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("subuid");
        let others = "DOM\\axb$&:100000:65536\n";
        std::fs::write(&file, format!("{others}{}:100000:65536\n", found.entry)).unwrap();
        let command = found
            .command()
            .replace("/etc/subuid", &file.display().to_string());
        let ended = std::process::Command::new("sh")
            .args(["-c", &command])
            .status();
        assert!(ended.unwrap().success(), "{command}");
        let expected = format!("{others}{}:165536:65536\n", found.entry);
        assert_eq!(
            std::fs::read_to_string(&file).unwrap(),
            expected,
            "{command}"
        );
    }
}
