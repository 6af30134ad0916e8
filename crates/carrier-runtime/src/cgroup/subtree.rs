//! The place in the hierarchy that a container's cgroup has for as long as somebody takes care of it.
//!
//! In a subtree that was delegated to the caller it is a directory beside him. In a login session it is
//! a directory of a scope that systemd makes, with the caller in another one: processes and controllers
//! of one cgroup exclude each other, and what a container is limited by shall not limit who takes care
//! of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;

use super::bus::{Bus, Manager};
use super::limits::{self, Limit};
use super::scope::{Begun, Scope};
use super::{Cgroup, mount, of_process};
use crate::error::Error;
use crate::launch::Arrangement;

/// What is enabled for every container: it counts what is used, also without a limit.
const COUNTING: [&str; 4] = ["cpu", "io", "memory", "pids"];

/// Where the processes go that were in a cgroup which is to have others below.
pub(super) const SUPERVISOR: &str = "supervisor";

/// The controllers that containers of the caller can be limited by: none where he can make no cgroup.
#[must_use]
pub fn controllers() -> Vec<String> {
    let file = place().map(|(_, place)| place.join("cgroup.controllers"));
    let text = file.and_then(|file| fs::read_to_string(file).ok());
    let text = text.unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

/// Docker's word for who makes the cgroups of the caller's containers: `cgroupfs`, `systemd` or `none`.
#[must_use]
pub fn cgroup_driver() -> &'static str {
    place().map_or("none", |(driver, _)| driver)
}

/// Where the cgroups of the caller's containers are, and who makes them.
fn place() -> Option<(&'static str, PathBuf)> {
    let (root, own) = (mount()?, of_process("self")?);
    let by_files = |place| ("cgroupfs", place);
    if let Some(place) = delegated(&own) {
        return Some(by_files(place));
    }
    let uid = rustix::process::geteuid();
    match Manager::of_caller() {
        manager if Bus::connect(manager).is_err() => writable(&own, root).map(by_files),
        Manager::System => Some(("systemd", root.to_owned())),
        Manager::User => {
            let slice = format!("user.slice/user-{uid}.slice/user@{uid}.service");
            Some(("systemd", root.join(slice)))
        }
    }
}

/// A container's directory in its scope.
const CONTAINER: &str = "container";

/// Rounds of moving processes that make others meanwhile.
const ROUNDS: usize = 100;

/// Where a caller wants cgroups to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// Wherever they can be.
    Anywhere,
    /// In a slice of systemd.
    Slice(&'a str),
    /// In a directory of the hierarchy: absolute paths begin at its root, others at the caller's cgroup.
    Directory(&'a Path),
}

/// Where the cgroup of one container is made, anew for each start.
#[derive(Debug)]
pub struct Subtree(Kind);

#[derive(Debug)]
enum Kind {
    Directory {
        cgroup: Cgroup,
        /// Whether the caller's cgroup may be divided.
        divisible: bool,
    },
    Scope {
        /// What is to be made. The connection is not kept: a message bus has few of them for a user.
        scope: Option<Box<Scope>>,
        /// The container's, once the scope is there.
        cgroup: Option<Cgroup>,
    },
}

/// A process on its way into its cgroup.
pub(crate) struct Arriving<'a> {
    subtree: &'a mut Subtree,
    limits: Vec<Limit>,
    begun: Option<Begun>,
}

impl Subtree {
    /// Finds a place for the cgroup of container `id`; nothing is made yet.
    ///
    /// # Errors
    /// [`Error::NoCgroup`] when the caller may make none, [`Error::Invalid`] for a slice that is none.
    pub fn open(id: &str, place: &Place<'_>) -> Result<Self, Error> {
        let none = |reason: &str| Error::NoCgroup {
            reason: reason.to_owned(),
        };
        let root = mount().ok_or_else(|| none("this host has no cgroup v2"))?;
        let own = of_process("self").ok_or_else(|| none("the caller is in none of cgroup v2"))?;
        let name = format!("carrier-{id}");
        match place {
            Place::Directory(path) => {
                let parent = match path.strip_prefix("/") {
                    Ok(below_root) => root.join(below_root),
                    Err(_) => own.join(path),
                };
                Ok(Self::directory(parent.join(name), false))
            }
            Place::Slice(slice) => Self::scope(id, slice)?.map_err(|reason| none(&reason)),
            Place::Anywhere => {
                if let Some(parent) = delegated(&own) {
                    let divisible = parent == own;
                    return Ok(Self::directory(parent.join(name), divisible));
                }
                let reason = match Self::scope(id, "")? {
                    Ok(subtree) => return Ok(subtree),
                    Err(reason) => reason,
                };
                match writable(&own, root) {
                    Some(parent) => Ok(Self::directory(parent.join(name), false)),
                    None => Err(none(&format!(
                        "{reason}, and {} is not the user's",
                        own.display()
                    ))),
                }
            }
        }
    }

    fn directory(path: PathBuf, divisible: bool) -> Self {
        let cgroup = Cgroup {
            path,
            scope: None,
            within: None,
        };
        Self(Kind::Directory { cgroup, divisible })
    }

    /// A scope has the name of who takes care of the container, too: his predecessor's may still be there
    /// while that one hands out the last of the output, or is just ending.
    fn scope(id: &str, slice: &str) -> Result<Result<Self, String>, Error> {
        let wanted = format!("{slice}:carrier:{id}-{}", std::process::id());
        let scope = Scope::new(id, Some(Path::new(&wanted)))?;
        Ok(scope.map(|scope| {
            Self(Kind::Scope {
                scope: Some(Box::new(scope)),
                cgroup: None,
            })
        }))
    }

    /// The container's cgroup, as far as it is known where it is or will be.
    #[must_use]
    pub fn cgroup(&self) -> Option<&Cgroup> {
        match &self.0 {
            Kind::Directory { cgroup, .. } => Some(cgroup),
            Kind::Scope { cgroup, .. } => cgroup.as_ref(),
        }
    }

    pub(crate) fn arrangement(
        &mut self,
        resources: &LinuxResources,
    ) -> Result<Arriving<'_>, Error> {
        Ok(Arriving {
            limits: limits::files(resources)?,
            subtree: self,
            begun: None,
        })
    }

    /// Makes the cgroup, in which nobody is limited yet.
    fn make(&mut self, begun: Option<&Begun>, limits: &[Limit]) -> Result<&Cgroup, Error> {
        match &mut self.0 {
            Kind::Directory { cgroup, divisible } => {
                if *divisible && let Some(parent) = cgroup.path.parent() {
                    divide(parent, SUPERVISOR)?;
                }
                make_directory(&cgroup.path)?;
                cgroup.enable(limits);
                enable_counting(&cgroup.path);
                Ok(cgroup)
            }
            Kind::Scope { scope, cgroup } => {
                let made = match (cgroup.take(), scope.take()) {
                    (Some(made), _) => made,
                    (None, Some(scope)) => of_scope(*scope, begun)?,
                    (None, None) => return Err(Error::ChildDied),
                };
                make_directory(&made.path)?;
                made.enable(limits);
                enable_counting(&made.path);
                Ok(cgroup.insert(made))
            }
        }
    }
}

impl Arrangement for Arriving<'_> {
    fn begin(&mut self, pid: u32) -> Result<(), Error> {
        if let Kind::Scope {
            scope: Some(scope), ..
        } = &mut self.subtree.0
        {
            // The limits are the container's, not those of who takes care of it; and systemd's own limit
            // of processes is none of both.
            let any = Limit::any_processes();
            self.begun = Some(scope.begin(vec![std::process::id(), pid], &[any])?);
        }
        Ok(())
    }

    fn finish(&mut self, pid: u32) -> Result<(), Error> {
        let cgroup = self.subtree.make(self.begun.as_ref(), &self.limits)?;
        let confined = cgroup.apply(&self.limits).and_then(|()| cgroup.add(pid));
        if confined.is_err() {
            // The error of the limit is the one to tell.
            let _ = fs::remove_dir(&cgroup.path);
        }
        confined
    }
}

/// The container's cgroup in a scope, once that is there, and the caller in another one.
fn of_scope(mut scope: Scope, begun: Option<&Begun>) -> Result<Cgroup, Error> {
    if let Some(begun) = begun {
        scope.finish(begun)?;
    }
    let unit = scope.unit();
    let top = of_process("self").filter(|path| path.ends_with(unit));
    let top = top.ok_or_else(|| Error::Scope {
        action: "enter",
        unit: unit.to_owned(),
        reason: "systemd has not moved the process into it".to_owned(),
    })?;
    divide(&top, SUPERVISOR)?;
    Ok(Cgroup {
        path: top.join(CONTAINER),
        scope: None,
        within: Some(unit.to_owned()),
    })
}

/// Moves all processes of a cgroup into one below.
fn divide(top: &Path, name: &str) -> Result<(), Error> {
    let leaf = top.join(name);
    make_directory(&leaf)?;
    let failed = |source| Error::Cgroup {
        action: "divide".to_owned(),
        path: top.to_owned(),
        source,
    };
    for _ in 0..ROUNDS {
        let pids = fs::read_to_string(top.join("cgroup.procs")).map_err(failed)?;
        if pids.is_empty() {
            return Ok(());
        }
        for pid in pids.lines() {
            match fs::write(leaf.join("cgroup.procs"), pid) {
                // It has ended meanwhile.
                Err(error) if is_gone(&error) => {}
                other => other.map_err(failed)?,
            }
        }
    }
    Err(failed(io::ErrorKind::ResourceBusy.into()))
}

fn is_gone(error: &io::Error) -> bool {
    rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::SRCH)
}

fn make_directory(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(|source| Error::Cgroup {
        action: "make".to_owned(),
        path: path.to_owned(),
        source,
    })
}

/// Hands down what counts; a limit that needs one of these says so itself.
fn enable_counting(path: &Path) {
    let Some(parent) = path.parent() else { return };
    let available = fs::read_to_string(parent.join("cgroup.controllers")).unwrap_or_default();
    let enabled = fs::read_to_string(parent.join("cgroup.subtree_control")).unwrap_or_default();
    let is_in = |list: &str, name: &str| list.split_whitespace().any(|one| one == name);
    for controller in COUNTING {
        if is_in(&available, controller) && !is_in(&enabled, controller) {
            let _ = fs::write(
                parent.join("cgroup.subtree_control"),
                format!("+{controller}"),
            );
        }
    }
}

/// The nearest cgroup at or above `own` that systemd has left to whoever runs in it, `Delegate=` in
/// systemd.resource-control(5). What it has left to the user's own systemd is that one's.
fn delegated(own: &Path) -> Option<PathBuf> {
    let is_left = |path: &Path| {
        ["user.delegate", "trusted.delegate"].iter().any(|name| {
            let mut value = [0; 8];
            let read = rustix::fs::getxattr(path, *name, &mut value);
            read.is_ok_and(|length| value.get(..length) == Some(b"1"))
        })
    };
    let nearest = own.ancestors().find(|path| is_left(path))?;
    let name = nearest.file_name()?.to_string_lossy();
    let is_managers = name.starts_with("user@") || name == "init.scope";
    (!is_managers && is_writable(nearest)).then(|| nearest.to_owned())
}

/// The nearest cgroup at or above `own` that the user may make others in: one that hands controllers
/// down, if there is one.
fn writable(own: &Path, root: &Path) -> Option<PathBuf> {
    let below_root = |path: &&Path| path.starts_with(root);
    let mine: Vec<&Path> = own
        .ancestors()
        .take_while(below_root)
        .take_while(|path| is_writable(path))
        .collect();
    let hands_down = |path: &&&Path| {
        let control = fs::read_to_string(path.join("cgroup.subtree_control"));
        control.is_ok_and(|control| !control.trim().is_empty())
    };
    let found = mine.iter().find(hands_down).or_else(|| mine.first());
    found.map(|path| path.to_path_buf())
}

fn is_writable(path: &Path) -> bool {
    let may_write = |path: PathBuf| {
        use rustix::fs::{Access, AtFlags, CWD};
        rustix::fs::accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
    };
    may_write(path.to_owned()) && may_write(path.join("cgroup.procs"))
}
