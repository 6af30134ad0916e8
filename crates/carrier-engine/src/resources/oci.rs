//! From limits to `linux.resources` of the runtime specification.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    LinuxBlockIo, LinuxBlockIoBuilder, LinuxCpu, LinuxCpuBuilder, LinuxMemory, LinuxMemoryBuilder,
    LinuxPidsBuilder, LinuxResources, LinuxThrottleDevice, LinuxThrottleDeviceBuilder,
    LinuxWeightDevice, LinuxWeightDeviceBuilder,
};

use super::{DeviceRate, DeviceWeight, Limits, Resources};
use crate::error::Error;

/// Docker's period for `--cpus`, in microseconds.
const PERIOD: u64 = 100_000;

impl Resources {
    /// What the runtime is told.
    pub(crate) fn to_oci(&self) -> Result<LinuxResources, Error> {
        let mut resources = self.limits.to_oci()?;
        if !self.files.is_empty() {
            resources.set_unified(Some(self.files.clone().into_iter().collect()));
        }
        Ok(resources)
    }
}

impl Limits {
    /// What the runtime is told.
    pub(crate) fn to_oci(&self) -> Result<LinuxResources, Error> {
        let failed = |error: OciSpecError| Error::Configuration(error.into());
        let mut resources = LinuxResources::default();
        resources
            .set_devices(None)
            .set_memory(self.memory_to_oci().map_err(failed)?)
            .set_cpu(self.cpu_to_oci().map_err(failed)?)
            .set_block_io(self.io_to_oci()?);
        if let Some(limit) = self.pids {
            let pids = LinuxPidsBuilder::default().limit(or_none(limit)).build();
            resources.set_pids(Some(pids.map_err(failed)?));
        }
        Ok(resources)
    }

    fn memory_to_oci(&self) -> Result<Option<LinuxMemory>, OciSpecError> {
        let number = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let mut memory = LinuxMemoryBuilder::default();
        if let Some(limit) = self.memory {
            memory = memory.limit(number(limit));
        }
        if let Some(swap) = self.memory_and_swap() {
            memory = memory.swap(swap);
        }
        if let Some(reservation) = self.memory_reservation {
            memory = memory.reservation(number(reservation));
        }
        let memory = memory.build()?;
        Ok((memory != LinuxMemory::default()).then_some(memory))
    }

    fn cpu_to_oci(&self) -> Result<Option<LinuxCpu>, OciSpecError> {
        let mut cpu = LinuxCpuBuilder::default();
        if let Some(nano) = self.nano_cpus {
            let quota = nano / (1_000_000_000 / PERIOD);
            cpu = cpu
                .period(PERIOD)
                .quota(i64::try_from(quota).unwrap_or(i64::MAX));
        }
        if let Some(period) = self
            .cpu_period
            .and_then(|period| u64::try_from(period).ok())
        {
            cpu = cpu.period(period);
        }
        if let Some(quota) = self.cpu_quota {
            cpu = cpu.quota(quota);
        }
        if let Some(shares) = self.cpu_shares {
            cpu = cpu.shares(shares);
        }
        if let Some(cpus) = &self.cpuset_cpus {
            cpu = cpu.cpus(cpus.as_str());
        }
        if let Some(nodes) = &self.cpuset_mems {
            cpu = cpu.mems(nodes.as_str());
        }
        let cpu = cpu.build()?;
        Ok((cpu != LinuxCpu::default()).then_some(cpu))
    }

    fn io_to_oci(&self) -> Result<Option<LinuxBlockIo>, Error> {
        let mut io = LinuxBlockIoBuilder::default();
        if let Some(weight) = self.blkio_weight {
            io = io.weight(weight);
        }
        if !self.blkio_weight_device.is_empty() {
            io = io.weight_device(list(&self.blkio_weight_device, weight)?);
        }
        if !self.device_read_bps.is_empty() {
            io = io.throttle_read_bps_device(list(&self.device_read_bps, throttle)?);
        }
        if !self.device_write_bps.is_empty() {
            io = io.throttle_write_bps_device(list(&self.device_write_bps, throttle)?);
        }
        if !self.device_read_iops.is_empty() {
            io = io.throttle_read_iops_device(list(&self.device_read_iops, throttle)?);
        }
        if !self.device_write_iops.is_empty() {
            io = io.throttle_write_iops_device(list(&self.device_write_iops, throttle)?);
        }
        let io = io.build();
        let io = io.map_err(|error| Error::Configuration(error.into()))?;
        Ok((io != LinuxBlockIo::default()).then_some(io))
    }
}

/// The specification's word for no limit is any number below zero.
fn or_none(limit: i64) -> i64 {
    if limit == 0 { -1 } else { limit }
}

fn list<T, U>(devices: &[T], one: impl Fn(&T) -> Result<U, Error>) -> Result<Vec<U>, Error> {
    devices.iter().map(one).collect()
}

fn throttle(device: &DeviceRate) -> Result<LinuxThrottleDevice, Error> {
    let (major, minor) = numbers(&device.path)?;
    LinuxThrottleDeviceBuilder::default()
        .major(major)
        .minor(minor)
        .rate(device.rate)
        .build()
        .map_err(|error| Error::Configuration(error.into()))
}

fn weight(device: &DeviceWeight) -> Result<LinuxWeightDevice, Error> {
    let (major, minor) = numbers(&device.path)?;
    LinuxWeightDeviceBuilder::default()
        .major(major)
        .minor(minor)
        .weight(device.weight)
        .build()
        .map_err(|error| Error::Configuration(error.into()))
}

/// The numbers of a disk, which may be others after each boot.
fn numbers(path: &Path) -> Result<(i64, i64), Error> {
    let failed = |source| Error::Open {
        path: path.to_owned(),
        source,
    };
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.file_type().is_block_device() {
        return Err(Error::NoDisk(path.to_owned()));
    }
    let device = metadata.rdev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    Ok((major.into(), minor.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn oci(limits: &Limits) -> serde_json::Value {
        serde_json::to_value(limits.to_oci().unwrap()).unwrap()
    }

    #[test]
    fn limits_are_told_in_the_words_of_the_specification() {
        let limits = Limits {
            memory: Some(64 << 20),
            nano_cpus: Some(500_000_000),
            pids: Some(50),
            ..Limits::default()
        };
        let expected = json!({
            "memory": { "limit": 64 << 20, "swap": 128 << 20 },
            "cpu": { "quota": 50_000, "period": 100_000 },
            "pids": { "limit": 50 },
        });
        assert_eq!(oci(&limits), expected);
    }

    #[test]
    fn no_limit_is_nothing_to_tell() {
        assert_eq!(oci(&Limits::default()), json!({}));
    }

    #[test]
    fn only_a_disk_has_a_rate() {
        let limits = Limits {
            device_read_bps: vec![DeviceRate {
                path: "/dev/null".into(),
                rate: 1,
            }],
            ..Limits::default()
        };
        assert!(matches!(limits.to_oci(), Err(Error::NoDisk(_))));
    }
}
