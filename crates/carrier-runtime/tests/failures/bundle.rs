//! Bundles that use as much of the configuration as the caller can.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

const KINDS: [(&str, &str); 8] = [
    ("user", "user"),
    ("mount", "mnt"),
    ("pid", "pid"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("cgroup", "cgroup"),
    ("time", "time"),
];

/// The root filesystem that all of them have.
pub(crate) fn make_root(bundle: &Path) {
    let root = bundle.join("rootfs");
    for name in ["bin", "dev", "etc/deep", "proc", "sys", "tmp"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    for program in ["true", "sleep"] {
        fs::copy("/bin/busybox", root.join("bin").join(program)).unwrap();
    }
    fs::write(root.join("etc/deep/file"), "content").unwrap();
    std::os::unix::fs::symlink("deep/file", root.join("etc/link")).unwrap();
}

/// One that runs until it is killed.
pub(crate) fn lasting() -> Value {
    let mut configuration = whole();
    configuration["process"]["args"] = json!(["/bin/sleep", "1000"]);
    configuration["process"]["terminal"] = false.into();
    configuration
}

/// One in the namespaces of the process `pid`, but for its own mounts.
pub(crate) fn joining(pid: u32) -> Value {
    let mut configuration = whole();
    let namespace = |(kind, file): &(&str, &str)| match *kind {
        "mount" => json!({"type": kind}),
        _ => json!({"type": kind, "path": format!("/proc/{pid}/ns/{file}")}),
    };
    let linux = configuration["linux"].as_object_mut().unwrap();
    linux.insert(
        "namespaces".to_owned(),
        KINDS.iter().map(namespace).collect(),
    );
    for field in ["uidMappings", "gidMappings", "timeOffsets"] {
        linux.remove(field);
    }
    // In a PID namespace that others are in nobody may look into the process, be it the caller: it cannot
    // write this file, and hooks do not find its namespaces.
    let process = configuration["process"].as_object_mut().unwrap();
    process.remove("oomScoreAdj");
    configuration["hooks"] = json!({});
    // The filter is loaded while the process may still do so.
    configuration["process"]["noNewPrivileges"] = false.into();
    configuration
}

/// One that uses as much of the configuration as an ordinary user can.
pub(crate) fn whole() -> Value {
    let mount = |at: &str, kind: &str, options: &[&str]| json!({"destination": at, "type": kind, "source": kind, "options": options});
    let namespaces: Vec<Value> = KINDS
        .iter()
        .map(|(kind, _)| json!({"type": kind}))
        .collect();
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
            mount("/etc", "tmpfs", &["tmpcopyup"]),
            json!({"destination": "/tmp/bind", "type": "bind", "source": "rootfs", "options": ["rbind", "ro"]}),
        ],
        "hooks": {
            "createContainer": [{"path": "/bin/true"}],
            "startContainer": [{"path": "/bin/true"}],
            "poststop": [{"path": "/bin/true"}],
        },
        "linux": {
            "namespaces": namespaces,
            "uidMappings": map(rustix::process::geteuid().as_raw(), "/etc/subuid"),
            "gidMappings": map(rustix::process::getegid().as_raw(), "/etc/subgid"),
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

/// The caller, and what else an ordinary user has: then newuidmap and newgidmap write the maps.
fn map(caller: u32, file: &str) -> Value {
    let own = json!({"containerID": 0, "hostID": caller, "size": 1});
    let name = Command::new("id").arg("-un").output().unwrap().stdout;
    let name = String::from_utf8(name).unwrap();
    let lines = fs::read_to_string(file).unwrap_or_default();
    let ranges = lines
        .lines()
        .filter_map(|line| line.strip_prefix(name.trim()));
    let more = ranges.filter_map(|range| {
        let first: u32 = range.strip_prefix(':')?.split(':').next()?.parse().ok()?;
        Some(json!({"containerID": 1, "hostID": first, "size": 1}))
    });
    std::iter::once(own).chain(more.take(1)).collect()
}
