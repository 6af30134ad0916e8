//! Joining namespaces that exist, setns(2).
//!
//! A process that joins a PID namespace gets only its children into it, and one that joins a user
//! namespace cannot come back. So a helper joins, clones the container's process as a sibling of its
//! own, and ends.

mod nested;

pub(crate) use nested::clone_nested;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use carrier_sys::process::{Child, ChildToken, Namespaces, SingleThreaded, clone_into};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::DumpableBehavior;
use rustix::thread::LinkNameSpaceType;

use crate::channel::{ChildEnd, ParentEnd, Report, pair};
use crate::compile::Join;
use crate::error::Error;
use crate::plan::InitPlan;
use crate::{init, oom};

/// Where namespaces of a process are found below `/proc/PID/ns`, in the order in which they are
/// joined: the user namespace gives the right to join the others, and the new root comes last.
const KINDS: [(&str, Namespaces, LinkNameSpaceType); 8] = [
    ("user", Namespaces::USER, LinkNameSpaceType::User),
    (
        "cgroup",
        Namespaces::CGROUP,
        LinkNameSpaceType::ControlGroup,
    ),
    (
        "ipc",
        Namespaces::IPC,
        LinkNameSpaceType::InterProcessCommunication,
    ),
    ("net", Namespaces::NETWORK, LinkNameSpaceType::Network),
    ("pid", Namespaces::PID, LinkNameSpaceType::ProcessID),
    ("time", Namespaces::TIME, LinkNameSpaceType::Time),
    (
        "uts",
        Namespaces::UTS,
        LinkNameSpaceType::HostNameAndNISDomainName,
    ),
    ("mnt", Namespaces::MOUNT, LinkNameSpaceType::Mount),
];

/// The namespaces of a process that are not the caller's; `directory` is that of the process in
/// `/proc`.
pub(crate) fn namespaces_of(directory: BorrowedFd<'_>) -> Result<Vec<Join>, Error> {
    let mut joins = Vec::new();
    for (name, kind, _) in KINDS {
        let path = format!("ns/{name}");
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(directory, &path, flags, Mode::empty()) {
            Ok(file) => file,
            // A kernel without this kind: a process that has ended has not even a user namespace.
            Err(Errno::NOENT) if kind != Namespaces::USER => continue,
            Err(Errno::NOENT | Errno::SRCH) => return Err(Error::ChildDied),
            Err(errno) => {
                let source = errno.into();
                return Err(Error::Namespace { path, source });
            }
        };
        let theirs = identity(rustix::fs::fstat(&file));
        if identity(rustix::fs::stat(format!("/proc/self/{path}"))) != theirs {
            joins.push(Join {
                kind,
                path: std::ffi::CString::new(path).map_err(|_| Error::ChildDied)?,
                origin: format!("namespace {name}"),
                file: Some(file),
            });
        }
    }
    Ok(joins)
}

fn identity(stat: rustix::io::Result<rustix::fs::Stat>) -> Option<(u64, u64)> {
    stat.ok().map(|stat| (stat.st_dev, stat.st_ino))
}

/// What a failure is about that is none of the namespaces to be joined.
const CLONE: usize = u32::MAX as usize;
const OOM_SCORE: usize = CLONE - 1;

/// Clones a process into `new` namespaces, beside those in `joined`; it carries `plan` out.
pub(crate) fn clone_inside(
    joined: &[Join],
    new: Namespaces,
    plan: &InitPlan,
    (parent_end, child_end): (&mut Option<ParentEnd>, &ChildEnd),
    proof: &SingleThreaded,
) -> Result<Child, Error> {
    let opened = open(joined)?;
    let (parent, helper_end) = pair().map_err(|errno| Error::Prepare(errno.into()))?;
    let oom_score = plan.oom_score.map(|score| score.to_string());
    let helper = clone_into(Namespaces::empty(), proof, |token| {
        // A copy would keep the new process from ever seeing that the parent is gone.
        drop(parent_end.take());
        let scored = oom_score.as_deref().map_or(Ok(()), oom::set_own_score);
        let scored = scored.map_err(|errno| (OOM_SCORE, errno));
        let joined = scored.and_then(|()| join_all(&opened, &token));
        let cloned = joined.and_then(|()| {
            let run = |token| init::run(plan, child_end, &token);
            carrier_sys::process::clone_sibling(new, &token, run)
                .map_err(|error| (CLONE, init::errno(&error)))
        });
        match cloned {
            Ok((pid, pidfd)) => {
                let sent = helper_end.send_spawned(pid, pidfd.as_fd());
                u8::from(sent.is_err())
            }
            Err((place, errno)) => {
                helper_end.report_failure(place, errno);
                1
            }
        }
    })
    .map_err(Error::Clone)?;
    drop(helper_end);
    let report = parent.receive().map_err(Error::Channel)?;
    // It ends by itself; nothing depends on how.
    let _ = helper.wait();
    match report {
        Report::Spawned { pid, pidfd } => Ok(Child::adopt(pid, pidfd)),
        Report::Failed {
            step: OOM_SCORE,
            errno,
        } => Err(oom::failed(errno)),
        Report::Failed { step, errno } => Err(match opened.get(step) {
            Some(namespace) => Error::Step {
                action: format!("join namespace {}", namespace.join.path.to_string_lossy()),
                origin: namespace.join.origin.clone(),
                source: errno,
            },
            None => Error::Clone(errno.into()),
        }),
        _ => Err(Error::ChildDied),
    }
}

struct Opened<'a> {
    join: &'a Join,
    file: OwnedFd,
}

fn open(joined: &[Join]) -> Result<Vec<Opened<'_>>, Error> {
    let mut opened = Vec::with_capacity(joined.len());
    for (_, kind, _) in KINDS {
        for join in joined.iter().filter(|join| join.kind == kind) {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let file = match &join.file {
                Some(file) => file.try_clone(),
                None => rustix::fs::open(&*join.path, flags, Mode::empty()).map_err(Into::into),
            };
            let file = file.map_err(|source| Error::Namespace {
                path: join.path.to_string_lossy().into_owned(),
                source,
            })?;
            opened.push(Opened { join, file });
        }
    }
    Ok(opened)
}

/// Joins everything; the failure has the place of what could not be joined.
fn join_all(opened: &[Opened<'_>], _token: &ChildToken) -> Result<(), (usize, Errno)> {
    hide().map_err(|errno| (0, errno))?;
    let is_user = |namespace: &Opened<'_>| namespace.join.kind == Namespaces::USER;
    let mut joined_before = Namespaces::empty();
    if opened.iter().any(is_user) {
        // What belongs to the user namespace that is left can only be joined from there.
        for namespace in opened.iter().filter(|namespace| !is_user(namespace)) {
            let is_root = namespace.join.kind == Namespaces::MOUNT;
            if !is_root && join(namespace).is_ok() {
                joined_before |= namespace.join.kind;
            }
        }
    }
    for (place, namespace) in opened.iter().enumerate() {
        if !joined_before.contains(namespace.join.kind) {
            join(namespace).map_err(|errno| (place, errno))?;
        }
    }
    // Joining a user namespace has made the process traceable again.
    hide().map_err(|errno| (0, errno))
}

fn join(namespace: &Opened<'_>) -> Result<(), Errno> {
    // config-linux.md: a path of a namespace of another type MUST be an error.
    let mut kinds = KINDS.iter();
    let known = kinds.find(|(_, kind, _)| *kind == namespace.join.kind);
    let kind = known.map(|(_, _, kind)| *kind);
    rustix::thread::move_into_link_name_space(namespace.file.as_fd(), kind)
}

/// A container must not look into a process that comes from outside (CVE-2016-9962).
fn hide() -> Result<(), Errno> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
}
