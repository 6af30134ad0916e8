//! What a container uses: from its control group where it has one of its own, else added up over its
//! processes.

use std::fs;
use std::time::{Duration, Instant};

use carrier_runtime::Cgroup;
use carrier_spec::{ContainerId, ContainerName};

use crate::engine::Engine;
use crate::error::Error;
use crate::processes;
use crate::record::ContainerRecord;
use crate::resources::keyed;

/// What a container has used until a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The moment.
    pub at: Instant,
    /// Time on processors.
    pub processor: Duration,
    /// Bytes of memory.
    pub memory: u64,
    /// How many bytes of memory it could use.
    pub memory_limit: u64,
    /// Bytes that came over the network.
    pub received: u64,
    /// Bytes that went over the network.
    pub sent: u64,
    /// Bytes that were read from disks.
    pub read: u64,
    /// Bytes that were written to disks.
    pub written: u64,
    /// Processes and threads.
    pub tasks: u64,
}

/// A container and what it has used.
#[derive(Clone, Debug)]
pub struct ContainerStats {
    /// The container.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// Nothing where it does not run.
    pub sample: Option<Sample>,
}

impl Sample {
    /// Percents of one processor between an earlier sample and this one.
    #[must_use]
    pub fn processor_percent(&self, earlier: &Self) -> f64 {
        let passed = self.at.saturating_duration_since(earlier.at).as_secs_f64();
        let used = self.processor.saturating_sub(earlier.processor);
        if passed > 0.0 {
            used.as_secs_f64() / passed * 100.0
        } else {
            0.0
        }
    }

    /// Percents of the memory that it could use.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "two digits are shown")]
    pub fn memory_percent(&self) -> f64 {
        if self.memory_limit == 0 {
            return 0.0;
        }
        self.memory as f64 / self.memory_limit as f64 * 100.0
    }
}

impl Engine {
    /// What these containers use, or those that run where none is named, or `all`.
    ///
    /// # Errors
    /// When a container does not exist, or the store cannot be read.
    pub fn stats(&self, words: &[String], all: bool) -> Result<Vec<ContainerStats>, Error> {
        let records = if words.is_empty() {
            self.records()?
        } else {
            let found = words.iter().map(|word| self.container(word));
            found.collect::<Result<_, _>>()?
        };
        let mut stats = Vec::new();
        for record in records {
            let life = self.life(&record)?;
            let init = life.first_process().map(|process| process.pid);
            if init.is_none() && words.is_empty() && !all {
                continue;
            }
            stats.push(ContainerStats {
                sample: init.and_then(|pid| sample(pid, &record, life.cgroup.as_ref())),
                id: record.id,
                name: record.name,
            });
        }
        Ok(stats)
    }
}

fn sample(init: u32, record: &ContainerRecord, cgroup: Option<&Cgroup>) -> Option<Sample> {
    let network = network(init, record);
    let at = Instant::now();
    let counted = cgroup.and_then(|cgroup| of_cgroup(cgroup, at));
    let sample = counted.or_else(|| of_processes(init, at))?;
    Some(Sample {
        received: network.0,
        sent: network.1,
        ..sample
    })
}

fn of_cgroup(cgroup: &Cgroup, at: Instant) -> Option<Sample> {
    let read = |name: &str| cgroup.read(name).unwrap_or_default();
    let number = |name: &str| read(name).trim().parse::<u64>().ok();
    let usage = keyed(&read("cpu.stat"), "usage_usec")?;
    // Docker does not count what the kernel would give back first.
    let cache = keyed(&read("memory.stat"), "inactive_file").unwrap_or(0);
    let (mut bytes_read, mut bytes_written) = (0, 0);
    for field in read("io.stat").split_ascii_whitespace() {
        let value = |name: &str| field.strip_prefix(name)?.parse::<u64>().ok();
        bytes_read += value("rbytes=").unwrap_or(0);
        bytes_written += value("wbytes=").unwrap_or(0);
    }
    Some(Sample {
        at,
        processor: Duration::from_micros(usage),
        memory: number("memory.current").unwrap_or(0).saturating_sub(cache),
        memory_limit: number("memory.max")
            .map_or_else(host_memory, |limit| limit.min(host_memory())),
        received: 0,
        sent: 0,
        read: bytes_read,
        written: bytes_written,
        tasks: number("pids.current").unwrap_or(0),
    })
}

fn of_processes(init: u32, at: Instant) -> Option<Sample> {
    let mut sum = Sample {
        at,
        processor: Duration::ZERO,
        memory: 0,
        memory_limit: host_memory(),
        received: 0,
        sent: 0,
        read: 0,
        written: 0,
        tasks: 0,
    };
    for pid in processes::members(init) {
        // One that has ended meanwhile is none.
        let Some(process) = processes::read(pid) else {
            continue;
        };
        sum.processor += process.processor + process.of_children;
        sum.tasks += u64::from(process.threads);
        sum.memory += proportional(pid).unwrap_or(process.resident_memory);
        let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        sum.read += keyed(&io, "read_bytes:").unwrap_or(0);
        sum.written += keyed(&io, "write_bytes:").unwrap_or(0);
    }
    (sum.tasks > 0).then_some(sum)
}

/// A process's share of memory: pages of several processes are counted once in all.
fn proportional(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    Some(keyed(&text, "Pss:")? * 1024)
}

/// Bytes that came and went over interfaces other than the loopback; none where they are the host's.
fn network(init: u32, record: &ContainerRecord) -> (u64, u64) {
    if record.network == crate::net::NetworkMode::Host {
        return (0, 0);
    }
    let text = fs::read_to_string(format!("/proc/{init}/net/dev")).unwrap_or_default();
    traffic(&text)
}

fn traffic(text: &str) -> (u64, u64) {
    let interfaces = text.lines().filter_map(|line| line.split_once(':'));
    let others = interfaces.filter(|(name, _)| name.trim() != "lo");
    let counts = others.map(|(_, fields)| {
        let mut fields = fields.split_ascii_whitespace();
        let number = |field: Option<&str>| field.and_then(|text| text.parse().ok()).unwrap_or(0);
        // proc_pid_net(5): eight fields about what came, then as many about what went.
        (number(fields.next()), number(fields.nth(7)))
    });
    counts.fold((0, 0), |sum: (u64, u64), count| {
        (sum.0 + count.0, sum.1 + count.1)
    })
}

fn host_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    keyed(&text, "MemTotal:").unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_is_counted_without_the_loopback() {
        let text = "Inter-|   Receive                                                |  Transmit\n \
                    face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets\n    \
                    lo:    1000       1    0    0    0     0          0         0     1000       1\n  \
                    eth0:     70       1    0    0    0     0          0         0       30       1\n";
        assert_eq!(traffic(text), (70, 30));
    }

    #[test]
    fn a_processor_that_is_busy_all_the_time_is_a_hundred_percent() {
        let begin = of_processes(std::process::id(), Instant::now()).unwrap();
        assert!(begin.memory > 0 && begin.tasks > 0 && begin.memory_limit > begin.memory);
        let end = Sample {
            at: begin.at + Duration::from_secs(2),
            processor: begin.processor + Duration::from_secs(2),
            ..begin
        };
        assert!((end.processor_percent(&begin) - 100.0).abs() < 0.01);
        assert!(begin.processor_percent(&begin).abs() < 0.01);
    }

    #[test]
    fn numbers_are_found_by_their_words() {
        let text = "usage_usec 500\nuser_usec 300\nPss:     12 kB\n";
        assert_eq!(keyed(text, "usage_usec"), Some(500));
        assert_eq!(keyed(text, "Pss:"), Some(12));
        assert_eq!(keyed(text, "usec"), None);
    }
}
