//! Programs do what their profiles say, for profiles and calls at random.

use carrier_runtime::seccomp::{self, Action, Arch, ArgTest, Enosys, Op, Profile, Rule, Syscall};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::calls::{ALLOW, ENOSYS, KILL_PROCESS, X32_BIT, exists};
use crate::interpreter::{Call, assert_kernel_would_take, run};

const X86_ARCHES: [Arch; 3] = [Arch::X86_64, Arch::X86, Arch::X32];

/// What the documentation of [`Profile`] says of a call, word by word.
fn expected(profile: &Profile, call: &Call) -> u32 {
    let arch = match (call.arch, call.number) {
        (Arch::X86, _) => Arch::X86,
        (_, X32_BIT..=0x7fff_ffff) => Arch::X32,
        _ => Arch::X86_64,
    };
    if !profile.architectures.contains(&arch) {
        return KILL_PROCESS;
    }
    let names = |rule: &&Rule| rule.syscalls.contains(&Syscall::Number(arch, call.number));
    let effective = |rule: &&Rule| rule.action != profile.default_action;
    let mut rules = profile.rules.iter().filter(names).filter(effective);
    let unconditional = rules.clone().find(|rule| rule.args.is_empty());
    let matching = || rules.find(|rule| rule.args.iter().all(|test| holds(test, arch, call)));
    match unconditional.or_else(matching) {
        Some(rule) => value(rule.action),
        None if does_not_exist(profile, arch, call.number) => ENOSYS,
        None => value(profile.default_action),
    }
}

fn does_not_exist(profile: &Profile, arch: Arch, number: u32) -> bool {
    let named = profile
        .rules
        .iter()
        .flat_map(|rule| &rule.syscalls)
        .filter_map(|call| match call {
            Syscall::Number(of, number) if *of == arch => Some(*number),
            _ => None,
        });
    match profile.enosys {
        Enosys::Never => false,
        Enosys::NewerThanRules => named.max().is_some_and(|newest| number > newest),
        Enosys::UnknownNumbers => !exists(arch, number) && !named.into_iter().any(|n| n == number),
    }
}

fn holds(test: &ArgTest, arch: Arch, call: &Call) -> bool {
    let width = if arch == Arch::X86 {
        0xffff_ffff
    } else {
        u64::MAX
    };
    let argument = call.args[usize::from(test.index)] & test.mask & width;
    let value = test.value & test.mask & width;
    match test.op {
        Op::Ne => argument != value,
        Op::Lt => argument < value,
        Op::Le => argument <= value,
        Op::Eq => argument == value,
        Op::Ge => argument >= value,
        Op::Gt => argument > value,
    }
}

fn value(action: Action) -> u32 {
    match action {
        Action::Errno(errno) => 0x0005_0000 | u32::from(errno),
        Action::Allow => ALLOW,
        Action::KillProcess => KILL_PROCESS,
        Action::Log => 0x7ffc_0000,
        other => panic!("no profile here has {other:?}"),
    }
}

fn action() -> impl Strategy<Value = Action> {
    select(vec![
        Action::Allow,
        Action::Errno(1),
        Action::Errno(38),
        Action::Errno(22),
        Action::KillProcess,
        Action::Log,
    ])
}

/// Few enough that rules meet, with the edges of each range of numbers.
fn number(arch: Arch) -> impl Strategy<Value = u32> + Clone {
    let low = prop_oneof![4 => 0u32..24, 2 => 320u32..440, 1 => Just(0x3fff_ffff)];
    low.prop_map(move |number| {
        if arch == Arch::X32 {
            number | X32_BIT
        } else {
            number
        }
    })
}

/// Words that comparisons can go wrong with.
fn word() -> impl Strategy<Value = u64> {
    let half = || {
        select(vec![
            0u64,
            1,
            2,
            0x7fff_ffff,
            0x8000_0000,
            0xffff_fffe,
            0xffff_ffff,
        ])
    };
    (half(), half()).prop_map(|(high, low)| high << 32 | low)
}

fn arg_test() -> impl Strategy<Value = ArgTest> {
    let op = select(vec![Op::Ne, Op::Lt, Op::Le, Op::Eq, Op::Ge, Op::Gt]);
    let mask =
        prop_oneof![3 => Just(u64::MAX), 1 => Just(0xffff_ffff), 1 => word(), 1 => any::<u64>()];
    (0u8..3, op, word(), mask).prop_map(|(index, op, value, mask)| ArgTest {
        index,
        op,
        value,
        mask,
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let syscall = select(X86_ARCHES.to_vec())
        .prop_flat_map(|arch| number(arch).prop_map(move |number| Syscall::Number(arch, number)));
    (vec(syscall, 1..6), action(), vec(arg_test(), 0..4)).prop_map(|(syscalls, action, args)| {
        Rule {
            syscalls,
            action,
            args,
        }
    })
}

fn profile(arches: &'static [Arch], enosys: Vec<Enosys>) -> impl Strategy<Value = Profile> {
    let architectures = proptest::sample::subsequence(arches.to_vec(), 1..=arches.len());
    (
        action(),
        select(enosys),
        architectures.prop_shuffle(),
        vec(rule(), 0..40),
    )
        .prop_map(|(default_action, enosys, architectures, rules)| Profile {
            default_action,
            enosys,
            architectures,
            rules,
        })
}

fn call() -> impl Strategy<Value = Call> {
    let arch = select(X86_ARCHES.to_vec());
    let number = |arch| prop_oneof![8 => number(arch), 1 => any::<u32>(), 1 => Just(u32::MAX)];
    let args = [word(), word(), word(), word(), word(), word()];
    (
        arch.prop_flat_map(move |arch| (Just(arch), number(arch))),
        args,
    )
        .prop_map(|((arch, number), args)| Call { arch, number, args })
}

fn check(profile: &Profile, calls: &[Call]) -> Result<(), TestCaseError> {
    let program = seccomp::compile(profile).unwrap();
    assert_kernel_would_take(&program);
    for call in calls {
        let outcome = run(&program, call);
        prop_assert_eq!(outcome.value, expected(profile, call), "{:x?}", call);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn programs_do_what_profiles_say(
        profile in profile(&X86_ARCHES, vec![Enosys::Never, Enosys::NewerThanRules]),
        calls in vec(call(), 200),
    ) {
        check(&profile, &calls)?;
    }

    /// Without x32, of whose calls the tests have no table.
    #[test]
    fn unknown_numbers_do_not_exist(
        profile in profile(&[Arch::X86_64, Arch::X86], vec![Enosys::UnknownNumbers]),
        calls in vec(call(), 200),
    ) {
        check(&profile, &calls)?;
    }
}
