//! `HostConfig`: what the program may do on this host.

use carrier_runtime::Capabilities;
use serde_json::{Map, Value, json};

use super::{network, resources};
use crate::record::{ContainerRecord, SeccompChoice, SecurityOptions};
use crate::spec::{MASKED, READ_ONLY};

pub(super) fn describe(record: &ContainerRecord) -> Value {
    let capabilities = record.security.capabilities();
    let names = |set: Capabilities| -> Option<Vec<String>> {
        let names: Vec<String> = set.names().collect();
        (!names.is_empty()).then_some(names)
    };
    let (added, dropped) = (
        capabilities.without(Capabilities::DEFAULT),
        Capabilities::DEFAULT.without(capabilities),
    );
    let log_options = record.log.options.iter();
    let log_options: Map<String, Value> = log_options
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    let mut config = resources::describe(&record.resources);
    let own = json!({
        "ContainerIDFile": "",
        "LogConfig": { "Type": record.log.driver.name(), "Config": log_options },
        "RestartPolicy": {
            "Name": record.restart.name(),
            "MaximumRetryCount": record.restart.maximum(),
        },
        "AutoRemove": record.remove,
        "VolumeDriver": "",
        "ConsoleSize": [0, 0],
        "Annotations": record.annotations,
        "DeviceCgroupRules": null,
        "DeviceRequests": null,
        "CapAdd": names(added),
        "CapDrop": names(dropped),
        "IpcMode": "private",
        "Cgroup": "",
        "Links": null,
        "PidMode": "",
        "Privileged": false,
        "ReadonlyRootfs": record.read_only,
        "SecurityOpt": security(&record.security),
        "UTSMode": "",
        "Runtime": "carrier",
        "Init": record.init,
        "Isolation": "",
        "MaskedPaths": MASKED,
        "ReadonlyPaths": READ_ONLY,
    });
    if let (Some(fields), Value::Object(own)) = (config.as_object_mut(), own) {
        fields.extend(own);
        if let Value::Object(network) = network::host_config(record) {
            fields.extend(network);
        }
        fields.extend(crate::volumes::host_config(record));
    }
    config
}

fn security(options: &SecurityOptions) -> Vec<String> {
    let mut words = vec![format!("no-new-privileges={}", options.no_new_privileges)];
    match &options.seccomp {
        SeccompChoice::Default => {}
        SeccompChoice::Unconfined => words.push("seccomp=unconfined".to_owned()),
        SeccompChoice::Profile(text) => words.push(format!("seccomp={text}")),
    }
    words
}
