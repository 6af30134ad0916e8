//! From the options of resources to what the engine wants.

use carrier_engine::{
    BadResource, CgroupChoice, DeviceRate, DeviceWeight, Limits, Processors, Resources, Sysctl,
    Ulimit, cpus, processor_list, size, swap,
};

use crate::cli::{CgroupNamespace, CgroupsMode, LimitArgs, ResourceArgs};
use crate::report::Failure;

/// Turns the options into what the engine wants, checked as far as they stand alone.
pub(super) fn options(args: &ResourceArgs) -> Result<Resources, Failure> {
    let mut resources = Resources {
        limits: limits(&args.limits)?.without_the_unlimited(),
        cgroups: match args.cgroups {
            None => CgroupChoice::Needed,
            Some(CgroupsMode::Enabled) => CgroupChoice::Enabled,
            Some(CgroupsMode::Disabled) => CgroupChoice::Disabled,
        },
        parent: args
            .cgroup_parent
            .clone()
            .filter(|parent| !parent.is_empty()),
        host_cgroups: args.cgroupns == CgroupNamespace::Host,
        oom_score: args.oom_score_adj,
        ..Resources::default()
    };
    for text in &args.cgroup_conf {
        let (file, value) = file_and_value(text)?;
        resources.files.insert(file, value);
    }
    // The caller's limits are what a process has that is not given others.
    for text in args.ulimit.iter().filter(|text| *text != "host") {
        resources
            .ulimits
            .push(text.parse::<Ulimit>().map_err(refuse)?);
    }
    for text in &args.sysctl {
        let Sysctl { name, value } = text.parse().map_err(refuse)?;
        resources.sysctls.insert(name, value);
    }
    resources.check(Processors::of_host).map_err(refuse)?;
    Ok(resources)
}

/// The limits of a command line.
pub(in crate::commands) fn limits(args: &LimitArgs) -> Result<Limits, Failure> {
    Ok(Limits {
        memory: parsed(args.memory.as_deref(), size)?,
        memory_swap: parsed(args.memory_swap.as_deref(), swap)?,
        memory_reservation: parsed(args.memory_reservation.as_deref(), size)?,
        nano_cpus: parsed(args.cpus.as_deref(), cpus)?,
        cpu_period: args.cpu_period,
        cpu_quota: args.cpu_quota,
        cpu_shares: args.cpu_shares,
        cpuset_cpus: list(args.cpuset_cpus.as_deref())?,
        cpuset_mems: list(args.cpuset_mems.as_deref())?,
        pids: args.pids_limit,
        blkio_weight: args.blkio_weight,
        blkio_weight_device: all(&args.blkio_weight_device, DeviceWeight::parse)?,
        device_read_bps: all(&args.device_read_bps, DeviceRate::bytes)?,
        device_write_bps: all(&args.device_write_bps, DeviceRate::bytes)?,
        device_read_iops: all(&args.device_read_iops, DeviceRate::operations)?,
        device_write_iops: all(&args.device_write_iops, DeviceRate::operations)?,
    })
}

pub(in crate::commands) fn refuse(error: BadResource) -> Failure {
    let hint = error.hint();
    Failure::with_hint(error, hint)
}

fn parsed<T>(
    text: Option<&str>,
    parse: impl Fn(&str) -> Result<T, BadResource>,
) -> Result<Option<T>, Failure> {
    text.map(parse).transpose().map_err(refuse)
}

/// A list as it was written, once it is known to be one.
fn list(text: Option<&str>) -> Result<Option<String>, Failure> {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        processor_list(text).map_err(refuse)?;
    }
    Ok(text.map(str::to_owned))
}

fn all<T>(
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, BadResource>,
) -> Result<Vec<T>, Failure> {
    texts
        .iter()
        .map(|text| parse(text).map_err(refuse))
        .collect()
}

fn file_and_value(text: &str) -> Result<(String, String), Failure> {
    let pair = text.split_once('=');
    // What is no setting, and what the engine itself writes.
    let is_setting = |file: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        file.contains('.') && file.bytes().all(plain) && !file.starts_with("cgroup.")
    };
    match pair.filter(|(file, value)| is_setting(file) && !value.is_empty()) {
        Some((file, value)) => Ok((file.to_owned(), value.to_owned())),
        None => Err(Failure::with_hint(
            format!("invalid cgroup setting: {text:?}"),
            "it looks like memory.high=500000000: a file of the kernel's cgroup-v2.rst and a value",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_a_file_of_a_controller() {
        let pair = ("memory.high".to_owned(), "1".to_owned());
        assert_eq!(file_and_value("memory.high=1").unwrap(), pair);
        for bad in [
            "memory.high",
            "high=1",
            "../x.y=1",
            "memory.high=",
            "cgroup.procs=1",
            "=1",
        ] {
            assert!(file_and_value(bad).is_err(), "{bad}");
        }
    }
}
