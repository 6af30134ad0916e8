//! From a record and a host to an OCI configuration: pure, so that a test can read all of it.
//!
//! The defaults are those of Docker and Podman where they agree, and the stricter of the two where
//! they do not.

mod mounts;

use std::collections::HashMap;
use std::path::PathBuf;

use carrier_runtime::{Capabilities, IdMaps, IdRange};
use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Capability, Linux, LinuxBuilder, LinuxCapabilities, LinuxCapabilitiesBuilder, LinuxIdMapping,
    LinuxIdMappingBuilder, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, LinuxSeccomp,
    Mount, Process, ProcessBuilder, RootBuilder, Spec, SpecBuilder, User, UserBuilder,
};

use crate::etc_files::EtcFiles;
use crate::host::Host;
use crate::identity::{KEEP_GROUPS, ResolvedUser};
use crate::net::NetworkMode;
use crate::record::ContainerRecord;

/// The version of the runtime specification that configurations are written for.
pub(crate) const OCI_VERSION: &str = "1.2.0";

/// All that a configuration is made of.
pub(crate) struct Facts<'a> {
    pub(crate) record: &'a ContainerRecord,
    pub(crate) user: &'a ResolvedUser,
    pub(crate) host: &'a Host,
    pub(crate) etc: &'a EtcFiles,
    /// The first process of the container whose network this one has.
    pub(crate) network_of: Option<u32>,
    /// The ids of the container.
    pub(crate) maps: &'a IdMaps,
    /// What the user mounts.
    pub(crate) mounts: &'a [Mount],
}

/// Hidden: each tells about the host or its other tenants. What a kernel does not have is skipped.
pub(crate) const MASKED: [&str; 13] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
];

pub(crate) const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Builds the configuration; `seccomp` is a profile that is not Carrier's own.
pub(crate) fn build(
    facts: &Facts<'_>,
    seccomp: Option<LinuxSeccomp>,
) -> Result<Spec, OciSpecError> {
    let root = RootBuilder::default()
        .path("rootfs")
        .readonly(facts.record.read_only)
        .build()?;
    let mut annotations = HashMap::new();
    if facts
        .record
        .group_add
        .iter()
        .any(|group| group == KEEP_GROUPS)
    {
        let asked = ("run.oci.keep_original_groups".to_owned(), "1".to_owned());
        annotations.extend([asked]);
    }
    SpecBuilder::default()
        .version(OCI_VERSION)
        .annotations(annotations)
        .root(root)
        .mounts(mounts::build(facts)?)
        .process(process(facts)?)
        .hostname(facts.record.hostname.as_str())
        .domainname(facts.record.networking.domainname.as_str())
        .linux(linux(facts, seccomp)?)
        .build()
}

fn process(facts: &Facts<'_>) -> Result<Process, OciSpecError> {
    let record = facts.record;
    let mut environment = record.environment.clone();
    if !environment.iter().any(|line| line.starts_with("HOME=")) {
        environment.push(format!("HOME={}", facts.user.home));
    }
    let mut process = ProcessBuilder::default()
        .terminal(record.streams.terminal)
        .user(user(facts.user)?)
        .args(record.arguments.clone())
        .env(environment)
        .cwd(record.working_directory.as_str())
        .capabilities(capabilities(
            record.security.capabilities(),
            facts.user.uid,
        )?)
        .no_new_privileges(record.security.no_new_privileges)
        .rlimits(record.resources.rlimits()?)
        .build()?;
    process.set_oom_score_adj(record.resources.oom_score());
    Ok(process)
}

fn user(user: &ResolvedUser) -> Result<User, OciSpecError> {
    UserBuilder::default()
        .uid(user.uid)
        .gid(user.gid)
        .additional_gids(user.groups.clone())
        .build()
}

/// Root holds its capabilities, any other user only may gain them; nothing is ever inherited by a
/// program that is not root (CVE-2022-24769).
fn capabilities(bounding: Capabilities, uid: u32) -> Result<LinuxCapabilities, OciSpecError> {
    let set = |capabilities: Capabilities| {
        let known = |name: String| name.trim_start_matches("CAP_").parse::<Capability>().ok();
        capabilities
            .names()
            .filter_map(known)
            .collect::<oci_spec::runtime::Capabilities>()
    };
    let held = if uid == 0 {
        bounding
    } else {
        Capabilities::NONE
    };
    LinuxCapabilitiesBuilder::default()
        .bounding(set(bounding))
        .effective(set(held))
        .permitted(set(held))
        .inheritable(set(Capabilities::NONE))
        .ambient(set(Capabilities::NONE))
        .build()
}

fn linux(facts: &Facts<'_>, seccomp: Option<LinuxSeccomp>) -> Result<Linux, OciSpecError> {
    let thermal = facts
        .host
        .thermal_throttle
        .iter()
        .map(|path| path.display().to_string());
    let mut masked: Vec<String> = MASKED
        .iter()
        .map(ToString::to_string)
        .chain(thermal)
        .collect();
    if facts.record.network == NetworkMode::Host {
        // A bind mount of the host's /sys shows more than a mount of its own.
        masked.push("/sys/kernel".to_owned());
    }
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces(facts)?)
        .uid_mappings(id_mappings(&facts.maps.users)?)
        .gid_mappings(id_mappings(&facts.maps.groups)?)
        .masked_paths(masked)
        .readonly_paths(
            READ_ONLY
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
        )
        .sysctl(sysctls(facts))
        .build()?;
    // The builder's defaults are a container of its own.
    linux
        .set_resources(None)
        .set_seccomp(seccomp)
        .set_devices(None);
    linux
        .set_rootfs_propagation(None)
        .set_mount_label(None)
        .set_personality(None);
    Ok(linux)
}

/// Who has another container's network has its user namespace too, whose root owns the network.
fn namespaces(facts: &Facts<'_>) -> Result<Vec<LinuxNamespace>, OciSpecError> {
    let of_owner = |name: &str| {
        let pid = facts.network_of?;
        Some(PathBuf::from(format!("/proc/{pid}/ns/{name}")))
    };
    let mut kinds = vec![
        (LinuxNamespaceType::User, of_owner("user")),
        (LinuxNamespaceType::Mount, None),
        (LinuxNamespaceType::Pid, None),
        (LinuxNamespaceType::Ipc, None),
        (LinuxNamespaceType::Uts, None),
    ];
    if !facts.record.resources.host_cgroups {
        kinds.push((LinuxNamespaceType::Cgroup, None));
    }
    if facts.record.network != NetworkMode::Host {
        kinds.push((LinuxNamespaceType::Network, of_owner("net")));
    }
    let build = |(kind, path): (_, Option<PathBuf>)| {
        let builder = LinuxNamespaceBuilder::default().typ(kind);
        match path {
            Some(path) => builder.path(path).build(),
            None => builder.build(),
        }
    };
    kinds.into_iter().map(build).collect()
}

fn id_mappings(ranges: &[IdRange]) -> Result<Vec<LinuxIdMapping>, OciSpecError> {
    let mapping = |range: &IdRange| {
        LinuxIdMappingBuilder::default()
            .container_id(range.inside)
            .host_id(range.outside)
            .size(range.count)
            .build()
    };
    ranges.iter().map(mapping).collect()
}

/// Kernel parameters that containers of Docker have; and no further user namespaces, which most
/// exploits of the kernel begin with.
fn sysctls(facts: &Facts<'_>) -> HashMap<String, String> {
    let mut sysctls: HashMap<String, String> = HashMap::new();
    if facts.network_of.is_none() {
        sysctls.insert("user.max_user_namespaces".to_owned(), "0".to_owned());
    }
    if facts.record.network.has_own_namespace() {
        let last_group = facts
            .host
            .maps
            .groups
            .iter()
            .map(|range| range.count)
            .sum::<u32>()
            - 1;
        sysctls.insert(
            "net.ipv4.ping_group_range".to_owned(),
            format!("0 {last_group}"),
        );
        sysctls.insert(
            "net.ipv4.ip_unprivileged_port_start".to_owned(),
            "0".to_owned(),
        );
    }
    sysctls.extend(facts.record.resources.sysctls.clone());
    sysctls
}

/// Where the working directory is when nobody says: the root.
pub(crate) fn working_directory(asked: Option<&str>, image: &str) -> PathBuf {
    let asked = asked.filter(|path| !path.is_empty());
    PathBuf::from("/").join(image).join(asked.unwrap_or(""))
}
