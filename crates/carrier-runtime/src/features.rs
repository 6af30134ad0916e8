//! What this runtime can do, runtime-spec `features.md`.

use serde_json::{Value, json};

use crate::Capabilities;
use crate::compile::known_mount_options;
use crate::config::OCI_VERSION;
use crate::seccomp::{Arch as Machine, supported};

/// The features structure.
#[must_use]
pub fn features() -> Value {
    let options: Vec<&str> = known_mount_options().collect();
    let capabilities: Vec<String> = Capabilities::ALL.names().collect();
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": [
            "prestart",
            "createRuntime",
            "createContainer",
            "startContainer",
            "poststart",
            "poststop",
        ],
        "mountOptions": options,
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            "capabilities": capabilities,
            "cgroup": {
                "v1": false,
                "v2": true,
                "systemd": false,
                "systemdUser": false,
                "rdma": true,
            },
            "seccomp": {
                "enabled": true,
                "actions": supported::ACTIONS,
                "operators": supported::OPERATORS,
                "archs": supported::architectures(Machine::NATIVE),
                "knownFlags": supported::FLAGS,
                "supportedFlags": supported::FLAGS,
            },
            "apparmor": {"enabled": true},
            "selinux": {"enabled": true},
            "intelRdt": {"enabled": false},
            "memoryPolicy": {},
            "mountExtensions": {"idmap": {"enabled": true}},
            "netDevices": {"enabled": false},
        },
        "annotations": {
            "org.carrier.version": env!("CARGO_PKG_VERSION"),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structure_is_the_specifications() {
        let text = features().to_string();
        let parsed: oci_spec::runtime::Features = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed.hooks().as_ref().unwrap().len(), 6);
        let linux = parsed.linux().as_ref().unwrap();
        assert_eq!(linux.capabilities().as_ref().unwrap().len(), 41);
        assert_eq!(linux.namespaces().as_ref().unwrap().len(), 8);
    }
}
