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
use carrier_sys::mount::Change;
use carrier_sys::schedule::Scheduling;
use carrier_sys::seccomp::Instruction;
use carrier_sys::trampoline::{SealedProgram, Trampoline};
use rustix::fs::FileType;
use rustix::mount::{MountAttrFlags, MountPropagationFlags};
use rustix::process::{Resource, Rlimit};
use rustix::termios::Winsize;
use rustix::thread::{CapabilitySet, CapabilitySets, CpuSet, Gid, Uid};

use crate::init::itself::FileIdentity;
use crate::mapped::Mapping;

/// The steps of a container's first process, in order.
#[derive(Debug, Default)]
pub(crate) struct InitPlan {
    pub(crate) steps: Vec<PlannedStep>,
    /// How soon the kernel is to kill the process when memory runs out. It is not the child that says so:
    /// in a user namespace of its own it may not lower it.
    pub(crate) oom_score: Option<i32>,
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
    /// Wait until the parent has written the id maps and chosen the cgroup.
    AwaitParent,
    /// Take the ids that the namespace calls 0, where the caller's own mean something else there.
    BecomeRoot {
        /// Stay in the groups that the caller is in.
        keep_groups: bool,
    },
    /// What is the cgroup now becomes the root of the cgroups that can be seen.
    SeparateCgroups,
    /// New clocks, and the lines of `/proc/self/timens_offsets` that set them.
    SetClocks(Vec<u8>),
    /// Whether others may trace this process or look into its descriptors, until it executes the
    /// program.
    SetTraceable(bool),
    SetPropagation(MountPropagationFlags),
    /// Mount the layers on each other, and take that for the root.
    MountOverlay(OverlayMount),
    /// Take a directory for the root.
    BindRoot {
        source: CString,
    },
    MountFilesystem(Filesystem),
    Bind(Bind),
    /// Mount directories on each other somewhere below the root.
    MountOverlayBelow(OverlayBelow),
    PopulateDevices(Devices),
    AddDevice {
        node: DeviceNode,
        directory: Target,
    },
    /// Nothing more is made in `/dev`.
    ProtectDevices(Change),
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
        size: Option<Winsize>,
        place: DevicePlace,
    },
    NullStdin(DevicePlace),
    NullOutput(DevicePlace),
    /// This is what the program reads.
    TakeStdin(OwnedFd),
    /// This is what the program writes to.
    TakeOutput {
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
    ProtectRoot,
    /// Let the parent run the hooks that belong before the change of roots.
    AwaitHooks,
    EnterRoot,
    NewSession,
    SetHostname(CString),
    SetDomainname(CString),
    BringLoopbackUp,
    ChangeDirectory(CString),
    SetResourceLimit(Resource, Rlimit),
    OwnStdio(Uid),
    SetUmask(u32),
    SetPersonality(u32),
    SetScheduling(Scheduling),
    SetIoPriority {
        class: u32,
        priority: u32,
    },
    SetAffinity(Box<CpuSet>),
    /// Take hold of a `/proc` where a security module hears what to do with the program.
    PrepareLabel {
        label: String,
    },
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
    /// Fail now rather than at the start when there is no program.
    FindProgram {
        name: String,
        candidates: Vec<CString>,
    },
    /// Tell the parent that all is set up, and wait for its word, or for somebody else at the gate.
    AwaitStart {
        gate: Option<OwnedFd>,
    },
    Execute(Execution),
    /// Fail, for the test of what failures leave behind.
    #[cfg(feature = "fault-injection")]
    Fail,
}

/// What [`Step::MountOverlay`] does, in words.
pub(crate) const MOUNT_LAYERS: &str = "mount the image's layers";

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
    pub(crate) propagation: u64,
    /// Begin with what is at the target.
    pub(crate) copy_up: bool,
    /// Have the mode of the directory at the target, where there is one.
    pub(crate) takes_mode: bool,
    pub(crate) target: Target,
    /// What is shown instead where the namespaces do not allow a mount of its own.
    pub(crate) fallback: Option<CString>,
}

/// A part of another tree, mounted by descriptor.
#[derive(Debug)]
pub(crate) struct Bind {
    pub(crate) source: CString,
    /// What of the source is mounted, if not all: links in it stay inside of the source.
    pub(crate) subpath: Option<CString>,
    pub(crate) target: Target,
    pub(crate) kind: Kind,
    pub(crate) recursive: bool,
    pub(crate) change: Change,
    /// Like `change`, for the mounts below as well.
    pub(crate) recursive_change: Change,
    pub(crate) tree: Tree,
}

/// An overlay that is not the root: mounted where only this process sees it, and moved to its target
/// by descriptor.
#[derive(Debug)]
pub(crate) struct OverlayBelow {
    pub(crate) overlay: OverlayMount,
    /// What of it is mounted, if not all.
    pub(crate) subpath: Option<CString>,
    pub(crate) change: Change,
    pub(crate) target: Target,
}

/// Who clones the tree of a bind mount.
#[derive(Debug)]
pub(crate) enum Tree {
    /// The child, which sees what the caller sees.
    Source,
    /// The caller, before the clone, since the owners of files become others: see
    /// [`mapped::open`](crate::mapped::open).
    Mapped(Mapping),
    /// The caller has.
    Open(OwnedFd),
}

/// Where a terminal or `/dev/null` comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DevicePlace {
    /// A container that is being made: its tree, and `/dev/console` is made too.
    NewRoot,
    /// A container that runs already.
    OwnRoot,
}

/// What a fresh `/dev` holds.
#[derive(Debug)]
pub(crate) struct Devices {
    /// `/dev`
    pub(crate) directory: Target,
    pub(crate) nodes: Vec<DeviceNode>,
    /// Name and what it points to.
    pub(crate) links: Vec<(CString, CString)>,
    pub(crate) directories: Vec<CString>,
}

/// A device that the container may use.
#[derive(Debug)]
pub(crate) struct DeviceNode {
    /// The host's node, for namespaces that may not make one.
    pub(crate) source: CString,
    /// The last component of its path in the container.
    pub(crate) name: CString,
    pub(crate) kind: FileType,
    pub(crate) number: (u32, u32),
    pub(crate) mode: u32,
    pub(crate) owner: (Uid, Gid),
    /// Make a node; otherwise the host's is mounted.
    pub(crate) make: bool,
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
    pub(crate) program: Program,
    /// Carrier's own binary, which no container may execute.
    pub(crate) own: Option<FileIdentity>,
    /// What executes the program, where a container decides what is at its path.
    pub(crate) trampoline: Option<Trampoline>,
    /// What is executed, wherever the program would be.
    pub(crate) sealed: Option<SealedProgram>,
    /// Whether the trampoline stays, with the program as its child.
    pub(crate) init: bool,
    /// Descriptors from this number on are closed.
    pub(crate) first_closed: u32,
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
            Self::AwaitParent => f.write_str("wait for the id maps"),
            Self::BecomeRoot { .. } => f.write_str("become root of the user namespace"),
            Self::SeparateCgroups => f.write_str("separate the cgroups"),
            Self::SetClocks(_) => f.write_str("set the clocks"),
            Self::SetTraceable(true) => f.write_str("make the process traceable"),
            Self::SetTraceable(false) => f.write_str("make the process untraceable"),
            Self::SetPropagation(_) => f.write_str("separate the mount namespace"),
            Self::MountOverlay(_) => f.write_str(MOUNT_LAYERS),
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
            Self::MountOverlayBelow(below) => write!(f, "mount an overlay on {}", below.target),
            Self::PopulateDevices(_) => f.write_str("fill /dev"),
            Self::AddDevice { node, .. } => write!(f, "make device {}", text(&node.source)),
            Self::ProtectDevices(_) => f.write_str("make /dev read-only"),
            Self::Mask(target) => write!(f, "mask {target}"),
            Self::ProtectPath(target) => write!(f, "make {target} read-only"),
            Self::MakeDirectory(target) => write!(f, "make directory {target}"),
            Self::WriteFile { target, .. } => write!(f, "write {target}"),
            Self::SetSysctl { path, .. } => write!(f, "set sysctl {}", text(path)),
            Self::OpenTerminal { .. } => f.write_str("open a terminal"),
            Self::TakeStdin(_) => f.write_str("redirect standard input"),
            Self::NullStdin(_) | Self::NullOutput(_) => f.write_str("open /dev/null"),
            Self::TakeOutput { .. } => f.write_str("redirect standard output"),
            Self::ProtectRoot => f.write_str("make the root read-only"),
            Self::AwaitHooks => f.write_str("wait for the hooks"),
            Self::EnterRoot => f.write_str("enter the root"),
            Self::NewSession => f.write_str("start a session"),
            Self::SetHostname(name) => write!(f, "set host name {}", text(name)),
            Self::SetDomainname(name) => write!(f, "set domain name {}", text(name)),
            Self::BringLoopbackUp => f.write_str("bring the loopback device up"),
            Self::ChangeDirectory(path) => write!(f, "change to directory /{}", text(path)),
            Self::SetResourceLimit(resource, _) => write!(f, "limit {resource:?}"),
            Self::OwnStdio(_) => f.write_str("give the standard streams to the user"),
            Self::SetUmask(_) => f.write_str("set the umask"),
            Self::SetPersonality(_) => f.write_str("set the execution domain"),
            Self::SetScheduling(_) => f.write_str("set the scheduling policy"),
            Self::SetIoPriority { .. } => f.write_str("set the priority for disks"),
            Self::SetAffinity(_) => f.write_str("choose processors"),
            Self::PrepareLabel { label } => write!(f, "label the program {label:?}"),
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
            Self::FindProgram { name, .. } => write!(f, "find {name:?}"),
            Self::AwaitStart { .. } => f.write_str("wait for the start"),
            Self::Execute(execution) => write!(f, "execute {:?}", execution.name),
            #[cfg(feature = "fault-injection")]
            Self::Fail => f.write_str("go on after an injected fault"),
        }
    }
}
