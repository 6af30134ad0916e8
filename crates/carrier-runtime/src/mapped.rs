//! Mounts whose files have other owners, mount_setattr(2), section "ID-mapped mounts".
//!
//! The kernel wants privileges over the user namespace in which the filesystem was mounted, which a
//! container in a namespace of its own never has. So the caller makes these trees, before the clone
//! and in its own mount namespace, and the child attaches them by descriptor.

use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use carrier_sys::mount::Change;
use carrier_sys::process::{Namespaces, SingleThreaded, clone_into, die_with};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountPropagationFlags as Propagation;

use crate::channel::pair;
use crate::error::Error;
use crate::idmap::IdMaps;
use crate::init::{clone_tree, errno};
use crate::plan::{Bind, InitPlan, Step, Tree};

/// Which owners the files of a mount get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) ids: Ids,
    /// Also in the mounts below.
    pub(crate) recursive: bool,
    /// The field of the configuration.
    pub(crate) field: String,
}

/// Where a mapping comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ids {
    /// From ids of the filesystem, "inside", to ids of the host, "outside".
    Maps(IdMaps),
    /// The map of a user namespace that exists.
    Namespace(CString),
}

/// Makes the trees that `plan` needs.
pub(crate) fn open(plan: &mut InitPlan, proof: &SingleThreaded) -> Result<(), Error> {
    for planned in &mut plan.steps {
        if let Step::Bind(bind) = &mut planned.step
            && let Tree::Mapped(mapping) = &bind.tree
        {
            bind.tree = Tree::Open(open_tree(bind, mapping, proof)?);
        }
    }
    Ok(())
}

fn open_tree(bind: &Bind, mapping: &Mapping, proof: &SingleThreaded) -> Result<OwnedFd, Error> {
    let refused = |errno: Errno| Error::MappedMount {
        field: mapping.field.clone(),
        source_path: bind.source.to_string_lossy().into_owned(),
        reason: reason(errno),
        source: errno,
    };
    let tree = clone_tree(rustix::fs::CWD, &bind.source, bind.recursive).map_err(refused)?;
    // What the child's copy of all mounts is to the host's, this one is too: nothing goes back.
    let apart = Change {
        propagation: Propagation::DOWNSTREAM.bits().into(),
        ..Change::default()
    };
    carrier_sys::mount::change(tree.as_fd(), apart, true).map_err(|e| refused(errno(&e)))?;
    let namespace = match &mapping.ids {
        Ids::Maps(maps) => user_namespace(maps, &mapping.field, proof)?,
        Ids::Namespace(path) => open_namespace(path).map_err(refused)?,
    };
    map(tree.as_fd(), namespace.as_fd(), mapping.recursive).map_err(refused)?;
    Ok(tree)
}

fn map(tree: BorrowedFd<'_>, namespace: BorrowedFd<'_>, recursive: bool) -> Result<(), Errno> {
    carrier_sys::mount::map_ids(tree, namespace, recursive).map_err(|e| errno(&e))
}

fn reason(errno: Errno) -> &'static str {
    match errno {
        Errno::PERM => {
            "only who has privileges over the filesystem may map its ids: root of the host, in most \
             cases"
        }
        Errno::INVAL => "the filesystem, or one that is mounted below, cannot have its ids mapped",
        _ => "the kernel refused",
    }
}

/// A user namespace with these maps, held by nothing but its descriptor.
fn user_namespace(maps: &IdMaps, field: &str, proof: &SingleThreaded) -> Result<OwnedFd, Error> {
    let (_parent_end, child_end) = pair().map_err(|errno| Error::Prepare(errno.into()))?;
    let caller = rustix::process::getpid();
    let child = clone_into(Namespaces::USER, proof, |_token| {
        if die_with(caller).is_ok() {
            // Until it is killed.
            let _ = child_end.await_go();
        }
        0
    })
    .map_err(Error::Clone)?;
    maps.write(child.pid()).map_err(|source| Error::MappedIds {
        field: field.to_owned(),
        source,
    })?;
    let path = format!("/proc/{}/ns/user", child.pid());
    open_namespace(&path).map_err(|errno| Error::Namespace {
        path,
        source: errno.into(),
    })
}

fn open_namespace(path: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}
