//! Calls of 32-bit x86 that have a second way into the kernel, through socketcall(2) or ipc(2).
//!
//! These two take the number of the call in their first argument and its arguments behind a pointer,
//! out of a filter's sight. As with libseccomp, a rule for the call counts for both ways; but where
//! a rule allows a call with some arguments only, the way that hides them stays closed.

use super::profile::{Action, ArgTest, Op, Rule};

/// The second way to a call.
pub(super) struct Detour {
    name: &'static str,
    /// The call that leads there.
    pub(super) through: &'static str,
    /// When it does.
    pub(super) tests: [ArgTest; 1],
}

/// The second way to the call `name` of `rule`, if the rule counts for it.
pub(super) fn detour(rule: &Rule, name: &str) -> Option<&'static Detour> {
    let hides_what_counts =
        !rule.args.is_empty() && matches!(rule.action, Action::Allow | Action::Log);
    let index = DETOURS
        .binary_search_by(|detour| detour.name.cmp(name))
        .ok()?;
    (!hides_what_counts).then_some(&DETOURS[index])
}

const fn socketcall(name: &'static str, call: u32) -> Detour {
    Detour {
        name,
        through: "socketcall",
        tests: [ArgTest::int(0, Op::Eq, call)],
    }
}

/// The kernel takes a version from the upper half of the number.
const fn ipc(name: &'static str, call: u64) -> Detour {
    let test = ArgTest {
        index: 0,
        op: Op::Eq,
        value: call,
        mask: 0xffff,
    };
    Detour {
        name,
        through: "ipc",
        tests: [test],
    }
}

/// By name; the numbers are those of include/uapi/linux/{net,ipc}.h.
static DETOURS: [Detour; 32] = [
    socketcall("accept", 5),
    socketcall("accept4", 18),
    socketcall("bind", 2),
    socketcall("connect", 3),
    socketcall("getpeername", 7),
    socketcall("getsockname", 6),
    socketcall("getsockopt", 15),
    socketcall("listen", 4),
    ipc("msgctl", 14),
    ipc("msgget", 13),
    ipc("msgrcv", 12),
    ipc("msgsnd", 11),
    socketcall("recv", 10),
    socketcall("recvfrom", 12),
    socketcall("recvmmsg", 19),
    socketcall("recvmsg", 17),
    ipc("semctl", 3),
    ipc("semget", 2),
    ipc("semop", 1),
    ipc("semtimedop", 4),
    socketcall("send", 9),
    socketcall("sendmmsg", 20),
    socketcall("sendmsg", 16),
    socketcall("sendto", 11),
    socketcall("setsockopt", 14),
    ipc("shmat", 21),
    ipc("shmctl", 24),
    ipc("shmdt", 22),
    ipc("shmget", 23),
    socketcall("shutdown", 13),
    socketcall("socket", 1),
    socketcall("socketpair", 8),
];
