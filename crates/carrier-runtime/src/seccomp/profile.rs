//! What a filter decides: the model that every front end fills in and the compiler reads.

use std::borrow::Cow;

use super::arch::Arch;

/// A system call filter: which calls a process may make, and what it gets for the others.
///
/// A call is decided by the rules that name it:
///
/// 1. A rule with the default action is void, as in libseccomp's users runc and crun.
/// 2. The first rule without arguments decides, whatever the rules with arguments say.
/// 3. Else the first rule decides whose argument tests all hold.
/// 4. Else the default action does.
///
/// A call through an architecture that the profile does not name kills the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What a call gets that no rule matches.
    pub default_action: Action,
    /// Which numbers get `ENOSYS` in place of the default action.
    pub enosys: Enosys,
    /// The architectures whose calls are decided by the rules; the others are killed.
    pub architectures: Vec<Arch>,
    /// The exceptions from the default action.
    pub rules: Vec<Rule>,
}

impl Profile {
    /// Whether some call is handed to a supervisor, so that the filter needs a listener.
    #[must_use]
    pub fn notifies(&self) -> bool {
        self.rules.iter().any(|rule| rule.action == Action::Notify)
    }
}

/// What happens to a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Ends the whole process with `SIGSYS`.
    KillProcess,
    /// Ends the calling thread with `SIGSYS`.
    KillThread,
    /// Sends `SIGSYS` that carries this value, which the process may handle.
    Trap(u16),
    /// Fails with this errno.
    Errno(u16),
    /// Asks the tracer and hands it this value; without a tracer fails with `ENOSYS`.
    Trace(u16),
    /// Runs the call and logs it.
    Log,
    /// Runs the call.
    Allow,
    /// Asks the process that holds the listener of this filter.
    Notify,
}

impl Action {
    /// `EPERM`: the call exists and is forbidden.
    pub const NOT_PERMITTED: Self = Self::Errno(1);
    /// `ENOSYS`: the call does not exist; a libc then tries an older one.
    pub const NOT_IMPLEMENTED: Self = Self::Errno(38);

    /// The return value of a filter program, `SECCOMP_RET_*`.
    pub(super) const fn return_value(self) -> u32 {
        match self {
            Self::KillProcess => 0x8000_0000,
            Self::KillThread => 0,
            Self::Trap(data) => 0x0003_0000 | data as u32,
            Self::Errno(errno) => 0x0005_0000 | errno as u32,
            Self::Notify => 0x7fc0_0000,
            Self::Trace(data) => 0x7ff0_0000 | data as u32,
            Self::Log => 0x7ffc_0000,
            Self::Allow => 0x7fff_0000,
        }
    }
}

/// Which system call numbers get `ENOSYS` in place of the default action.
///
/// A libc probes new system calls and falls back only on `ENOSYS`: any other answer breaks it on
/// each kernel that is newer than the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enosys {
    /// None.
    Never,
    /// Numbers above the greatest one that a rule names, for each architecture: what runc does.
    NewerThanRules,
    /// Numbers that Carrier's tables do not know, in gaps as well as above.
    UnknownNumbers,
}

/// Gives some system calls an action, if their arguments pass every test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The calls; a name that an architecture does not have is ignored there.
    pub syscalls: Vec<Syscall>,
    /// What the calls get.
    pub action: Action,
    /// Tests that must all hold; none of them: the rule is unconditional.
    pub args: Vec<ArgTest>,
}

/// One system call of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Syscall {
    /// By name, on each architecture of the profile that has it.
    Name(Cow<'static, str>),
    /// By the number that the kernel sees, on one architecture; with bit 30 set for x32.
    Number(Arch, u32),
}

/// A test of one argument: `argument & mask` compared with `value & mask`, both unsigned.
///
/// On 32-bit architectures only the lower halves take part, as in libseccomp: a 64-bit process can
/// call them with anything in the upper halves, which the kernel drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArgTest {
    /// Which argument, from 0 to 5.
    pub index: u8,
    /// The comparison.
    pub op: Op,
    /// The right side.
    pub value: u64,
    /// The bits that are looked at.
    pub mask: u64,
}

/// The index of a system call's sixth and last argument.
pub(super) const LAST_ARGUMENT: u8 = 5;

impl ArgTest {
    /// Looks at all 64 bits.
    #[must_use]
    pub const fn new(index: u8, op: Op, value: u64) -> Self {
        Self {
            index,
            op,
            value,
            mask: u64::MAX,
        }
    }

    /// Looks at the lower half alone, as the kernel does when it declares the argument an `int`.
    #[must_use]
    pub const fn int(index: u8, op: Op, value: u32) -> Self {
        Self {
            index,
            op,
            value: value as u64,
            mask: u32::MAX as u64,
        }
    }
}

/// How an argument is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Equal.
    Eq,
    /// Greater or equal.
    Ge,
    /// Greater.
    Gt,
}
