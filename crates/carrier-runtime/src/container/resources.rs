//! `update` and `events`: limits of a container that runs, and what it uses.

use oci_spec::runtime::LinuxResources;
use serde_json::{Map, Value, json};

use super::Runtime;
use crate::cgroup::Cgroup;
use crate::error::Error;
use crate::state::Status;

const WITH_PROCESSES: [Status; 3] = [Status::Created, Status::Running, Status::Paused];

impl Runtime {
    /// Changes limits; those that `resources` does not name stay as they are.
    ///
    /// # Errors
    /// [`Error::WrongStatus`] when the container has stopped, [`Error::Limit`] for what cannot be
    /// applied.
    pub fn update(&self, id: &str, resources: &LinuxResources) -> Result<(), Error> {
        let (_, record, _lock) = self.lock(id)?;
        record.require("update", &WITH_PROCESSES)?;
        record.cgroup_for("update")?.update(resources)
    }

    /// What the container uses, in the shape of runc's events.
    ///
    /// # Errors
    /// [`Error::WrongStatus`] when the container has stopped, [`Error::Limit`] when it has no cgroup
    /// to be measured by.
    pub fn statistics(&self, id: &str) -> Result<Value, Error> {
        let record = self.record(id)?;
        record.require("measure", &WITH_PROCESSES)?;
        let cgroup = record.cgroup_for("events")?;
        let pids = cgroup.pids()?.len();
        let cpu = keyed(cgroup, "cpu.stat");
        let nanoseconds = |key: &str| cpu.get(key).and_then(Value::as_u64).unwrap_or(0) * 1000;
        Ok(json!({
            "type": "stats",
            "id": record.id,
            "data": {
                "cpu": {
                    "usage": {
                        "total": nanoseconds("usage_usec"),
                        "kernel": nanoseconds("system_usec"),
                        "user": nanoseconds("user_usec"),
                    },
                },
                "memory": {
                    "usage": {
                        "usage": number(cgroup, "memory.current"),
                        "limit": number(cgroup, "memory.max"),
                    },
                    "raw": keyed(cgroup, "memory.stat"),
                },
                "pids": {
                    "current": number(cgroup, "pids.current").unwrap_or(pids as u64),
                    "limit": number(cgroup, "pids.max"),
                },
            },
        }))
    }
}

/// A file that holds one number, or `max`.
fn number(cgroup: &Cgroup, file: &str) -> Option<u64> {
    cgroup.read(file)?.trim().parse().ok()
}

/// A file of lines with a name and a number.
fn keyed(cgroup: &Cgroup, file: &str) -> Map<String, Value> {
    let text = cgroup.read(file).unwrap_or_default();
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs
        .filter_map(|(key, value)| Some((key.to_owned(), value.parse::<u64>().ok()?.into())))
        .collect()
}
