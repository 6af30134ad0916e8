//! What does not stop a container and is to be told, runtime-spec `runtime.md`, section "Warnings".

use std::fmt::Display;

use oci_spec::runtime::{LinuxNamespaceType, Spec};

use crate::Capabilities;
use crate::compile;

/// Tells the caller on standard error.
#[allow(
    clippy::print_stderr,
    reason = "a warning that the specification asks for"
)]
pub(crate) fn warn(text: impl Display) {
    eprintln!("warning: {text}");
}

/// Tells which capabilities a container asks for that its maker does not have: it runs without them.
pub(super) fn of_capabilities(spec: &Spec) {
    let held = rustix::thread::capabilities(None).map(|sets| sets.permitted.bits());
    let held = held.map_or(Capabilities::ALL, Capabilities::from_bits);
    for name in ungrantable(spec, held).names() {
        warn(format_args!(
            "process.capabilities: {name} cannot be granted"
        ));
    }
}

/// Tells whoever waits for the word of the program that it will not come.
pub(super) fn of_notifications() {
    if std::env::var_os("NOTIFY_SOCKET").is_some() {
        warn("NOTIFY_SOCKET: the socket is not handed to the container");
    }
}

fn ungrantable(spec: &Spec, held: Capabilities) -> Capabilities {
    let linux = spec.linux().as_ref();
    let namespaces = linux.and_then(|linux| linux.namespaces().as_deref());
    let mut namespaces = namespaces.unwrap_or_default().iter();
    if namespaces.any(|namespace| namespace.typ() == LinuxNamespaceType::User) {
        // Whoever is in it can have all of them.
        return Capabilities::NONE;
    }
    let wanted = spec.process().as_ref().map(compile::capabilities_of);
    wanted.unwrap_or_default().without(held)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(namespace: &str) -> Spec {
        let config = json!({
            "ociVersion": "1.2.0",
            "process": {
                "cwd": "/", "user": {"uid": 0, "gid": 0},
                "capabilities": {"permitted": ["CAP_KILL"], "bounding": ["CAP_KILL", "CAP_BPF"]},
            },
            "linux": {"namespaces": [{"type": namespace}]},
        });
        serde_json::from_value(config).unwrap()
    }

    #[test]
    fn who_makes_no_user_namespace_grants_what_he_has() {
        let bpf = Capabilities::named("BPF").unwrap();
        let held = Capabilities::ALL.without(bpf);
        assert_eq!(ungrantable(&spec("mount"), held), bpf);
        assert_eq!(ungrantable(&spec("user"), held), Capabilities::NONE);
    }
}
