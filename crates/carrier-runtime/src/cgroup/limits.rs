//! From `linux.resources` to files of the unified hierarchy.

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources};

use crate::error::Error;

/// A value for a file of a cgroup, and the field that asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) field: String,
    pub(super) file: String,
    pub(super) value: String,
}

impl Limit {
    /// As many processes as there may be, where systemd has a limit of its own for what it makes.
    pub(super) fn any_processes() -> Self {
        Self {
            field: "linux.cgroupsPath".to_owned(),
            file: "pids.max".to_owned(),
            value: "max".to_owned(),
        }
    }

    /// The controller that the file belongs to.
    pub(super) fn controller(&self) -> Option<&str> {
        let (controller, _) = self.file.split_once('.')?;
        (controller != "cgroup").then_some(controller)
    }

    /// Whether a cgroup without the controller has just this limit: none, or an equal share. A file
    /// that was asked for by its name has to be there.
    pub(super) fn is_default(&self) -> bool {
        let is_default = self.value == "max" || (self.file == "cpu.weight" && self.value == "100");
        is_default && !self.is_by_name()
    }

    pub(super) fn is_of_swap(&self) -> bool {
        self.file == "memory.swap.max" && !self.is_by_name()
    }

    /// Whether the file was asked for by its name: it may not exist in any kernel.
    pub(super) fn is_by_name(&self) -> bool {
        self.field.starts_with("linux.resources.unified")
    }

    /// The same weight for a host whose scheduler is not BFQ: 10 to 1000 become 1 to 10000, as in crun.
    pub(super) fn without_bfq(&self) -> Option<Self> {
        if self.file != "io.bfq.weight" {
            return None;
        }
        let (key, weight) = self.value.rsplit_once(' ')?;
        let weight: u64 = weight.parse().ok()?;
        let weight = 1 + weight.saturating_sub(10) * 9999 / 990;
        Some(Self {
            field: self.field.clone(),
            file: "io.weight".to_owned(),
            value: format!("{key} {weight}"),
        })
    }
}

/// Converts every limit, or refuses what the unified hierarchy does not have.
///
/// Rules for devices are no file: see `devices`.
pub(super) fn files(resources: &LinuxResources) -> Result<Vec<Limit>, Error> {
    let mut limits = Vec::new();
    let mut add = |field: &str, file: &str, value: String| {
        limits.push(Limit {
            field: format!("linux.resources.{field}"),
            file: file.to_owned(),
            value,
        });
    };
    if let Some(memory) = resources.memory() {
        add_memory(memory, &mut add)?;
    }
    if let Some(cpu) = resources.cpu() {
        add_cpu(cpu, &mut add)?;
    }
    if let Some(limit) = resources
        .pids()
        .as_ref()
        .map(oci_spec::runtime::LinuxPids::limit)
        && limit != 0
    {
        add("pids.limit", "pids.max", or_max(limit));
    }
    if let Some(io) = resources.block_io() {
        add_io(io, &mut add)?;
    }
    for (index, limit) in resources.hugepage_limits().iter().flatten().enumerate() {
        let field = format!("hugepageLimits[{index}]");
        let file = format!("hugetlb.{}.max", limit.page_size());
        add(&field, &file, limit.limit().to_string());
    }
    if resources.network().is_some() {
        return Err(unsupported("network", "cgroup v2 has no such controller"));
    }
    for (device, limit) in resources.rdma().iter().flatten() {
        let handles = limit
            .hca_handles()
            .map(|count| format!(" hca_handle={count}"));
        let objects = limit
            .hca_objects()
            .map(|count| format!(" hca_object={count}"));
        let value = format!(
            "{device}{}{}",
            handles.unwrap_or_default(),
            objects.unwrap_or_default()
        );
        add("rdma", "rdma.max", value);
    }
    let mut unified: Vec<_> = resources.unified().iter().flatten().collect();
    unified.sort_unstable();
    for (file, value) in unified {
        if file.contains('/') || !file.contains('.') {
            return Err(unsupported("unified", "a key is no file of a cgroup"));
        }
        add(&format!("unified[{file:?}]"), file, value.clone());
    }
    Ok(limits)
}

/// `resources` with the other half of each pair of values that stand in one file or count together: what
/// is not changed is what `read` finds.
pub(super) fn completed(
    resources: &LinuxResources,
    read: impl Fn(&str) -> Option<String>,
) -> LinuxResources {
    let mut resources = resources.clone();
    if let Some(cpu) = resources.cpu().clone()
        && let Some(cpu) = completed_cpu(cpu, &read)
    {
        resources.set_cpu(Some(cpu));
    }
    if let Some(mut memory) = *resources.memory()
        && memory.swap().is_some_and(|swap| swap > 0)
        && memory.limit().is_none_or(|limit| limit == 0)
        && let Some(limit) = read("memory.max").and_then(|text| text.trim().parse().ok())
    {
        memory.set_limit(Some(limit));
        resources.set_memory(Some(memory));
    }
    resources
}

fn completed_cpu(mut cpu: LinuxCpu, read: impl Fn(&str) -> Option<String>) -> Option<LinuxCpu> {
    let has_quota = cpu.quota().is_some_and(|quota| quota != 0);
    let has_period = cpu.period().is_some_and(|period| period != 0);
    if has_quota == has_period {
        return None;
    }
    let content = read("cpu.max")?;
    let (quota, period) = content.trim().split_once(' ')?;
    if has_quota {
        cpu.set_period(Some(period.parse().ok()?));
    } else {
        // `max`
        cpu.set_quota(Some(quota.parse().unwrap_or(-1)));
    }
    Some(cpu)
}

fn add_memory(memory: &LinuxMemory, add: &mut impl FnMut(&str, &str, String)) -> Result<(), Error> {
    let limit = memory.limit().filter(|limit| *limit != 0);
    if let Some(swap) = memory.swap().filter(|swap| *swap != 0) {
        // The specification counts memory and swap together, the hierarchy swap alone.
        let value = match (swap, limit) {
            (..=-1, _) => "max".to_owned(),
            (swap, Some(limit)) if limit > 0 && swap >= limit => (swap - limit).to_string(),
            (_, Some(limit)) if limit > 0 => {
                return Err(unsupported(
                    "memory.swap",
                    "it is less than the memory limit",
                ));
            }
            _ => {
                return Err(unsupported(
                    "memory.swap",
                    "it needs a memory limit beside it",
                ));
            }
        };
        add("memory.swap", "memory.swap.max", value);
    }
    if let Some(limit) = limit {
        add("memory.limit", "memory.max", or_max(limit));
    }
    if let Some(reservation) = memory.reservation().filter(|bytes| *bytes != 0) {
        add("memory.reservation", "memory.low", or_max(reservation));
    }
    if memory.disable_oom_killer() == Some(true) {
        return Err(unsupported(
            "memory.disableOOMKiller",
            "cgroup v2 cannot do it",
        ));
    }
    if memory.swappiness().is_some() {
        return Err(unsupported("memory.swappiness", "cgroup v2 cannot do it"));
    }
    if memory.kernel_tcp().is_some_and(|bytes| bytes > 0) {
        return Err(unsupported("memory.kernelTCP", "cgroup v2 cannot do it"));
    }
    Ok(())
}

fn add_cpu(cpu: &LinuxCpu, add: &mut impl FnMut(&str, &str, String)) -> Result<(), Error> {
    const PERIOD: u64 = 100_000;
    if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
        add("cpu.shares", "cpu.weight", weight(shares).to_string());
    }
    let period = cpu.period().filter(|period| *period != 0);
    let quota = cpu.quota().filter(|quota| *quota != 0);
    if quota.is_some() || period.is_some() {
        let quota = or_max(quota.unwrap_or(-1));
        add(
            "cpu.quota",
            "cpu.max",
            format!("{quota} {}", period.unwrap_or(PERIOD)),
        );
    }
    if let Some(burst) = cpu.burst() {
        add("cpu.burst", "cpu.max.burst", burst.to_string());
    }
    if let Some(idle) = cpu.idle() {
        add("cpu.idle", "cpu.idle", idle.to_string());
    }
    let realtime = [
        cpu.realtime_runtime().is_some_and(|time| time != 0),
        cpu.realtime_period().is_some_and(|time| time != 0),
    ];
    if realtime.contains(&true) {
        return Err(unsupported("cpu.realtimeRuntime", "cgroup v2 cannot do it"));
    }
    let lists = [
        ("cpu.cpus", "cpuset.cpus", cpu.cpus()),
        ("cpu.mems", "cpuset.mems", cpu.mems()),
    ];
    for (field, file, list) in lists {
        if let Some(list) = list.as_deref().filter(|list| !list.is_empty()) {
            add(field, file, list.to_owned());
        }
    }
    Ok(())
}

fn add_io(io: &LinuxBlockIo, add: &mut impl FnMut(&str, &str, String)) -> Result<(), Error> {
    if let Some(weight) = io.weight().filter(|weight| *weight != 0) {
        add(
            "blockIO.weight",
            "io.bfq.weight",
            format!("default {weight}"),
        );
    }
    if io.leaf_weight().is_some_and(|weight| weight != 0) {
        return Err(unsupported("blockIO.leafWeight", "cgroup v2 cannot do it"));
    }
    for device in io.weight_device().iter().flatten() {
        let weight = device.weight().unwrap_or(0);
        let value = format!("{}:{} {weight}", device.major(), device.minor());
        add("blockIO.weightDevice", "io.bfq.weight", value);
    }
    let throttles = [
        (
            "blockIO.throttleReadBpsDevice",
            "rbps",
            io.throttle_read_bps_device(),
        ),
        (
            "blockIO.throttleWriteBpsDevice",
            "wbps",
            io.throttle_write_bps_device(),
        ),
        (
            "blockIO.throttleReadIOPSDevice",
            "riops",
            io.throttle_read_iops_device(),
        ),
        (
            "blockIO.throttleWriteIOPSDevice",
            "wiops",
            io.throttle_write_iops_device(),
        ),
    ];
    for (field, key, devices) in throttles {
        for device in devices.iter().flatten() {
            let (major, minor) = (device.major(), device.minor());
            add(
                field,
                "io.max",
                format!("{major}:{minor} {key}={}", device.rate()),
            );
        }
    }
    Ok(())
}

fn or_max(limit: i64) -> String {
    if limit < 0 {
        "max".to_owned()
    } else {
        limit.to_string()
    }
}

/// From 2 to 262144 shares to a weight from 1 to 10000, on the curve that runc and crun agreed on:
/// 1024 shares, the default of one, become 100, the default of the other.
fn weight(shares: u64) -> u64 {
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "numbers from 2 to 262144 in, from 1 to 10000 out"
    )]
    let curve = |shares: u64| {
        let log = (shares as f64).log2();
        let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
        10_f64.powf(exponent).ceil() as u64
    };
    match shares {
        ..=2 => 1,
        262_144.. => 10_000,
        shares => curve(shares),
    }
}

fn unsupported(field: &str, reason: &str) -> Error {
    Error::Limit {
        field: format!("linux.resources.{field}"),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(json: &str) -> Vec<(String, String)> {
        let limits = files(&serde_json::from_str(json).unwrap()).unwrap();
        limits
            .into_iter()
            .map(|limit| (limit.file, limit.value))
            .collect()
    }

    fn pair(file: &str, value: &str) -> (String, String) {
        (file.to_owned(), value.to_owned())
    }

    #[test]
    fn swap_is_what_goes_beyond_memory() {
        let found = pairs(r#"{"memory": {"limit": 1000, "swap": 3000}}"#);
        assert_eq!(
            found,
            [pair("memory.swap.max", "2000"), pair("memory.max", "1000")]
        );
    }

    #[test]
    fn less_than_nothing_is_no_limit() {
        let found = pairs(r#"{"memory": {"limit": -1}, "pids": {"limit": -1}}"#);
        assert_eq!(found, [pair("memory.max", "max"), pair("pids.max", "max")]);
    }

    #[test]
    fn what_limits_nothing_needs_no_controller() {
        let limits = r#"{"cpu": {"shares": 1024}, "pids": {"limit": -1}}"#;
        let limits = files(&serde_json::from_str(limits).unwrap()).unwrap();
        assert!(limits.iter().all(Limit::is_default), "{limits:?}");
    }

    #[test]
    fn a_file_that_was_named_has_to_be_there() {
        let limits = r#"{"unified": {"typo.file": "max", "memory.swap.max": "max"}}"#;
        let limits = files(&serde_json::from_str(limits).unwrap()).unwrap();
        assert_eq!(limits.len(), 2);
        let may_be_missing = |limit: &Limit| limit.is_default() || limit.is_of_swap();
        assert!(!limits.iter().any(may_be_missing), "{limits:?}");
    }

    #[test]
    fn default_shares_are_the_default_weight() {
        assert_eq!((weight(2), weight(1024), weight(262_144)), (1, 100, 10_000));
    }

    #[test]
    fn a_weight_of_bfq_becomes_one_of_any_scheduler() {
        let limits = files(&serde_json::from_str(r#"{"blockIO": {"weight": 1000}}"#).unwrap());
        let other = limits.unwrap().first().unwrap().without_bfq().unwrap();
        assert_eq!(
            (other.file.as_str(), other.value.as_str()),
            ("io.weight", "default 10000")
        );
    }

    #[test]
    fn what_is_not_changed_stays() {
        let changed = |change: &str, cpu_max: &str, memory_max: &str| {
            let resources = serde_json::from_str(change).unwrap();
            let read = |file: &str| {
                Some(
                    if file == "cpu.max" {
                        cpu_max
                    } else {
                        memory_max
                    }
                    .to_owned(),
                )
            };
            let limits = files(&completed(&resources, read)).unwrap();
            let pairs = limits.into_iter().map(|limit| (limit.file, limit.value));
            pairs.collect::<Vec<_>>()
        };
        let cpu = |change, before| changed(change, before, "max\n");
        let half = r#"{"cpu": {"period": 50000}}"#;
        assert_eq!(
            cpu(half, "20000 100000\n"),
            [pair("cpu.max", "20000 50000")]
        );
        assert_eq!(cpu(half, "max 100000\n"), [pair("cpu.max", "max 50000")]);
        let half = r#"{"cpu": {"quota": 30000}}"#;
        assert_eq!(cpu(half, "20000 50000\n"), [pair("cpu.max", "30000 50000")]);
        let both = r#"{"cpu": {"quota": 30000, "period": 60000}}"#;
        assert_eq!(cpu(both, "20000 50000\n"), [pair("cpu.max", "30000 60000")]);
        let swap = changed(r#"{"memory": {"swap": 5000}}"#, "max 100000\n", "4096\n");
        let expected = [pair("memory.swap.max", "904"), pair("memory.max", "4096")];
        assert_eq!(swap, expected);
    }

    #[test]
    fn a_quota_comes_with_its_period() {
        assert_eq!(
            pairs(r#"{"cpu": {"quota": 50000}}"#),
            [pair("cpu.max", "50000 100000")]
        );
    }
}
