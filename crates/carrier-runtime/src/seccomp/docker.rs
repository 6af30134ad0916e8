//! Profile files of Docker and Podman: a superset of runtime-spec's section whose parts depend on
//! the host and on the container's capabilities.

use std::path::PathBuf;

use oci_spec::runtime::{
    Arch as OciArch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag,
    LinuxSyscall,
};
use serde::Deserialize;

use super::arch::Arch;
use super::oci::{self, ProfileError};
use super::profile::Profile;
use crate::Capabilities;

/// What the conditions of a profile file are about.
#[derive(Clone, Copy, Debug)]
pub struct DockerHost {
    /// The native architecture.
    pub machine: Arch,
    /// The container's bounding set.
    pub capabilities: Capabilities,
    /// The kernel that runs.
    pub kernel: KernelVersion,
}

/// The first two numbers of a kernel's release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion {
    /// The 6 of 6.1.
    pub major: u32,
    /// The 1 of 6.1.
    pub minor: u32,
}

impl KernelVersion {
    /// Reads the release of uname(2), such as `6.1.0-13-amd64`.
    #[must_use]
    pub fn from_release(release: &str) -> Option<Self> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit());
        let (major, minor) = (numbers.next()?, numbers.next()?);
        Some(Self {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
        })
    }
}

impl Profile {
    /// The profile that the file `json` of Docker or Podman gives on `host`.
    ///
    /// # Errors
    /// When `json` is no profile file; the error names the field.
    pub fn from_docker_json(json: &[u8], host: &DockerHost) -> Result<Self, ProfileError> {
        Self::from_oci(&host.resolve(json)?, host.machine)
    }
}

impl DockerHost {
    /// What the profile file `json` says for a container on this host, in the form in which Docker
    /// and Podman write it into a bundle.
    ///
    /// # Errors
    /// When `json` is no profile file; the error names the field.
    pub fn resolve(&self, json: &[u8]) -> Result<LinuxSeccomp, ProfileError> {
        let file: File =
            serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(json))
                .map_err(|error| ProfileError::Json {
                    field: error.path().to_string(),
                    source: error.into_inner(),
                })?;
        let entries = file
            .syscalls
            .iter()
            .enumerate()
            .filter(|(_, entry)| self.meets(entry));
        let syscalls = entries
            .map(|(index, entry)| entry.resolve(index))
            .collect::<Result<_, _>>()?;
        let mut seccomp = LinuxSeccomp::default();
        seccomp
            .set_default_action(file.default_action)
            .set_default_errno_ret(file.default_errno_ret.or(file.default_errno.number()))
            .set_architectures(self.architectures(&file)?)
            .set_flags(file.flags)
            .set_listener_path(file.listener_path)
            .set_listener_metadata(file.listener_metadata)
            .set_syscalls(Some(syscalls));
        Ok(seccomp)
    }

    /// The listed architectures, or those that the map gives for this machine.
    fn architectures(&self, file: &File) -> Result<Option<Vec<OciArch>>, ProfileError> {
        let listed = file.architectures.as_deref().unwrap_or_default();
        let map = file.arch_map.as_deref().unwrap_or_default();
        if !listed.is_empty() && !map.is_empty() {
            return Err(ProfileError::Both {
                field: "architectures".into(),
                other: "archMap",
            });
        }
        let native = |entry: &&ArchEntry| parse(&entry.architecture) == Some(self.machine);
        let Some(entry) = map.iter().find(native) else {
            return Ok(file.architectures.clone());
        };
        let names = entry
            .sub_architectures
            .iter()
            .flatten()
            .chain([&entry.architecture]);
        Ok(Some(names.filter_map(|name| name.parse().ok()).collect()))
    }

    fn meets(&self, entry: &Entry) -> bool {
        let Entry {
            includes, excludes, ..
        } = entry;
        let included = (includes.arches.is_empty() || self.is_one_of(&includes.arches))
            && includes.caps.iter().all(|name| self.may(name))
            && includes
                .min_kernel
                .is_none_or(|kernel| self.kernel >= kernel.0);
        let excluded = self.is_one_of(&excludes.arches)
            || excludes.caps.iter().any(|name| self.may(name))
            || excludes
                .min_kernel
                .is_some_and(|kernel| self.kernel >= kernel.0);
        included && !excluded
    }

    /// Nobody has a capability that does not exist.
    fn may(&self, capability: &str) -> bool {
        Capabilities::named(capability)
            .is_ok_and(|named| named.bits() & self.capabilities.bits() != 0)
    }

    /// Conditions say `amd64` and `arm64`, as Go does, and mean the native architecture only.
    fn is_one_of(&self, arches: &[String]) -> bool {
        let name = match self.machine {
            Arch::X86_64 => "amd64",
            Arch::X86 => "x86",
            Arch::X32 => "x32",
            Arch::Aarch64 => "arm64",
            Arch::Arm => "arm",
        };
        arches.iter().any(|arch| arch == name)
    }
}

/// Files name the architectures of all machines, which need not all be known here.
fn parse(name: &str) -> Option<Arch> {
    oci::arch(name.parse().ok()?)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    default_action: LinuxSeccompAction,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    default_errno: ErrnoName,
    architectures: Option<Vec<OciArch>>,
    arch_map: Option<Vec<ArchEntry>>,
    flags: Option<Vec<LinuxSeccompFilterFlag>>,
    listener_path: Option<PathBuf>,
    listener_metadata: Option<String>,
    syscalls: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchEntry {
    architecture: String,
    sub_architectures: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    name: Option<String>,
    #[serde(default)]
    names: Vec<String>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    #[serde(default)]
    errno: ErrnoName,
    args: Option<Vec<LinuxSeccompArg>>,
    #[serde(default)]
    includes: Condition,
    #[serde(default)]
    excludes: Condition,
}

impl Entry {
    fn resolve(&self, index: usize) -> Result<LinuxSyscall, ProfileError> {
        let names = match (&self.name, self.names.as_slice()) {
            (None, names) => names.to_vec(),
            (Some(name), []) => vec![name.clone()],
            _ => {
                let field = format!("syscalls[{index}].name");
                return Err(ProfileError::Both {
                    field,
                    other: "names",
                });
            }
        };
        let mut syscall = LinuxSyscall::default();
        syscall
            .set_names(names)
            .set_action(self.action)
            .set_errno_ret(self.errno_ret.or(self.errno.number()))
            .set_args(self.args.clone());
        Ok(syscall)
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    arches: Vec<String>,
    caps: Vec<String>,
    min_kernel: Option<MinKernel>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct MinKernel(KernelVersion);

impl TryFrom<String> for MinKernel {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let version = text.split_once('.').and_then(|(major, minor)| {
            Some(KernelVersion {
                major: major.parse().ok()?,
                minor: minor.parse().ok()?,
            })
        });
        version
            .map(Self)
            .ok_or_else(|| format!("{text:?} is not a kernel version like \"4.8\""))
    }
}

/// Podman's files say an errno as a number, as a name, or as both.
#[derive(Default, Deserialize)]
#[serde(try_from = "String")]
struct ErrnoName(Option<u32>);

impl ErrnoName {
    const fn number(&self) -> Option<u32> {
        self.0
    }
}

impl TryFrom<String> for ErrnoName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if name.is_empty() {
            return Ok(Self(None));
        }
        let known = ERRNO_NAMES.iter().find(|(_, known)| *known == name);
        known.map(|(number, _)| Self(Some(*number))).ok_or_else(|| {
            format!("{name:?} is not an errno known here, errnoRet takes any number")
        })
    }
}

/// The errnos that profiles use.
const ERRNO_NAMES: [(u32, &str); 11] = [
    (1, "EPERM"),
    (2, "ENOENT"),
    (4, "EINTR"),
    (5, "EIO"),
    (11, "EAGAIN"),
    (12, "ENOMEM"),
    (13, "EACCES"),
    (22, "EINVAL"),
    (38, "ENOSYS"),
    (95, "EOPNOTSUPP"),
    (97, "EAFNOSUPPORT"),
];
