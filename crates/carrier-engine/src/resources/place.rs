//! Where the cgroup of a container goes, and why it cannot be there.

use std::path::Path;

use carrier_runtime::{Place, Subtree, has_controller};

use super::Resources;
use crate::doctor;
use crate::error::Error;
use crate::record::ContainerRecord;

/// The fields of the specification, and the options that ask for them.
const OPTIONS: [(&str, &str); 16] = [
    ("memory.limit", "--memory"),
    ("memory.swap", "--memory-swap"),
    ("memory.reservation", "--memory-reservation"),
    ("cpu.quota", "--cpus or --cpu-quota"),
    ("cpu.shares", "--cpu-shares"),
    ("cpu.cpus", "--cpuset-cpus"),
    ("cpu.mems", "--cpuset-mems"),
    ("pids.limit", "--pids-limit"),
    ("blockIO.weight", "--blkio-weight"),
    ("blockIO.weightDevice", "--blkio-weight-device"),
    ("blockIO.throttleReadBpsDevice", "--device-read-bps"),
    ("blockIO.throttleWriteBpsDevice", "--device-write-bps"),
    ("blockIO.throttleReadIOPSDevice", "--device-read-iops"),
    ("blockIO.throttleWriteIOPSDevice", "--device-write-iops"),
    ("unified", "--cgroup-conf"),
    ("", "--cgroups enabled"),
];

/// Finds the place of a container's cgroup.
pub(crate) fn open(record: &ContainerRecord) -> Result<Subtree, Error> {
    let resources = &record.resources;
    let place = match resources.parent.as_deref() {
        None => Place::Anywhere,
        Some(slice) if is_slice(slice) => Place::Slice(slice),
        Some(directory) => Place::Directory(Path::new(directory)),
    };
    Subtree::open(record.id.as_str(), &place).map_err(|error| refused(resources, error))
}

/// A name of systemd, as Docker decides.
fn is_slice(parent: &str) -> bool {
    !parent.contains('/')
        && Path::new(parent)
            .extension()
            .is_some_and(|end| end == "slice")
}

/// In the words of the user what the runtime has said in those of the specification.
pub(crate) fn refused(resources: &Resources, error: carrier_runtime::Error) -> Error {
    use carrier_runtime::Error as Runtime;
    match error {
        Runtime::NoCgroup { reason } => {
            let (option, controller) = resources.first_need();
            let finding = if controller.is_empty() || has_controller(controller) {
                doctor::no_manager(&reason)
            } else {
                doctor::old_hierarchy(controller)
            };
            let reason = match controller {
                "" => format!("no cgroup can be made: {reason}"),
                name => format!("no cgroup with the controller {name} can be made: {reason}"),
            };
            Error::limit(option, reason, Some(finding.line()))
        }
        Runtime::Controller {
            field, controller, ..
        } => {
            let finding = if has_controller(&controller) {
                doctor::not_delegated(&controller)
            } else {
                doctor::old_hierarchy(&controller)
            };
            let reason = format!("the controller {controller} is not delegated to the user");
            Error::limit(option_of(&field), reason, Some(finding.line()))
        }
        Runtime::Limit { field, reason } => Error::limit(option_of(&field), reason, None),
        other => other.into(),
    }
}

fn option_of(field: &str) -> &str {
    let name = field.trim_start_matches("linux.resources.");
    let name = name.split('[').next().unwrap_or(name);
    let known = OPTIONS.iter().find(|(known, _)| *known == name);
    known.map_or(field, |(_, option)| option)
}

impl Resources {
    /// An option that needs a cgroup, and the controller that it needs.
    fn first_need(&self) -> (&'static str, &'static str) {
        let limits = &self.limits;
        let has_io = limits.blkio_weight.is_some()
            || !limits.blkio_weight_device.is_empty()
            || !limits.device_read_bps.is_empty()
            || !limits.device_write_bps.is_empty()
            || !limits.device_read_iops.is_empty()
            || !limits.device_write_iops.is_empty();
        let needs = [
            (limits.memory.is_some(), "--memory", "memory"),
            (limits.memory_swap.is_some(), "--memory-swap", "memory"),
            (
                limits.memory_reservation.is_some(),
                "--memory-reservation",
                "memory",
            ),
            (limits.nano_cpus.is_some(), "--cpus", "cpu"),
            (limits.cpu_quota.is_some(), "--cpu-quota", "cpu"),
            (limits.cpu_period.is_some(), "--cpu-period", "cpu"),
            (limits.cpu_shares.is_some(), "--cpu-shares", "cpu"),
            (limits.cpuset_cpus.is_some(), "--cpuset-cpus", "cpuset"),
            (limits.cpuset_mems.is_some(), "--cpuset-mems", "cpuset"),
            (limits.pids.is_some(), "--pids-limit", "pids"),
            (has_io, "a limit of disks", "io"),
            (!self.files.is_empty(), "--cgroup-conf", ""),
            (self.parent.is_some(), "--cgroup-parent", ""),
        ];
        let first = needs.into_iter().find(|(is_asked, _, _)| *is_asked);
        first.map_or(("--cgroups enabled", ""), |(_, option, controller)| {
            (option, controller)
        })
    }
}

/// The number behind a word at the beginning of a line.
pub(crate) fn keyed(text: &str, key: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::split_ascii_whitespace);
    lines.find_map(|mut words| (words.next() == Some(key)).then(|| words.next()?.parse().ok())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_in_the_words_of_the_command_line() {
        for (field, option) in [
            ("linux.resources.memory.limit", "--memory"),
            ("linux.resources.unified[\"memory.high\"]", "--cgroup-conf"),
            ("linux.resources.rdma", "linux.resources.rdma"),
        ] {
            assert_eq!(option_of(field), option);
        }
        let error = carrier_runtime::Error::Controller {
            field: "linux.resources.pids.limit".to_owned(),
            controller: "pids".to_owned(),
            path: "/x".into(),
        };
        let error = refused(&Resources::default(), error);
        let words =
            "--pids-limit cannot be applied: the controller pids is not delegated to the user";
        assert_eq!(error.to_string(), words);
        assert!(error.hint().is_some());
    }

    #[test]
    fn slices_are_names_and_directories_are_paths() {
        for (parent, slice) in [
            ("user.slice", true),
            ("a-b.slice", true),
            ("/user.slice", false),
            ("boxes", false),
            ("/a/b", false),
        ] {
            assert_eq!(is_slice(parent), slice, "{parent}");
        }
    }

    #[test]
    fn the_first_option_stands_for_all() {
        let mut resources = Resources::default();
        assert_eq!(resources.first_need(), ("--cgroups enabled", ""));
        resources.limits.pids = Some(5);
        assert_eq!(resources.first_need(), ("--pids-limit", "pids"));
        resources.limits.memory = Some(1);
        assert_eq!(resources.first_need(), ("--memory", "memory"));
    }
}
