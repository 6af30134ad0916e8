//! Fields that this version refuses by name, so that nothing is silently ignored.

use oci_spec::runtime::{Linux, Process, Spec};

use crate::error::Error;

pub(super) fn refuse(spec: &Spec) -> Result<(), Error> {
    let process = spec.process().iter().flat_map(process_fields);
    let linux = spec.linux().iter().flat_map(linux_fields);
    let whole = [
        ("hooks", spec.hooks().is_some()),
        ("solaris", spec.solaris().is_some()),
        ("windows", spec.windows().is_some()),
        ("vm", spec.vm().is_some()),
    ];
    match whole
        .into_iter()
        .chain(process)
        .chain(linux)
        .find(|(_, present)| *present)
    {
        Some((field, _)) => Err(Error::Unsupported {
            field: field.to_owned(),
        }),
        None => Ok(()),
    }
}

fn process_fields(process: &Process) -> [(&'static str, bool); 8] {
    [
        ("process.consoleSize", process.console_size().is_some()),
        ("process.commandLine", process.command_line().is_some()),
        (
            "process.apparmorProfile",
            process.apparmor_profile().is_some(),
        ),
        ("process.oomScoreAdj", process.oom_score_adj().is_some()),
        ("process.selinuxLabel", process.selinux_label().is_some()),
        ("process.ioPriority", process.io_priority().is_some()),
        ("process.scheduler", process.scheduler().is_some()),
        (
            "process.execCPUAffinity",
            process.exec_cpu_affinity().is_some(),
        ),
    ]
}

fn linux_fields(linux: &Linux) -> [(&'static str, bool); 10] {
    [
        ("linux.netDevices", linux.net_devices().is_some()),
        ("linux.resources", linux.resources().is_some()),
        ("linux.cgroupsPath", linux.cgroups_path().is_some()),
        (
            "linux.devices",
            linux
                .devices()
                .as_ref()
                .is_some_and(|devices| !devices.is_empty()),
        ),
        (
            "linux.rootfsPropagation",
            linux.rootfs_propagation().is_some(),
        ),
        ("linux.mountLabel", linux.mount_label().is_some()),
        ("linux.intelRdt", linux.intel_rdt().is_some()),
        ("linux.personality", linux.personality().is_some()),
        ("linux.timeOffsets", linux.time_offsets().is_some()),
        ("linux.memoryPolicy", linux.memory_policy().is_some()),
    ]
}
