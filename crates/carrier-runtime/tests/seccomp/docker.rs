//! Profile files of Docker and Podman.

use std::error::Error as _;

use carrier_runtime::Capabilities;
use carrier_runtime::seccomp::{Action, Arch, DockerHost, KernelVersion, Profile, ProfileError};
use serde_json::{Value, json};

use crate::calls::{ALLOW, ENOSYS, EPERM, Filter, KILL_PROCESS, X32_BIT, exists, number};

/// moby 20.10, profiles/seccomp/default.json.
pub(crate) const DOCKER: &[u8] = include_bytes!("profiles/docker-20.10.json");
/// containers/common 0.50, pkg/seccomp/seccomp.json.
pub(crate) const PODMAN: &[u8] = include_bytes!("profiles/podman-4.3.json");

/// A host with Linux 6.1 and a container with the default capabilities and some more.
pub(crate) fn host(machine: Arch, capabilities: &[&str]) -> DockerHost {
    let capabilities = capabilities
        .iter()
        .map(|name| Capabilities::named(name).unwrap())
        .fold(Capabilities::DEFAULT, Capabilities::with);
    DockerHost {
        machine,
        capabilities,
        kernel: KernelVersion { major: 6, minor: 1 },
    }
}

fn docker(file: &Value) -> Result<Profile, ProfileError> {
    Profile::from_docker_json(file.to_string().as_bytes(), &host(Arch::X86_64, &[]))
}

fn filter(machine: Arch, capabilities: &[&str], json: &[u8]) -> Filter {
    Filter::of(&Profile::from_docker_json(json, &host(machine, capabilities)).unwrap())
}

#[test]
fn dockers_file_is_understood() {
    let without = filter(Arch::X86_64, &[], DOCKER);
    let with = filter(Arch::X86_64, &["SYS_ADMIN"], DOCKER);
    for arch in [Arch::X86_64, Arch::X86] {
        assert_eq!(without.answer(arch, "openat2", &[]), ALLOW);
        assert_eq!(
            without.answer(arch, "ptrace", &[]),
            ALLOW,
            "Linux 4.8 and later"
        );
        assert_eq!(without.answer(arch, "mount", &[]), EPERM);
        assert_eq!(without.answer(arch, "clone", &[0x1000_0000]), EPERM);
        assert_eq!(without.answer(arch, "clone", &[17]), ALLOW);
        assert_eq!(without.answer(arch, "clone3", &[]), ENOSYS);
        assert_eq!(
            without.answer(arch, "cachestat", &[]),
            ENOSYS,
            "newer than the file"
        );
        assert_eq!(with.answer(arch, "mount", &[]), ALLOW);
        assert_eq!(with.answer(arch, "clone", &[0x1000_0000]), ALLOW);
        assert_eq!(with.answer(arch, "clone3", &[]), ALLOW);
    }
    let getpid = X32_BIT | number(Arch::X86_64, "getpid");
    assert_eq!(without.answer_number(Arch::X32, getpid, &[]), ALLOW);

    let arm = filter(Arch::Aarch64, &[], DOCKER);
    assert_eq!(arm.answer(Arch::Aarch64, "openat", &[]), ALLOW);
    assert_eq!(arm.answer(Arch::Arm, "arm_fadvise64_64", &[]), ALLOW);
    assert_eq!(
        arm.answer_number(Arch::Aarch64, 79, &[]),
        ALLOW,
        "newfstatat"
    );
    assert_eq!(
        arm.answer_number(Arch::Arm, 0xf_0005, &[]),
        ALLOW,
        "set_tls"
    );
}

#[test]
fn podmans_file_is_understood() {
    let without = filter(Arch::X86_64, &[], PODMAN);
    let with = filter(Arch::X86_64, &["AUDIT_WRITE", "SYS_TIME"], PODMAN);
    assert_eq!(without.answer(Arch::X86_64, "mount", &[]), ALLOW);
    assert_eq!(without.answer(Arch::X86_64, "userfaultfd", &[]), EPERM);
    assert_eq!(without.answer(Arch::X86_64, "add_key", &[]), ENOSYS);
    assert_eq!(without.answer(Arch::X86_64, "settimeofday", &[]), EPERM);
    assert_eq!(with.answer(Arch::X86_64, "settimeofday", &[]), ALLOW);
    let (netlink, audit) = (16, 9);
    let einval = 0x0005_0016;
    assert_eq!(
        without.answer(Arch::X86_64, "socket", &[netlink, 3, audit]),
        einval
    );
    assert_eq!(
        without.answer(Arch::X86_64, "socket", &[netlink, 3, 0]),
        ALLOW
    );
    assert_eq!(
        with.answer(Arch::X86_64, "socket", &[netlink, 3, audit]),
        ALLOW
    );
}

/// The share of calls is the one that an independent count found.
#[test]
fn podmans_file_allows_as_much_as_counted() {
    let filter = filter(Arch::X86_64, &[], PODMAN);
    let calls = (0..=450).filter(|&number| exists(Arch::X86_64, number));
    let allowed =
        calls.filter(|&number| filter.answer_number(Arch::X86_64, number, &[99]) == ALLOW);
    assert!((300..320).contains(&allowed.count()));
}

#[test]
fn conditions_of_a_file_hold_or_not() {
    let cases = [
        (json!({}), true),
        (json!({"includes": {"arches": ["amd64", "arm64"]}}), true),
        (json!({"includes": {"arches": ["x86", "x32"]}}), false),
        (json!({"excludes": {"arches": ["amd64"]}}), false),
        (
            json!({"includes": {"caps": ["CAP_CHOWN", "CAP_KILL"]}}),
            true,
        ),
        (
            json!({"includes": {"caps": ["CAP_CHOWN", "CAP_BPF"]}}),
            false,
        ),
        (json!({"includes": {"caps": ["CAP_OF_TOMORROW"]}}), false),
        (
            json!({"excludes": {"caps": ["CAP_BPF", "CAP_CHOWN"]}}),
            false,
        ),
        (json!({"excludes": {"caps": ["CAP_BPF"]}}), true),
        (json!({"includes": {"minKernel": "4.8"}}), true),
        (json!({"includes": {"minKernel": "6.1"}}), true),
        (json!({"includes": {"minKernel": "6.2"}}), false),
        (json!({"includes": {"minKernel": "10.0"}}), false),
        (json!({"excludes": {"minKernel": "6.0"}}), false),
        (json!({"excludes": {"minKernel": "6.2"}}), true),
    ];
    for (condition, holds) in cases {
        let mut rule = json!({"name": "read", "action": "SCMP_ACT_ALLOW", "args": null});
        rule.as_object_mut()
            .unwrap()
            .extend(condition.as_object().unwrap().clone());
        let file = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]});
        assert_eq!(
            docker(&file).unwrap().rules.len(),
            usize::from(holds),
            "{condition}"
        );
    }
}

#[test]
fn errnos_of_podman_have_numbers_or_names() {
    let file = json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "ENOSYS",
        "syscalls": [
            {"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13, "errno": "EPERM"},
            {"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "errno": ""},
        ],
    });
    let profile = docker(&file).unwrap();
    assert_eq!(profile.default_action, Action::NOT_IMPLEMENTED);
    assert_eq!(profile.rules[0].action, Action::Errno(13));
    assert_eq!(profile.rules[1].action, Action::NOT_PERMITTED);
}

#[test]
fn architectures_come_from_a_list_or_from_the_map() {
    let arches = |file: Value| docker(&file).unwrap().architectures;
    let map = json!([
        {"architecture": "SCMP_ARCH_OF_TOMORROW", "subArchitectures": null},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X32"]},
    ]);
    let file = |field: &str, value: &Value| json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [], field: value});
    assert_eq!(arches(file("archMap", &map)), [Arch::X86_64, Arch::X32]);
    assert_eq!(
        arches(file("architectures", &json!(["SCMP_ARCH_X86"]))),
        [Arch::X86_64, Arch::X86]
    );
    assert_eq!(arches(file("flags", &json!([]))), [Arch::X86_64]);
    let x32 = Filter::of(&docker(&file("flags", &json!([]))).unwrap());
    assert_eq!(x32.answer_number(Arch::X32, X32_BIT, &[]), KILL_PROCESS);
}

#[test]
fn errors_of_a_file_name_the_field() {
    let whole = |error: ProfileError| match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    let rule = |rule: Value| json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{}, rule]});
    let rule = |fields: Value| {
        let mut file = rule(fields);
        file["syscalls"][0] = json!({"names": ["read"], "action": "SCMP_ACT_ALLOW"});
        file
    };
    let cases = [
        (
            json!({"syscalls": []}),
            vec!["missing field `defaultAction`"],
        ),
        (
            rule(json!({"names": ["a"], "action": "SCMP_ACT_SMILE"})),
            vec!["not valid at syscalls[1].action", "`SCMP_ACT_SMILE`"],
        ),
        (
            rule(json!({
                "names": ["a"], "action": "SCMP_ACT_ALLOW",
                "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_LIKE"}],
            })),
            vec!["not valid at syscalls[1].args[0].op", "`SCMP_CMP_LIKE`"],
        ),
        (
            rule(json!({"names": ["a"], "action": "SCMP_ACT_ERRNO", "errno": "EWHAT"})),
            vec![
                "not valid at syscalls[1].errno",
                "\"EWHAT\" is not an errno",
            ],
        ),
        (
            rule(json!({
                "names": ["a"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "new"},
            })),
            vec!["not valid at syscalls[1].includes.minKernel", "\"new\""],
        ),
        (
            rule(json!({"name": "a", "names": ["a"], "action": "SCMP_ACT_ALLOW"})),
            vec!["syscalls[1].name: it is given in names too"],
        ),
        (
            json!({
                "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [],
                "architectures": ["SCMP_ARCH_X86"],
                "archMap": [{"architecture": "SCMP_ARCH_X86_64"}],
            }),
            vec!["architectures: it is given in archMap too"],
        ),
    ];
    for (file, parts) in cases {
        let message = whole(docker(&file).unwrap_err());
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
    let not_json = Profile::from_docker_json(b"unconfined", &host(Arch::X86_64, &[]));
    assert!(matches!(not_json, Err(ProfileError::Json { .. })));
}

#[test]
fn a_file_becomes_the_section_of_a_bundle() {
    let file = json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
        "architectures": ["SCMP_ARCH_X86"], "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "listenerPath": "/run/listener.sock", "listenerMetadata": "id",
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW", "comment": "needed"},
            {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_BPF"]}},
        ],
    });
    let section = host(Arch::X86_64, &[])
        .resolve(file.to_string().as_bytes())
        .unwrap();
    let expected = json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
        "architectures": ["SCMP_ARCH_X86"], "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "listenerPath": "/run/listener.sock", "listenerMetadata": "id",
        "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}],
    });
    assert_eq!(serde_json::to_value(section).unwrap(), expected);
}

#[test]
fn kernel_versions_are_read_from_releases() {
    let version = |release| KernelVersion::from_release(release).map(|v| (v.major, v.minor));
    assert_eq!(version("6.1.0-13-amd64"), Some((6, 1)));
    assert_eq!(version("6.18"), Some((6, 18)));
    assert_eq!(version("5.10-rc1"), Some((5, 10)));
    assert_eq!(version("6"), None);
    assert_eq!(version("linux"), None);
}
