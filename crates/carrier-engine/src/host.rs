//! What the engine must know of the host, read once a command.

use std::fs;
use std::path::{Path, PathBuf};

use carrier_runtime::IdMaps;

use crate::engine::absolute;
use crate::error::Error;
use crate::net::resolv;
use crate::places;
use crate::shared_ids::{Files, SharedIds};
use crate::subordinate::{Caller, id_maps};

/// Set to 1, it lets containers have ids that somebody else has too.
pub(crate) const ALLOW_SHARED_IDS: &str = "CARRIER_ALLOW_SHARED_IDS";

/// Facts of the host.
#[derive(Clone, Debug)]
pub struct Host {
    /// The caller and the subordinate ids, as containers see them.
    pub(crate) maps: IdMaps,
    /// Those of the ids that are not only the caller's, unless that is allowed.
    shared_ids: Option<SharedIds>,
    /// Whether the unified control group hierarchy can be mounted.
    pub(crate) has_cgroup2: bool,
    /// Each processor's counters of overheating: they tell tenants apart.
    pub(crate) thermal_throttle: Vec<PathBuf>,
    /// `/etc/resolv.conf`, or the one with the real name servers.
    pub(crate) resolv_conf: String,
    /// `/etc/hosts`.
    pub(crate) hosts: Vec<u8>,
}

impl Host {
    /// Looks at the host.
    ///
    /// # Errors
    /// None at present: what cannot be read counts as absent.
    pub fn detect() -> Result<Self, Error> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let mut files = Files {
            subuid: read("/etc/subuid"),
            subgid: read("/etc/subgid"),
            passwd: read("/etc/passwd"),
            group: String::new(),
        };
        let caller = caller(&files.passwd);
        let maps = id_maps(&caller, &files.subuid, &files.subgid);
        let allows_shared = std::env::var_os(ALLOW_SHARED_IDS).is_some_and(|value| value == "1");
        let shared_ids = if maps.is_single() || allows_shared {
            None
        } else {
            files.group = read("/etc/group");
            SharedIds::find(&caller, &files)
        };
        Ok(Self {
            maps,
            shared_ids,
            has_cgroup2: read("/proc/self/cgroup")
                .lines()
                .any(|line| line.starts_with("0::")),
            thermal_throttle: thermal_throttle(),
            resolv_conf: resolv::of_host(),
            hosts: fs::read("/etc/hosts").unwrap_or_default(),
        })
    }

    /// The ids of a container or an image that is about to be made.
    ///
    /// # Errors
    /// [`Error::SharedIds`] when somebody else has some of them: with a container's ids comes power
    /// over its files and processes.
    pub fn own_ids(&self) -> Result<&IdMaps, Error> {
        match &self.shared_ids {
            Some(shared) => Err(Error::SharedIds(shared.clone())),
            None => Ok(&self.maps),
        }
    }

    /// Whether an id of a container exists on this host.
    pub(crate) fn maps_user(&self, uid: u32) -> bool {
        covers(&self.maps.users, uid)
    }

    /// The same for a group.
    pub(crate) fn maps_group(&self, gid: u32) -> bool {
        covers(&self.maps.groups, gid)
    }
}

fn covers(ranges: &[carrier_runtime::IdRange], id: u32) -> bool {
    ranges
        .iter()
        .any(|range| id >= range.inside && id - range.inside < range.count)
}

pub(crate) fn caller(passwd: &str) -> Caller {
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    // Never getpwuid(3): in a static binary it loads modules that may crash. Users of a directory
    // service are in no file, and known by their environment.
    let name = passwd
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
        })
        .or_else(|| std::env::var("USER").ok());
    Caller { uid, gid, name }
}

/// The caller's home as `/etc/passwd` has it, whatever `$HOME` says.
pub(crate) fn home_directory() -> Option<PathBuf> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let uid = rustix::process::getuid().as_raw();
    passwd
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':').skip(2);
            (fields.next()?.parse() == Ok(uid)).then(|| fields.nth(2))?
        })
        .map(PathBuf::from)
}

fn thermal_throttle() -> Vec<PathBuf> {
    let of = |number: u32| {
        PathBuf::from(format!(
            "/sys/devices/system/cpu/cpu{number}/thermal_throttle"
        ))
    };
    if !of(0).exists() {
        return Vec::new();
    }
    let present = fs::read_to_string("/sys/devices/system/cpu/present").unwrap_or_default();
    let last = present
        .trim()
        .rsplit(['-', ','])
        .next()
        .and_then(|last| last.parse().ok());
    (0..=last.unwrap_or(0)).map(of).collect()
}

/// The directory that dies with a boot: `$XDG_RUNTIME_DIR/carrier`, else one in `/tmp` that nobody
/// else could have made. Each store of a user has its own.
///
/// # Errors
/// When it cannot be made, or belongs to somebody else.
pub(crate) fn runtime_dir() -> Result<PathBuf, Error> {
    let path = runtime_dir_path();
    let made = make_private(&path);
    made.map_err(|source| Error::RuntimeDirectory {
        path: path.clone(),
        source,
    })?;
    if private_to(&path, rustix::process::geteuid().as_raw()) {
        Ok(path)
    } else {
        Err(Error::ForeignRuntimeDirectory { path })
    }
}

/// Where the directory that dies with a boot is or will be.
pub(crate) fn runtime_dir_path() -> PathBuf {
    let uid = rustix::process::geteuid().as_raw();
    let of_store = places::key().map_or_else(String::new, |key| format!("-{key}"));
    let chosen = places::runroot().map(Path::to_owned);
    if let Some(base) = chosen.or_else(|| absolute("XDG_RUNTIME_DIR")) {
        return base.join(format!("carrier{of_store}"));
    }
    let login = PathBuf::from(format!("/run/user/{uid}"));
    if private_to(&login, uid) {
        login.join(format!("carrier{of_store}"))
    } else {
        PathBuf::from(format!("/tmp/carrier-{uid}{of_store}"))
    }
}

fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Whether `path` is a directory, no link, that only `uid` can enter.
fn private_to(path: &Path, uid: u32) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::symlink_metadata(path)
        .is_ok_and(|meta| meta.is_dir() && meta.uid() == uid && meta.mode() & 0o077 == 0)
}
