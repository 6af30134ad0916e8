//! Namespaces, and what is set in them.

use std::ffi::CString;
use std::fmt::Write as _;
use std::os::fd::OwnedFd;

use carrier_sys::process::Namespaces;
use oci_spec::runtime::{Linux, LinuxNamespaceType, Spec};

use super::{Nesting, c_string, invalid};
use crate::error::Error;
use crate::idmap::{self, IdMaps};
use crate::mapped::Ids;
use crate::plan::{InitPlan, Step};

/// The namespaces of a container.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Those that are made with the process.
    pub(crate) new: Namespaces,
    /// Those that exist.
    pub(crate) joined: Vec<Join>,
    /// Where the new user namespace is made, unless it is the caller's own.
    pub(crate) nest: Option<Nest>,
}

/// A user namespace that is the parent of the new one, and what is written into the maps of that from
/// there.
#[derive(Debug)]
pub(crate) struct Nest {
    pub(crate) users: OwnedFd,
    pub(crate) uid_map: String,
    pub(crate) gid_map: String,
}

/// A namespace that exists.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) kind: Namespaces,
    pub(crate) path: CString,
    /// The field of the configuration.
    pub(crate) origin: String,
    /// The namespace, where it was opened already.
    pub(crate) file: Option<OwnedFd>,
}

impl Wanted {
    pub(super) fn of(linux: &Linux) -> Result<Self, Error> {
        let mut wanted = Self {
            new: Namespaces::empty(),
            joined: Vec::new(),
            nest: None,
        };
        for (index, namespace) in linux.namespaces().iter().flatten().enumerate() {
            let origin = format!("linux.namespaces[{index}]");
            let kind = kind(namespace.typ());
            if wanted.contains(kind) {
                return Err(invalid(origin, "there is one of this type already"));
            }
            match namespace.path() {
                Some(path) if !path.as_os_str().is_empty() => {
                    if !path.is_absolute() {
                        return Err(invalid(origin, "the path is not absolute"));
                    }
                    let path = c_string(&origin, path)?;
                    wanted.joined.push(Join {
                        kind,
                        path,
                        origin,
                        file: None,
                    });
                }
                _ => wanted.new |= kind,
            }
        }
        if wanted.contains(Namespaces::MOUNT) {
            Ok(wanted)
        } else {
            Err(invalid("linux.namespaces", "a mount namespace is required"))
        }
    }

    /// Whether the container has one of its own, new or joined.
    pub(crate) fn contains(&self, kind: Namespaces) -> bool {
        self.new.contains(kind) || self.joined.iter().any(|join| join.kind == kind)
    }

    pub(crate) fn makes_users(&self) -> bool {
        self.new.contains(Namespaces::USER)
    }

    pub(super) fn has_users(&self) -> bool {
        self.contains(Namespaces::USER)
    }

    /// Has the new user namespace made inside of another one.
    pub(crate) fn nest(&mut self, nesting: Nesting, maps: &IdMaps) -> Result<(), Error> {
        let Nesting { users, maps: outer } = nesting;
        if !self.makes_users() || !self.joined.is_empty() {
            let reason = "one that is made inside of another user namespace joins none";
            return Err(invalid("linux.namespaces", reason));
        }
        let reason = "the user namespace around it lacks some of the ids";
        let maps = maps
            .within(&outer)
            .ok_or_else(|| invalid("linux.uidMappings", reason))?;
        self.nest = Some(Nest {
            users,
            uid_map: idmap::lines(&maps.users),
            gid_map: idmap::lines(&maps.groups),
        });
        Ok(())
    }

    pub(super) fn check_maps(&self, maps: &IdMaps) -> Result<(), Error> {
        let fields = [
            ("linux.uidMappings", &maps.users),
            ("linux.gidMappings", &maps.groups),
        ];
        for (field, ranges) in fields {
            if !self.has_users() && !ranges.is_empty() {
                return Err(invalid(field, "there is no user namespace for it"));
            }
        }
        Ok(())
    }

    /// The ids of the container's user namespace, for its mounts.
    pub(super) fn ids(&self, maps: &IdMaps) -> Option<Ids> {
        let mut joined = self.joined.iter();
        match joined.find(|join| join.kind == Namespaces::USER) {
            Some(join) => Some(Ids::Namespace(join.path.clone())),
            None => self.makes_users().then(|| Ids::Maps(maps.clone())),
        }
    }

    /// Leaves a new cgroup namespace to a later step; whether there is one.
    pub(super) fn defer_cgroups(&mut self) -> bool {
        self.defer(Namespaces::CGROUP)
    }

    fn defer(&mut self, kind: Namespaces) -> bool {
        let wanted = self.new.contains(kind);
        self.new.remove(kind);
        wanted
    }
}

fn kind(kind: LinuxNamespaceType) -> Namespaces {
    match kind {
        LinuxNamespaceType::Mount => Namespaces::MOUNT,
        LinuxNamespaceType::Cgroup => Namespaces::CGROUP,
        LinuxNamespaceType::Uts => Namespaces::UTS,
        LinuxNamespaceType::Ipc => Namespaces::IPC,
        LinuxNamespaceType::User => Namespaces::USER,
        LinuxNamespaceType::Pid => Namespaces::PID,
        LinuxNamespaceType::Network => Namespaces::NETWORK,
        LinuxNamespaceType::Time => Namespaces::TIME,
    }
}

/// Clocks are set between the making of their namespace and its first use, so that clone3(2), which
/// does both at once, cannot make it.
pub(super) fn compile_clocks(
    plan: &mut InitPlan,
    namespaces: &mut Wanted,
    linux: &Linux,
) -> Result<(), Error> {
    const FIELD: &str = "linux.timeOffsets";
    let mut lines = String::new();
    for (clock, offset) in linux.time_offsets().iter().flatten() {
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            return Err(invalid(
                FIELD,
                &format!("{clock:?} is no clock with an offset"),
            ));
        }
        let (seconds, nanoseconds) = (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
        // Writing to a string does not fail.
        let _ = writeln!(lines, "{clock} {seconds} {nanoseconds}");
    }
    if namespaces.defer(Namespaces::TIME) {
        plan.push(FIELD, Step::SetClocks(lines.into_bytes()));
    } else if !lines.is_empty() {
        return Err(invalid(FIELD, "there is no new time namespace for them"));
    }
    Ok(())
}

pub(super) fn compile_names(
    plan: &mut InitPlan,
    spec: &Spec,
    namespaces: &Wanted,
) -> Result<(), Error> {
    let names = [
        ("hostname", spec.hostname()),
        ("domainname", spec.domainname()),
    ];
    for (field, name) in names {
        let Some(name) = name.as_deref().filter(|name| !name.is_empty()) else {
            continue;
        };
        if !namespaces.contains(Namespaces::UTS) {
            return Err(invalid(field, "there is no UTS namespace for it"));
        }
        let name = c_string(field, name)?;
        let step = match field {
            "hostname" => Step::SetHostname(name),
            _ => Step::SetDomainname(name),
        };
        plan.push(field, step);
    }
    if namespaces.new.contains(Namespaces::NETWORK) {
        plan.push("linux.namespaces", Step::BringLoopbackUp);
    }
    Ok(())
}

/// Kernel parameters that belong to one of the container's namespaces, and how their names begin.
const NAMESPACED: [(&str, Namespaces); 8] = [
    ("net.", Namespaces::NETWORK),
    ("fs.mqueue.", Namespaces::IPC),
    ("kernel.shm", Namespaces::IPC),
    ("kernel.msg", Namespaces::IPC),
    ("kernel.sem", Namespaces::IPC),
    ("kernel.domainname", Namespaces::UTS),
    ("kernel.hostname", Namespaces::UTS),
    ("user.max_", Namespaces::USER),
];

pub(super) fn compile_sysctls(
    plan: &mut InitPlan,
    namespaces: &Wanted,
    linux: &Linux,
) -> Result<(), Error> {
    let mut sysctls: Vec<_> = linux.sysctl().iter().flatten().collect();
    sysctls.sort_unstable();
    for (name, value) in sysctls {
        let field = format!("linux.sysctl[{name:?}]");
        // As sysctl(8): what separates the words is the first of the two that occurs.
        let slashes = name
            .find('/')
            .is_some_and(|slash| !name[..slash].contains('.'));
        let path = if slashes {
            name.clone()
        } else {
            name.replace('.', "/")
        };
        let dotted = path.replace('/', ".");
        let namespace = NAMESPACED
            .iter()
            .find(|(prefix, _)| dotted.starts_with(prefix));
        match namespace {
            None => return Err(invalid(field, "it is not separate for each container")),
            Some((_, kind)) if !namespaces.contains(*kind) => {
                return Err(invalid(field, "the container shares it with the host"));
            }
            Some(_) => {}
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/*".contains(&byte);
        if !name.bytes().all(plain) || path.contains("..") {
            return Err(invalid(
                field,
                "the name has characters that no parameter has",
            ));
        }
        let path = c_string(&field, format!("sys/{path}"))?;
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
