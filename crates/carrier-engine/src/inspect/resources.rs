//! What a container may use, in Docker's places of `HostConfig`.

use serde_json::{Value, json};

use crate::resources::{DeviceRate, DeviceWeight, Resources, Ulimit};

/// Every limit; Docker's zeros where there is none.
pub(super) fn describe(resources: &Resources) -> Value {
    let limits = &resources.limits;
    let rates = |rates: &[DeviceRate]| {
        let rate = |one: &DeviceRate| json!({ "Path": one.path, "Rate": one.rate });
        rates.iter().map(rate).collect::<Vec<_>>()
    };
    let weight = |one: &DeviceWeight| json!({ "Path": one.path, "Weight": one.weight });
    let weights = limits.blkio_weight_device.iter().map(weight);
    let ulimit = |one: &Ulimit| json!({ "Name": one.name, "Hard": one.hard, "Soft": one.soft });
    let ulimits = resources.ulimits.iter().map(ulimit);
    json!({
        "CpuShares": limits.cpu_shares.unwrap_or(0),
        "Memory": limits.memory.unwrap_or(0),
        "NanoCpus": limits.nano_cpus.unwrap_or(0),
        "CgroupParent": resources.parent.as_deref().unwrap_or_default(),
        "CgroupnsMode": if resources.host_cgroups { "host" } else { "private" },
        "CgroupConf": resources.files,
        "BlkioWeight": limits.blkio_weight.unwrap_or(0),
        "BlkioWeightDevice": weights.collect::<Vec<_>>(),
        "BlkioDeviceReadBps": rates(&limits.device_read_bps),
        "BlkioDeviceWriteBps": rates(&limits.device_write_bps),
        "BlkioDeviceReadIOps": rates(&limits.device_read_iops),
        "BlkioDeviceWriteIOps": rates(&limits.device_write_iops),
        "CpuPeriod": limits.cpu_period.unwrap_or(0),
        "CpuQuota": limits.cpu_quota.unwrap_or(0),
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "CpusetCpus": limits.cpuset_cpus.as_deref().unwrap_or_default(),
        "CpusetMems": limits.cpuset_mems.as_deref().unwrap_or_default(),
        "MemoryReservation": limits.memory_reservation.unwrap_or(0),
        "MemorySwap": limits.memory_and_swap().unwrap_or(0),
        "MemorySwappiness": null,
        "OomKillDisable": null,
        "OomScoreAdj": resources.oom_score.unwrap_or(0),
        "PidsLimit": limits.pids,
        "Ulimits": ulimits.collect::<Vec<_>>(),
        "Sysctls": resources.sysctls,
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    })
}
