//! Control groups, version 2: kernel documentation `admin-guide/cgroup-v2.rst`.

mod devices;
mod limits;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oci_spec::runtime::{LinuxNamespaceType, Spec};

use crate::container::CgroupManager;
use crate::error::Error;

/// The cgroup of a container.
#[derive(Debug)]
pub(crate) struct Cgroup {
    path: PathBuf,
}

/// Where the unified hierarchy is mounted, beside version 1 in the second place.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

impl Cgroup {
    /// Makes the cgroup that `spec` asks for. Without one that the caller may make, a container
    /// without limits does without.
    pub(crate) fn create(
        manager: CgroupManager,
        id: &str,
        spec: &Spec,
    ) -> Result<Option<Self>, Error> {
        let linux = spec.linux().as_ref();
        let resources = linux.and_then(|linux| linux.resources().as_ref());
        let limits = match resources {
            Some(resources) => limits::files(resources)?,
            None => Vec::new(),
        };
        let wanted = linux.and_then(|linux| linux.cgroups_path().as_deref());
        match place(manager, id, wanted).and_then(|path| Self::make(path, &limits)) {
            Ok(cgroup) => match cgroup
                .apply(&limits)
                .and_then(|()| cgroup.filter_devices(spec))
            {
                Ok(()) => Ok(Some(cgroup)),
                Err(error) => {
                    // The limit is what to tell about.
                    let _ = cgroup.remove();
                    Err(error)
                }
            },
            Err(reason) => match limits.iter().find(|limit| !limit.is_default()) {
                None => Ok(None),
                Some(limit) => Err(Error::Limit {
                    field: limit.field.clone(),
                    reason,
                }),
            },
        }
    }

    /// The cgroup in a directory that exists.
    pub(crate) fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn make(path: PathBuf, limits: &[limits::Limit]) -> Result<Self, String> {
        let describe = |error: io::Error| format!("cannot make cgroup {}: {error}", path.display());
        fs::create_dir_all(&path).map_err(describe)?;
        let cgroup = Self { path };
        cgroup.enable(limits);
        Ok(cgroup)
    }

    /// Hands controllers down to the cgroup; one that is missing makes its limit fail by name.
    fn enable(&self, limits: &[limits::Limit]) {
        let mut controllers: Vec<&str> = limits
            .iter()
            .filter_map(limits::Limit::controller)
            .collect();
        controllers.dedup();
        let root = MOUNTS.iter().map(Path::new).find(|root| is_cgroup2(root));
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

    fn apply(&self, limits: &[limits::Limit]) -> Result<(), Error> {
        for limit in limits {
            let path = self.path.join(&limit.file);
            let exists = path.exists();
            if !exists && limit.is_default() {
                continue;
            }
            if !exists {
                return Err(Error::Limit {
                    field: limit.field.clone(),
                    reason: format!("{} has no {}", self.path.display(), limit.file),
                });
            }
            fs::write(&path, &limit.value).map_err(|source| Error::Limit {
                field: limit.field.clone(),
                reason: format!("write {:?} to {}: {source}", limit.value, path.display()),
            })?;
        }
        Ok(())
    }

    /// Lets the kernel ask the rules for devices. A container with a user namespace has none: it can
    /// make no node, and opens only those that it was given.
    fn filter_devices(&self, spec: &Spec) -> Result<(), Error> {
        use std::os::fd::AsFd as _;
        let Some(linux) = spec.linux() else {
            return Ok(());
        };
        let mut namespaces = linux.namespaces().iter().flatten();
        if namespaces.any(|namespace| namespace.typ() == LinuxNamespaceType::User) {
            return Ok(());
        }
        let resources = linux.resources().as_ref();
        let rules = resources.and_then(|resources| resources.devices().as_deref());
        let Some(rules) = rules.filter(|rules| !rules.is_empty()) else {
            return Ok(());
        };
        let attach = || {
            let filter = carrier_sys::bpf::load_device_filter(&devices::program(rules))?;
            let directory = fs::File::open(&self.path)?;
            carrier_sys::bpf::attach_device_filter(directory.as_fd(), &filter)
        };
        attach().map_err(|source| Error::Limit {
            field: "linux.resources.devices".to_owned(),
            reason: format!("the kernel takes no filter: {source}"),
        })
    }

    /// Changes limits of a container that runs.
    pub(crate) fn update(
        &self,
        resources: &oci_spec::runtime::LinuxResources,
    ) -> Result<(), Error> {
        let limits = limits::files(resources)?;
        self.enable(&limits);
        self.apply(&limits)
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
            Ok(()) => Ok(Self { path }),
            Err(error) => Err(self.failed(format!("make {name:?} below"), error)),
        }
    }

    /// Moves a process in.
    pub(crate) fn add(&self, pid: u32) -> Result<(), Error> {
        self.write("cgroup.procs", &pid.to_string(), "move a process to")
    }

    /// Kills every process, also those that are frozen.
    pub(crate) fn kill(&self) -> Result<(), Error> {
        if !self.path.exists() {
            return Ok(());
        }
        match fs::write(self.path.join("cgroup.kill"), "1") {
            // Before Linux 5.14: the end of its first process ends a PID namespace.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(|error| self.failed("kill".to_owned(), error)),
        }
    }

    pub(crate) fn freeze(&self, frozen: bool) -> Result<(), Error> {
        let (value, action) = if frozen {
            ("1", "freeze")
        } else {
            ("0", "thaw")
        };
        self.write("cgroup.freeze", value, action)?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while is_frozen(&self.path) != frozen {
            if Instant::now() > deadline {
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
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(|error| self.failed("read".to_owned(), error))?,
            };
            pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
        }
        Ok(pids)
    }

    /// Removes the cgroup and those that the container made in it. Processes that were killed may
    /// still be in it for a moment.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        let deadline = Instant::now() + Duration::from_secs(10);
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

    /// The value of a file, for `events`.
    pub(crate) fn read(&self, file: &str) -> Option<String> {
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
}

/// Whether all processes of a cgroup are held.
pub(crate) fn is_frozen(path: &Path) -> bool {
    let events = fs::read_to_string(path.join("cgroup.events")).unwrap_or_default();
    events.lines().any(|line| line == "frozen 1")
}

/// Where the cgroup of a container goes.
fn place(manager: CgroupManager, id: &str, wanted: Option<&Path>) -> Result<PathBuf, String> {
    if manager == CgroupManager::Disabled {
        return Err("cgroups are disabled".to_owned());
    }
    let root = MOUNTS
        .iter()
        .map(Path::new)
        .find(|root| is_cgroup2(root))
        .ok_or("this host has no cgroup v2")?;
    let own = own_cgroup(root).ok_or("the caller's cgroup is not on the unified hierarchy")?;
    match wanted.filter(|path| !path.as_os_str().is_empty()) {
        // SLICE:PREFIX:NAME, which only systemd can make of itself.
        Some(path) if manager == CgroupManager::Systemd => {
            let text = path.to_string_lossy();
            let name = text.splitn(3, ':').skip(1).collect::<Vec<_>>().join("-");
            Ok(own.join(format!("{name}.scope")))
        }
        Some(path) if path.is_absolute() => Ok(root.join(path.strip_prefix("/").unwrap_or(path))),
        Some(path) => Ok(own.join(path)),
        None => Ok(own.join(format!("carrier-{id}"))),
    }
}

fn is_cgroup2(path: &Path) -> bool {
    path.join("cgroup.procs").exists() && path.join("cgroup.controllers").exists()
}

fn own_cgroup(root: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(root.join(path))
}
