//! Which limits make sense, alone and together: Docker's rules.

use std::fs;

use super::{BadResource, Limits, processor_list};

/// What no program can do with less than.
const LEAST_MEMORY: u64 = 6 << 20;

/// Processors and memory nodes of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processors {
    /// Processors, in the kernel's words.
    pub cpus: String,
    /// Memory nodes, in the kernel's words.
    pub nodes: String,
}

impl Processors {
    /// Those of this host.
    #[must_use]
    pub fn of_host() -> Self {
        let read = |kind: &str| {
            let text = fs::read_to_string(format!("/sys/devices/system/{kind}/online"));
            // A kernel that was built for one node has no such file.
            text.map_or_else(|_| "0".to_owned(), |text| text.trim().to_owned())
        };
        Self {
            cpus: read("cpu"),
            nodes: read("node"),
        }
    }
}

impl Limits {
    /// Checks each limit, and how they go together; `host` is asked only where a limit depends on it.
    ///
    /// # Errors
    /// For what makes no sense on this host.
    pub fn check(&self, host: impl FnOnce() -> Processors) -> Result<(), BadResource> {
        self.check_memory()?;
        self.check_time()?;
        self.check_processors(host)?;
        if self.pids.is_some_and(|pids| pids < -1) {
            return Err(BadResource::new(
                "invalid value for --pids-limit",
                "it is a number of processes, or -1 for no limit",
            ));
        }
        if self
            .blkio_weight
            .is_some_and(|weight| weight != 0 && !(10..=1000).contains(&weight))
        {
            return Err(BadResource::new(
                "range of blkio weight is from 10 to 1000",
                "500 is the weight of containers that have none",
            ));
        }
        Ok(())
    }

    fn check_memory(&self) -> Result<(), BadResource> {
        let fail = |message: &str, hint| Err(BadResource::new(message, hint));
        let memory = self.memory.filter(|bytes| *bytes != 0);
        let reservation = self.memory_reservation.filter(|bytes| *bytes != 0);
        if memory.is_some_and(|bytes| bytes < LEAST_MEMORY) {
            return fail(
                "minimum memory limit allowed is 6MB",
                "--memory 6m is the least",
            );
        }
        if reservation.is_some_and(|bytes| bytes < LEAST_MEMORY) {
            return fail(
                "minimum memory reservation allowed is 6MB",
                "--memory-reservation 6m is the least",
            );
        }
        if let (Some(memory), Some(reservation)) = (memory, reservation)
            && memory < reservation
        {
            return fail(
                "memory limit cannot be less than the memory reservation",
                "give --memory more, or --memory-reservation less",
            );
        }
        match (self.memory_swap.filter(|swap| *swap != 0), memory) {
            (Some(1..), None) => fail(
                "a limit of swap needs one of memory",
                "--memory-swap counts memory and swap together: set --memory too",
            ),
            (Some(swap @ 1..), Some(memory))
                if u64::try_from(swap).is_ok_and(|swap| swap < memory) =>
            {
                fail(
                    "memory and swap together cannot be less than memory",
                    "--memory-swap counts memory and swap together: the same as --memory is no swap",
                )
            }
            _ => Ok(()),
        }
    }

    fn check_time(&self) -> Result<(), BadResource> {
        let fail = |message: &str, hint| Err(BadResource::new(message, hint));
        let period = self.cpu_period.filter(|period| *period != 0);
        let quota = self.cpu_quota.filter(|quota| *quota != 0);
        let cpus = self.nano_cpus.filter(|cpus| *cpus != 0);
        if cpus.is_some() && (period.is_some() || quota.is_some()) {
            return fail(
                "conflicting options: --cpus cannot be used with --cpu-period or --cpu-quota",
                "--cpus 1.5 is --cpu-period 100000 --cpu-quota 150000",
            );
        }
        if period.is_some_and(|period| !(1000..=1_000_000).contains(&period)) {
            return fail(
                "CPU period cannot be less than 1ms (1000) or more than 1s (1000000)",
                "100000 is what is taken when nobody says",
            );
        }
        if quota.is_some_and(|quota| quota != -1 && quota < 1000) {
            return fail("CPU quota cannot be less than 1ms (1000)", "-1 is no quota");
        }
        Ok(())
    }

    fn check_processors(&self, host: impl FnOnce() -> Processors) -> Result<(), BadResource> {
        let cpus = self.nano_cpus.filter(|cpus| *cpus != 0);
        if cpus.is_none() && self.cpuset_cpus.is_none() && self.cpuset_mems.is_none() {
            return Ok(());
        }
        let host = host();
        if let Some(cpus) = cpus {
            const WHOLE: u64 = 1_000_000_000;
            let count =
                processor_list(&host.cpus).map_or(u64::MAX / WHOLE, |list| list.len() as u64);
            if cpus < WHOLE / 100 || cpus > count * WHOLE {
                let range =
                    format!("range of CPUs is from 0.01 to {count}.00, as there are {count}");
                return Err(BadResource::new(range, "choose another value for --cpus"));
            }
        }
        for (option, wanted, available) in [
            ("--cpuset-cpus", &self.cpuset_cpus, &host.cpus),
            ("--cpuset-mems", &self.cpuset_mems, &host.nodes),
        ] {
            let Some(wanted) = wanted.as_deref().filter(|list| !list.is_empty()) else {
                continue;
            };
            let (numbers, there) = (processor_list(wanted)?, processor_list(available)?);
            if numbers.iter().any(|number| !there.contains(number)) {
                let message =
                    format!("{option}: requested are {wanted}, available are {available}");
                return Err(BadResource::new(
                    message,
                    "choose from those that there are",
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Processors {
        Processors {
            cpus: "0-3".to_owned(),
            nodes: "0".to_owned(),
        }
    }

    fn refused(limits: &Limits) -> Option<String> {
        limits.check(host).err().map(|error| error.to_string())
    }

    #[test]
    fn memory_has_dockers_rules() {
        const M: u64 = 1 << 20;
        let limits = |memory, swap, reservation| Limits {
            memory,
            memory_swap: swap,
            memory_reservation: reservation,
            ..Limits::default()
        };
        for (limits, words) in [
            (
                limits(Some(5 * M), None, None),
                Some("minimum memory limit"),
            ),
            (limits(Some(6 * M), None, None), None),
            (limits(Some(64 * M), Some(-1), None), None),
            (limits(Some(64 * M), Some(64 << 20), None), None),
            (limits(Some(64 * M), Some(63 << 20), None), Some("together")),
            (
                limits(None, Some(64 << 20), None),
                Some("needs one of memory"),
            ),
            (limits(None, Some(-1), None), None),
            (
                limits(Some(64 * M), None, Some(65 * M)),
                Some("reservation"),
            ),
            (
                limits(None, None, Some(M)),
                Some("minimum memory reservation"),
            ),
            (limits(Some(0), None, None), None),
        ] {
            let refused = refused(&limits);
            match words {
                Some(words) => assert!(refused.unwrap().contains(words), "{limits:?}"),
                None => assert_eq!(refused, None, "{limits:?}"),
            }
        }
    }

    #[test]
    fn processors_are_those_of_the_host() {
        let cpus = |nano_cpus| Limits {
            nano_cpus: Some(nano_cpus),
            ..Limits::default()
        };
        assert_eq!(refused(&cpus(4_000_000_000)), None);
        assert!(refused(&cpus(4_000_000_001)).unwrap().contains("to 4.00"));
        assert!(refused(&cpus(1)).is_some());
        let set = |list: &str| Limits {
            cpuset_cpus: Some(list.to_owned()),
            ..Limits::default()
        };
        assert_eq!(refused(&set("0-3")), None);
        assert!(refused(&set("2-4")).unwrap().contains("available are 0-3"));
    }

    #[test]
    fn time_is_limited_in_one_way() {
        let limits = |nano_cpus, cpu_period, cpu_quota| Limits {
            nano_cpus,
            cpu_period,
            cpu_quota,
            ..Limits::default()
        };
        assert_eq!(refused(&limits(None, Some(1000), Some(1000))), None);
        assert_eq!(refused(&limits(None, None, Some(-1))), None);
        assert!(refused(&limits(Some(1 << 30), None, Some(5000))).is_some());
        assert!(refused(&limits(Some(1 << 30), Some(5000), None)).is_some());
        assert!(refused(&limits(None, Some(999), None)).is_some());
        assert!(refused(&limits(None, Some(1_000_001), None)).is_some());
        assert!(refused(&limits(None, None, Some(999))).is_some());
        assert!(refused(&limits(None, None, Some(-2))).is_some());
    }

    #[test]
    fn weights_and_counts_have_ranges() {
        let weight = |weight| Limits {
            blkio_weight: Some(weight),
            ..Limits::default()
        };
        assert!(refused(&weight(9)).is_some() && refused(&weight(1001)).is_some());
        assert_eq!(refused(&weight(10)), None);
        let pids = |pids| Limits {
            pids: Some(pids),
            ..Limits::default()
        };
        assert!(refused(&pids(-2)).is_some());
        assert_eq!(refused(&pids(-1)), None);
    }
}
