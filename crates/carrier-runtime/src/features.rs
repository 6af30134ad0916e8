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
                "systemd": true,
                "systemdUser": true,
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

    use crate::compile::{Bundle, Compiled, Launch, RootSource, compile};
    use crate::error::Error;

    /// A configuration that has `value` at `pointer`, as far as it can be compiled.
    fn compiled(pointer: &str, value: Value) -> Result<Compiled, Error> {
        let id = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
        let mut spec = json!({
            "ociVersion": "1.2.0",
            "process": {"args": ["/true"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
            "linux": {
                "namespaces": [{"type": "user"}, {"type": "mount"}],
                "uidMappings": id,
                "gidMappings": id,
            },
        });
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        spec.pointer_mut(parent).unwrap()[name] = value;
        let spec = serde_json::from_value(spec).unwrap();
        compile(Bundle {
            spec: &spec,
            root: RootSource::Directory("/".into()),
            filter: None,
            emulator: None,
            launch: Launch::default(),
        })
    }

    fn texts(pointer: &str) -> Vec<String> {
        serde_json::from_value(features().pointer(pointer).unwrap().clone()).unwrap()
    }

    #[test]
    fn what_is_claimed_is_done() {
        for kind in texts("/linux/namespaces") {
            let kinds = match kind.as_str() {
                "mount" | "user" => json!([{"type": "user"}, {"type": "mount"}]),
                other => json!([{"type": "user"}, {"type": "mount"}, {"type": other}]),
            };
            compiled("/linux/namespaces", kinds).unwrap();
        }
        for option in texts("/mountOptions") {
            let mut mount = json!({"destination": "/x", "type": "tmpfs", "options": [option]});
            if ["idmap", "ridmap"].contains(&option.as_str()) {
                mount["type"] = "bind".into();
            }
            mount["source"] = "/tmp".into();
            compiled("/mounts", json!([mount])).unwrap();
        }
        for name in texts("/linux/capabilities") {
            let compiled = compiled("/process/capabilities", json!({"bounding": [name]})).unwrap();
            let kept = compiled
                .plan
                .steps
                .iter()
                .find_map(|planned| match planned.step {
                    crate::plan::Step::DropBoundingSet(kept) => Some(kept),
                    _ => None,
                });
            assert_eq!(kept.unwrap().iter().count(), 1);
        }
        let seccomp = |key: &str, value: Value| {
            let mut profile =
                json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/listener"});
            profile[key] = value;
            compiled("/linux/seccomp", profile).unwrap();
        };
        for action in texts("/linux/seccomp/actions") {
            seccomp("syscalls", json!([{"names": ["swapon"], "action": action}]));
        }
        for operator in texts("/linux/seccomp/operators") {
            let argument = json!({"index": 0, "value": 1, "valueTwo": 1, "op": operator});
            let rule = json!({"names": ["swapon"], "action": "SCMP_ACT_ERRNO", "args": [argument]});
            seccomp("syscalls", json!([rule]));
        }
        for architecture in texts("/linux/seccomp/archs") {
            seccomp("architectures", json!([architecture]));
        }
        for flag in texts("/linux/seccomp/supportedFlags") {
            seccomp("flags", json!([flag]));
        }
    }

    #[test]
    fn what_is_denied_is_refused() {
        let denied = [
            ("/linux/intelRdt", json!({"closID": "x"})),
            ("/linux/netDevices", json!({"eth0": {}})),
            (
                "/linux/memoryPolicy",
                json!({"mode": "MPOL_BIND", "nodes": "0"}),
            ),
        ];
        for (pointer, value) in denied {
            let claim = features().pointer(&format!("{pointer}/enabled")).cloned();
            assert!(claim.is_none_or(|claim| claim == false), "{pointer}");
            let refused = compiled(pointer, value).unwrap_err();
            assert!(matches!(refused, Error::Unsupported { .. }), "{refused:?}");
        }
    }

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
