//! Cgroups that systemd makes: one transient scope a container, `org.freedesktop.systemd1(5)`.
//!
//! systemd keeps the values of the units that it made and writes them again when it is reloaded, so
//! that it is told each limit that it knows; the files get them all.

use std::path::Path;

use zbus::{Array, Variant};

use super::bus::{Asked, Bus, CallError, Manager};
use super::limits::Limit;
use super::{Cgroup, of_process};
use crate::error::Error;

/// A property of a unit.
pub(super) type Property = (&'static str, Variant<'static>);

/// A scope that is not there yet, and the way to who makes it.
#[derive(Debug)]
pub(super) struct Scope {
    name: ScopeName,
    bus: Bus,
}

#[derive(Debug, PartialEq, Eq)]
struct ScopeName {
    slice: String,
    unit: String,
}

impl Scope {
    /// The scope that `wanted` names; the inner error is why there is no systemd to ask.
    pub(super) fn new(id: &str, wanted: Option<&Path>) -> Result<Result<Self, String>, Error> {
        let manager = Manager::of_caller();
        let name = ScopeName::parse(id, wanted, manager)?;
        Ok(Bus::connect(manager).map(|bus| Self { name, bus }))
    }

    /// Makes the scope with the process `pid` in it.
    pub(super) fn start(mut self, pid: u32, limits: &[Limit]) -> Result<Cgroup, Error> {
        let begun = self.begin(vec![pid], limits)?;
        self.finish(&begun)?;
        let path = of_process(&pid.to_string()).ok_or(Error::ChildDied)?;
        Ok(Cgroup {
            path,
            scope: Some(self.name.unit),
            within: None,
        })
    }

    /// Asks for the scope with these processes in it, and does not wait for it.
    pub(super) fn begin(&mut self, pids: Vec<u32>, limits: &[Limit]) -> Result<Begun, Error> {
        let unit = &self.name.unit;
        let mut properties = vec![
            ("Description", Variant::new(format!("container {unit}"))),
            ("Slice", Variant::new(self.name.slice.clone())),
            ("PIDs", Variant::Array(Array::from(pids))),
            ("Delegate", Variant::new(true)),
            ("DefaultDependencies", Variant::new(false)),
            ("MemoryAccounting", Variant::new(true)),
            ("CPUAccounting", Variant::new(true)),
            ("IOAccounting", Variant::new(true)),
            ("TasksAccounting", Variant::new(true)),
            // A scope whose process was killed is not kept for somebody to look at.
            ("CollectMode", Variant::new("inactive-or-failed")),
        ];
        properties.extend(limits.iter().filter_map(property).flatten());
        let asked = self.bus.begin_scope(unit, &properties);
        let asked = asked.map_err(|error| failed("start", unit, &error))?;
        Ok(Begun { asked, properties })
    }

    /// Waits until the scope is there.
    pub(super) fn finish(&mut self, begun: &Begun) -> Result<(), Error> {
        let unit = &self.name.unit;
        let failed = |error: CallError| failed("start", unit, &error);
        match self.bus.finish_scope(&begun.asked) {
            // What a container of the same name has left, on a systemd that does not collect it.
            Err(error) if error.is("org.freedesktop.systemd1.UnitExists") => {
                self.bus.reset_failed(unit).map_err(failed)?;
                let again = self.bus.start_scope(unit, &begun.properties);
                again.map_err(failed)
            }
            other => other.map_err(failed),
        }
    }

    pub(super) fn unit(&self) -> &str {
        &self.name.unit
    }
}

/// A scope that was asked for.
#[derive(Debug)]
pub(super) struct Begun {
    asked: Asked,
    properties: Vec<Property>,
}

/// Moves a process of the user into the cgroup `below` of a unit.
pub(super) fn attach(unit: &str, below: &str, pid: u32) -> Result<(), Error> {
    let failed = |error: CallError| failed("move a process to", unit, &error);
    let mut bus = connect().map_err(failed)?;
    bus.attach(unit, below, &[pid]).map_err(failed)
}

/// Tells systemd of new limits.
pub(super) fn update(unit: &str, limits: &[Limit]) -> Result<(), Error> {
    let properties: Vec<Property> = limits.iter().filter_map(property).flatten().collect();
    let failed = |error: CallError| failed("change", unit, &error);
    let mut bus = connect().map_err(failed)?;
    bus.set_properties(unit, &properties).map_err(failed)
}

/// Lets go of a scope. systemd does it by itself when the last process is gone, a moment later; where
/// it cannot be asked, it still does.
pub(super) fn stop(unit: &str) {
    if let Ok(mut bus) = connect() {
        let _ = bus.stop(unit);
    }
}

fn connect() -> Result<Bus, CallError> {
    Bus::connect(Manager::of_caller()).map_err(CallError::Unreachable)
}

fn failed(action: &'static str, unit: &str, error: &CallError) -> Error {
    Error::Scope {
        action,
        unit: unit.to_owned(),
        reason: error.to_string(),
    }
}

impl ScopeName {
    /// `SLICE:PREFIX:NAME`, as Podman, containerd and CRI-O write it.
    fn parse(id: &str, wanted: Option<&Path>, manager: Manager) -> Result<Self, Error> {
        let invalid = |reason: String| Error::Invalid {
            field: "linux.cgroupsPath".to_owned(),
            reason,
        };
        let text = wanted.map(Path::to_string_lossy).unwrap_or_default();
        let parts: Vec<&str> = text.split(':').collect();
        let (slice, prefix, name) = match *parts.as_slice() {
            [""] => ("", "carrier", id),
            [slice, prefix, name] if !name.is_empty() => (slice, prefix, name),
            _ => {
                let reason = format!("{text:?} is not SLICE:PREFIX:NAME, which systemd needs");
                return Err(invalid(reason));
            }
        };
        let slice = match (slice, manager) {
            ("", Manager::System) => "system.slice",
            ("", Manager::User) => "user.slice",
            (slice, _) if slice.ends_with(".slice") => slice,
            (slice, _) => return Err(invalid(format!("{slice:?} is no slice"))),
        };
        let unit = match prefix {
            "" => format!("{name}.scope"),
            prefix => format!("{prefix}-{name}.scope"),
        };
        Ok(Self {
            slice: slice.to_owned(),
            unit,
        })
    }
}

/// What systemd calls a limit; none for those that it does not know.
fn property(limit: &Limit) -> Option<Vec<Property>> {
    let number = |name| Some(vec![(name, Variant::new(or_infinity(&limit.value)?))]);
    match limit.file.as_str() {
        "memory.max" => number("MemoryMax"),
        "memory.high" => number("MemoryHigh"),
        "memory.low" => number("MemoryLow"),
        "memory.min" => number("MemoryMin"),
        "memory.swap.max" => number("MemorySwapMax"),
        "pids.max" => number("TasksMax"),
        "cpu.weight" => number("CPUWeight"),
        "io.weight" => number("IOWeight"),
        "cpu.max" => cpu_quota(&limit.value),
        "cpuset.cpus" => bit_mask("AllowedCPUs", &limit.value),
        "cpuset.mems" => bit_mask("AllowedMemoryNodes", &limit.value),
        _ => None,
    }
}

fn or_infinity(value: &str) -> Option<u64> {
    match value.trim_start_matches("default ") {
        "max" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// From the quota of a period to that of a second, which systemd keeps in hundredths of a processor:
/// what lies between is rounded up, so that nobody gets less than was asked for.
fn cpu_quota(value: &str) -> Option<Vec<Property>> {
    const SECOND: u64 = 1_000_000;
    const HUNDREDTH: u64 = SECOND / 100;
    let (quota, period) = value.split_once(' ')?;
    let period: u64 = period.parse().ok()?;
    let a_second = match or_infinity(quota)? {
        u64::MAX => u64::MAX,
        quota => quota
            .checked_mul(SECOND)?
            .checked_div(period)?
            .checked_next_multiple_of(HUNDREDTH)?,
    };
    Some(vec![
        ("CPUQuotaPerSecUSec", Variant::new(a_second)),
        ("CPUQuotaPeriodUSec", Variant::new(period)),
    ])
}

/// From a list such as `0-2,5` to the bits of bytes.
fn bit_mask(name: &'static str, list: &str) -> Option<Vec<Property>> {
    /// More processors than any kernel can be built for.
    const MOST: usize = 8192;
    let mut bytes: Vec<u8> = Vec::new();
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if last >= MOST {
            return None;
        }
        for number in first..=last {
            bytes.resize(bytes.len().max(number / 8 + 1), 0);
            if let Some(byte) = bytes.get_mut(number / 8) {
                *byte |= 1 << (number % 8);
            }
        }
    }
    Some(vec![(name, Variant::Array(Array::from(bytes)))])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(wanted: &str) -> Result<ScopeName, Error> {
        ScopeName::parse("box", Some(Path::new(wanted)), Manager::User)
    }

    #[test]
    fn a_scope_is_named_as_engines_write_it() {
        for (wanted, slice, unit) in [
            ("user.slice:libpod:1a2b", "user.slice", "libpod-1a2b.scope"),
            (":cri-containerd:x", "user.slice", "cri-containerd-x.scope"),
            ("a-b.slice::x", "a-b.slice", "x.scope"),
            ("", "user.slice", "carrier-box.scope"),
        ] {
            let (slice, unit) = (slice.to_owned(), unit.to_owned());
            assert_eq!(name(wanted).unwrap(), ScopeName { slice, unit }, "{wanted}");
        }
        for wrong in [
            "/a/path",
            "a:b",
            "user.slice:libpod:",
            "x:libpod:y",
            "a.slice:b:c:d",
        ] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn systemd_learns_the_limits_that_it_knows() {
        let limit = |file: &str, value: &str| Limit {
            field: String::new(),
            file: file.to_owned(),
            value: value.to_owned(),
        };
        let number = |name, number: u64| Some(vec![(name, Variant::new(number))]);
        let found = |file, value| property(&limit(file, value));
        assert_eq!(found("memory.max", "4096"), number("MemoryMax", 4096));
        assert_eq!(found("pids.max", "max"), number("TasksMax", u64::MAX));
        assert_eq!(found("rdma.max", "x hca_handle=1"), None);
        let quota = |second: u64, period: u64| {
            let second = ("CPUQuotaPerSecUSec", Variant::new(second));
            Some(vec![second, ("CPUQuotaPeriodUSec", Variant::new(period))])
        };
        assert_eq!(found("cpu.max", "50000 100000"), quota(500_000, 100_000));
        assert_eq!(found("cpu.max", "33333 100000"), quota(340_000, 100_000));
        assert_eq!(found("cpu.max", "max 100000"), quota(u64::MAX, 100_000));
    }

    #[test]
    fn lists_of_processors_become_bits() {
        let bits = |list| match bit_mask("AllowedCPUs", list)?.pop()? {
            (_, Variant::Array(array)) => Vec::<u8>::try_from(array).ok(),
            _ => None,
        };
        assert_eq!(bits("0-2,5").unwrap(), [0b10_0111]);
        assert_eq!(bits("9").unwrap(), [0, 0b10]);
        assert_eq!(bits("x"), None);
        assert_eq!(bits("0-999999999"), None);
    }
}
