//! What the rules of a profile mean together.

use carrier_runtime::seccomp::{
    self, Action, Arch, ArgTest, CompileError, Enosys, Error, Op, Profile, Rule, Syscall,
};

use crate::calls::{ALLOW, ENOSYS, EPERM, Filter, KILL_PROCESS, X32_BIT, number};

const EBUSY: Action = Action::Errno(16);

fn profile(rules: Vec<Rule>) -> Profile {
    Profile {
        default_action: Action::NOT_PERMITTED,
        enosys: Enosys::Never,
        architectures: vec![Arch::X86_64, Arch::X86],
        rules,
    }
}

fn rule(name: &'static str, action: Action, args: &[ArgTest]) -> Rule {
    Rule {
        syscalls: vec![Syscall::Name(name.into())],
        action,
        args: args.to_vec(),
    }
}

fn value(action: Action) -> u32 {
    let filter = Filter::of(&profile(vec![rule("read", action, &[])]));
    filter.answer(Arch::X86_64, "read", &[])
}

#[test]
fn actions_have_the_values_of_the_kernel() {
    let values = [
        (Action::KillProcess, 0x8000_0000),
        (Action::KillThread, 0),
        (Action::Trap(7), 0x0003_0007),
        (Action::Errno(22), 0x0005_0016),
        (Action::Notify, 0x7fc0_0000),
        (Action::Trace(9), 0x7ff0_0009),
        (Action::Log, 0x7ffc_0000),
        (Action::Allow, 0x7fff_0000),
    ];
    for (action, expected) in values {
        assert_eq!(value(action), expected, "{action:?}");
    }
}

#[test]
fn the_first_rule_without_arguments_decides() {
    let one = ArgTest::new(0, Op::Eq, 1);
    let filter = Filter::of(&profile(vec![
        rule("read", EBUSY, &[one]),
        rule("read", Action::Allow, &[]),
        rule("read", Action::KillProcess, &[]),
        rule("read", EBUSY, &[one]),
    ]));
    assert_eq!(filter.answer(Arch::X86_64, "read", &[1]), ALLOW);
    assert_eq!(filter.answer(Arch::X86_64, "read", &[2]), ALLOW);
    assert_eq!(filter.answer(Arch::X86_64, "write", &[1]), EPERM);
}

#[test]
fn of_rules_with_arguments_one_is_enough_and_its_tests_must_all_hold() {
    let filter = Filter::of(&profile(vec![
        rule("socket", Action::Allow, &[ArgTest::new(0, Op::Eq, 1)]),
        rule(
            "socket",
            Action::Allow,
            &[ArgTest::new(0, Op::Eq, 2), ArgTest::new(2, Op::Eq, 6)],
        ),
        rule("socket", EBUSY, &[ArgTest::new(0, Op::Ge, 1)]),
    ]));
    let answer = |args: &[u64]| filter.answer(Arch::X86_64, "socket", args);
    assert_eq!(answer(&[1, 0, 0]), ALLOW);
    assert_eq!(answer(&[2, 0, 6]), ALLOW);
    assert_eq!(
        answer(&[2, 0, 7]),
        0x0005_0010,
        "the first rule that matches decides"
    );
    assert_eq!(answer(&[0, 0, 6]), EPERM);
}

#[test]
fn rules_with_the_default_action_are_void() {
    let filter = Filter::of(&profile(vec![
        rule("read", Action::NOT_PERMITTED, &[]),
        rule("read", Action::Allow, &[]),
    ]));
    assert_eq!(filter.answer(Arch::X86_64, "read", &[]), ALLOW);
}

#[test]
fn comparisons_are_unsigned_and_64_bits_wide() {
    const VALUE: u64 = 0x1_8000_0000;
    const BELOW: [u64; 4] = [0, 0x8000_0000, 0xffff_ffff, VALUE - 1];
    const ABOVE: [u64; 4] = [VALUE + 1, 0x1_ffff_ffff, 0x2_0000_0000, u64::MAX];
    let table = [
        (Op::Ne, [true, false, true]),
        (Op::Lt, [true, false, false]),
        (Op::Le, [true, true, false]),
        (Op::Eq, [false, true, false]),
        (Op::Ge, [false, true, true]),
        (Op::Gt, [false, false, true]),
    ];
    for (op, [below, equal, above]) in table {
        let test = ArgTest::new(5, op, VALUE);
        let filter = Filter::of(&profile(vec![rule("futex", Action::Allow, &[test])]));
        let holds = |value| filter.answer(Arch::X86_64, "futex", &[0, 0, 0, 0, 0, value]) == ALLOW;
        assert!(
            BELOW.into_iter().all(|value| holds(value) == below),
            "{op:?} below"
        );
        assert_eq!(holds(VALUE), equal, "{op:?} equal");
        assert!(
            ABOVE.into_iter().all(|value| holds(value) == above),
            "{op:?} above"
        );
    }
}

#[test]
fn a_mask_hides_bits_of_both_sides() {
    let test = ArgTest {
        index: 0,
        op: Op::Eq,
        value: 0xff_0000_00ff,
        mask: 0x0f_0000_000f,
    };
    let filter = Filter::of(&profile(vec![rule("clone", Action::Allow, &[test])]));
    let answer = |value| filter.answer(Arch::X86_64, "clone", &[value]);
    assert_eq!(answer(0x0f_0000_000f), ALLOW);
    assert_eq!(answer(0xff_ffff_ffff), ALLOW);
    assert_eq!(answer(0x0f_0000_000e), EPERM);
    assert_eq!(answer(0x07_0000_000f), EPERM);
}

#[test]
fn arguments_of_32_bit_architectures_are_32_bits_wide() {
    let minus_one = ArgTest::new(0, Op::Eq, u64::MAX);
    let filter = Filter::of(&profile(vec![rule(
        "personality",
        Action::Allow,
        &[minus_one],
    )]));
    assert_eq!(
        filter.answer(Arch::X86, "personality", &[0xffff_ffff]),
        ALLOW
    );
    assert_eq!(filter.answer(Arch::X86, "personality", &[u64::MAX]), ALLOW);
    assert_eq!(
        filter.answer(Arch::X86_64, "personality", &[0xffff_ffff]),
        EPERM
    );
}

#[test]
fn names_that_an_architecture_lacks_are_ignored_there() {
    let filter = Filter::of(&profile(vec![
        rule("socketcall", Action::Allow, &[]),
        rule("no_such_call", Action::Allow, &[]),
    ]));
    assert_eq!(filter.answer(Arch::X86, "socketcall", &[]), ALLOW);
    assert!((0..600).all(|number| filter.answer_number(Arch::X86_64, number, &[]) == EPERM));
}

#[test]
fn numbers_count_for_their_architecture_alone() {
    let syscalls = vec![Syscall::Number(Arch::X86, 700)];
    let filter = Filter::of(&profile(vec![Rule {
        syscalls,
        action: Action::Allow,
        args: vec![],
    }]));
    assert_eq!(filter.answer_number(Arch::X86, 700, &[]), ALLOW);
    assert_eq!(filter.answer_number(Arch::X86_64, 700, &[]), EPERM);
}

#[test]
fn x32_is_killed_unless_it_is_named() {
    let mut profile = profile(vec![rule("getpid", Action::Allow, &[])]);
    let getpid = X32_BIT | number(Arch::X86_64, "getpid");
    let filter = Filter::of(&profile);
    assert_eq!(filter.answer_number(Arch::X32, getpid, &[]), KILL_PROCESS);
    assert_eq!(
        filter.answer_number(Arch::X32, u32::MAX, &[]),
        EPERM,
        "-1 has no architecture"
    );
    profile.architectures = vec![Arch::X32];
    let filter = Filter::of(&profile);
    assert_eq!(filter.answer_number(Arch::X32, getpid, &[]), ALLOW);
    assert_eq!(filter.answer(Arch::X86_64, "getpid", &[]), KILL_PROCESS);
    assert_eq!(filter.answer(Arch::X86, "getpid", &[]), KILL_PROCESS);
}

#[test]
fn calls_newer_than_the_rules_do_not_exist_if_so_asked() {
    let mut profile = profile(vec![
        rule("read", Action::Allow, &[]),
        rule("openat2", Action::NOT_PERMITTED, &[]),
    ]);
    profile.enosys = Enosys::NewerThanRules;
    let filter = Filter::of(&profile);
    for arch in [Arch::X86_64, Arch::X86] {
        assert_eq!(filter.answer(arch, "close_range", &[]), EPERM);
        assert_eq!(
            filter.answer(arch, "openat2", &[]),
            EPERM,
            "void rules name calls too"
        );
        assert_eq!(filter.answer(arch, "pidfd_getfd", &[]), ENOSYS);
        assert_eq!(filter.answer_number(arch, 9999, &[]), ENOSYS);
    }
    profile.rules.clear();
    assert_eq!(
        Filter::of(&profile).answer_number(Arch::X86, 9999, &[]),
        EPERM
    );
}

#[test]
fn what_cannot_be_is_refused() {
    let refusal = |profile: &Profile| match seccomp::compile(profile) {
        Err(Error::Compile(error)) => error,
        other => panic!("{other:?}"),
    };
    let mut none = profile(vec![]);
    none.architectures.clear();
    assert!(matches!(refusal(&none), CompileError::NoArchitecture));

    let seventh = profile(vec![rule(
        "read",
        Action::Allow,
        &[ArgTest::new(6, Op::Eq, 0)],
    )]);
    assert!(matches!(
        refusal(&seventh),
        CompileError::ArgumentIndex { index: 6 }
    ));

    let syscalls = vec![Syscall::Number(Arch::X86_64, X32_BIT | 1)];
    let of_x32 = profile(vec![Rule {
        syscalls,
        action: Action::Allow,
        args: vec![],
    }]);
    assert!(matches!(
        refusal(&of_x32),
        CompileError::Number {
            arch: Arch::X86_64,
            ..
        }
    ));
}

/// A profile in which no two neighbours get the same, with tests too long for short jumps.
fn patchwork(calls: u16, tests: u8) -> Profile {
    let rules = (0..calls).map(|call| Rule {
        syscalls: vec![Syscall::Number(Arch::X86_64, call.into())],
        action: Action::Errno(call),
        args: (0..tests)
            .map(|index| ArgTest::new(index, Op::Ge, u64::from(call) << 30))
            .collect(),
    });
    profile(rules.collect())
}

#[test]
fn jumps_may_be_long() {
    let filter = Filter::of(&patchwork(80, 6));
    assert!(filter.0.len() > 2000, "{} instructions", filter.0.len());
    for call in 0..80u32 {
        let value = u64::from(call) << 30;
        let args = [value; 6];
        assert_eq!(
            filter.answer_number(Arch::X86_64, call, &args),
            0x0005_0000 | call
        );
        if call > 0 {
            let mut args = args;
            args[5] -= 1;
            assert_eq!(filter.answer_number(Arch::X86_64, call, &args), EPERM);
        }
    }
}

#[test]
fn a_program_that_the_kernel_would_not_take_is_refused() {
    let error = seccomp::compile(&patchwork(400, 6)).unwrap_err();
    assert!(matches!(
        error,
        Error::Compile(CompileError::TooLong {
            instructions: 4097..
        })
    ));
    assert!(
        error
            .to_string()
            .ends_with("instructions, the kernel takes 4096"),
        "{error}"
    );
}

#[test]
fn rules_count_for_the_second_way_of_32_bit_x86_too() {
    let mut profile = profile(vec![
        rule("bind", Action::Allow, &[]),
        rule("shmget", Action::Allow, &[]),
        rule("socket", Action::Allow, &[ArgTest::int(0, Op::Eq, 1)]),
    ]);
    let filter = Filter::of(&profile);
    let answer = |call, args: &[u64]| filter.answer(Arch::X86, call, args);
    assert_eq!(answer("socketcall", &[2]), ALLOW, "bind");
    assert_eq!(answer("socketcall", &[3]), EPERM, "connect");
    assert_eq!(
        answer("socketcall", &[1]),
        EPERM,
        "socket, of a family that cannot be seen"
    );
    assert_eq!(answer("ipc", &[23]), ALLOW, "shmget");
    assert_eq!(answer("ipc", &[1 << 16 | 23]), ALLOW, "shmget, version 1");
    assert_eq!(answer("ipc", &[24]), EPERM, "shmctl");

    profile.default_action = Action::Allow;
    profile.rules = vec![rule("socket", EBUSY, &[ArgTest::int(0, Op::Eq, 38)])];
    let filter = Filter::of(&profile);
    assert_eq!(filter.answer(Arch::X86, "socket", &[1]), ALLOW);
    assert_eq!(
        filter.answer(Arch::X86, "socketcall", &[1]),
        0x0005_0010,
        "it may be family 38"
    );
    assert_eq!(filter.answer(Arch::X86, "socketcall", &[2]), ALLOW);
}
