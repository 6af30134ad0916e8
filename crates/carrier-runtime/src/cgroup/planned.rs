//! What a configuration wants of cgroups, before there is a process to put into one.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use carrier_sys::bpf::Instruction;
use oci_spec::runtime::{Linux, LinuxNamespaceType, Spec};
use rustix::fs::Access;

use super::limits::{self, Limit};
use super::scope::Scope;
use super::{Cgroup, devices, mount, of_process};
use crate::container::CgroupManager;
use crate::error::Error;

/// A cgroup that is made when its first process is there.
#[derive(Debug)]
pub(crate) struct Planned {
    place: Place,
    limits: Vec<Limit>,
    /// What the kernel asks before a device is used.
    devices: Option<Vec<Instruction>>,
}

#[derive(Debug)]
enum Place {
    Directory(PathBuf),
    Scope(Scope),
}

impl Planned {
    /// What `spec` asks for. On a host that has no cgroups for the caller, a container without
    /// limits does without.
    pub(crate) fn of(manager: CgroupManager, id: &str, spec: &Spec) -> Result<Option<Self>, Error> {
        let linux = spec.linux().as_ref();
        let limits = match linux.and_then(|linux| linux.resources().as_ref()) {
            Some(resources) => limits::files(resources)?,
            None => Vec::new(),
        };
        let wanted = linux.and_then(|linux| linux.cgroups_path().as_deref());
        let place = match manager {
            CgroupManager::Disabled => Err("cgroups are disabled".to_owned()),
            CgroupManager::Files => {
                wanted.map(check).transpose()?;
                directory(id, wanted).map(Place::Directory)
            }
            CgroupManager::Systemd => Scope::new(id, wanted)?.map(Place::Scope),
        };
        match place {
            Ok(place) => Ok(Some(Self {
                place,
                limits,
                devices: linux.and_then(device_filter),
            })),
            Err(reason) => without(&limits, reason),
        }
    }

    /// Makes the cgroup and puts the process `pid` into it. A directory that the caller may not make
    /// is done without, where there are no limits.
    pub(crate) fn make(self, pid: u32) -> Result<Option<Cgroup>, Error> {
        let cgroup = match self.place {
            Place::Scope(scope) => scope.start(pid, &self.limits)?,
            Place::Directory(path) => match make_directory(path)? {
                Ok(cgroup) => {
                    cgroup.enable(&self.limits);
                    cgroup
                }
                Err(reason) => return without(&self.limits, reason),
            },
        };
        let confine = || {
            cgroup.apply(&self.limits)?;
            if let Some(filter) = &self.devices {
                cgroup.filter_devices(filter)?;
            }
            cgroup.add(pid)
        };
        match confine() {
            Ok(()) => Ok(Some(cgroup)),
            Err(error) => {
                // The error of the limit is the one to tell.
                if cgroup.scope.is_some() {
                    // The process is in it already; others are not.
                    let _ = cgroup.kill();
                }
                let _ = cgroup.remove();
                Err(error)
            }
        }
    }
}

/// No cgroup, unless that would forget a limit.
fn without<T>(limits: &[Limit], reason: String) -> Result<Option<T>, Error> {
    match limits.iter().find(|limit| !limit.is_default()) {
        None => Ok(None),
        Some(limit) => Err(Error::Limit {
            field: limit.field.clone(),
            reason,
        }),
    }
}

/// Refuses the root of the hierarchy and what is not said plainly: all that is in a container's cgroup
/// ends with the container.
fn check(wanted: &Path) -> Result<(), Error> {
    use std::path::Component;
    let is_root = wanted.is_absolute() && wanted.parent().is_none();
    if is_root || wanted.components().any(|part| part == Component::ParentDir) {
        return Err(Error::Invalid {
            field: "linux.cgroupsPath".to_owned(),
            reason: format!("{} is no cgroup of one container", wanted.display()),
        });
    }
    Ok(())
}

/// The inner error is why there can be none.
fn make_directory(path: PathBuf) -> Result<Result<Cgroup, String>, Error> {
    let existed = path.exists();
    let made = fs::create_dir_all(&path);
    // It may be there and belong to another user's container of the same id.
    let ours = || rustix::fs::access(path.join("cgroup.procs"), Access::WRITE_OK);
    if let Err(error) = made.and_then(|()| Ok(ours()?)) {
        return Ok(Err(format!(
            "cannot make cgroup {}: {error}",
            path.display()
        )));
    }
    let cgroup = Cgroup {
        path,
        scope: None,
        within: None,
    };
    if existed {
        cgroup.check_unused()?;
    }
    Ok(Ok(cgroup))
}

/// Where the cgroup of a container goes in the hierarchy.
fn directory(id: &str, wanted: Option<&Path>) -> Result<PathBuf, String> {
    let root = mount().ok_or("this host has no cgroup v2")?;
    let own = of_process("self").ok_or("the caller's cgroup is not on the unified hierarchy")?;
    Ok(match wanted.filter(|path| !path.as_os_str().is_empty()) {
        Some(path) if path.is_absolute() => root.join(path.strip_prefix("/").unwrap_or(path)),
        Some(path) => own.join(path),
        None => own.join(format!("carrier-{id}")),
    })
}

/// The rules for devices as a program. A container with a user namespace needs none: it can make no
/// node, and opens only those that it was given.
fn device_filter(linux: &Linux) -> Option<Vec<Instruction>> {
    let mut namespaces = linux.namespaces().iter().flatten();
    if namespaces.any(|namespace| namespace.typ() == LinuxNamespaceType::User) {
        return None;
    }
    let rules = linux.resources().as_ref()?.devices().as_deref()?;
    (!rules.is_empty()).then(|| devices::program(rules))
}

impl Cgroup {
    fn check_unused(&self) -> Result<(), Error> {
        match self.pids()?.len() {
            0 => Ok(()),
            count => Err(Error::CgroupInUse {
                count,
                path: self.path.clone(),
            }),
        }
    }

    fn filter_devices(&self, program: &[Instruction]) -> Result<(), Error> {
        let attach = || -> io::Result<()> {
            let filter = carrier_sys::bpf::load_device_filter(program)?;
            let directory = fs::File::open(&self.path)?;
            carrier_sys::bpf::attach_device_filter(directory.as_fd(), &filter)
        };
        attach().map_err(|source| Error::Limit {
            field: "linux.resources.devices".to_owned(),
            reason: format!("the kernel takes no filter: {source}"),
        })
    }
}
