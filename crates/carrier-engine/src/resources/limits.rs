//! Limits of a container as a whole: what a cgroup has, and `update` changes.

use serde::{Deserialize, Serialize};

use super::{DeviceRate, DeviceWeight};

/// Limits of a container; what is `None` is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes of memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Bytes of memory and swap together; −1 without an end. As much swap as memory when nobody says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_swap: Option<i64>,
    /// Bytes of memory that are not taken away while others have some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_reservation: Option<u64>,
    /// Processors, in thousand-millionths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nano_cpus: Option<u64>,
    /// Microseconds in which the quota can be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_period: Option<i64>,
    /// Microseconds of processors in a period; −1 without an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_quota: Option<i64>,
    /// The share of the processors, where others have 1024.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_shares: Option<u64>,
    /// Processors that may be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpuset_cpus: Option<String>,
    /// Nodes whose memory may be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpuset_mems: Option<String>,
    /// Processes and threads; −1 without an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<i64>,
    /// The share of disks, 10 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blkio_weight: Option<u16>,
    /// The same for one disk.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blkio_weight_device: Vec<DeviceWeight>,
    /// Bytes a second that are read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub device_read_bps: Vec<DeviceRate>,
    /// Bytes a second that are written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub device_write_bps: Vec<DeviceRate>,
    /// Reads a second.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub device_read_iops: Vec<DeviceRate>,
    /// Writes a second.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub device_write_iops: Vec<DeviceRate>,
}

impl Limits {
    /// Whether anything is limited.
    #[must_use]
    pub fn are_limits(&self) -> bool {
        *self != Self::default()
    }

    /// Without zeros and empty lists, which are Docker's words for what was not asked for.
    #[must_use]
    pub fn without_zeros(mut self) -> Self {
        forget(&mut self.memory, &0);
        forget(&mut self.memory_swap, &0);
        forget(&mut self.memory_reservation, &0);
        forget(&mut self.nano_cpus, &0);
        forget(&mut self.cpu_period, &0);
        forget(&mut self.cpu_quota, &0);
        forget(&mut self.cpu_shares, &0);
        forget(&mut self.cpuset_cpus, &String::new());
        forget(&mut self.cpuset_mems, &String::new());
        forget(&mut self.blkio_weight, &0);
        if self.pids == Some(0) {
            self.pids = Some(-1);
        }
        self
    }

    /// Without what is no limit either of a container that is new: Docker's −1.
    #[must_use]
    pub fn without_the_unlimited(self) -> Self {
        let mut limits = self.without_zeros();
        forget(&mut limits.cpu_quota, &-1);
        forget(&mut limits.pids, &-1);
        limits
    }

    /// These limits, and those of `before` where these say nothing.
    #[must_use]
    pub fn over(self, before: &Self) -> Self {
        fn list<T: Clone>(new: Vec<T>, before: &[T]) -> Vec<T> {
            if new.is_empty() { before.to_vec() } else { new }
        }
        Self {
            memory: self.memory.or(before.memory),
            memory_swap: self.memory_swap.or(before.memory_swap),
            memory_reservation: self.memory_reservation.or(before.memory_reservation),
            nano_cpus: self.nano_cpus.or(before.nano_cpus),
            cpu_period: self.cpu_period.or(before.cpu_period),
            cpu_quota: self.cpu_quota.or(before.cpu_quota),
            cpu_shares: self.cpu_shares.or(before.cpu_shares),
            cpuset_cpus: self.cpuset_cpus.or_else(|| before.cpuset_cpus.clone()),
            cpuset_mems: self.cpuset_mems.or_else(|| before.cpuset_mems.clone()),
            pids: self.pids.or(before.pids),
            blkio_weight: self.blkio_weight.or(before.blkio_weight),
            blkio_weight_device: list(self.blkio_weight_device, &before.blkio_weight_device),
            device_read_bps: list(self.device_read_bps, &before.device_read_bps),
            device_write_bps: list(self.device_write_bps, &before.device_write_bps),
            device_read_iops: list(self.device_read_iops, &before.device_read_iops),
            device_write_iops: list(self.device_write_iops, &before.device_write_iops),
        }
    }

    /// Memory and swap together, as Docker counts when nobody says: as much of the one as of the other.
    pub(crate) fn memory_and_swap(&self) -> Option<i64> {
        let twice = |memory: u64| i64::try_from(memory.saturating_mul(2)).unwrap_or(-1);
        self.memory_swap.or_else(|| self.memory.map(twice))
    }
}

fn forget<T: PartialEq>(value: &mut Option<T>, none: &T) {
    if value.as_ref() == Some(none) {
        *value = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_limits_nothing_is_no_limit() {
        let limits = Limits {
            memory: Some(0),
            pids: Some(-1),
            cpu_quota: Some(-1),
            cpuset_cpus: Some(String::new()),
            ..Limits::default()
        };
        assert!(limits.are_limits());
        assert!(!limits.without_the_unlimited().are_limits());
    }

    #[test]
    fn a_change_leaves_the_rest() {
        let before = Limits {
            memory: Some(1),
            pids: Some(5),
            ..Limits::default()
        };
        let change = Limits {
            memory: Some(2),
            ..Limits::default()
        };
        let after = change.over(&before);
        assert_eq!((after.memory, after.pids), (Some(2), Some(5)));
    }

    #[test]
    fn there_is_as_much_swap_as_memory() {
        let mut limits = Limits::default();
        assert_eq!(limits.memory_and_swap(), None);
        limits.memory = Some(100);
        assert_eq!(limits.memory_and_swap(), Some(200));
        limits.memory_swap = Some(-1);
        assert_eq!(limits.memory_and_swap(), Some(-1));
    }
}
