//! What the checks look at: this host, or a directory that stands for one.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::engine::{absolute, data_dir};
use crate::helper;
use crate::host::{self, ALLOW_SHARED_IDS};
use crate::places;
use crate::shared_ids::Files;
use crate::subordinate::Caller;

/// A host as the caller sees it.
#[derive(Debug)]
pub(crate) struct View {
    /// What is `/` there.
    pub(super) root: PathBuf,
    /// Whether this kernel may be asked, too.
    pub(super) is_host: bool,
    pub(super) caller: Caller,
    /// Where the store is or will be; nothing where neither variable says.
    pub(super) data: Option<PathBuf>,
    /// What ends with a boot is in it, where that was chosen, and by what: `--runroot` or
    /// `XDG_RUNTIME_DIR`.
    pub(super) runtime: Option<(&'static str, PathBuf)>,
    pub(super) now: SystemTime,
    /// When this program was installed, and where it is.
    pub(super) program: Option<(PathBuf, SystemTime)>,
    /// Whether ids that others have too are all right.
    pub(super) allows_shared_ids: bool,
}

impl View {
    pub(crate) fn of_host() -> Self {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let program = std::env::current_exe().ok().and_then(|path| {
            let installed = fs::metadata(&path).and_then(|found| found.modified());
            Some((path, installed.ok()?))
        });
        let chosen = places::runroot().map(|path| ("--runroot", path.to_owned()));
        let of_login = absolute("XDG_RUNTIME_DIR");
        Self {
            root: PathBuf::from("/"),
            is_host: true,
            caller: host::caller(&passwd),
            data: data_dir().ok(),
            runtime: chosen.or_else(|| of_login.map(|path| ("XDG_RUNTIME_DIR", path))),
            now: SystemTime::now(),
            program,
            allows_shared_ids: std::env::var_os(ALLOW_SHARED_IDS).is_some_and(|value| value == "1"),
        }
    }

    /// A path of the host.
    pub(super) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A text file of the host; empty where it cannot be read.
    pub(super) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    /// A kernel parameter, where the kernel has it.
    pub(super) fn sysctl(&self, name: &str) -> Option<String> {
        let path = self.path("proc/sys").join(name.replace('.', "/"));
        let value = fs::read_to_string(path).ok()?;
        Some(value.trim().to_owned())
    }

    /// The same, as a number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.sysctl(name)?.parse().ok()
    }

    pub(super) fn is_root(&self) -> bool {
        self.caller.uid == 0
    }

    /// Who owns what is root's.
    pub(super) fn owner_of_root(&self) -> u32 {
        fs::metadata(&self.root).map_or(0, |found| found.uid())
    }

    pub(super) fn user(&self) -> String {
        let uid = || self.caller.uid.to_string();
        self.caller.name.clone().unwrap_or_else(uid)
    }

    /// Major and minor number of the kernel.
    pub(super) fn kernel(&self) -> Option<(u32, u32)> {
        let release = self.sysctl("kernel.osrelease")?;
        let mut numbers = release.split(|c: char| !c.is_ascii_digit());
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }

    /// Finds a program that Carrier would start only from the directories of the system.
    pub(super) fn find_of_system(&self, program: &str) -> Result<PathBuf, String> {
        if self.is_host {
            helper::find(program)
        } else {
            helper::find_below(&self.root, program)
        }
    }

    /// Finds a program that Carrier would start from the caller's `PATH`, too.
    pub(super) fn find(&self, program: &str) -> Result<PathBuf, String> {
        if self.is_host {
            helper::find_also_in_path(program)
        } else {
            helper::find_below(&self.root, program)
        }
    }

    /// Where the file system of `path` is mounted, proc_pid_mountinfo(5).
    pub(super) fn mount_point(&self, path: &Path) -> String {
        let mounts = self.read("proc/self/mountinfo");
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        let above = points.filter(|point| path.starts_with(point));
        let longest = above.max_by_key(|point| point.len());
        longest.unwrap_or("/").to_owned()
    }

    pub(super) fn accounts(&self) -> Files {
        Files {
            subuid: self.read("etc/subuid"),
            subgid: self.read("etc/subgid"),
            passwd: self.read("etc/passwd"),
            group: self.read("etc/group"),
        }
    }
}

/// The nearest directory at or above `path` that is there.
pub(super) fn nearest(path: &Path) -> &Path {
    let there = path.ancestors().find(|path| path.is_dir());
    there.unwrap_or(Path::new("/"))
}
