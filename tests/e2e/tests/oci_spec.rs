//! Sentences of runtime-spec with MUST in them that have no better place.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{Bundle, Cx, is_root, skip, until};
use serde_json::{Value, json};

/// Without the limits of a user namespace: for scripts of root.
fn give_up_user_namespace(config: &mut Value) {
    let linux = config["linux"].as_object_mut().unwrap();
    linux.remove("uidMappings");
    linux.remove("gidMappings");
    let namespaces = linux["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "user");
}

#[test]
fn what_the_specification_forbids_is_refused_by_name() {
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, "echo it ran");
    let original = bundle.config.clone();
    let limit = json!({"type": "RLIMIT_NOFILE", "soft": 64, "hard": 64});
    let notify = json!([{"names": ["acct"], "action": "SCMP_ACT_NOTIFY"}]);
    for (pointer, value, message) in [
        (
            "/process/rlimits",
            json!([limit, limit]),
            "process.rlimits[1] is invalid: there is one of this type already",
        ),
        (
            "/hooks",
            json!({"poststop": [{"path": "bin/true"}]}),
            "hooks.poststop[0].path is invalid: the path is not absolute",
        ),
        (
            "/hooks",
            json!({"createRuntime": [{"path": "/bin/true"}, {"path": "/bin/true", "timeout": 0}]}),
            "hooks.createRuntime[1].timeout is invalid: it is not greater than zero",
        ),
        (
            "/annotations",
            json!({"": "value"}),
            "annotations is invalid",
        ),
        ("/ociVersion", json!("1.02.0"), "ociVersion is invalid"),
        (
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": notify}),
            "linux.seccomp.listenerPath is invalid",
        ),
        (
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"}),
            "linux.seccomp.listenerMetadata is invalid",
        ),
        (
            "/mounts/0/options",
            json!(["remount"]),
            "mounts[0].options: remount is not supported",
        ),
        (
            "/linux/maskedPaths",
            json!(["tmp"]),
            "linux.maskedPaths is invalid: the path is not absolute",
        ),
        (
            "/linux/readonlyPaths",
            json!(["tmp"]),
            "linux.readonlyPaths is invalid: the path is not absolute",
        ),
    ] {
        bundle.config = original.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        bundle.config.pointer_mut(parent).unwrap()[key] = value;
        let outcome = bundle.run().exits_with(1).prints("");
        assert!(outcome.errors().contains(message), "{outcome:?}");
    }
}

#[test]
fn what_the_specification_leaves_room_for_is_accepted() {
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, "grep -c -e ' /tmp ' /proc/self/mountinfo");
    bundle.config["of"] = json!({"tomorrow": 1});
    bundle.config["process"]["of"] = json!("tomorrow");
    bundle.config["linux"]["namespaces"][0]["of"] = json!(["tomorrow"]);
    bundle.config["annotations"] = json!({"org.example.unknown": ""});
    // Without a terminal this means nothing.
    bundle.config["process"]["consoleSize"] = json!({"width": 1, "height": 1});
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.push(json!({"destination": "tmp", "type": "tmpfs"}));
    bundle.run().succeeds().prints("1");
}

#[test]
fn options_of_every_filesystem_are_understood() {
    let cx = Cx::new();
    let script =
        "grep -e ' /tmp ' /proc/self/mountinfo | while read line; do echo ${line##* }; done";
    let mut bundle = Bundle::new(&cx, script);
    let words = [
        "async",
        "dirsync",
        "sync",
        "lazytime",
        "nolazytime",
        "silent",
        "loud",
        "iversion",
        "noiversion",
        "nomand",
    ];
    let mount = |kind: &str, source: &str, options: &[&str]| json!([{"destination": "/tmp", "type": kind, "source": source, "options": options}]);
    let base = bundle.config["mounts"].as_array().unwrap().clone();
    let with =
        |mount: Value| Value::from([base.clone(), mount.as_array().unwrap().clone()].concat());
    let tmpfs = |options: &[&str]| mount("tmpfs", "tmpfs", options);
    for (options, expected) in [
        (&words[..], "rw,sync,dirsync"),
        (&["sync", "lazytime"][..], "rw,sync,lazytime"),
    ] {
        bundle.config["mounts"] = with(tmpfs(options));
        let outcome = bundle.run().succeeds();
        assert!(outcome.text().starts_with(expected), "{outcome:?}");
    }
    bundle.config["mounts"] = with(mount("bind", "rootfs", &[&["rbind"], &words[..]].concat()));
    bundle.run().succeeds();
}

#[test]
fn a_namespace_of_another_type_is_not_joined() {
    const NAME: &str = "a_namespace_of_another_type_is_not_joined";
    if !is_root() {
        return skip(NAME, "only root may join namespaces of the host");
    }
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, "echo it ran");
    give_up_user_namespace(&mut bundle.config);
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    for namespace in namespaces {
        if namespace["type"] == "network" {
            namespace["path"] = "/proc/self/ns/ipc".into();
        }
    }
    bundle.save();
    let run = "carrier oci --root run/root-oci --cgroup-manager disabled run -b home/bundle box; code=$?; \
               rm -r run/root-oci; exit $code";
    let outcome = cx.host_script(run).exits_with(1).prints("");
    let message = "cannot join namespace /proc/self/ns/ipc (linux.namespaces";
    assert!(outcome.errors().contains(message), "{outcome:?}");
}

#[test]
fn a_container_without_a_process_is_made_and_not_started() {
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, "");
    bundle.config.as_object_mut().unwrap().remove("process");
    bundle.create().succeeds();
    assert_eq!(bundle.status(), "created");
    let outcome = bundle.oci(&["start", "box"]).exits_with(1);
    let message = "process is invalid: it is required to start a container";
    assert!(outcome.errors().contains(message), "{outcome:?}");
    // The refusal changes nothing.
    assert_eq!(bundle.status(), "created");
    let process = json!({"args": ["hostname"], "cwd": "/", "user": {"uid": 0, "gid": 0},
                         "env": ["PATH=/bin"]});
    let file = cx.file("process.json", &process.to_string());
    let exec = bundle.oci(&["exec", "--process", &file, "box"]);
    exec.succeeds().prints("carrier");
    bundle.oci(&["delete", "box"]).succeeds();
    let outcome = bundle.run().exits_with(1);
    assert!(
        outcome.errors().contains("process is invalid"),
        "{outcome:?}"
    );
}

#[test]
fn a_configuration_that_changes_after_the_creation_changes_nothing() {
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, "echo original; sleep 1000");
    bundle.create().succeeds();
    bundle.config["process"]["args"] = json!(["echo", "changed"]);
    bundle.config["hooks"] = json!({"poststart": [{"path": "/bin/false"}]});
    bundle.save();
    bundle.oci(&["start", "box"]).succeeds();
    until("its output", || !bundle.output().is_empty());
    assert_eq!(bundle.output(), "original\n");
    bundle.oci(&["delete", "-f", "box"]).succeeds();
}

#[test]
fn capabilities_that_cannot_be_had_are_warned_about() {
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, "grep CapBnd /proc/self/status");
    bundle.config["process"]["capabilities"]["bounding"] = json!(["CAP_KILL", "CAP_OF_TOMORROW"]);
    let outcome = bundle.run().succeeds().prints("CapBnd:\t0000000000000020");
    let expected = "warning: process.capabilities: \"CAP_OF_TOMORROW\" is not known\n";
    assert_eq!(outcome.errors(), expected);
    if !is_root() {
        return;
    }
    give_up_user_namespace(&mut bundle.config);
    bundle.config["process"]["capabilities"]["bounding"] = json!(["CAP_KILL", "CAP_BPF"]);
    bundle.save();
    let run = "setpriv --bounding-set -bpf --inh-caps -bpf \
               carrier oci --root run/root-oci --cgroup-manager disabled run -b home/bundle box; code=$?; \
               rm -r run/root-oci; exit $code";
    let outcome = cx.host_script(run).succeeds();
    let expected = "warning: process.capabilities: CAP_BPF cannot be granted\n";
    assert_eq!(outcome.errors(), expected);
    outcome.prints("CapBnd:\t0000000000000020");
}

#[test]
fn checkpoints_are_refused_in_one_line() {
    let cx = Cx::new();
    for words in [
        "checkpoint --image-path x --leave-running box",
        "restore -d --bundle x box",
    ] {
        let outcome = cx.script(&format!("carrier oci {words}")).exits_with(1);
        let verb = words.split(' ').next().unwrap();
        let expected = format!("carrier-runtime: error: {verb} is not supported\n");
        assert_eq!(outcome.errors(), expected);
    }
}
