//! The filter of system calls, runtime-spec `config-linux.md`, section "Seccomp".

use std::borrow::Cow;

use carrier_sys::seccomp::{Instruction, NEW_LISTENER};
use oci_spec::runtime::{Linux, LinuxSeccomp};

use super::invalid;
use crate::error::Error;
use crate::plan::Step;
use crate::seccomp;

pub(super) fn of(
    compiled: Option<Cow<'static, [Instruction]>>,
    linux: &Linux,
) -> Result<Option<Step>, Error> {
    let load = |filter, flags| Ok(Some(Step::LoadFilter { filter, flags }));
    match (compiled, linux.seccomp()) {
        (Some(filter), _) => load(filter, carrier_sys::seccomp::SPEC_ALLOW),
        (None, Some(profile)) => {
            let flags = seccomp::load_flags(profile);
            check_listener(profile, flags & NEW_LISTENER != 0)?;
            load(Cow::Owned(seccomp::compile_oci(profile)?), flags)
        }
        (None, None) => Ok(None),
    }
}

fn check_listener(profile: &LinuxSeccomp, notifies: bool) -> Result<(), Error> {
    let is_set = |text: Option<&str>| text.is_some_and(|text| !text.is_empty());
    let path = profile.listener_path().as_ref();
    if is_set(path.and_then(|path| path.to_str())) {
        return Ok(());
    }
    if notifies {
        // Nobody would answer.
        let reason = "SCMP_ACT_NOTIFY needs a socket to send the listener to";
        return Err(invalid("linux.seccomp.listenerPath", reason));
    }
    if is_set(profile.listener_metadata().as_deref()) {
        let reason = "there is no listenerPath to send it to";
        return Err(invalid("linux.seccomp.listenerMetadata", reason));
    }
    Ok(())
}
