//! Attacks of the catalogue on the runtime, by their numbers there.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::os::unix::fs::symlink;

use carrier_e2e::{Bundle, Cx};
use serde_json::json;

#[test]
fn p01_the_binary_is_not_executed_in_a_container() {
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, "");
    let programs = bundle.path().join("rootfs/bin");
    symlink("/proc/self/exe", programs.join("link")).unwrap();
    std::fs::write(programs.join("script"), "#!/proc/self/exe\n").unwrap();
    std::fs::write(programs.join("indirect"), "#!/bin/link -x\n").unwrap();
    for name in ["script", "indirect"] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(programs.join(name), mode).unwrap();
    }
    let before = std::fs::read(cx.program()).unwrap();
    for program in ["/proc/self/exe", "link", "script", "indirect"] {
        bundle.config["process"]["args"] = json!([program]);
        let outcome = bundle.run().exits_with(1);
        assert!(
            outcome.errors().contains("Permission denied"),
            "{outcome:?}"
        );
    }
    bundle.config["process"]["args"] = json!(["sleep", "1000"]);
    bundle.create().succeeds();
    bundle.oci(&["start", "box"]).succeeds();
    for program in ["/proc/self/exe", "link", "script", "indirect"] {
        let outcome = bundle.oci(&["exec", "box", program]).exits_with(1);
        assert!(
            outcome.errors().contains("Permission denied"),
            "{outcome:?}"
        );
    }
    bundle.oci(&["delete", "-f", "box"]).succeeds();
    assert_eq!(std::fs::read(cx.program()).unwrap(), before);
}

#[test]
fn p05_a_joining_process_cannot_be_looked_into() {
    let cx = Cx::new();
    let watch = "while :; do for p in /proc/[0-9]*; do case $p in /proc/1|/proc/$$) continue;; esac; \
                 readlink $p/exe; done 2>/dev/null | grep carrier >> /tmp/seen; done";
    let bundle = Bundle::new(&cx, watch);
    bundle.create().succeeds();
    bundle.oci(&["start", "box"]).succeeds();
    for _ in 0..30 {
        bundle.oci(&["exec", "box", "true"]).succeeds();
    }
    bundle
        .oci(&["exec", "box", "cat", "/tmp/seen"])
        .succeeds()
        .prints("");
    bundle.oci(&["delete", "-f", "box"]).succeeds();
}

#[test]
fn f01_links_for_kernel_filesystems_are_refused() {
    let cx = Cx::new();
    let bundle = Bundle::new(&cx, "true");
    let proc = bundle.path().join("rootfs/proc");
    std::fs::remove_dir(&proc).unwrap();
    symlink("/etc", &proc).unwrap();
    let outcome = bundle.run().exits_with(1);
    assert!(
        outcome.errors().contains("mount proc on /proc"),
        "{outcome:?}"
    );
}

#[test]
fn f02_a_bind_target_is_resolved_inside_the_root() {
    let cx = Cx::new();
    let outside = cx.home().join("outside");
    std::fs::create_dir(&outside).unwrap();
    cx.give_to_user(&outside);
    let mut bundle = Bundle::new(&cx, "cat /etc/link/file");
    let link = bundle.path().join("rootfs/etc/link");
    symlink(&outside, link).unwrap();
    let source = cx.file("content", "content\n");
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.push(
        json!({"destination": "/etc/link/file", "type": "bind", "source": source,
                       "options": ["bind"]}),
    );
    bundle.run().succeeds().prints("content");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn f03_what_hides_a_file_is_the_hosts_null_device() {
    let cx = Cx::new();
    let script =
        "cat /etc/secret /proc/keys; echo x > /proc/sys/kernel/core_pattern || echo closed";
    let mut bundle = Bundle::new(&cx, &format!("{{ {script}; }} 2>/dev/null"));
    let root = bundle.path().join("rootfs");
    std::fs::write(root.join("etc/secret"), "secret").unwrap();
    // A root that brings a /dev of its own, with a trap in it.
    symlink("/proc/sys/kernel/core_pattern", root.join("dev/null")).unwrap();
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    let masked = bundle.config["linux"]["maskedPaths"]
        .as_array_mut()
        .unwrap();
    masked.push("/etc/secret".into());
    bundle.config["process"]["args"] = json!(["sh", "-c", script]);
    let outcome = bundle.run();
    assert!(!outcome.text().contains("secret"), "{outcome:?}");
    assert!(!outcome.text().contains("keyring"), "{outcome:?}");
}

#[test]
fn f05_kernel_parameters_are_written_to_the_kernel() {
    let cx = Cx::new();
    let canary = cx.home().join("canary");
    std::fs::create_dir_all(canary.join("sys/kernel")).unwrap();
    std::fs::write(canary.join("sys/kernel/msgmax"), "untouched").unwrap();
    cx.give_to_user(&canary);
    let mut bundle = Bundle::new(&cx, "true");
    bundle.config["linux"]["sysctl"] = json!({"kernel.msgmax": "4242"});
    bundle.config["mounts"][0] = json!({"destination": "/proc", "type": "bind", "source": canary,
                                        "options": ["bind"]});
    bundle.run().succeeds();
    let content = std::fs::read_to_string(canary.join("sys/kernel/msgmax")).unwrap();
    assert_eq!(content, "untouched");
}

#[test]
fn f09_read_only_holds_for_the_mounts_below() {
    let cx = Cx::new();
    let mut bundle = Bundle::new(
        &cx,
        "touch /tmp/ro/x /tmp/ro/dev/shm/x 2>&1 | grep -c Read-only",
    );
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    // The container's own tree, with the mounts that it has by now.
    mounts.push(
        json!({"destination": "/tmp/ro", "type": "bind", "source": "rootfs",
                       "options": ["rbind", "ro"]}),
    );
    bundle.run().succeeds().prints("2");
}

#[test]
fn p11_limits_of_the_caller_are_not_raised() {
    let cx = Cx::new();
    let bundle = Bundle::new(&cx, "ulimit -Hn; ulimit -Sn");
    bundle.save();
    let run = format!("ulimit -n 256; {} run -b home/bundle box", bundle.runtime());
    cx.script(&run).succeeds().prints("256\n256");
}

#[test]
fn p11_what_is_before_the_program_dumps_no_core() {
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, "ulimit -Sc; ulimit -Hc");
    bundle.config["process"]["rlimits"] =
        json!([{"type": "RLIMIT_CORE", "soft": 512 * 7, "hard": 512 * 9}]);
    bundle.create().succeeds();
    let state = bundle.oci(&["state", "box"]).succeeds();
    let state: serde_json::Value = serde_json::from_str(state.text()).unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", state["pid"])).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core"));
    let soft = core.unwrap().split_whitespace().nth(4);
    assert_eq!(soft, Some("0"), "{limits}");
    bundle.oci(&["start", "box"]).succeeds();
    bundle.wait_for("stopped");
    assert_eq!(bundle.output(), "7\n9\n");
    bundle.oci(&["delete", "box"]).succeeds();
}

#[test]
fn n04_no_cgroup_can_be_changed() {
    let cx = Cx::new();
    let script = "mkdir /sys/fs/cgroup/x 2>/dev/null || echo closed; \
                  for f in /sys/fs/cgroup/*; do ( : > $f ) 2>/dev/null && echo writable $f; done; true";
    Bundle::new(&cx, script).run().succeeds().prints("closed");
}

#[test]
fn p04_a_set_user_id_program_of_root_gives_nothing() {
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, "sleep 1000");
    // With the libraries that it needs, and owned by the container's root.
    let copy = "root=$PWD/home/bundle/rootfs && cp --parents -L $(ldd /usr/bin/id | grep -o '/[^ ]*') $root && \
                cp /usr/bin/id $root/bin/gain && chmod 4755 $root/bin/gain && \
                grep \"^$(id -un):\" /etc/subuid /etc/subgid | cut -d: -f3";
    let outcome = cx.script(copy).succeeds();
    let subordinate: Vec<u32> = outcome
        .text()
        .lines()
        .map(|id| id.parse().unwrap())
        .collect();
    for (field, first) in [
        ("uidMappings", subordinate[0]),
        ("gidMappings", subordinate[1]),
    ] {
        let map = bundle.config["linux"][field].as_array_mut().unwrap();
        map.push(json!({"containerID": 1, "hostID": first, "size": 10}));
    }
    for (confined, expected) in [(true, "1"), (false, "0")] {
        let process = &mut bundle.config["process"];
        process["noNewPrivileges"] = confined.into();
        process["user"] = json!({"uid": 1, "gid": 1});
        process["args"] = json!(["gain", "-u"]);
        bundle.run().succeeds().prints(expected);
        bundle.config["process"]["args"] = json!(["sleep", "1000"]);
        bundle.create().succeeds();
        bundle.oci(&["start", "box"]).succeeds();
        bundle
            .oci(&["exec", "box", "gain", "-u"])
            .succeeds()
            .prints(expected);
        // One that is told so is confined in a container that is not.
        let told = ["exec", "--no-new-privs", "--user", "2", "box", "gain", "-u"];
        bundle.oci(&told).succeeds().prints("2");
        bundle.oci(&["delete", "-f", "box"]).succeeds();
    }
}
