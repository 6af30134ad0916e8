//! Each step of a container's process is made to fail in turn; nothing may be left behind.
//!
//! A program of its own and not a test of the harness: a threaded process must not clone.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that cannot go on panics"
)]

use std::fs;
use std::path::Path;

use carrier_runtime::Error;
use carrier_runtime::container::{CgroupManager, CreateOptions, Runtime};
use carrier_sys::process::SingleThreaded;
use serde_json::{Value, json};

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let bundle = directory.path().join("bundle");
    make_bundle(&bundle);
    let runtime = Runtime::new(directory.path().join("state"), CgroupManager::Files);
    let proof = SingleThreaded::check().unwrap();
    let socket = directory.path().join("console");
    // Nobody needs to take the terminals that are sent there.
    let _console = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let mut covered = 0;
    for step in 0.. {
        let options = CreateOptions {
            bundle: bundle.clone(),
            config: None,
            console_socket: Some(socket.clone()),
            pid_file: None,
            preserve_fds: 0,
            new_keyring: false,
            fail_before: Some(step),
        };
        let before = World::look(directory.path());
        match runtime.run("box", &options, true, &proof) {
            Err(Error::Step { origin, .. }) if origin == "fault" => covered += 1,
            Err(other) => panic!("step {step}: {other:?}"),
            Ok(started) => {
                // There is no such step any more.
                assert_eq!(started.wait().unwrap().code(), 0);
                runtime.delete("box", false, &proof).unwrap();
                break;
            }
        }
        // A container that is not started fails no less cleanly.
        match runtime.create("box", &options, &proof) {
            Err(_) => {}
            Ok(()) => runtime.delete("box", true, &proof).unwrap(),
        }
        reap();
        assert_eq!(World::look(directory.path()), before, "after step {step}");
    }
    assert!(covered > 30, "only {covered} steps");
    println!("{covered} steps failed, and nothing was left");
}

/// All that a failed start could leave.
#[derive(Debug, PartialEq)]
struct World {
    children: String,
    mounts: String,
    descriptors: usize,
    states: usize,
    cgroups: Vec<String>,
}

impl World {
    fn look(directory: &Path) -> Self {
        let count = |path: &Path| fs::read_dir(path).into_iter().flatten().count();
        let cgroups = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
        let below = cgroups
            .iter()
            .flat_map(|root| fs::read_dir(root).into_iter().flatten());
        let names = below.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        Self {
            children: fs::read_to_string("/proc/thread-self/children").unwrap_or_default(),
            mounts: fs::read_to_string("/proc/self/mountinfo").unwrap(),
            descriptors: count(Path::new("/proc/self/fd")),
            states: count(&directory.join("state")),
            cgroups: names.filter(|name| name.contains("box")).collect(),
        }
    }
}

/// A container that was created is nobody's to wait for but its creator's.
fn reap() {
    while rustix::process::wait(rustix::process::WaitOptions::NOHANG).is_ok_and(|one| one.is_some())
    {
    }
}

/// A bundle that uses as much of the configuration as an ordinary user can.
fn make_bundle(path: &Path) {
    let root = path.join("rootfs");
    for name in ["bin", "dev", "proc", "sys", "tmp"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/true")).unwrap();
    fs::write(path.join("config.json"), configuration().to_string()).unwrap();
}

fn configuration() -> Value {
    let mount = |at: &str, kind: &str, options: &[&str]| json!({"destination": at, "type": kind, "source": kind, "options": options});
    let id = |id: u32| json!([{"containerID": 0, "hostID": id, "size": 1}]);
    let kinds = [
        "user", "mount", "pid", "network", "ipc", "uts", "cgroup", "time",
    ];
    let namespaces: Vec<Value> = kinds.iter().map(|kind| json!({"type": kind})).collect();
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "terminal": true,
            "consoleSize": {"height": 24, "width": 80},
            "user": {"uid": 0, "gid": 0, "umask": 18},
            "args": ["/bin/true"],
            "cwd": "/work",
            "capabilities": {"bounding": ["CAP_KILL"]},
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 64, "hard": 64}],
            "noNewPrivileges": true,
            "oomScoreAdj": 100,
            "scheduler": {"policy": "SCHED_BATCH"},
            "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "box",
        "domainname": "example.org",
        "mounts": [
            mount("/proc", "proc", &["nosuid"]),
            mount("/dev", "tmpfs", &["nosuid", "mode=755", "ro"]),
            mount("/dev/pts", "devpts", &["newinstance", "ptmxmode=0666"]),
            mount("/sys", "sysfs", &["ro"]),
            mount("/sys/fs/cgroup", "cgroup", &["ro"]),
            json!({"destination": "/tmp/bind", "type": "bind", "source": "rootfs", "options": ["rbind", "ro"]}),
        ],
        "hooks": {
            "createContainer": [{"path": "/bin/true"}],
            "poststop": [{"path": "/bin/true"}],
        },
        "linux": {
            "namespaces": namespaces,
            "uidMappings": id(rustix::process::geteuid().as_raw()),
            "gidMappings": id(rustix::process::getegid().as_raw()),
            "timeOffsets": {"boottime": {"secs": 1}},
            "devices": [{"path": "/dev/pipe", "type": "p"}],
            "sysctl": {"kernel.msgmax": "4242"},
            "maskedPaths": ["/proc/keys", "/proc/acpi"],
            "readonlyPaths": ["/proc/sys"],
            "personality": {"domain": "LINUX"},
            "rootfsPropagation": "private",
            "seccomp": {"defaultAction": "SCMP_ACT_ALLOW",
                        "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]},
        },
    })
}
