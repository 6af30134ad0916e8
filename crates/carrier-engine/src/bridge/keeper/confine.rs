//! What the keeper gives up once the shared network stands.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

/// Devices, addresses and routes, there and in the containers; going over to these and back, setns(2);
/// and answering names at port 53 of another bridge.
const KEPT: CapabilitySet = CapabilitySet::NET_ADMIN
    .union(CapabilitySet::SYS_ADMIN)
    .union(CapabilitySet::NET_BIND_SERVICE);

/// Each container takes two descriptors, and each question that others are asked one.
pub(super) fn allow_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Without it, the containers that are too many wait.
    let _ = setrlimit(Resource::Nofile, raised);
}

/// Gives up for good what is not needed from then on.
pub(super) fn enter() -> io::Result<()> {
    let sets = CapabilitySets {
        effective: KEPT,
        permitted: KEPT,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets)?;
    rustix::thread::set_no_new_privs(true)?;
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    Ok(setrlimit(Resource::Core, none)?)
}
