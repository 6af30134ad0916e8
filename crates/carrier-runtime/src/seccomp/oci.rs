//! Filters of a bundle, the `linux.seccomp` section of runtime-spec.

use oci_spec::runtime::{
    Arch as OciArch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag,
    LinuxSeccompOperator, LinuxSyscall,
};

use super::arch::Arch;
use super::profile::{Action, ArgTest, Enosys, LAST_ARGUMENT, Op, Profile, Rule, Syscall};

/// `SECCOMP_FILTER_FLAG_*`
const LOG: u32 = 1 << 1;
const SPEC_ALLOW: u32 = 1 << 2;
const NEW_LISTENER: u32 = 1 << 3;
const WAIT_KILLABLE_RECV: u32 = 1 << 5;

/// Why a profile is refused, and which field is to blame.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Not JSON, or not of the expected shape.
    #[error("the seccomp profile is not valid at {field}")]
    Json {
        /// Where in the file.
        field: String,
        /// What is wrong there.
        source: serde_json::Error,
    },
    /// A number that cannot be.
    #[error("seccomp {field}: {value} is more than {most}")]
    TooGreat {
        /// Where in the profile.
        field: String,
        /// What is written there.
        value: u64,
        /// What could be.
        most: u16,
    },
    /// runtime-spec: for such an action "the runtime MUST print and error and fail".
    #[error("seccomp {field}: the action {action} takes no errno")]
    ErrnoNotTaken {
        /// Where in the profile.
        field: String,
        /// The action beside it.
        action: LinuxSeccompAction,
    },
    /// Two ways to say one thing.
    #[error("seccomp {field}: it is given in {other} too")]
    Both {
        /// Where in the profile.
        field: String,
        /// The field that says the same.
        other: &'static str,
    },
    /// The process could not even start: its first call would wait for a supervisor that does not
    /// have the listener yet.
    #[error("seccomp defaultAction: SCMP_ACT_NOTIFY cannot be the default")]
    NotifyByDefault,
}

impl TryFrom<&LinuxSeccomp> for Profile {
    type Error = ProfileError;

    fn try_from(seccomp: &LinuxSeccomp) -> Result<Self, ProfileError> {
        Self::from_oci(seccomp, Arch::NATIVE)
    }
}

impl Profile {
    /// The profile that `seccomp` describes, for a machine whose native architecture is `machine`.
    ///
    /// As with runc, the native architecture is always in it, and where the default action is an
    /// errno, numbers above every call that is named get `ENOSYS`. Architectures of other machines
    /// are left out: no call can come from them. For the rest of the section see [`load_flags`] and
    /// `listener_path`.
    ///
    /// # Errors
    /// When a field has a value that it cannot have.
    pub fn from_oci(seccomp: &LinuxSeccomp, machine: Arch) -> Result<Self, ProfileError> {
        let errno = seccomp.default_errno_ret();
        let default_action = action(seccomp.default_action(), errno, "defaultErrnoRet")?;
        if default_action == Action::Notify {
            return Err(ProfileError::NotifyByDefault);
        }
        let enosys = match default_action {
            Action::Errno(_) => Enosys::NewerThanRules,
            _ => Enosys::Never,
        };
        let mut rules = Vec::new();
        for syscall in seccomp.syscalls().iter().flatten() {
            rules.extend(rules_of(syscall)?);
        }
        let named = seccomp.architectures().as_deref().unwrap_or_default();
        Ok(Self {
            default_action,
            enosys,
            architectures: architectures(machine, named),
            rules,
        })
    }
}

/// The `SECCOMP_FILTER_FLAG_*` to load the filter of `seccomp` with.
///
/// Where none are listed, speculation is left alone, as runc does. `TSYNC` is left out: the process
/// that becomes the container has one thread. A profile that notifies gets a listener.
#[must_use]
pub fn load_flags(seccomp: &LinuxSeccomp) -> u32 {
    let mut flags = match seccomp.flags() {
        None => SPEC_ALLOW,
        Some(listed) => listed
            .iter()
            .copied()
            .map(flag)
            .fold(0, |flags, flag| flags | flag),
    };
    let notifies = |syscall: &LinuxSyscall| syscall.action() == LinuxSeccompAction::ScmpActNotify;
    if seccomp.syscalls().iter().flatten().any(notifies) {
        flags |= NEW_LISTENER;
    }
    flags
}

const fn flag(flag: LinuxSeccompFilterFlag) -> u32 {
    match flag {
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => LOG,
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync => 0,
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => SPEC_ALLOW,
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => WAIT_KILLABLE_RECV,
    }
}

fn architectures(machine: Arch, named: &[OciArch]) -> Vec<Arch> {
    let mut architectures = vec![machine];
    for arch in named.iter().copied().filter_map(arch) {
        if machine.with_siblings().contains(&arch) && !architectures.contains(&arch) {
            architectures.push(arch);
        }
    }
    architectures
}

pub(super) const fn arch(arch: OciArch) -> Option<Arch> {
    match arch {
        OciArch::ScmpArchX86_64 => Some(Arch::X86_64),
        OciArch::ScmpArchX86 => Some(Arch::X86),
        OciArch::ScmpArchX32 => Some(Arch::X32),
        OciArch::ScmpArchAarch64 => Some(Arch::Aarch64),
        OciArch::ScmpArchArm => Some(Arch::Arm),
        _ => None,
    }
}

fn rules_of(syscall: &LinuxSyscall) -> Result<Vec<Rule>, ProfileError> {
    let field = format!(
        "syscalls[{}]",
        syscall.names().first().map_or("", String::as_str)
    );
    let action = action(
        syscall.action(),
        syscall.errno_ret(),
        &format!("{field}.errnoRet"),
    )?;
    let mut args = Vec::new();
    for (index, arg) in syscall.args().iter().flatten().enumerate() {
        args.push(test(arg, || format!("{field}.args[{index}]"))?);
    }
    let rule = |args| Rule {
        syscalls: syscall
            .names()
            .iter()
            .cloned()
            .map(|name| Syscall::Name(name.into()))
            .collect(),
        action,
        args,
    };
    Ok(if repeats_an_index(&args) {
        args.into_iter().map(|test| rule(vec![test])).collect()
    } else {
        vec![rule(args)]
    })
}

/// libseccomp takes no two tests of one argument in a rule. runc and crun then make each test a rule
/// of its own, so that one of them is enough, and profiles rely on it.
fn repeats_an_index(args: &[ArgTest]) -> bool {
    let repeated = |(position, test): (usize, &ArgTest)| {
        args[..position]
            .iter()
            .any(|earlier| earlier.index == test.index)
    };
    args.iter().enumerate().any(repeated)
}

fn action(
    action: LinuxSeccompAction,
    errno: Option<u32>,
    field: &str,
) -> Result<Action, ProfileError> {
    let too_great = |value: u32| ProfileError::TooGreat {
        field: field.to_owned(),
        value: value.into(),
        most: u16::MAX,
    };
    let errno = errno
        .map(|errno| u16::try_from(errno).map_err(|_| too_great(errno)))
        .transpose()?;
    let plain = match action {
        LinuxSeccompAction::ScmpActErrno => return Ok(Action::Errno(errno.unwrap_or(1))),
        LinuxSeccompAction::ScmpActTrace => return Ok(Action::Trace(errno.unwrap_or(1))),
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => {
            Action::KillThread
        }
        LinuxSeccompAction::ScmpActKillProcess => Action::KillProcess,
        LinuxSeccompAction::ScmpActTrap => Action::Trap(0),
        LinuxSeccompAction::ScmpActNotify => Action::Notify,
        LinuxSeccompAction::ScmpActLog => Action::Log,
        LinuxSeccompAction::ScmpActAllow => Action::Allow,
    };
    match errno {
        None => Ok(plain),
        Some(_) => Err(ProfileError::ErrnoNotTaken {
            field: field.to_owned(),
            action,
        }),
    }
}

fn test(arg: &LinuxSeccompArg, field: impl Fn() -> String) -> Result<ArgTest, ProfileError> {
    let index = u8::try_from(arg.index())
        .ok()
        .filter(|index| *index <= LAST_ARGUMENT);
    let index = index.ok_or_else(|| ProfileError::TooGreat {
        field: format!("{}.index", field()),
        value: arg.index() as u64,
        most: LAST_ARGUMENT.into(),
    })?;
    let op = match arg.op() {
        LinuxSeccompOperator::ScmpCmpNe => Op::Ne,
        LinuxSeccompOperator::ScmpCmpLt => Op::Lt,
        LinuxSeccompOperator::ScmpCmpLe => Op::Le,
        LinuxSeccompOperator::ScmpCmpEq => Op::Eq,
        LinuxSeccompOperator::ScmpCmpGe => Op::Ge,
        LinuxSeccompOperator::ScmpCmpGt => Op::Gt,
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            let value = arg.value_two().unwrap_or(0);
            return Ok(ArgTest {
                index,
                op: Op::Eq,
                value,
                mask: arg.value(),
            });
        }
    };
    Ok(ArgTest::new(index, op, arg.value()))
}
