//! The profile of a container that asks for none.
//!
//! Its shape is Docker's: what a program in a container has a use for is allowed, what administers
//! the machine comes with the capability for it, the rest fails with `EPERM`. It is stricter where
//! the kernel has been broken into from containers, and where a capability of a user namespace
//! would open what a capability of the machine should guard.

use super::arch::Arch;
use super::profile::{Action, ArgTest, Enosys, Op, Profile, Rule, Syscall};

/// The capabilities that the program is made for at build time: those that a container gets unless
/// told otherwise.
pub(super) const DEFAULT_CAPABILITIES: u64 = 0x8004_05fb;

/// Calls that every container may make, by subject. An architecture takes those that it has.
const ALLOWED: &[&str] = &[
    // Opening, reading, writing.
    "close close_range copy_file_range creat dup dup2 dup3 fallocate fcntl fcntl64 fdatasync flock \
     fsync ftruncate ftruncate64 lseek _llseek open openat openat2 pipe pipe2 pread64 preadv preadv2 \
     pwrite64 pwritev pwritev2 read readahead readv sendfile sendfile64 splice sync \
     sync_file_range sync_file_range2 arm_sync_file_range syncfs tee truncate truncate64 vmsplice \
     write writev fadvise64 fadvise64_64 arm_fadvise64_64",
    // Names and attributes of files.
    "access chdir chmod chown chown32 faccessat faccessat2 fchdir fchmod fchmodat fchmodat2 fchown \
     fchown32 fchownat fgetxattr file_getattr file_setattr flistxattr fremovexattr fsetxattr fstat \
     fstat64 fstatat64 fstatfs fstatfs64 futimesat getcwd getdents getdents64 getxattr getxattrat \
     lchown lchown32 lgetxattr link linkat listxattr listxattrat llistxattr lremovexattr lsetxattr \
     lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat readlink readlinkat \
     removexattr removexattrat rename renameat renameat2 rmdir setxattr setxattrat stat stat64 \
     statfs statfs64 statx symlink symlinkat umask unlink unlinkat utime utimensat \
     utimensat_time64 utimes",
    // Which mounts there are, and news of files.
    "fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch listmount statmount",
    // Waiting for descriptors.
    "epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 \
     io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit \
     _newselect poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd signalfd4",
    // Sockets, once there.
    "accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg \
     recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketpair",
    // Memory.
    "brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock \
     mlock2 mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc \
     pkey_free pkey_mprotect process_mrelease remap_file_pages",
    // Processes and threads.
    "arch_prctl breakpoint cacheflush execve execveat exit exit_group fork futex futex_requeue \
     futex_time64 futex_wait futex_waitv futex_wake get_robust_list get_thread_area getcpu getpgid \
     getpgrp getpid getppid getrlimit getrusage getsid gettid kill modify_ldt pidfd_open \
     pidfd_send_signal prctl prlimit64 process_vm_readv process_vm_writev ptrace restart_syscall \
     rseq seccomp set_robust_list set_thread_area set_tid_address set_tls setpgid setrlimit setsid \
     tgkill times tkill ugetrlimit uprobe uretprobe vfork wait4 waitid waitpid",
    // Who a process is, and what it may.
    "capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 \
     getresgid getresgid32 getresuid getresuid32 getuid getuid32 landlock_add_rule \
     landlock_create_ruleset landlock_restrict_self lsm_get_self_attr lsm_list_modules setfsgid \
     setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setregid setregid32 \
     setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32",
    // Signals.
    "pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend \
     rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaction sigaltstack signal \
     sigpending sigprocmask sigreturn sigsuspend",
    // Clocks and timers.
    "adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime \
     clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep \
     setitimer time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 \
     timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 \
     timerfd_settime timerfd_settime64",
    // Scheduling.
    "getpriority ioprio_get ioprio_set sched_get_priority_max sched_get_priority_min \
     sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval \
     sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam \
     sched_setscheduler sched_yield setpriority",
    // Memory, semaphores and queues that are shared by key or name.
    "ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend \
     mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop \
     semtimedop_time64 shmat shmctl shmdt shmget",
    // The machine.
    "getrandom sysinfo uname",
];

/// Calls that come with a capability. The kernel checks the capability too, but in a user namespace
/// everybody can have it: the filter asks for the capability in the container's bounding set.
const BY_CAPABILITY: [(u64, &str); 14] = [
    (CAP_DAC_READ_SEARCH, "open_by_handle_at"),
    (CAP_SYS_MODULE, "delete_module finit_module init_module"),
    (CAP_SYS_RAWIO, "ioperm iopl"),
    (CAP_SYS_CHROOT, "chroot"),
    (CAP_SYS_PTRACE, "kcmp pidfd_getfd process_madvise"),
    (CAP_SYS_PACCT, "acct"),
    (
        CAP_SYS_ADMIN,
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount \
         mount_setattr move_mount open_tree open_tree_attr perf_event_open quotactl quotactl_fd \
         setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    (CAP_SYS_BOOT, "reboot"),
    (
        CAP_SYS_NICE,
        "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    ),
    (
        CAP_SYS_TIME,
        "clock_settime clock_settime64 settimeofday stime",
    ),
    (CAP_SYS_TTY_CONFIG, "vhangup"),
    (CAP_SYSLOG, "syslog"),
    (CAP_PERFMON, "perf_event_open"),
    (CAP_BPF, "bpf"),
];

const CAP_DAC_READ_SEARCH: u64 = 1 << 2;
const CAP_NET_RAW: u64 = 1 << 13;
const CAP_SYS_MODULE: u64 = 1 << 16;
const CAP_SYS_RAWIO: u64 = 1 << 17;
const CAP_SYS_CHROOT: u64 = 1 << 18;
const CAP_SYS_PTRACE: u64 = 1 << 19;
const CAP_SYS_PACCT: u64 = 1 << 20;
const CAP_SYS_ADMIN: u64 = 1 << 21;
const CAP_SYS_BOOT: u64 = 1 << 22;
const CAP_SYS_NICE: u64 = 1 << 23;
const CAP_SYS_TIME: u64 = 1 << 25;
const CAP_SYS_TTY_CONFIG: u64 = 1 << 26;
const CAP_SYSLOG: u64 = 1 << 34;
const CAP_PERFMON: u64 = 1 << 38;
const CAP_BPF: u64 = 1 << 39;

/// Address families of sockets: local, IPv4, IPv6 and netlink. The others have a history of holes
/// (`AF_ALG`: CVE-2026-31431), reach past the container (`AF_VSOCK`) or load a kernel module.
///
/// socketcall(2) of 32-bit x86 hides the family and makes no sockets therefore, see `multiplex`: any
/// 64-bit program can call it too. The libc of old 32-bit programs knows no other way; an image of
/// such programs needs a rule more, for `socketcall`.
const FAMILIES: [u32; 4] = [1, 2, 10, 16];
const AF_PACKET: u32 = 17;

/// Every `CLONE_NEW*` flag that clone(2) takes.
const CLONE_NAMESPACES: u64 = 0x7e02_0000;

/// What a process may pretend to be: Linux, 32-bit Linux, both with the version 2.6, and the
/// question what it is.
const PERSONALITIES: [u32; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// ioctls that type into the terminal that a container was started from (CVE-2017-5226).
const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541c;

/// The profile of a container whose bounding set is the mask `capabilities`, on a machine whose
/// native architecture is `machine`.
pub(super) fn default_profile(machine: Arch, capabilities: u64) -> Profile {
    let mut rules: Vec<Rule> = ALLOWED.iter().map(|names| allow(names, &[])).collect();
    let held = BY_CAPABILITY
        .iter()
        .filter(|(capability, _)| capabilities & capability != 0);
    rules.extend(held.map(|(_, names)| allow(names, &[])));
    rules.extend(by_argument(capabilities & CAP_NET_RAW != 0));
    if capabilities & CAP_SYS_ADMIN == 0 {
        // Its flags are behind a pointer, out of a filter's sight. A libc falls back to clone.
        rules.push(rule("clone3", Action::NOT_IMPLEMENTED, &[]));
    }
    Profile {
        default_action: Action::NOT_PERMITTED,
        enosys: Enosys::UnknownNumbers,
        architectures: machine.with_siblings().to_vec(),
        rules,
    }
}

/// Whether a container with either set of capabilities gets the same profile.
pub(super) fn is_same(capabilities: u64, others: u64) -> bool {
    let deciding = BY_CAPABILITY
        .iter()
        .fold(CAP_NET_RAW, |deciding, (capability, _)| {
            deciding | capability
        });
    (capabilities ^ others) & deciding == 0
}

/// Rules that look at arguments.
///
/// Where the kernel takes an `int`, only these 32 bits are tested: it would not see a difference in
/// the upper half that a test sees (CVE-2019-10063).
fn by_argument(packet_sockets: bool) -> Vec<Rule> {
    let no_namespace = ArgTest {
        index: 0,
        op: Op::Eq,
        value: 0,
        mask: CLONE_NAMESPACES,
    };
    let no_typing = [
        ArgTest::int(1, Op::Ne, TIOCSTI),
        ArgTest::int(1, Op::Ne, TIOCLINUX),
    ];
    let mut rules = vec![allow("clone", &[no_namespace]), allow("ioctl", &no_typing)];
    let families = FAMILIES
        .into_iter()
        .chain(packet_sockets.then_some(AF_PACKET));
    rules.extend(families.map(|family| allow("socket", &[ArgTest::int(0, Op::Eq, family)])));
    rules.extend(
        PERSONALITIES.map(|persona| allow("personality", &[ArgTest::int(0, Op::Eq, persona)])),
    );
    rules
}

fn allow(names: &'static str, args: &[ArgTest]) -> Rule {
    rule(names, Action::Allow, args)
}

fn rule(names: &'static str, action: Action, args: &[ArgTest]) -> Rule {
    let syscalls = names
        .split_ascii_whitespace()
        .map(|name| Syscall::Name(name.into()))
        .collect();
    Rule {
        syscalls,
        action,
        args: args.to_vec(),
    }
}
