//! The running kernel takes the programs and keeps to them.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use carrier_runtime::seccomp::{self, Arch, Instruction, Profile};

use crate::calls::number;
use crate::docker::{DOCKER, host};

/// Set in the child that puts itself under the named program.
const PROGRAM: &str = "CARRIER_TEST_SECCOMP_PROGRAM";

/// Makes each call `name,number,argument...` and prints `name=errno`, 0 for success. The Rust of
/// this workspace makes no system call by number without unsafe code; perl does.
const PROBE: &str = r#"
    $| = 1;
    for (@ARGV) {
        my ($name, $number, @arguments) = split /,/;
        $! = 0;
        my $failed = syscall($number, map { $_ + 0 } @arguments) == -1;
        print "\n$name=", $failed ? $! + 0 : 0;
    }
    print "\n";
"#;

fn program(name: &str) -> Vec<Instruction> {
    match name {
        "default" => seccomp::default_program().to_vec(),
        "docker" => {
            let profile = Profile::from_docker_json(DOCKER, &host(Arch::NATIVE, &[])).unwrap();
            seccomp::compile(&profile).unwrap()
        }
        other => panic!("there is no program {other}"),
    }
}

/// In the child: becomes a perl that is under the program of the environment.
fn probe_if_child() {
    let Ok(name) = env::var(PROGRAM) else { return };
    let program = program(&name);
    rustix::thread::set_no_new_privs(true).unwrap();
    carrier_sys::seccomp::load(&program, 0).unwrap();
    let call = |name| number(Arch::NATIVE, name);
    let error = Command::new("perl")
        .args(["-e", PROBE])
        .arg(format!("getpid,{}", call("getpid")))
        .arg(format!("unshare,{},0", call("unshare")))
        .arg(format!("keyctl,{},0,-3,0", call("keyctl")))
        .arg(format!("clone3,{},0,0", call("clone3")))
        .arg(format!("inet,{},2,2,0", call("socket")))
        .arg(format!("alg,{},38,5,0", call("socket")))
        .arg(format!("tiocsti,{},0,{}", call("ioctl"), 0x5412))
        .arg("unknown,9999")
        .exec();
    panic!("cannot execute perl: {error}");
}

/// What the calls of the probe fail with under the program `name`, by running the test again.
fn errnos(name: &str, test: &str) -> Vec<(String, i32)> {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(PROGRAM, name)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let results = lines.lines().filter_map(|line| line.split_once('='));
    results
        .map(|(call, errno)| (call.to_owned(), errno.parse().unwrap()))
        .collect()
}

const EPERM: i32 = 1;
const ENOSYS: i32 = 38;

#[test]
fn the_default_program_works_in_the_kernel() {
    probe_if_child();
    let errnos = errnos("default", "load::the_default_program_works_in_the_kernel");
    let expected = [
        ("getpid", 0),
        ("unshare", EPERM),
        ("keyctl", EPERM),
        ("clone3", ENOSYS),
        ("inet", 0),
        ("alg", EPERM),
        ("tiocsti", EPERM),
        ("unknown", ENOSYS),
    ];
    assert_eq!(
        errnos,
        expected.map(|(call, errno)| (call.to_owned(), errno))
    );
}

#[test]
fn the_program_of_a_docker_file_works_in_the_kernel() {
    probe_if_child();
    let errnos = errnos(
        "docker",
        "load::the_program_of_a_docker_file_works_in_the_kernel",
    );
    let errno = |name: &str| {
        errnos
            .iter()
            .find(|(call, _)| call == name)
            .map(|(_, errno)| *errno)
    };
    assert_eq!(errno("getpid"), Some(0));
    assert_eq!(errno("unshare"), Some(EPERM));
    assert_eq!(errno("clone3"), Some(ENOSYS));
    assert_eq!(errno("unknown"), Some(ENOSYS));
}
