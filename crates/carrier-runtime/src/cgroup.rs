//! Control groups, version 2: kernel documentation `admin-guide/cgroup-v2.rst`.

mod apart;
mod bus;
mod devices;
mod limits;
mod planned;
mod scope;
mod subtree;
mod undo;

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use crate::error::Error;
pub use apart::leave_supervisor;
pub(crate) use planned::Planned;
pub use subtree::{Place, Subtree, cgroup_driver, controllers};

/// The cgroup of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    path: PathBuf,
    /// The unit of systemd whose cgroup it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// The unit of systemd below whose cgroup it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    within: Option<String>,
}

/// How long the processes of a container may take to be held: those that the kernel holds, in a system
/// call that nothing interrupts, cannot be.
const FREEZING: Duration = Duration::from_secs(2);

/// How long processes that were killed may take to leave.
const LEAVING: Duration = Duration::from_secs(10);

/// Where the unified hierarchy is mounted, beside version 1 in the second place.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

impl Cgroup {
    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Changes limits of a container that runs: all of them, or none.
    ///
    /// # Errors
    /// [`Error::Controller`] and [`Error::Limit`] for what cannot be applied.
    pub fn update(&self, resources: &oci_spec::runtime::LinuxResources) -> Result<(), Error> {
        let limits = limits::files(&limits::completed(resources, |file| self.read(file)))?;
        if self.scope.is_none() {
            self.enable(&limits);
        }
        let before = self.values_before(&limits);
        let tell_systemd = |limits: &[limits::Limit]| match &self.scope {
            Some(unit) => scope::update(unit, limits),
            None => Ok(()),
        };
        let changed = tell_systemd(&limits).and_then(|()| self.apply(&limits));
        if changed.is_err() {
            // The error of the limit is the one to tell.
            let _ = tell_systemd(&before);
            for limit in before {
                let _ = self.apply(&[limit]);
            }
        }
        changed
    }

    /// A cgroup below, which is made when it does not exist.
    pub(crate) fn below(&self, name: &str) -> Result<Self, Error> {
        let relative = Path::new(name.trim_start_matches('/'));
        let plain = relative
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        let path = self.path.join(relative);
        if !plain {
            return Err(self.failed(
                format!("use {name:?} below"),
                io::ErrorKind::InvalidInput.into(),
            ));
        }
        match fs::create_dir_all(&path) {
            Ok(()) => Ok(Self {
                path,
                scope: None,
                within: self.within.clone(),
            }),
            Err(error) => Err(self.failed(format!("make {name:?} below"), error)),
        }
    }

    /// Moves a process of the user in.
    ///
    /// # Errors
    /// [`Error::Cgroup`], [`Error::Scope`]
    pub fn add(&self, pid: u32) -> Result<(), Error> {
        match (
            self.write("cgroup.procs", &pid.to_string(), "move a process to"),
            &self.within,
        ) {
            // From one session to another there is no way for the user, cgroup-v2.rst, "Delegation
            // Containment"; systemd has one.
            (Err(Error::Cgroup { source, .. }), Some(unit))
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                let name = self.path.file_name().unwrap_or_default();
                scope::attach(unit, &format!("/{}", name.to_string_lossy()), pid)
            }
            (added, _) => added,
        }
    }

    /// [`add`](Self::add) for a process beside the first one: a cgroup that hands controllers down has no
    /// processes of its own, cgroup-v2.rst, "No Internal Process Constraint", and where a container has
    /// made it one of those, the first process is in one below.
    ///
    /// `first` reads the first one's `/proc/PID/cgroup`.
    pub(crate) fn add_beside(
        &self,
        first: impl FnOnce() -> Option<String>,
        pid: u32,
    ) -> Result<(), Error> {
        match self.add(pid) {
            Err(Error::Cgroup { source, .. }) if source.kind() == io::ErrorKind::ResourceBusy => {
                let below = || self.below_of(mount()?, &first()?);
                match below() {
                    Some(below) => below.add(pid),
                    None => Err(self.failed("move a process to".to_owned(), source)),
                }
            }
            added => added,
        }
    }

    /// The cgroup in the text of a `/proc/PID/cgroup`, where it is one below.
    fn below_of(&self, root: &Path, text: &str) -> Option<Self> {
        let path = root.join(in_hierarchy(text)?);
        let relative = path.strip_prefix(&self.path).ok()?;
        let mut parts = relative.components().peekable();
        parts.peek()?;
        let is_plain = parts.all(|part| matches!(part, std::path::Component::Normal(_)));
        is_plain.then_some(Self {
            path,
            scope: None,
            within: None,
        })
    }

    /// Kills every process, also those that are frozen.
    pub(crate) fn kill(&self) -> Result<(), Error> {
        if !self.path.exists() {
            return Ok(());
        }
        match fs::write(self.path.join("cgroup.kill"), "1") {
            // Before Linux 5.14.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.kill_each(),
            other => other.map_err(|error| self.failed("kill".to_owned(), error)),
        }
    }

    /// The end of its first process ends a PID namespace; without one each has to be told.
    fn kill_each(&self) -> Result<(), Error> {
        for pid in self.pids()? {
            if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
                // It may have ended meanwhile.
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
        Ok(())
    }

    /// Holds all processes, or lets them go on; returns when that is done. Where not all can be held,
    /// none is.
    ///
    /// # Errors
    /// [`Error::Cgroup`]
    pub fn freeze(&self, frozen: bool) -> Result<(), Error> {
        let (value, action) = if frozen {
            ("1", "freeze")
        } else {
            ("0", "thaw")
        };
        self.write("cgroup.freeze", value, action)?;
        let deadline = Instant::now() + FREEZING;
        while self.is_frozen() != frozen {
            if Instant::now() > deadline {
                if frozen {
                    self.write("cgroup.freeze", "0", "thaw")?;
                }
                return Err(self.failed(action.to_owned(), io::ErrorKind::TimedOut.into()));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    pub(crate) fn pids(&self) -> Result<Vec<u32>, Error> {
        let mut pids = Vec::new();
        for directory in self.tree() {
            let text = match fs::read_to_string(directory.join("cgroup.procs")) {
                Err(error) if is_removed(&error) => continue,
                other => other.map_err(|error| self.failed("read".to_owned(), error))?,
            };
            pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
        }
        Ok(pids)
    }

    /// Removes the cgroup and those that the container made in it. Processes that were killed may
    /// still be in it for a moment.
    ///
    /// # Errors
    /// [`Error::Cgroup`]
    pub fn remove(&self) -> Result<(), Error> {
        self.remove_within(LEAVING)
    }

    /// The same, for those who cannot wait so long for processes that were killed.
    ///
    /// # Errors
    /// [`Error::Cgroup`]
    pub fn remove_within(&self, patience: Duration) -> Result<(), Error> {
        if let Some(unit) = &self.scope {
            scope::stop(unit);
        }
        let deadline = Instant::now() + patience;
        for directory in self.tree().into_iter().rev() {
            loop {
                match fs::remove_dir(&directory) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                    Err(error)
                        if error.kind() == io::ErrorKind::ResourceBusy
                            && Instant::now() < deadline =>
                    {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    other => {
                        other.map_err(|error| self.failed("remove".to_owned(), error))?;
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// The content of a file; none where the controller is not there.
    #[must_use]
    pub fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.path.join(file)).ok()
    }

    /// The directory and all below, each before its own.
    fn tree(&self) -> Vec<PathBuf> {
        let mut found = vec![self.path.clone()];
        let mut next = 0;
        while let Some(directory) = found.get(next).cloned() {
            let entries = fs::read_dir(directory).into_iter().flatten().flatten();
            let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            found.extend(below.map(|entry| entry.path()));
            next += 1;
        }
        found
    }

    fn write(&self, file: &str, value: &str, action: &str) -> Result<(), Error> {
        let written = fs::write(self.path.join(file), value);
        written.map_err(|error| self.failed(action.to_owned(), error))
    }

    fn failed(&self, action: String, source: io::Error) -> Error {
        Error::Cgroup {
            action,
            path: self.path.clone(),
            source,
        }
    }

    /// Whether all processes are held.
    pub(crate) fn is_frozen(&self) -> bool {
        let events = self.read("cgroup.events").unwrap_or_default();
        events.lines().any(|line| line == "frozen 1")
    }

    /// Hands controllers down to the cgroup; one that is missing makes its limit fail by name.
    fn enable(&self, limits: &[limits::Limit]) {
        let mut controllers: Vec<&str> = limits
            .iter()
            .filter_map(limits::Limit::controller)
            .collect();
        controllers.dedup();
        let root = mount();
        let below_root = |path: &&Path| root.is_some_and(|root| path.starts_with(root));
        let mut above: Vec<&Path> = self
            .path
            .ancestors()
            .skip(1)
            .take_while(below_root)
            .collect();
        above.reverse();
        for directory in above {
            for controller in &controllers {
                let control = directory.join("cgroup.subtree_control");
                let _ = fs::write(control, format!("+{controller}"));
            }
        }
    }

    /// Why a file is not there: its controller is not, or the controller has no such file.
    fn missing(&self, limit: &limits::Limit) -> Error {
        let available = self.read("cgroup.controllers").unwrap_or_default();
        let has = |name: &str| available.split_whitespace().any(|one| one == name);
        match limit.controller() {
            // A file that only its name is known of may be one of no controller at all.
            Some(controller)
                if !has(controller) && (!limit.is_by_name() || has_controller(controller)) =>
            {
                Error::Controller {
                    field: limit.field.clone(),
                    controller: controller.to_owned(),
                    path: self.path.clone(),
                }
            }
            _ => Error::Limit {
                field: limit.field.clone(),
                reason: format!("{} has no {}", self.path.display(), limit.file),
            },
        }
    }

    fn apply(&self, limits: &[limits::Limit]) -> Result<(), Error> {
        for limit in limits {
            let mut limit = Cow::Borrowed(limit);
            let mut path = self.path.join(&limit.file);
            if !path.exists()
                && let Some(other) = limit.without_bfq()
            {
                path = self.path.join(&other.file);
                limit = Cow::Owned(other);
            }
            let exists = path.exists();
            if !exists && (limit.is_default() || (limit.is_of_swap() && !has_swap())) {
                continue;
            }
            if !exists {
                return Err(self.missing(&limit));
            }
            fs::write(&path, &limit.value).map_err(|source| Error::Limit {
                field: limit.field.clone(),
                reason: format!("write {:?} to {}: {source}", limit.value, path.display()),
            })?;
        }
        Ok(())
    }
}

/// Whether anything can be swapped out on this host: proc_swaps(5), a line of titles first.
fn has_swap() -> bool {
    fs::read_to_string("/proc/swaps").is_ok_and(|text| text.lines().count() > 1)
}

/// Where the unified hierarchy is on this host.
fn mount() -> Option<&'static Path> {
    MOUNTS.iter().map(Path::new).find(|root| is_cgroup2(root))
}

fn is_cgroup2(path: &Path) -> bool {
    path.join("cgroup.procs").exists() && path.join("cgroup.controllers").exists()
}

/// The cgroup of a process, where it is on the unified hierarchy.
fn of_process(pid: &str) -> Option<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    Some(mount()?.join(in_hierarchy(&text)?))
}

/// Where in the unified hierarchy a process is, by the text of its `/proc/PID/cgroup`.
fn in_hierarchy(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::/"))
}

/// Whether the unified hierarchy of this host has a controller, for whomever.
#[must_use]
pub fn has_controller(name: &str) -> bool {
    let controllers = mount().map(|root| fs::read_to_string(root.join("cgroup.controllers")));
    let controllers = controllers.and_then(Result::ok).unwrap_or_default();
    controllers.split_whitespace().any(|one| one == name)
}

/// Whether a cgroup was gone before its file was opened, or before it was read.
fn is_removed(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOENT | Errno::NODEV)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_process_is_followed_downwards_only() {
        let cgroup = Cgroup {
            path: "/cgroups/box".into(),
            scope: None,
            within: None,
        };
        let below = |text| cgroup.below_of(Path::new("/cgroups"), text);
        let found = below("1:cpu:/\n0::/box/init/deep\n").unwrap();
        assert_eq!(found.path(), Path::new("/cgroups/box/init/deep"));
        for other in [
            "0::/box\n",
            "0::/boxes/x\n",
            "0::/box/../x\n",
            "1:cpu:/box/x\n",
        ] {
            assert_eq!(below(other), None, "{other}");
        }
    }
}
