//! What each system call number of an architecture gets, as ranges of numbers.

use std::collections::BTreeMap;

use super::arch::{Arch, Table, X32_BIT};
use super::multiplex;
use super::profile::{Action, ArgTest, Enosys, Profile, Rule, Syscall};

/// What one number gets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Verdict<'p> {
    /// The same for all arguments.
    Always(Action),
    /// The action of the first alternative whose tests all hold, else the default action.
    ByArguments(Vec<Alternative<'p>>),
}

/// The tests of one rule, and what it gives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Alternative<'p> {
    pub(super) tests: &'p [ArgTest],
    pub(super) action: Action,
}

/// Numbers from `first` up to the next range that get the same.
#[derive(Debug)]
pub(super) struct Range<'p> {
    pub(super) first: u32,
    /// How many calls that exist are in it: a measure of how often it is looked for.
    pub(super) calls: usize,
    pub(super) verdict: Verdict<'p>,
}

/// Ranges in ascending order, neighbours that get the same merged.
#[derive(Default)]
pub(super) struct Ranges<'p>(Vec<Range<'p>>);

impl<'p> Ranges<'p> {
    /// What every number gets with the architectures `tables`, which share an audit value.
    pub(super) fn of(profile: &'p Profile, tables: &[&Table<'_>]) -> Self {
        let table = |is_x32| {
            tables
                .iter()
                .copied()
                .find(|table| (table.arch == Arch::X32) == is_x32)
        };
        let mut ranges = Self::default();
        let above = ranges.push_arch(profile, 0, table(false));
        if tables
            .iter()
            .any(|table| table.arch.audit() == Arch::X32.audit())
        {
            ranges.push_arch(profile, X32_BIT, table(true));
        }
        // No x32, though the bit may be set: -1 is what a tracer leaves of a call that it cancels.
        ranges.push(X32_BIT << 1, 0, Verdict::Always(above));
        ranges
    }

    pub(super) fn as_slice(&self) -> &[Range<'p>] {
        &self.0
    }

    /// Adds a range of which `calls` numbers are calls that exist.
    fn push(&mut self, first: u32, calls: usize, verdict: Verdict<'p>) {
        match self.0.last_mut() {
            Some(last) if last.verdict == verdict => last.calls += calls,
            _ => self.0.push(Range {
                first,
                calls,
                verdict,
            }),
        }
    }

    /// Adds the numbers from `first` on, those of one architecture or of none that the profile names,
    /// and returns what the numbers above its calls get.
    fn push_arch(&mut self, profile: &'p Profile, first: u32, table: Option<&Table<'_>>) -> Action {
        let Some(table) = table else {
            self.push(first, 0, Verdict::Always(Action::KillProcess));
            return Action::KillProcess;
        };
        let default = profile.default_action;
        let mut verdicts = ruled(profile, table);
        let (unknown, newer) = match profile.enosys {
            Enosys::NewerThanRules if !verdicts.is_empty() => (default, Action::NOT_IMPLEMENTED),
            Enosys::Never | Enosys::NewerThanRules => (default, default),
            Enosys::UnknownNumbers => {
                for number in table.numbers() {
                    verdicts.entry(number).or_insert(Verdict::Always(default));
                }
                (Action::NOT_IMPLEMENTED, Action::NOT_IMPLEMENTED)
            }
        };

        let mut next = first;
        for (number, verdict) in verdicts {
            if number > next {
                self.push(next, 0, Verdict::Always(unknown));
            }
            self.push(number, 1, verdict);
            next = number + 1;
        }
        self.push(next, 0, Verdict::Always(newer));
        newer
    }
}

/// What the numbers get that rules name. Void rules count as naming theirs.
fn ruled<'p>(profile: &'p Profile, table: &Table<'_>) -> BTreeMap<u32, Verdict<'p>> {
    let mut verdicts = BTreeMap::new();
    for rule in &profile.rules {
        let entries = rule
            .syscalls
            .iter()
            .flat_map(|syscall| entries(rule, syscall, table));
        for (number, tests) in entries {
            let verdict = verdicts
                .entry(number)
                .or_insert(Verdict::ByArguments(Vec::new()));
            if rule.action != profile.default_action {
                verdict.add(Alternative {
                    tests,
                    action: rule.action,
                });
            }
        }
    }
    for verdict in verdicts.values_mut() {
        if *verdict == Verdict::ByArguments(Vec::new()) {
            *verdict = Verdict::Always(profile.default_action);
        }
    }
    verdicts
}

/// The numbers that a rule is about when it says `syscall`, each with its tests.
fn entries<'p>(
    rule: &'p Rule,
    syscall: &Syscall,
    table: &Table<'_>,
) -> impl Iterator<Item = (u32, &'p [ArgTest])> {
    let direct = table
        .number(syscall)
        .map(|number| (number, rule.args.as_slice()));
    let detour = match syscall {
        Syscall::Name(name) if table.arch == Arch::X86 => multiplex::detour(rule, name),
        _ => None,
    };
    let detour = detour.and_then(|detour| {
        let through = Syscall::Name(detour.through.into());
        Some((table.number(&through)?, detour.tests.as_slice()))
    });
    direct.into_iter().chain(detour)
}

impl<'p> Verdict<'p> {
    fn add(&mut self, alternative: Alternative<'p>) {
        match self {
            Self::Always(_) => {}
            Self::ByArguments(_) if alternative.tests.is_empty() => {
                *self = Self::Always(alternative.action);
            }
            Self::ByArguments(alternatives) => alternatives.push(alternative),
        }
    }
}
