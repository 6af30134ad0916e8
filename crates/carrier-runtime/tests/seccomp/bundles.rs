//! The `linux.seccomp` section of a bundle.

use carrier_runtime::seccomp::{self, Action, Arch, Enosys, Profile, ProfileError};
use oci_spec::runtime::LinuxSeccomp;
use serde_json::{Value, json};

use crate::calls::{ALLOW, EPERM, Filter};

fn oci(section: Value) -> Result<Profile, ProfileError> {
    let section: LinuxSeccomp = serde_json::from_value(section).unwrap();
    Profile::from_oci(&section, Arch::X86_64)
}

#[test]
fn every_action_and_comparison_of_a_bundle_is_understood() {
    let actions = [
        ("SCMP_ACT_KILL", None, Action::KillThread),
        ("SCMP_ACT_KILL_THREAD", None, Action::KillThread),
        ("SCMP_ACT_KILL_PROCESS", None, Action::KillProcess),
        ("SCMP_ACT_TRAP", None, Action::Trap(0)),
        ("SCMP_ACT_ERRNO", None, Action::Errno(1)),
        ("SCMP_ACT_ERRNO", Some(38), Action::Errno(38)),
        ("SCMP_ACT_TRACE", None, Action::Trace(1)),
        ("SCMP_ACT_TRACE", Some(7), Action::Trace(7)),
        ("SCMP_ACT_LOG", None, Action::Log),
        ("SCMP_ACT_NOTIFY", None, Action::Notify),
    ];
    for (name, errno, expected) in actions {
        let rule = json!({"names": ["read"], "action": name, "errnoRet": errno});
        let profile = oci(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})).unwrap();
        assert_eq!(profile.rules[0].action, expected, "{name}");
        assert_eq!(profile.notifies(), expected == Action::Notify);
    }
    let comparisons = [
        ("SCMP_CMP_NE", [4, 6, 6]),
        ("SCMP_CMP_LT", [4, 4, 4]),
        ("SCMP_CMP_LE", [4, 4, 5]),
        ("SCMP_CMP_EQ", [5, 5, 5]),
        ("SCMP_CMP_GE", [5, 6, 6]),
        ("SCMP_CMP_GT", [6, 6, 6]),
    ];
    for (op, holds) in comparisons {
        let rule = json!({
            "names": ["read"], "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 2, "value": 5, "op": op}],
        });
        let profile = oci(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]})).unwrap();
        let filter = Filter::of(&profile);
        for value in 4..=6 {
            let expected = if holds.contains(&value) { ALLOW } else { EPERM };
            assert_eq!(
                filter.answer(Arch::X86_64, "read", &[0, 0, value]),
                expected,
                "{op}"
            );
        }
    }
}

#[test]
fn a_masked_comparison_has_the_mask_first() {
    let profile = oci(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{
        "names": ["clone"], "action": "SCMP_ACT_ALLOW",
        "args": [{"index": 0, "value": 0xff00, "valueTwo": 0x1200, "op": "SCMP_CMP_MASKED_EQ"}],
    }]}));
    let filter = Filter::of(&profile.unwrap());
    assert_eq!(filter.answer(Arch::X86_64, "clone", &[0x1234]), ALLOW);
    assert_eq!(filter.answer(Arch::X86_64, "clone", &[0x1334]), EPERM);
}

#[test]
fn two_tests_of_one_argument_are_alternatives() {
    let arg = |value| json!({"index": 0, "value": value, "op": "SCMP_CMP_EQ"});
    let profile = oci(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{
        "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [arg(1), arg(2)],
    }]}));
    let filter = Filter::of(&profile.unwrap());
    assert_eq!(filter.answer(Arch::X86_64, "socket", &[1]), ALLOW);
    assert_eq!(filter.answer(Arch::X86_64, "socket", &[2]), ALLOW);
    assert_eq!(filter.answer(Arch::X86_64, "socket", &[3]), EPERM);
}

#[test]
fn the_native_architecture_is_always_in_and_foreign_ones_never() {
    let named = [
        "SCMP_ARCH_MIPS",
        "SCMP_ARCH_AARCH64",
        "SCMP_ARCH_X86",
        "SCMP_ARCH_X86",
    ];
    let section = json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": named});
    assert_eq!(
        oci(section).unwrap().architectures,
        [Arch::X86_64, Arch::X86]
    );
    let section = json!({"defaultAction": "SCMP_ACT_ALLOW"});
    assert_eq!(oci(section).unwrap().architectures, [Arch::X86_64]);
}

#[test]
fn only_an_errno_by_default_hides_newer_calls() {
    let enosys = |action: &str, errno: Option<u32>| {
        oci(json!({"defaultAction": action, "defaultErrnoRet": errno}))
            .unwrap()
            .enosys
    };
    assert_eq!(enosys("SCMP_ACT_ERRNO", None), Enosys::NewerThanRules);
    assert_eq!(enosys("SCMP_ACT_ERRNO", Some(22)), Enosys::NewerThanRules);
    assert_eq!(enosys("SCMP_ACT_KILL", None), Enosys::Never);
    assert_eq!(enosys("SCMP_ACT_ALLOW", None), Enosys::Never);
}

#[test]
fn flags_are_handed_back() {
    const SPEC_ALLOW: u32 = 4;
    let flags = |section: Value| {
        seccomp::load_flags(&serde_json::from_value::<LinuxSeccomp>(section).unwrap())
    };
    let with = |flags: Value| json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": flags});
    assert_eq!(
        flags(json!({"defaultAction": "SCMP_ACT_ALLOW"})),
        SPEC_ALLOW
    );
    assert_eq!(flags(with(json!([]))), 0);
    assert_eq!(
        flags(with(json!([
            "SECCOMP_FILTER_FLAG_LOG",
            "SECCOMP_FILTER_FLAG_TSYNC"
        ]))),
        2
    );
    assert_eq!(
        flags(with(json!(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]))),
        32
    );
    let rule = json!({"names": ["mount"], "action": "SCMP_ACT_NOTIFY"});
    let notifying = json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": [], "syscalls": [rule]});
    assert_eq!(flags(notifying), 8);
}

#[test]
fn errors_of_a_bundle_name_the_field() {
    let read = |fields: Value| {
        let mut rule = json!({"names": ["read"], "action": "SCMP_ACT_ALLOW"});
        rule.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})
    };
    let arg = json!({"index": 6, "value": 0, "op": "SCMP_CMP_EQ"});
    let cases = [
        (
            read(json!({"errnoRet": 1})),
            "seccomp syscalls[read].errnoRet: the action SCMP_ACT_ALLOW takes no errno",
        ),
        (
            read(json!({"action": "SCMP_ACT_ERRNO", "errnoRet": 65536})),
            "seccomp syscalls[read].errnoRet: 65536 is more than 65535",
        ),
        (
            read(json!({"args": [arg]})),
            "seccomp syscalls[read].args[0].index: 6 is more than 5",
        ),
        (
            json!({"defaultAction": "SCMP_ACT_KILL", "defaultErrnoRet": 1}),
            "seccomp defaultErrnoRet: the action SCMP_ACT_KILL takes no errno",
        ),
        (
            json!({"defaultAction": "SCMP_ACT_NOTIFY"}),
            "seccomp defaultAction: SCMP_ACT_NOTIFY cannot be the default",
        ),
    ];
    for (section, expected) in cases {
        assert_eq!(oci(section).unwrap_err().to_string(), expected);
    }
}
