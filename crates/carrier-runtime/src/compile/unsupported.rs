//! Fields that this version refuses by name, so that nothing is silently ignored.

use oci_spec::runtime::{Linux, Process, Spec};

use crate::error::Error;

pub(super) fn refuse(spec: &Spec) -> Result<(), Error> {
    let process = spec.process().iter().flat_map(process_fields);
    let linux = spec.linux().iter().flat_map(linux_fields);
    let whole = [
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

fn process_fields(process: &Process) -> [(&'static str, bool); 1] {
    [("process.commandLine", process.command_line().is_some())]
}

fn linux_fields(linux: &Linux) -> [(&'static str, bool); 4] {
    let label = linux.mount_label().as_deref();
    [
        ("linux.netDevices", linux.net_devices().is_some()),
        (
            "linux.mountLabel",
            label.is_some_and(|label| !label.is_empty()),
        ),
        ("linux.intelRdt", linux.intel_rdt().is_some()),
        ("linux.memoryPolicy", linux.memory_policy().is_some()),
    ]
}
