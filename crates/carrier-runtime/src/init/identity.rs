//! Steps that give up power: ids and capabilities.

use std::os::fd::AsFd as _;

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::plan::Identity;

/// Lets a program that is not root open `/dev/stdout` again where that is a pipe. Terminals and
/// files stay their owner's: they are the host's.
pub(super) fn own_stdio(owner: Uid) -> Result<(), Errno> {
    let streams = [
        rustix::stdio::stdin(),
        rustix::stdio::stdout(),
        rustix::stdio::stderr(),
    ];
    for stream in streams {
        let stat = rustix::fs::fstat(stream)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Fifo {
            continue;
        }
        match rustix::fs::chownat(stream.as_fd(), c"", Some(owner), None, AtFlags::EMPTY_PATH) {
            // A pipe of somebody outside the user namespace.
            Ok(()) | Err(Errno::PERM | Errno::INVAL) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

pub(super) fn drop_bounding_set(keep: CapabilitySet) -> Result<(), Errno> {
    for number in 0..u64::BITS {
        let Some(capability) = CapabilitySet::from_bits(1 << number) else {
            continue;
        };
        if keep.contains(capability) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // The first number that this kernel does not know.
            Err(Errno::INVAL) => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

pub(super) fn become_user(user: &Identity) -> Result<(), Errno> {
    if let Some(groups) = &user.groups {
        match rustix::thread::set_thread_groups(groups) {
            // A user namespace that somebody else has made with a single id.
            Err(Errno::PERM) if groups.is_empty() => {}
            other => other?,
        }
    }
    rustix::thread::set_keep_capabilities(user.keep_capabilities)?;
    rustix::thread::set_thread_res_gid(user.gid, user.gid, user.gid)?;
    rustix::thread::set_thread_res_uid(user.uid, user.uid, user.uid)
}

/// Takes the ids 0 of a user namespace in which the caller has none or others.
pub(super) fn become_root(keep_groups: bool) -> Result<(), Errno> {
    let (uid, gid) = (Uid::ROOT, Gid::ROOT);
    if !keep_groups {
        match rustix::thread::set_thread_groups(&[]) {
            // The namespace was told to deny it, user_namespaces(7).
            Ok(()) | Err(Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
    }
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)
}

/// Sets what can be granted of the sets: runtime-spec does not want a container to fail for what its
/// maker does not have.
pub(super) fn set_capabilities(
    wanted: CapabilitySets,
    ambient: CapabilitySet,
) -> Result<(), Errno> {
    let held = rustix::thread::capabilities(None)?;
    let permitted = wanted.permitted & held.permitted;
    let sets = CapabilitySets {
        permitted,
        effective: wanted.effective & permitted,
        inheritable: wanted.inheritable & (held.permitted | held.inheritable),
    };
    rustix::thread::set_capabilities(None, sets)?;
    rustix::thread::clear_ambient_capability_set()?;
    // No other can be ambient, capabilities(7).
    for capability in (ambient & sets.permitted & sets.inheritable).iter() {
        rustix::thread::configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}

/// The owner of a terminal's other side keeps its group, `tty`, which devpts has set.
pub(super) fn give_terminal(terminal: impl std::os::fd::AsFd, owner: Uid) -> Result<(), Errno> {
    rustix::fs::fchown(terminal, Some(owner), None::<Gid>)
}
