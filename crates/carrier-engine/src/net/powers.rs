//! What a process of Carrier's own gives up, and what it may use to the full.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

/// Gives up for good every capability but `kept`, what programs could give back, and core dumps.
///
/// # Errors
/// When the process does not have what it would keep.
pub(crate) fn keep_only(kept: CapabilitySet) -> io::Result<()> {
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
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

/// Opens as many files as the user may: how many those are, none without a limit.
///
/// # Errors
/// Where a filter forbids to ask.
pub(crate) fn raise_files() -> io::Result<Option<u64>> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let files = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, files)?;
    Ok(maximum)
}
