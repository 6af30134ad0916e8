//! From a configuration to a plan: no system call is made here.
//!
//! Every field of the configuration is either compiled into a step or refused by name; the order of
//! the steps is that of [`compile`], and each of its comments tells a rule that the order obeys.

mod mounts;
mod process;
mod unsupported;

use std::borrow::Cow;
use std::ffi::CString;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;

use carrier_sys::process::Namespaces;
use carrier_sys::seccomp::Instruction;
use oci_spec::runtime::{Linux, LinuxIdMapping, LinuxNamespaceType, Spec};
use rustix::mount::MountPropagationFlags;

use crate::error::Error;
use crate::idmap::{IdMaps, IdRange};
use crate::plan::{InitPlan, OverlayMount, Step, Symlinks, Target};
use crate::seccomp;

/// All that decides what a container will be.
#[derive(Debug)]
pub struct Bundle<'a> {
    /// The configuration.
    pub spec: &'a Spec,
    /// Where the root filesystem comes from; `spec.root.path` is not looked at.
    pub root: RootSource,
    /// A compiled seccomp filter, instead of the profile in the configuration.
    pub filter: Option<Cow<'static, [Instruction]>>,
    /// What to write to `binfmt_misc` so that the kernel finds an emulator for the image.
    pub emulator: Option<Vec<u8>>,
    /// What the program reads, where it has no terminal.
    pub stdin: Stdin,
}

/// What a program without a terminal reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdin {
    /// What the caller reads.
    Inherit,
    /// Nothing.
    Null,
}

/// Where a root filesystem comes from.
#[derive(Debug)]
pub enum RootSource {
    /// A directory, as OCI bundles have it.
    Directory(PathBuf),
    /// Layers, mounted on each other in the container's mount namespace.
    Overlay(Overlay),
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
        }
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
    pub(crate) namespaces: Namespaces,
    pub(crate) maps: IdMaps,
}

pub(crate) fn compile(bundle: Bundle<'_>) -> Result<Compiled, Error> {
    let spec = bundle.spec;
    unsupported::refuse(spec)?;
    let missing = |field: &str| invalid(field, "it is required");
    let process = spec.process().as_ref().ok_or_else(|| missing("process"))?;
    let linux = spec.linux().as_ref().ok_or_else(|| missing("linux"))?;
    let namespaces = namespaces(linux)?;
    let maps = IdMaps {
        users: ranges(linux.uid_mappings().as_deref()),
        groups: ranges(linux.gid_mappings().as_deref()),
    };
    let filter = filter(&bundle, linux)?;

    let mut plan = InitPlan::default();
    if namespaces.contains(Namespaces::USER) {
        plan.push("linux.uidMappings", Step::AwaitIdMaps);
    }
    // After the maps: a helper may not write them for a process that cannot be traced.
    plan.push("process", Step::HideFromTracers);
    plan.push(
        "linux.rootfsPropagation",
        Step::SetPropagation(MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC),
    );
    plan.push("root", bundle.root.into_step()?);
    mounts::compile(&mut plan, spec)?;
    process::compile_stdio(&mut plan, process, bundle.stdin);
    if let Some(registration) = &bundle.emulator {
        // Before /proc/sys becomes read-only.
        mounts::compile_emulator(&mut plan, registration);
    }
    compile_sysctls(&mut plan, linux)?;
    mounts::compile_masks(&mut plan, linux)?;
    process::compile_working_directory(&mut plan, process)?;
    if spec
        .root()
        .as_ref()
        .is_some_and(|root| root.readonly() == Some(true))
    {
        // After all that makes mount points.
        plan.push("root.readonly", Step::ProtectRoot);
    }
    compile_names(&mut plan, spec, namespaces)?;
    plan.push("root", Step::EnterRoot);
    process::compile(&mut plan, process, &maps, filter)?;
    Ok(Compiled {
        plan,
        namespaces,
        maps,
    })
}

fn filter(bundle: &Bundle<'_>, linux: &Linux) -> Result<Option<Step>, Error> {
    let load = |filter, flags| Ok(Some(Step::LoadFilter { filter, flags }));
    match (&bundle.filter, linux.seccomp()) {
        (Some(filter), _) => load(filter.clone(), carrier_sys::seccomp::SPEC_ALLOW),
        (None, Some(profile)) => {
            let program = seccomp::compile_oci(profile)?;
            load(Cow::Owned(program), seccomp::load_flags(profile))
        }
        (None, None) => Ok(None),
    }
}

fn namespaces(linux: &Linux) -> Result<Namespaces, Error> {
    let mut wanted = Namespaces::empty();
    for (index, namespace) in linux.namespaces().iter().flatten().enumerate() {
        if namespace.path().is_some() {
            return Err(Error::Unsupported {
                field: format!("linux.namespaces[{index}].path"),
            });
        }
        wanted |= match namespace.typ() {
            LinuxNamespaceType::Mount => Namespaces::MOUNT,
            LinuxNamespaceType::Cgroup => Namespaces::CGROUP,
            LinuxNamespaceType::Uts => Namespaces::UTS,
            LinuxNamespaceType::Ipc => Namespaces::IPC,
            LinuxNamespaceType::User => Namespaces::USER,
            LinuxNamespaceType::Pid => Namespaces::PID,
            LinuxNamespaceType::Network => Namespaces::NETWORK,
            LinuxNamespaceType::Time => {
                return Err(Error::Unsupported {
                    field: format!("linux.namespaces[{index}]"),
                });
            }
        };
    }
    if wanted.contains(Namespaces::MOUNT) {
        Ok(wanted)
    } else {
        Err(invalid("linux.namespaces", "a mount namespace is required"))
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

fn compile_names(plan: &mut InitPlan, spec: &Spec, namespaces: Namespaces) -> Result<(), Error> {
    if let Some(name) = spec.hostname() {
        plan.push("hostname", Step::SetHostname(c_string("hostname", name)?));
    }
    if let Some(name) = spec.domainname() {
        plan.push(
            "domainname",
            Step::SetDomainname(c_string("domainname", name)?),
        );
    }
    if namespaces.contains(Namespaces::NETWORK) {
        plan.push("linux.namespaces", Step::BringLoopbackUp);
    }
    Ok(())
}

/// Kernel parameters that belong to one of the container's namespaces.
fn compile_sysctls(plan: &mut InitPlan, linux: &Linux) -> Result<(), Error> {
    const NAMESPACED: [&str; 5] = [
        "net.",
        "fs.mqueue.",
        "user.max_",
        "kernel.shm",
        "kernel.msg",
    ];
    const NAMESPACED_WHOLE: [&str; 1] = ["kernel.sem"];
    let mut sysctls: Vec<_> = linux.sysctl().iter().flatten().collect();
    sysctls.sort_unstable();
    for (name, value) in sysctls {
        let field = format!("linux.sysctl[{name:?}]");
        let namespaced = NAMESPACED.iter().any(|prefix| name.starts_with(prefix))
            || NAMESPACED_WHOLE.contains(&name.as_str());
        if !namespaced {
            return Err(invalid(field, "it is not separate for each container"));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/*".contains(&byte);
        if !name.bytes().all(plain) || name.contains("..") {
            return Err(invalid(
                field,
                "the name has characters that no parameter has",
            ));
        }
        let path = c_string(&field, format!("sys/{}", name.replace('.', "/")))?;
        plan.push(
            field.clone(),
            Step::SetSysctl {
                path,
                value: c_string(&field, value)?,
            },
        );
    }
    Ok(())
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
    use std::path::Component;
    let path = path.as_ref();
    if !path.is_absolute() {
        return Err(invalid(field, "the path is not absolute"));
    }
    let mut relative = PathBuf::new();
    for component in path.components() {
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
