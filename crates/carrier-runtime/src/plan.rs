//! All that a child does between clone and exec, as data.
//!
//! The plan is compiled before the clone by code that may allocate and fail as it likes. The child
//! only interprets it, and the parent, which owns the same plan, turns the index of a step that
//! failed into an error with names in it.

use std::borrow::Cow;
use std::ffi::CString;
use std::fmt;
use std::os::fd::OwnedFd;

use carrier_sys::exec::Program;
use carrier_sys::mount::Attributes;
use carrier_sys::seccomp::Instruction;
use rustix::mount::{MountAttrFlags, MountPropagationFlags};
use rustix::process::{Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, Gid, Uid};

/// The steps of a container's first process, in order.
#[derive(Debug, Default)]
pub(crate) struct InitPlan {
    pub(crate) steps: Vec<PlannedStep>,
}

/// A step and the field of the configuration that asked for it.
#[derive(Debug)]
pub(crate) struct PlannedStep {
    pub(crate) step: Step,
    pub(crate) origin: Cow<'static, str>,
}

impl InitPlan {
    pub(crate) fn push(&mut self, origin: impl Into<Cow<'static, str>>, step: Step) {
        self.steps.push(PlannedStep {
            step,
            origin: origin.into(),
        });
    }
}

/// A place in the container's tree.
#[derive(Debug)]
pub(crate) struct Target {
    /// Relative to the root, without `..`.
    pub(crate) path: CString,
    pub(crate) symlinks: Symlinks,
}

/// What to do about symbolic links on the way to a [`Target`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Symlinks {
    /// Resolve them inside the container's root.
    FollowInside,
    /// Fail: an image whose `/proc` is a link elsewhere is an attack (CVE-2019-19921).
    Refuse,
}

/// What is made where a mount's target does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File,
}

#[derive(Debug)]
pub(crate) enum Step {
    /// Wait until the parent has written the id maps.
    AwaitIdMaps,
    /// Nobody may trace this process or look into its descriptors until it executes the program.
    HideFromTracers,
    SetPropagation(MountPropagationFlags),
    /// Mount the layers on each other, and take that for the root.
    MountOverlay(OverlayMount),
    /// Take a directory for the root.
    BindRoot {
        source: CString,
    },
    MountFilesystem(Filesystem),
    Bind(Bind),
    PopulateDevices(Devices),
    /// Hide a file behind `/dev/null`, a directory behind an empty one.
    Mask(Target),
    ProtectPath(Target),
    MakeDirectory(Target),
    WriteFile {
        target: Target,
        content: Vec<u8>,
    },
    SetSysctl {
        path: CString,
        value: CString,
    },
    OpenTerminal {
        owner: Uid,
    },
    NullStdin,
    ProtectRoot,
    EnterRoot,
    NewSession,
    SetHostname(CString),
    SetDomainname(CString),
    BringLoopbackUp,
    ChangeDirectory(CString),
    SetResourceLimit(Resource, Rlimit),
    OwnStdio(Uid),
    SetUmask(u32),
    DropBoundingSet(CapabilitySet),
    BecomeUser(Identity),
    SetCapabilities {
        sets: CapabilitySets,
        ambient: CapabilitySet,
    },
    SetNoNewPrivileges,
    DieWithParent,
    LoadFilter {
        filter: Cow<'static, [Instruction]>,
        flags: u32,
    },
    /// Tell the parent that all is set up, and wait for its word.
    AwaitStart,
    Execute(Execution),
}

/// Layers, and what to tell the kernel about them.
#[derive(Debug)]
pub(crate) struct OverlayMount {
    /// Directories of the host. The kernel takes only those that were opened in the mount namespace
    /// of the mount, so that the child opens them again; the options know them by the numbers of
    /// the parent's descriptors.
    pub(crate) directories: Vec<(CString, OwnedFd)>,
    pub(crate) target: CString,
    pub(crate) options: CString,
}

/// A new filesystem, mounted by descriptor.
#[derive(Debug)]
pub(crate) struct Filesystem {
    pub(crate) kind: CString,
    pub(crate) options: Vec<(CString, Option<CString>)>,
    pub(crate) attributes: MountAttrFlags,
    pub(crate) target: Target,
}

/// A part of another tree, mounted by descriptor.
#[derive(Debug)]
pub(crate) struct Bind {
    pub(crate) source: CString,
    pub(crate) target: Target,
    pub(crate) kind: Kind,
    pub(crate) recursive: bool,
    pub(crate) attributes: Attributes,
}

/// What a fresh `/dev` holds.
#[derive(Debug)]
pub(crate) struct Devices {
    pub(crate) nodes: Vec<DeviceNode>,
    /// Name and what it points to.
    pub(crate) links: Vec<(CString, CString)>,
    pub(crate) directories: Vec<CString>,
}

/// A device of the host that the container may use.
#[derive(Debug)]
pub(crate) struct DeviceNode {
    pub(crate) source: CString,
    pub(crate) name: CString,
    /// The character device that must be found there.
    pub(crate) number: (u32, u32),
}

#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    /// None where the kernel forbids setgroups(2): in a user namespace of a single id.
    pub(crate) groups: Option<Vec<Gid>>,
    /// Capabilities survive the change; [`Step::SetCapabilities`] follows.
    pub(crate) keep_capabilities: bool,
}

#[derive(Debug)]
pub(crate) struct Execution {
    /// The first word of the command.
    pub(crate) name: String,
    /// Where the program may be, in the order of `PATH`.
    pub(crate) candidates: Vec<CString>,
    pub(crate) program: Program,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.path.to_string_lossy().escape_debug())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |text: &CString| text.to_string_lossy().escape_debug().to_string();
        match self {
            Self::AwaitIdMaps => f.write_str("wait for the id maps"),
            Self::HideFromTracers => f.write_str("make the process untraceable"),
            Self::SetPropagation(_) => f.write_str("separate the mount namespace"),
            Self::MountOverlay(_) => f.write_str("mount the image's layers"),
            Self::BindRoot { source } => write!(f, "mount root directory {}", text(source)),
            Self::MountFilesystem(filesystem) => {
                write!(
                    f,
                    "mount {} on {}",
                    text(&filesystem.kind),
                    filesystem.target
                )
            }
            Self::Bind(bind) => write!(f, "mount {} on {}", text(&bind.source), bind.target),
            Self::PopulateDevices(_) => f.write_str("fill /dev"),
            Self::Mask(target) => write!(f, "mask {target}"),
            Self::ProtectPath(target) => write!(f, "make {target} read-only"),
            Self::MakeDirectory(target) => write!(f, "make directory {target}"),
            Self::WriteFile { target, .. } => write!(f, "write {target}"),
            Self::SetSysctl { path, .. } => write!(f, "set sysctl {}", text(path)),
            Self::OpenTerminal { .. } => f.write_str("open a terminal"),
            Self::NullStdin => f.write_str("open /dev/null"),
            Self::ProtectRoot => f.write_str("make the root read-only"),
            Self::EnterRoot => f.write_str("enter the root"),
            Self::NewSession => f.write_str("start a session"),
            Self::SetHostname(name) => write!(f, "set host name {}", text(name)),
            Self::SetDomainname(name) => write!(f, "set domain name {}", text(name)),
            Self::BringLoopbackUp => f.write_str("bring the loopback device up"),
            Self::ChangeDirectory(path) => write!(f, "change to directory /{}", text(path)),
            Self::SetResourceLimit(resource, _) => write!(f, "limit {resource:?}"),
            Self::OwnStdio(_) => f.write_str("give the standard streams to the user"),
            Self::SetUmask(_) => f.write_str("set the umask"),
            Self::DropBoundingSet(_) => f.write_str("drop capabilities"),
            Self::BecomeUser(identity) => {
                write!(
                    f,
                    "become user {}:{}",
                    identity.uid.as_raw(),
                    identity.gid.as_raw()
                )
            }
            Self::SetCapabilities { .. } => f.write_str("set capabilities"),
            Self::SetNoNewPrivileges => f.write_str("forbid new privileges"),
            Self::DieWithParent => f.write_str("tie the process to its parent"),
            Self::LoadFilter { .. } => f.write_str("load the seccomp filter"),
            Self::AwaitStart => f.write_str("wait for the start"),
            Self::Execute(execution) => write!(f, "execute {:?}", execution.name),
        }
    }
}
