//! What is taken from a process before it reads the first byte of a stranger's layer: threat U-17.
//!
//! It sees no file but those of the layer, has no descriptor but its three, and may make no system
//! call that unpacking does not need. Whoever takes the process over through a fault in a decoder has
//! what the author of the layer has anyway: the layer.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use carrier_runtime::seccomp::{
    self, Action, Arch, ArgTest, Enosys, Instruction, Op, Profile, Rule,
};
use carrier_sys::landlock::{self, Access};
use carrier_sys::mount::{Attributes, set_attributes};
use carrier_sys::process::ChildToken;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

/// Address space: the largest window of a decoder is 128 MiB.
const MEMORY: u64 = 1 << 30;
const DESCRIPTORS: u64 = 64;

/// The calls of an unpacking process, of its allocator and of a panic in it.
const ALLOWED: &[&str] = &[
    "read write close fstat fstatfs newfstatat statx lseek ftruncate fallocate getdents64",
    "openat openat2 mkdirat mknodat symlinkat linkat unlinkat renameat2",
    "fchown fchownat fchmod utimensat fsetxattr",
    "brk munmap mremap madvise futex getrandom sigaltstack rt_sigaction rt_sigprocmask rt_sigreturn",
    "clock_gettime getpid gettid tgkill sched_yield restart_syscall exit exit_group",
];

/// Prepared once, for every layer.
pub(super) struct Confinement {
    program: Vec<Instruction>,
    landlock: Option<u32>,
    longest_file: u64,
}

/// Which step failed, and why.
#[derive(Debug)]
pub(super) struct Refused {
    step: &'static str,
    source: io::Error,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, source } = self;
        write!(f, "the process that unpacks it cannot {step}: {source}")
    }
}

fn step<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> Refused {
    move |error| Refused {
        step,
        source: error.into(),
    }
}

impl Confinement {
    pub(super) fn new(longest_file: u64) -> Result<Self, seccomp::Error> {
        Ok(Self {
            program: seccomp::compile(&profile())?,
            landlock: landlock::version().filter(|version| *version > 1),
            longest_file,
        })
    }

    /// Confines the calling process, the only one in its mount namespace, to `directory`. What it
    /// goes on with are `keep` and the returned descriptor of the directory.
    pub(super) fn enter(
        &self,
        directory: OwnedFd,
        keep: [BorrowedFd<'_>; 2],
        token: &ChildToken,
    ) -> Result<OwnedFd, Refused> {
        pivot_into(&directory)?;
        // Through it `..` would lead to the old root.
        drop(directory);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(c"/", flags, Mode::empty()).map_err(step("open the layer"))?;
        carrier_sys::fd::close_all_but(&[keep[0], keep[1], root.as_fd()], token)
            .map_err(step("close descriptors"))?;
        self.limit().map_err(step("set limits"))?;
        drop_capabilities().map_err(step("drop capabilities"))?;
        rustix::thread::set_no_new_privs(true).map_err(step("renounce privileges"))?;
        if let Some(version) = self.landlock {
            landlock::confine_to(root.as_fd(), files(), version).map_err(step("use Landlock"))?;
        }
        carrier_sys::seccomp::load(&self.program, carrier_sys::seccomp::SPEC_ALLOW)
            .map_err(step("load the seccomp filter"))?;
        Ok(root)
    }

    fn limit(&self) -> Result<(), Errno> {
        let limits = [
            (Resource::As, MEMORY),
            (Resource::Core, 0),
            (Resource::Fsize, self.longest_file),
            (Resource::Nofile, DESCRIPTORS),
            (Resource::Nproc, 0),
        ];
        for (resource, limit) in limits {
            let limit = match rustix::process::getrlimit(resource).maximum {
                Some(maximum) => limit.min(maximum),
                None => limit,
            };
            let both = Rlimit {
                current: Some(limit),
                maximum: Some(limit),
            };
            setrlimit(resource, both)?;
        }
        Ok(())
    }
}

/// Makes `directory`, which may have been opened in another mount namespace, the root.
fn pivot_into(directory: &OwnedFd) -> Result<(), Refused> {
    let own = open_in_own_namespace(directory).map_err(step("find the layer"))?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = rustix::mount::open_tree(&own, c"", flags).map_err(step("mount the layer"))?;
    let attributes = Attributes::NO_SUID | Attributes::NO_DEVICES | Attributes::NO_EXEC;
    match set_attributes(tree.as_fd(), attributes, false) {
        // Before Linux 5.12. Nothing that needs these attributes can be called later.
        Err(error) if error.raw_os_error() == Some(Errno::NOSYS.raw_os_error()) => {}
        other => other.map_err(step("mount the layer"))?,
    }
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    let pivot = || {
        rustix::mount::move_mount(&tree, c"", &own, c"", flags)?;
        rustix::process::fchdir(&tree)?;
        rustix::process::pivot_root(c".", c".")?;
        // Both roots are mounted at "/" now, the old one on top.
        rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
        rustix::process::chdir(c"/")
    };
    pivot().map_err(step("change the root"))
}

/// Opens the same directory through a mount of this namespace: others cannot be cloned.
fn open_in_own_namespace(directory: &OwnedFd) -> Result<OwnedFd, Errno> {
    use std::os::fd::AsRawFd as _;
    let link = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let path = rustix::fs::readlink(link, Vec::new())?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let own = rustix::fs::open(&*path, flags, Mode::empty())?;
    let (wanted, found) = (rustix::fs::fstat(directory)?, rustix::fs::fstat(&own)?);
    if (wanted.st_dev, wanted.st_ino) == (found.st_dev, found.st_ino) {
        Ok(own)
    } else {
        // Moved away, or hidden by a mount since the process was started.
        Err(Errno::STALE)
    }
}

fn drop_capabilities() -> Result<(), Errno> {
    let kept = CapabilitySet::CHOWN
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::DAC_READ_SEARCH
        | CapabilitySet::FOWNER
        | CapabilitySet::FSETID
        | CapabilitySet::SETFCAP;
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets)
}

fn files() -> Access {
    Access::all() - Access::EXECUTE - Access::MAKE_SOCK - Access::MAKE_BLOCK - Access::IOCTL_DEV
}

fn profile() -> Profile {
    const PROT_EXEC: u32 = 4;
    const F_GETFL: u32 = 3;
    const F_DUPFD_CLOEXEC: u32 = 1030;
    let rule = |names: &'static str, args: Vec<ArgTest>| Rule {
        syscalls: names
            .split_ascii_whitespace()
            .map(|name| seccomp::Syscall::Name(name.into()))
            .collect(),
        action: Action::Allow,
        args,
    };
    let no_code = ArgTest {
        mask: PROT_EXEC.into(),
        ..ArgTest::new(2, Op::Eq, 0)
    };
    let mut rules: Vec<Rule> = ALLOWED
        .iter()
        .map(|names| rule(names, Vec::new()))
        .collect();
    rules.push(rule("mmap mprotect", vec![no_code]));
    // Listing a directory asks how it was opened.
    let commands = [F_GETFL, F_DUPFD_CLOEXEC];
    rules.extend(commands.map(|command| rule("fcntl", vec![ArgTest::int(1, Op::Eq, command)])));
    Profile {
        default_action: Action::NOT_PERMITTED,
        enosys: Enosys::Never,
        architectures: vec![Arch::NATIVE],
        rules,
    }
}
