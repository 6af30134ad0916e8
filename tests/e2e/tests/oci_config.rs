//! The fields of `config.json`: each is applied, or refused by name.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::os::unix::fs::PermissionsExt as _;

use carrier_e2e::{Bundle, Cx, is_root, skip};
use serde_json::{Value, json};

fn refused(bundle: &Bundle<'_>, message: &str) {
    let outcome = bundle.run().exits_with(1);
    assert!(
        outcome.errors().contains(message),
        "{message:?} in {outcome:?}"
    );
}

#[test]
fn the_process_is_as_the_configuration_says() {
    let cx = Cx::new();
    let script = "umask; ulimit -n; echo $A; readlink /proc/self/cwd; cat /proc/self/oom_score_adj; \
                  grep -e NoNewPrivs /proc/self/status";
    let mut bundle = Bundle::new(&cx, script);
    let process = &mut bundle.config["process"];
    process["user"]["umask"] = 0o077.into();
    process["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 64, "hard": 128}]);
    process["env"] = json!(["PATH=/bin", "A=b"]);
    process["cwd"] = "/tmp/../etc".into();
    process["oomScoreAdj"] = 500.into();
    process["noNewPrivileges"] = false.into();
    bundle
        .run()
        .succeeds()
        .prints("0077\n64\nb\n/etc\n500\nNoNewPrivs:\t0");
}

#[test]
fn root_lowers_the_score_of_a_container_in_a_user_namespace() {
    const NAME: &str = "root_lowers_the_score_of_a_container_in_a_user_namespace";
    if !is_root() {
        return skip(NAME, "only root can lower a score");
    }
    let cx = Cx::new();
    let lower = "sh -c 'echo -500 > /proc/self/oom_score_adj' 2>/dev/null && echo may";
    if cx.host_script(lower).text().is_empty() {
        return skip(NAME, "root has no CAP_SYS_RESOURCE here");
    }
    let mut bundle = Bundle::new(&cx, "cat /proc/self/oom_score_adj; sleep 1000");
    bundle.config["process"]["oomScoreAdj"] = (-500).into();
    let linux = bundle.config["linux"].as_object_mut().unwrap();
    for maps in ["uidMappings", "gidMappings"] {
        let map = json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
        linux.insert(maps.to_owned(), map);
    }
    bundle.save();
    let script = "
        runtime='carrier oci --root run/root-oci --cgroup-manager disabled'
        $runtime create -b home/bundle box </dev/null >run/out 2>&1 && $runtime start box
        $runtime exec box cat /proc/self/oom_score_adj
        $runtime delete -f box; cat run/out; rm -r run/root-oci run/out";
    cx.host_script(script).succeeds().prints("-500\n-500");
}

#[test]
fn scheduling_is_as_the_configuration_says() {
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, "cat /proc/self/stat; cat /proc/self/personality");
    let process = &mut bundle.config["process"];
    process["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 5});
    process["ioPriority"] = json!({"class": "IOPRIO_CLASS_IDLE", "priority": 3});
    bundle.config["linux"]["personality"] = json!({"domain": "LINUX32"});
    let outcome = bundle.run().succeeds();
    let stat: Vec<&str> = outcome.text().split_whitespace().collect();
    // Nice value and policy: fields 19 and 41 of proc_pid_stat(5).
    assert_eq!((stat[18], stat[40]), ("5", "3"));
    assert!(
        outcome.text().trim_end().ends_with("00000008"),
        "{outcome:?}"
    );
    bundle.config["process"]["ioPriority"]["priority"] = 8.into();
    refused(&bundle, "process.ioPriority is invalid");
}

#[test]
fn names_clocks_and_kernel_parameters_belong_to_the_container() {
    let cx = Cx::new();
    let script = "hostname; cat /proc/sys/kernel/domainname /proc/sys/kernel/msgmax; \
                  read up rest < /proc/uptime; test ${up%.*} -gt 1000000 && echo late";
    let mut bundle = Bundle::new(&cx, script);
    bundle.config["hostname"] = "box".into();
    bundle.config["domainname"] = "example.org".into();
    bundle.config["linux"]["sysctl"] = json!({"kernel.msgmax": "4242"});
    bundle.config["linux"]["timeOffsets"] = json!({"boottime": {"secs": 1_000_000}});
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.push(json!({"type": "time"}));
    bundle
        .run()
        .succeeds()
        .prints("box\nexample.org\n4242\nlate");
}

#[test]
fn n03_kernel_parameters_of_the_host_are_refused() {
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, "true");
    for (name, value) in [
        ("kernel.core_pattern", "|/x"),
        ("vm.overcommit_memory", "1"),
        ("kernel/../vm.swappiness", "1"),
    ] {
        bundle.config["linux"]["sysctl"] = json!({name: value});
        refused(&bundle, "linux.sysctl");
    }
    // Without a network namespace of its own a container would set the host's.
    bundle.config["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "network");
    refused(&bundle, "the container shares it with the host");
}

#[test]
fn mounts_take_the_options_of_the_specification() {
    let cx = Cx::new();
    let script = "grep -E ' /tmp/(a|ro|file) ' /proc/self/mountinfo | while read a b c d at options rest; do \
                  echo $at $options; done; cat /tmp/file; touch /tmp/ro/x 2>/dev/null || echo read-only";
    let mut bundle = Bundle::new(&cx, script);
    let file = cx.file("content", "content\n");
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    let mount = |at: &str, kind: &str, source: &str, options: &[&str]| json!({"destination": at, "type": kind, "source": source, "options": options});
    mounts.extend([
        mount(
            "/tmp/a",
            "tmpfs",
            "tmpfs",
            &["nosuid", "noexec", "noatime", "size=64k"],
        ),
        mount(
            "/tmp/ro",
            "none",
            "rootfs",
            &["rbind", "rro", "rnosuid", "rprivate"],
        ),
        mount("/tmp/file", "bind", &file, &["bind", "ro", "nodev"]),
    ]);
    let expected = "/tmp/a rw,nosuid,noexec,noatime\n/tmp/ro ro,nosuid,relatime\n\
                    /tmp/file ro,nodev,relatime\ncontent\nread-only";
    bundle.run().succeeds().prints(expected);
}

#[test]
fn a_new_filesystem_can_begin_with_what_it_covers() {
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, "cat /etc/deep/file && touch /etc/new && ls /etc");
    let etc = bundle.path().join("rootfs/etc");
    std::fs::create_dir(etc.join("deep")).unwrap();
    std::fs::write(etc.join("deep/file"), "content\n").unwrap();
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.push(json!({"destination": "/etc", "type": "tmpfs", "options": ["tmpcopyup"]}));
    bundle.run().succeeds().prints("content\ndeep\nnew");
    assert!(!etc.join("new").exists());
}

#[test]
fn memory_has_the_mode_of_what_it_covers() {
    let cx = Cx::new();
    let mut bundle = Bundle::new(
        &cx,
        "ls -ld /covered /said /new | while read m r; do echo $m; done",
    );
    for (name, mode) in [("covered", 0o2750), ("said", 0o755)] {
        let path = bundle.path().join("rootfs").join(name);
        std::fs::create_dir(&path).unwrap();
        cx.give_to_user(&path);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.extend([
        json!({"destination": "/covered", "type": "tmpfs"}),
        json!({"destination": "/said", "type": "tmpfs", "options": ["mode=711"]}),
        json!({"destination": "/new", "type": "tmpfs", "options": ["ro"]}),
    ]);
    bundle
        .run()
        .succeeds()
        .prints("drwxr-s---\ndrwxrwxrwt\ndrwx--x--x");
}

#[test]
fn devices_are_made_or_borrowed() {
    let cx = Cx::new();
    let script = "ls /dev; echo x > /dev/my-null && ls -l /dev/my-null | cut -c1; test -p /dev/pipe && echo pipe";
    let mut bundle = Bundle::new(&cx, &script.replace("| cut -c1", "| grep -c '^c'"));
    bundle.config["linux"]["devices"] = json!([
        {"path": "/dev/my-null", "type": "c", "major": 1, "minor": 3},
        {"path": "/dev/pipe", "type": "p", "fileMode": 0o600},
    ]);
    // The host has no such node, and a user namespace may make none.
    refused(&bundle, "make device /dev/my-null");
    bundle.config["linux"]["devices"] = json!([{"path": "/dev/pipe", "type": "p"}]);
    bundle.config["process"]["args"] = json!(["sh", "-c", "test -p /dev/pipe && echo pipe"]);
    bundle.run().succeeds().prints("pipe");
}

#[test]
fn a_root_can_be_read_only_and_paths_hidden() {
    let cx = Cx::new();
    let script = "touch /x 2>/dev/null || echo read-only root; cat /etc/secret; \
                  ls /proc/acpi; touch /proc/sys/kernel/msgmax 2>/dev/null || echo read-only";
    let mut bundle = Bundle::new(&cx, script);
    std::fs::write(bundle.path().join("rootfs/etc/secret"), "secret").unwrap();
    bundle.config["root"]["readonly"] = true.into();
    let masked = bundle.config["linux"]["maskedPaths"]
        .as_array_mut()
        .unwrap();
    masked.push("/etc/secret".into());
    bundle.run().succeeds().prints("read-only root\nread-only");
}

#[test]
fn read_only_paths_are_read_only_and_no_more() {
    let cx = Cx::new();
    let script = "touch /tools/x 2>/dev/null || echo read-only; /tools/busybox echo executed; \
                  grep ' /tools ' /proc/self/mountinfo | while read a b c d at options rest; do \
                  echo $options; done";
    let mut bundle = Bundle::new(&cx, script);
    let tools = bundle.path().join("rootfs/tools");
    std::fs::create_dir(&tools).unwrap();
    std::fs::copy("/bin/busybox", tools.join("busybox")).unwrap();
    bundle.config["linux"]["readonlyPaths"] = json!(["/tools"]);
    let outcome = bundle.run().succeeds();
    let text = outcome.text();
    assert!(
        text.starts_with("read-only\nexecuted\nro,relatime"),
        "{outcome:?}"
    );
}

#[test]
fn without_capabilities_there_are_none() {
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, "grep ^Cap /proc/self/status");
    let process = bundle.config["process"].as_object_mut().unwrap();
    process.remove("capabilities");
    let none = ["Inh", "Prm", "Eff", "Bnd", "Amb"].map(|set| format!("Cap{set}:\t{:016}", 0));
    bundle.run().succeeds().prints(&none.join("\n"));
}

#[test]
fn a_home_that_is_not_said_is_the_users() {
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, "echo $HOME");
    let users = "root:x:0:0::/roots:/bin/sh\nother:x:7:7::/others:/bin/sh\n";
    std::fs::write(bundle.path().join("rootfs/etc/passwd"), users).unwrap();
    bundle.run().succeeds().prints("/roots");
    bundle.config["process"]["env"] = json!(["PATH=/bin", "HOME=/said"]);
    bundle.run().succeeds().prints("/said");
    // Whoever sets it to nothing has set it.
    bundle.config["process"]["env"] = json!(["PATH=/bin", "HOME="]);
    bundle.run().succeeds().prints("/roots");
    std::fs::remove_file(bundle.path().join("rootfs/etc/passwd")).unwrap();
    bundle.config["process"]["env"] = json!(["PATH=/bin"]);
    bundle.run().succeeds().prints("/");
}

#[test]
fn a_namespace_is_joined_by_its_path() {
    let cx = Cx::new();
    let bundle = Bundle::new(&cx, "sleep 1000");
    bundle.create().succeeds();
    bundle.oci(&["start", "box"]).succeeds();
    let state = bundle.oci(&["state", "box"]).succeeds();
    let state: Value = serde_json::from_str(state.text()).unwrap();
    let pid = state["pid"].as_u64().unwrap();
    let inside = |kind: &str| {
        let path = format!("/proc/1/ns/{kind}");
        let link = bundle.oci(&["exec", "box", "readlink", &path]).succeeds();
        link.text().trim().to_owned()
    };
    let expected = ["user", "net", "uts", "ipc", "pid"].map(inside);
    let mut config = bundle.config.clone();
    let script = "for n in user net uts ipc pid; do readlink /proc/self/ns/$n; done; hostname";
    config["process"]["args"] = json!(["sh", "-c", script]);
    let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
    for namespace in namespaces {
        let kind = namespace["type"].as_str().unwrap();
        let file = match kind {
            "network" => "net",
            "mount" | "cgroup" => continue,
            other => other,
        };
        namespace["path"] = format!("/proc/{pid}/ns/{file}").into();
    }
    config["hostname"] = "joined".into();
    let linux = config["linux"].as_object_mut().unwrap();
    linux.remove("uidMappings");
    linux.remove("gidMappings");
    let path = bundle.path().join("other.json");
    std::fs::write(&path, config.to_string()).unwrap();
    let outcome = bundle
        .oci(&[
            "run",
            "-b",
            "home/bundle",
            "--config",
            "home/bundle/other.json",
            "other",
        ])
        .succeeds();
    outcome.prints(&format!("{}\njoined", expected.join("\n")));
    bundle.oci(&["delete", "-f", "box"]).succeeds();
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    let cx = Cx::new();
    let original = Bundle::new(&cx, "true").config.clone();
    let mut bundle = Bundle::again(&cx);
    let cases = [
        ("/ociVersion", json!("2.0.0"), "ociVersion is invalid"),
        ("/process/cwd", json!("relative"), "process.cwd is invalid"),
        ("/process/args", json!([]), "process.args is invalid"),
        ("/root/path", json!("nowhere"), "root.path is invalid"),
        (
            "/linux/rootfsPropagation",
            json!("sideways"),
            "linux.rootfsPropagation is invalid",
        ),
        (
            "/linux/intelRdt",
            json!({"closID": "x"}),
            "linux.intelRdt is not supported",
        ),
        (
            "/linux/memoryPolicy",
            json!({"mode": "MPOL_BIND", "nodes": "0"}),
            "linux.memoryPolicy",
        ),
        (
            "/linux/namespaces/0/path",
            json!("ns/pid"),
            "linux.namespaces[0] is invalid",
        ),
        (
            "/linux/timeOffsets",
            json!({"boottime": {"secs": 1}}),
            "linux.timeOffsets is invalid",
        ),
        (
            "/linux/resources",
            json!({"memory": {"limit": 1 << 30}}),
            "linux.resources.memory.limit",
        ),
        (
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_NOTIFY"}),
            "seccomp defaultAction",
        ),
        (
            "/mounts/0/options",
            json!(["idmap"]),
            "mounts[0] is invalid: only bind mounts can have their ids mapped",
        ),
    ];
    for (pointer, value, message) in cases {
        let mut config = original.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap()[key] = value;
        bundle.config = config;
        refused(&bundle, message);
    }
}

#[test]
fn hooks_run_in_their_order_with_the_state_on_standard_input() {
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, "sleep 1000");
    let log = cx.home().join("log");
    let hook = |kind: &str| {
        let script = format!(
            "echo {kind} $(grep -o '\"status\":\"[a-z]*\"') $X >> {}",
            log.display()
        );
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["X=y", "PATH=/bin:/usr/bin"],
                "timeout": 10}])
    };
    bundle.config["hooks"] = json!({
        "prestart": hook("prestart"),
        "createRuntime": hook("createRuntime"),
        "createContainer": hook("createContainer"),
        "poststart": hook("poststart"),
        "poststop": hook("poststop"),
        "startContainer": [{"path": "/bin/touch", "args": ["touch", "/tmp/started"]}],
    });
    bundle.create().succeeds();
    let lines = || std::fs::read_to_string(&log).unwrap();
    let creating = "\"status\":\"creating\" y";
    let early =
        format!("prestart {creating}\ncreateRuntime {creating}\ncreateContainer {creating}\n");
    assert_eq!(lines(), early);
    bundle.oci(&["start", "box"]).succeeds();
    assert!(bundle.path().join("rootfs/tmp/started").exists());
    assert_eq!(
        lines(),
        format!("{early}poststart \"status\":\"running\" y\n")
    );
    bundle.oci(&["delete", "-f", "box"]).succeeds();
    assert!(lines().ends_with("poststop \"status\":\"stopped\" y\n"));
}

#[test]
fn hooks_may_write_to_a_root_that_becomes_read_only() {
    let cx = Cx::new();
    let script = "cat /etc/fromhook; touch /etc/x 2>/dev/null || echo read-only; cat /hidden/file";
    let mut bundle = Bundle::new(&cx, script);
    let root = bundle.path().join("rootfs");
    std::fs::create_dir(root.join("hidden")).unwrap();
    cx.give_to_user(&root);
    bundle.config["root"]["readonly"] = true.into();
    bundle.config["linux"]["maskedPaths"] = json!(["/hidden"]);
    let root = root.display();
    let script = format!("echo written > {root}/etc/fromhook; echo seen > {root}/hidden/file");
    let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}]);
    bundle.config["hooks"] = json!({"createContainer": hook});
    bundle.run().exits_with(1).prints("written\nread-only");
}

#[test]
fn a_failing_hook_takes_the_container_with_it() {
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, "sleep 1000");
    let stopped = cx.home().join("stopped");
    let mark = json!([{"path": "/bin/touch", "args": ["touch", stopped], "env": []}]);
    let failing = json!([{"path": "/bin/false"}]);
    let slow = json!([{"path": "/bin/sleep", "args": ["sleep", "60"], "timeout": 1}]);
    for (kind, hook) in [
        ("prestart", &failing),
        ("createRuntime", &failing),
        ("createContainer", &failing),
        ("startContainer", &failing),
        ("poststart", &failing),
        ("poststart", &slow),
    ] {
        bundle.config["hooks"] = json!({kind: hook, "poststop": mark});
        let outcome = bundle.create();
        let outcome = if kind.contains("create") || kind == "prestart" {
            outcome
        } else {
            outcome.succeeds();
            bundle.oci(&["start", "box"])
        };
        let outcome = outcome.exits_with(1);
        assert!(outcome.errors().contains(kind), "{outcome:?}");
        bundle.oci(&["state", "box"]).exits_with(1);
        assert!(stopped.exists(), "poststop after {kind}");
        std::fs::remove_file(&stopped).unwrap();
    }
}

#[test]
fn root_makes_containers_without_a_user_namespace() {
    const NAME: &str = "root_makes_containers_without_a_user_namespace";
    if !is_root() {
        return skip(NAME, "only root can do without a user namespace");
    }
    let cx = Cx::new();
    let script = "ls -l /dev | grep -c '^c'; cat /proc/self/uid_map; ls -l /dev/my-null";
    let mut bundle = Bundle::new(&cx, script);
    bundle.leave_user_namespace();
    let linux = bundle.config["linux"].as_object_mut().unwrap();
    linux.insert(
        "devices".to_owned(),
        json!([{"path": "/dev/my-null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640,
                "uid": 5, "gid": 6}]),
    );
    bundle.save();
    // Root's containers of one name want the same cgroup, and another test has one of this name.
    let run = "carrier oci --root run/root-oci --cgroup-manager disabled run -b home/bundle box; \
               rm -r run/root-oci";
    let outcome = cx.host_script(run).succeeds();
    let text = outcome.text();
    assert!(text.starts_with("7\n"), "{text}");
    assert!(
        text.contains("crw-r-----    1 5        6           1,   3"),
        "{text}"
    );
}

#[test]
fn rules_for_devices_bind_root() {
    const NAME: &str = "rules_for_devices_bind_root";
    if !is_root() {
        return skip(NAME, "only root can do without a user namespace");
    }
    let cx = Cx::new();
    // Whether there is anything behind the numbers does not matter: what is forbidden fails first.
    let script = "may() { echo $1 $( (eval \": $1 $2\") 2>&1 | grep -c 'not permitted'); }; \
                  may '<' /dev/one; may '<' /dev/two; may '>' /dev/two; echo x > /dev/null && echo null";
    let mut bundle = Bundle::new(&cx, script);
    bundle.leave_user_namespace();
    let linux = bundle.config["linux"].as_object_mut().unwrap();
    let device = |name: &str, major: u32, minor: u32| json!({"path": name, "type": "c", "major": major, "minor": minor});
    let devices = json!([device("/dev/one", 7, 0), device("/dev/two", 7, 1)]);
    linux.insert("devices".to_owned(), devices);
    linux.insert(
        "resources".to_owned(),
        json!({"devices": [
            {"allow": false, "access": "rwm"},
            {"allow": true, "type": "c", "major": 7, "minor": 1, "access": "r"},
        ]}),
    );
    let cgroup = format!("carrier-e2e-{}", std::process::id());
    linux.insert("cgroupsPath".to_owned(), cgroup.into());
    bundle.save();
    let run = "carrier oci --root run/root-oci run -b home/bundle box; rm -r run/root-oci";
    cx.host_script(run).succeeds().prints("< 1\n< 0\n> 1\nnull");
}
