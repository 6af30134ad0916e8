//! Steps that change the process itself.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, OwnedFd};

use carrier_sys::process::ChildToken;
use carrier_sys::schedule::Scheduling;
use carrier_sys::seccomp::Instruction;
use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};
use rustix::thread::LinkNameSpaceType;

use super::errno;

pub(super) fn set_traceable(traceable: bool) -> Result<(), Errno> {
    rustix::process::set_dumpable_behavior(if traceable {
        DumpableBehavior::Dumpable
    } else {
        DumpableBehavior::NotDumpable
    })
}

pub(super) fn bring_loopback_up() -> Result<(), Errno> {
    let kind = SocketType::DGRAM;
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, kind, flags, None)?;
    carrier_sys::net::bring_loopback_up(socket.as_fd()).map_err(|e| errno(&e))
}

/// Enters a directory below the root, and checks that it is there: a descriptor of the host that
/// leaked into `/proc/self/fd` is no working directory (CVE-2024-21626).
pub(super) fn change_directory(path: &CStr) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(c"/", flags, Mode::empty())?;
    let resolve = rustix::fs::ResolveFlags::IN_ROOT | rustix::fs::ResolveFlags::NO_MAGICLINKS;
    let directory = super::path::open_with(
        root.as_fd(),
        path,
        OFlags::PATH | OFlags::DIRECTORY,
        resolve,
    )?;
    rustix::process::fchdir(&directory)
}

/// Sets a limit, at most to what the caller's own hard limit allows.
pub(super) fn set_resource_limit(resource: Resource, wanted: Rlimit) -> Result<(), Errno> {
    match rustix::process::setrlimit(resource, wanted) {
        Err(Errno::PERM) => {
            let ceiling = rustix::process::getrlimit(resource).maximum;
            let clamp = |limit: Option<u64>| match (limit, ceiling) {
                (Some(limit), Some(ceiling)) => Some(limit.min(ceiling)),
                (None, ceiling) => ceiling,
                (limit, None) => limit,
            };
            let clamped = Rlimit {
                current: clamp(wanted.current),
                maximum: clamp(wanted.maximum),
            };
            rustix::process::setrlimit(resource, clamped)
        }
        other => other,
    }
}

pub(super) fn separate_cgroups(token: &ChildToken) -> Result<(), Errno> {
    carrier_sys::namespace::unshare_cgroups(token).map_err(|e| errno(&e))
}

/// Makes new clocks, sets them while nobody uses them, and uses them: time_namespaces(7).
pub(super) fn set_clocks(offsets: &[u8], token: &ChildToken) -> Result<(), Errno> {
    carrier_sys::namespace::unshare_time(token).map_err(|e| errno(&e))?;
    if !offsets.is_empty() {
        write_own(c"/proc/self/timens_offsets", offsets)?;
    }
    let path = c"/proc/self/ns/time_for_children";
    let clocks = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::thread::move_into_link_name_space(clocks.as_fd(), Some(LinkNameSpaceType::Time))
}

/// Writes a file of the host's `/proc`, before the container's tree is there.
fn write_own(path: &CStr, content: &[u8]) -> Result<(), Errno> {
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, content).map(drop)
}

pub(super) fn set_personality(domain: u32) -> Result<(), Errno> {
    carrier_sys::schedule::set_personality(domain).map_err(|e| errno(&e))
}

pub(super) fn set_scheduling(wanted: &Scheduling) -> Result<(), Errno> {
    carrier_sys::schedule::set_scheduling(wanted).map_err(|e| errno(&e))
}

pub(super) fn set_io_priority(class: u32, priority: u32) -> Result<(), Errno> {
    carrier_sys::schedule::set_io_priority(class, priority).map_err(|e| errno(&e))
}

pub(super) fn die_with_parent() -> Result<(), Errno> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
}

/// Loads the filter; its notifications come on the descriptor, where the flags ask for one.
pub(super) fn load_filter(filter: &[Instruction], flags: u32) -> Result<Option<OwnedFd>, Errno> {
    carrier_sys::seccomp::load(filter, flags).map_err(|e| errno(&e))
}

/// Looks for the program as [`execute`] will.
pub(super) fn find_program(candidates: &[CString]) -> Result<(), Errno> {
    let mut verdict = Errno::NOENT;
    for candidate in candidates {
        match is_program(candidate) {
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(Errno::ACCESS) => verdict = Errno::ACCESS,
            other => return other,
        }
    }
    Err(verdict)
}

fn is_program(path: &CStr) -> Result<(), Errno> {
    let stat = rustix::fs::stat(path)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Errno::ACCESS);
    }
    rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)
}
