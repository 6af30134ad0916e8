//! From a configuration to a plan: no system call is made here.
//!
//! Every field of the configuration is either compiled into a step or refused by name; the order of
//! the steps is that of [`compile`], and each of its comments tells a rule that the order obeys.

mod devices;
mod filter;
mod hooks;
mod mounts;
mod namespaces;
mod options;
mod overlay;
mod process;
mod schedule;
#[cfg(test)]
mod tests;
mod unsupported;

use std::borrow::Cow;
use std::ffi::CString;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;

use carrier_sys::process::Namespaces;
use carrier_sys::seccomp::Instruction;
use carrier_sys::trampoline::SealedProgram;
use oci_spec::runtime::{Linux, LinuxIdMapping, Spec};
use rustix::process::Rlimit;

use crate::error::Error;
use crate::idmap::{IdMaps, IdRange};
use crate::plan::{DevicePlace, InitPlan, OverlayMount, Step, Symlinks, Target};
use crate::running::Entry;
pub(crate) use namespaces::{Join, Nest, Wanted};
pub(crate) use options::known as known_mount_options;
pub(crate) use process::capabilities_of;

/// All that decides what a container will be.
#[derive(Debug)]
pub struct Bundle<'a> {
    /// The configuration. Relative paths in it start at the current directory.
    pub spec: &'a Spec,
    /// Where the root filesystem comes from; `spec.root.path` is not looked at.
    pub root: RootSource,
    /// A compiled seccomp filter, instead of the profile in the configuration.
    pub filter: Option<Cow<'static, [Instruction]>>,
    /// What to write to `binfmt_misc` so that the kernel finds an emulator for the image.
    pub emulator: Option<Vec<u8>>,
    /// How the process stands to the one that makes it.
    pub launch: Launch,
}

/// How a container's process stands to the one that makes it.
#[derive(Debug)]
pub struct Launch {
    /// What the program reads, where it has no terminal.
    pub stdin: Stdin,
    /// Where the program writes, where it has no terminal.
    pub output: Output,
    /// Whether it is killed when its maker ends.
    pub dies_with_caller: bool,
    /// Where the process waits for its start; without a gate, its maker starts it.
    pub gate: Option<OwnedFd>,
    /// How many of the caller's descriptors, from number 3 on, the program gets.
    pub preserved: u32,
    /// Whether the caller looks for its namespaces while it is set up.
    pub is_looked_into: bool,
    /// Whether the caller puts the process into a cgroup of its own before it goes on.
    pub has_cgroup: bool,
    /// What is executed instead of the program of that name: it is shown to the container, and
    /// cannot be changed there.
    pub sealed: Option<SealedProgram>,
    /// Whether a process of Carrier's is the first one, which passes signals on to the program and
    /// buries what that leaves behind.
    pub init: bool,
    /// What the program's limit of core dumps is, where its maker has none and it is not said otherwise.
    pub core: Option<Rlimit>,
}

/// A user namespace of the caller's in which those of containers are made.
#[derive(Debug)]
pub struct Nesting {
    /// The namespace.
    pub users: OwnedFd,
    /// Its ids.
    pub maps: IdMaps,
}

impl Default for Launch {
    /// A program in the foreground.
    fn default() -> Self {
        Self {
            stdin: Stdin::Inherit,
            output: Output::Inherit,
            dies_with_caller: true,
            gate: None,
            is_looked_into: false,
            preserved: 0,
            has_cgroup: false,
            sealed: None,
            init: false,
            core: None,
        }
    }
}

/// What a program without a terminal reads.
#[derive(Debug)]
pub enum Stdin {
    /// What the caller reads.
    Inherit,
    /// Nothing.
    Null,
    /// A file of its own.
    File(OwnedFd),
}

/// Where a program without a terminal writes.
#[derive(Debug)]
pub enum Output {
    /// Where the caller writes.
    Inherit,
    /// Nowhere.
    Null,
    /// Into files of its own.
    Files {
        /// What it has to say.
        stdout: OwnedFd,
        /// What it complains of.
        stderr: OwnedFd,
    },
}

impl Launch {
    fn take_streams(&mut self) -> (Stdin, Output) {
        let stdin = std::mem::replace(&mut self.stdin, Stdin::Inherit);
        (stdin, std::mem::replace(&mut self.output, Output::Inherit))
    }
}

/// Where a root filesystem comes from.
#[derive(Debug)]
pub enum RootSource {
    /// A directory, as OCI bundles have it.
    Directory(PathBuf),
    /// Layers, mounted on each other in the container's mount namespace.
    Overlay(Overlay),
    /// A directory that another process has mounted in namespaces of its own.
    Mounted(MountedRoot),
}

/// A root that a process has mounted, whose user namespace becomes the container's.
#[derive(Debug)]
pub struct MountedRoot {
    /// The process: it has a user and a mount namespace.
    pub pid: u32,
    /// The root as that process sees it.
    pub path: PathBuf,
}

/// The parts of an overlay mount, all on the host.
#[derive(Debug)]
pub struct Overlay {
    /// The image's layers, the topmost first.
    pub layers: Vec<Directory>,
    /// What the container writes.
    pub upper: Directory,
    /// The kernel's scratch space, on the same filesystem.
    pub work: Directory,
    /// Whether what was written may be lost in a crash of the host.
    pub volatile: bool,
}

/// A directory of the host: held open, so that it exists.
#[derive(Debug)]
pub struct Directory {
    /// Its absolute path.
    pub path: PathBuf,
    /// Any descriptor of it.
    pub handle: OwnedFd,
}

impl RootSource {
    fn into_step(self) -> Result<Step, Error> {
        match self {
            Self::Directory(path) => Ok(Step::BindRoot {
                source: c_string("root.path", path.as_os_str())?,
            }),
            Self::Overlay(overlay) => overlay.into_mount().map(Step::MountOverlay),
            Self::Mounted(root) => Self::Directory(root.path).into_step(),
        }
    }

    /// Has the container begin in the namespaces of the process that mounted its root; its own mount
    /// namespace is a copy of that process's.
    fn enter(&self, namespaces: &mut Wanted) -> Result<(), Error> {
        let Self::Mounted(root) = self else {
            return Ok(());
        };
        namespaces.new.remove(Namespaces::USER);
        for (name, kind) in [("user", Namespaces::USER), ("mnt", Namespaces::MOUNT)] {
            namespaces.joined.push(Join {
                kind,
                path: c_string("root", format!("/proc/{}/ns/{name}", root.pid))?,
                origin: "root".to_owned(),
                file: None,
            });
        }
        Ok(())
    }
}

impl Overlay {
    /// Names the directories by descriptor: no path needs to be escaped, any number of layers fits
    /// into the page that mount(2) takes, and the container reads none of the host's paths in its
    /// mount table.
    fn into_mount(self) -> Result<OverlayMount, Error> {
        let by_number =
            |directory: &Directory| format!("/proc/self/fd/{}", directory.handle.as_raw_fd());
        let lower: Vec<String> = self.layers.iter().map(by_number).collect();
        // `userxattr`: an unprivileged overlay keeps its marks in `user.` attributes.
        let options = format!(
            "lowerdir={},upperdir={},workdir={},userxattr{}",
            lower.join(":"),
            by_number(&self.upper),
            by_number(&self.work),
            if self.volatile { ",volatile" } else { "" }
        );
        // Any directory would do: the mount covers it in the container's namespace only, where it
        // goes away with the old root.
        let target = c_string("root", &self.upper.path)?;
        let directories = self.layers.into_iter().chain([self.upper, self.work]);
        let directories = directories
            .map(|directory| Ok((c_string("root", directory.path)?, directory.handle)))
            .collect::<Result<_, Error>>()?;
        Ok(OverlayMount {
            directories,
            target,
            options: c_string("root", options)?,
        })
    }
}

/// What [`compile`] makes of a bundle.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) plan: InitPlan,
    pub(crate) namespaces: Wanted,
    pub(crate) maps: IdMaps,
    /// Whether the child waits for its parent before it goes on.
    pub(crate) awaits_parent: bool,
}

/// Becomes root of a user namespace whose root is not the caller.
fn compile_root(plan: &mut InitPlan, spec: &Spec, is_alone: bool) {
    let keep_groups = process::keeps_groups(spec);
    plan.push("linux.uidMappings", Step::BecomeRoot { keep_groups });
    if is_alone {
        // Others of the caller's have to find its namespaces, as they do where he is root.
        plan.push("linux.uidMappings", Step::SetTraceable(true));
    }
}

fn is_read_only(spec: &Spec) -> bool {
    let root = spec.root().as_ref();
    root.is_some_and(|root| root.readonly() == Some(true))
}

pub(crate) fn compile(bundle: Bundle<'_>) -> Result<Compiled, Error> {
    let spec = bundle.spec;
    unsupported::refuse(spec)?;
    hooks::check(spec)?;
    let process = &*process::of(spec, &bundle.launch)?;
    let linux = spec.linux().as_ref();
    let linux = linux.ok_or_else(|| invalid("linux", "it is required"))?;
    let mut namespaces = Wanted::of(linux)?;
    let mut maps = maps_of(linux);
    bundle.root.enter(&mut namespaces)?;
    namespaces.check_maps(&maps)?;
    if namespaces.makes_users() {
        maps.complete();
    }
    let filter = filter::of(bundle.filter, linux)?;
    let mut launch = bundle.launch;

    let mut plan = InitPlan {
        oom_score: process.oom_score_adj(),
        ..InitPlan::default()
    };
    let awaits_parent = namespaces.makes_users() || launch.has_cgroup || plan.oom_score.is_some();
    if awaits_parent {
        plan.push("linux.uidMappings", Step::AwaitParent);
    }
    // In a PID namespace of its own nobody can look into the process.
    let is_alone = namespaces.new.contains(Namespaces::PID);
    if namespaces.has_users() && !maps.keeps_caller() {
        compile_root(&mut plan, spec, is_alone);
    }
    if launch.has_cgroup && namespaces.defer_cgroups() {
        // The namespace shows what is below the cgroup of the process when it is made.
        plan.push("linux.namespaces", Step::SeparateCgroups);
    }
    namespaces::compile_clocks(&mut plan, &mut namespaces, linux)?;
    if !is_alone {
        // After the maps: a helper may not write them for a process that cannot be traced.
        plan.push("process", Step::SetTraceable(false));
    }
    plan.push(
        "linux.rootfsPropagation",
        Step::SetPropagation(mounts::first_propagation(linux)?),
    );
    plan.push("root", bundle.root.into_step()?);
    let protect_devices = mounts::compile(&mut plan, spec, &namespaces, &maps)?;
    let streams = launch.take_streams();
    process::compile_stdio(&mut plan, process, streams, DevicePlace::NewRoot);
    if hooks::run_before_the_change_of_roots(spec) {
        // Before anything is hidden or read-only: hooks bring files.
        plan.push("hooks", Step::AwaitHooks);
    }
    if let Some(step) = protect_devices {
        plan.push("mounts", step);
    }
    if let Some(registration) = &bundle.emulator {
        // Before /proc/sys becomes read-only.
        mounts::compile_emulator(&mut plan, registration);
    }
    namespaces::compile_sysctls(&mut plan, &namespaces, linux)?;
    mounts::compile_masks(&mut plan, linux)?;
    process::compile_working_directory(&mut plan, process)?;
    if is_read_only(spec) {
        // After all that makes mount points.
        plan.push("root.readonly", Step::ProtectRoot);
    }
    namespaces::compile_names(&mut plan, spec, &namespaces)?;
    plan.push("root", Step::EnterRoot);
    if let Some(flags) = mounts::last_propagation(linux)? {
        plan.push("linux.rootfsPropagation", Step::SetPropagation(flags));
    }
    if let Some(personality) = linux.personality() {
        schedule::compile_personality(&mut plan, personality)?;
    }
    // A change of ids makes a process untraceable, and hooks, `exec` and whoever connects it look for
    // its namespaces.
    let traceable = is_alone && (launch.gate.is_some() || launch.is_looked_into);
    let execution = process::execution_of(spec, &mut launch)?;
    process::compile(
        &mut plan, process, &maps, filter, execution, launch, traceable,
    )?;
    process::keep_groups(&mut plan, spec);
    Ok(Compiled {
        plan,
        namespaces,
        maps,
        awaits_parent,
    })
}

/// The plan of a process that joins a container.
pub(crate) fn compile_joining(entry: Entry<'_>) -> Result<InitPlan, Error> {
    let Entry {
        spec,
        process,
        filter,
        mut launch,
    } = entry;
    let linux = spec.linux().clone().unwrap_or_default();
    let maps = maps_of(&linux);
    let mut plan = InitPlan {
        oom_score: process.oom_score_adj(),
        ..InitPlan::default()
    };
    if launch.has_cgroup {
        plan.push("linux.cgroupsPath", Step::AwaitParent);
    }
    if !maps.keeps_caller() {
        plan.push(
            "linux.uidMappings",
            Step::BecomeRoot {
                keep_groups: process::keeps_groups(spec),
            },
        );
    }
    process::compile_stdio(
        &mut plan,
        process,
        launch.take_streams(),
        DevicePlace::OwnRoot,
    );
    schedule::compile_affinity(&mut plan, process)?;
    if let Some(personality) = linux.personality() {
        schedule::compile_personality(&mut plan, personality)?;
    }
    let filter = match (filter, spec.linux()) {
        (None, None) => None,
        (filter, _) => filter::of(filter, &linux)?,
    };
    let execution = Some(process::execution(process, &mut launch)?);
    process::compile(&mut plan, process, &maps, filter, execution, launch, false)?;
    process::keep_groups(&mut plan, spec);
    Ok(plan)
}

fn maps_of(linux: &Linux) -> IdMaps {
    IdMaps {
        users: ranges(linux.uid_mappings().as_deref()),
        groups: ranges(linux.gid_mappings().as_deref()),
    }
}

fn ranges(mappings: Option<&[LinuxIdMapping]>) -> Vec<IdRange> {
    let range = |mapping: &LinuxIdMapping| IdRange {
        inside: mapping.container_id(),
        outside: mapping.host_id(),
        count: mapping.size(),
    };
    mappings.unwrap_or_default().iter().map(range).collect()
}

fn invalid(field: impl Into<String>, reason: &str) -> Error {
    Error::Invalid {
        field: field.into(),
        reason: reason.to_owned(),
    }
}

fn c_string(field: &str, text: impl AsRef<std::ffi::OsStr>) -> Result<CString, Error> {
    use std::os::unix::ffi::OsStrExt as _;
    CString::new(text.as_ref().as_bytes()).map_err(|_| invalid(field, "it contains a null byte"))
}

/// A path of the container as the kernel resolves it below a root.
fn target(
    field: &str,
    path: impl AsRef<std::path::Path>,
    symlinks: Symlinks,
) -> Result<Target, Error> {
    let path = path.as_ref();
    if path.is_absolute() {
        below_root(field, path, symlinks)
    } else {
        Err(invalid(field, "the path is not absolute"))
    }
}

/// [`target`] of a path that may be relative to the root.
fn below_root(
    field: &str,
    path: impl AsRef<std::path::Path>,
    symlinks: Symlinks,
) -> Result<Target, Error> {
    use std::path::Component;
    let mut relative = PathBuf::new();
    for component in path.as_ref().components() {
        match component {
            Component::Normal(name) => relative.push(name),
            // At the root, `..` stays there.
            Component::ParentDir => drop(relative.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(Target {
        path: c_string(field, relative)?,
        symlinks,
    })
}
