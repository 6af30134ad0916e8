//! What the keeper gives up once the shared network stands.

use std::io;

use rustix::thread::CapabilitySet;

use crate::net::powers::{keep_only, raise_files};

/// Devices, addresses and routes, there and in the containers; going over to these and back, setns(2);
/// and answering names at port 53 of another bridge.
const KEPT: CapabilitySet = CapabilitySet::NET_ADMIN
    .union(CapabilitySet::SYS_ADMIN)
    .union(CapabilitySet::NET_BIND_SERVICE);

/// Each container takes two descriptors, and each question that others are asked one.
pub(super) fn allow_descriptors() {
    // Without it, the containers that are too many wait.
    let _ = raise_files();
}

/// Gives up for good what is not needed from then on.
pub(super) fn enter() -> io::Result<()> {
    keep_only(KEPT)
}
