//! The OCI command line: operations and states, runtime-spec `runtime.md`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{Bundle, Cx, until};
use serde_json::{Value, json};

#[test]
fn a_container_goes_from_created_to_running_to_stopped() {
    let cx = Cx::new();
    let bundle = Bundle::new(&cx, "echo started; sleep 1000");
    bundle.create().succeeds();
    assert_eq!(bundle.status(), "created");
    assert_eq!(bundle.output(), "");
    bundle.oci(&["start", "box"]).succeeds();
    assert_eq!(bundle.status(), "running");
    bundle.oci(&["delete", "box"]).exits_with(1);
    until("its output", || !bundle.output().is_empty());
    bundle.oci(&["kill", "box", "KILL"]).succeeds();
    bundle.wait_for("stopped");
    assert_eq!(bundle.output(), "started\n");
    bundle.oci(&["delete", "box"]).succeeds();
    bundle.oci(&["state", "box"]).exits_with(1);
}

#[test]
fn what_a_status_does_not_allow_is_refused() {
    let cx = Cx::new();
    let bundle = Bundle::new(&cx, "sleep 1000");
    for verb in ["start", "state", "kill", "delete", "pause", "ps"] {
        let outcome = bundle.oci(&[verb, "box"]).exits_with(1);
        assert!(outcome.errors().contains("does not exist"), "{outcome:?}");
    }
    bundle.oci(&["delete", "--force", "box"]).succeeds();
    bundle.create().succeeds();
    let outcome = bundle.create().exits_with(1);
    assert!(outcome.errors().contains("already exists"), "{outcome:?}");
    bundle.oci(&["start", "box"]).succeeds();
    bundle.oci(&["start", "box"]).exits_with(1);
    bundle.oci(&["kill", "box", "9"]).succeeds();
    bundle.wait_for("stopped");
    let outcome = bundle.oci(&["kill", "box"]).exits_with(1);
    assert!(
        outcome.errors().contains("container not running"),
        "{outcome:?}"
    );
    bundle.oci(&["exec", "box", "true"]).exits_with(1);
    bundle.oci(&["delete", "box"]).succeeds();
    for id in ["", "a/b", "..", "a b"] {
        bundle.oci(&["state", id]).exits_with(1);
    }
}

#[test]
fn a_created_container_can_be_deleted_and_a_running_one_by_force() {
    let cx = Cx::new();
    let bundle = Bundle::new(&cx, "sleep 1000");
    bundle.create().succeeds();
    bundle.oci(&["delete", "box"]).succeeds();
    bundle.create().succeeds();
    bundle.oci(&["start", "box"]).succeeds();
    bundle.oci(&["delete", "-f", "box"]).succeeds();
}

#[test]
fn the_state_is_the_specifications() {
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, "sleep 1000");
    bundle.config["annotations"] = json!({"org.example.key": "value"});
    bundle.save();
    bundle.create().succeeds();
    let state = bundle.oci(&["state", "box"]).succeeds();
    let state: Value = serde_json::from_str(state.text()).unwrap();
    assert_eq!(state["id"], "box");
    assert_eq!(state["ociVersion"], bundle.config["ociVersion"]);
    assert_eq!(state["annotations"]["org.example.key"], "value");
    assert_eq!(state["bundle"], bundle.path().display().to_string());
    assert!(state["pid"].as_u64().unwrap() > 1);
    let listed = bundle.oci(&["list", "--format", "json"]).succeeds();
    let listed: Value = serde_json::from_str(listed.text()).unwrap();
    assert_eq!(listed[0]["pid"], state["pid"]);
    bundle.oci(&["list", "-q"]).succeeds().prints("box");
    let pids = bundle.oci(&["ps", "-f", "json", "box"]).succeeds();
    let pids: Value = serde_json::from_str(pids.text()).unwrap();
    assert_eq!(pids, json!([state["pid"]]));
    bundle.oci(&["delete", "box"]).succeeds();
}

#[test]
fn a_run_passes_the_exit_code_on_and_leaves_nothing() {
    let cx = Cx::new();
    let bundle = Bundle::new(&cx, "echo out; echo err >&2; exit 7");
    let outcome = bundle.run().exits_with(7).prints("out");
    assert_eq!(outcome.errors(), "err\n");
}

#[test]
fn a_missing_program_is_named_as_engines_expect() {
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, "");
    for (program, message) in [
        ("nosuch", "executable file not found in $PATH"),
        ("/no/such", "no such file or directory"),
        ("/etc", "Permission denied"),
    ] {
        bundle.config["process"]["args"] = json!([program]);
        for outcome in [bundle.create(), bundle.run()] {
            let outcome = outcome.exits_with(1);
            assert!(outcome.errors().contains(message), "{outcome:?}");
        }
    }
}

#[test]
fn a_program_that_goes_missing_after_the_creation_fails_the_start() {
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, "");
    bundle.config["process"]["args"] = json!(["/bin/touch"]);
    bundle.create().succeeds();
    std::fs::remove_file(bundle.path().join("rootfs/bin/touch")).unwrap();
    let outcome = bundle.oci(&["start", "box"]).exits_with(1);
    assert!(outcome.errors().contains("no such file"), "{outcome:?}");
    bundle.wait_for("stopped");
    bundle.oci(&["delete", "box"]).succeeds();
}

#[test]
fn an_exec_is_a_process_of_the_container() {
    let cx = Cx::new();
    let bundle = Bundle::new(&cx, "sleep 1000");
    bundle.create().succeeds();
    bundle.oci(&["start", "box"]).succeeds();
    let script = "ps | grep -q 'sleep 1000' && echo seen; id -u; hostname; echo $X; exit 5";
    bundle
        .oci(&[
            "exec", "-e", "X=y", "--cwd", "/tmp", "box", "sh", "-c", script,
        ])
        .exits_with(5)
        .prints("seen\n0\ncarrier\ny");
    let namespaces = "for n in ipc mnt net pid user uts; do readlink /proc/1/ns/$n; readlink /proc/self/ns/$n; done";
    let links = bundle
        .oci(&["exec", "box", "sh", "-c", namespaces])
        .succeeds();
    let links: Vec<&str> = links.text().lines().collect();
    assert!(links.chunks(2).all(|pair| pair[0] == pair[1]), "{links:?}");
    // What is set for the container is set for whoever joins it.
    let status = "grep -e ^Cap -e NoNewPrivs -e Seccomp: /proc/self/status";
    let status = bundle.oci(&["exec", "box", "sh", "-c", status]).succeeds();
    assert!(status.text().contains("NoNewPrivs:\t1"), "{status:?}");
    assert!(
        status.text().contains("CapEff:\t0000000020000420"),
        "{status:?}"
    );
    let process = json!({
        "args": ["sh", "-c", "echo from a file"], "cwd": "/", "user": {"uid": 0, "gid": 0},
        "env": ["PATH=/bin"],
    });
    let file = cx.file("process.json", &process.to_string());
    bundle
        .oci(&["exec", "--process", &file, "box"])
        .succeeds()
        .prints("from a file");
    let detached = "exec -d --pid-file run/pid box sleep 999 </dev/null >/dev/null 2>&1";
    cx.script(&format!("{} {detached}", bundle.runtime()))
        .succeeds();
    let pids = bundle.oci(&["ps", "-f", "json", "box"]).succeeds();
    let pids: Vec<u32> = serde_json::from_str(pids.text()).unwrap();
    let pid: u32 = std::fs::read_to_string(cx.home().join("../run/pid"))
        .unwrap()
        .parse()
        .unwrap();
    assert!(pids.len() == 2 && pids.contains(&pid), "{pids:?}");
    let missing = bundle.oci(&["exec", "box", "nosuch"]).exits_with(1);
    assert!(
        missing.errors().contains("executable file not found"),
        "{missing:?}"
    );
    bundle.oci(&["delete", "-f", "box"]).succeeds();
}

#[test]
fn a_process_from_a_file_has_what_the_container_has_and_it_does_not_say() {
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, "sleep 1000");
    bundle.config["process"]["rlimits"] =
        json!([{"type": "RLIMIT_NOFILE", "soft": 64, "hard": 128}]);
    bundle.config["process"]["oomScoreAdj"] = 700.into();
    bundle.create().succeeds();
    bundle.oci(&["start", "box"]).succeeds();
    let script =
        "grep CapBnd /proc/self/status; ulimit -n; cat /proc/self/oom_score_adj; echo $HOME";
    let mut process = json!({
        "args": ["sh", "-c", script], "cwd": "/", "user": {"uid": 0, "gid": 0},
        "env": ["PATH=/bin"],
    });
    let run = |process: &Value| {
        let file = cx.file("process.json", &process.to_string());
        bundle.oci(&["exec", "--process", &file, "box"]).succeeds()
    };
    run(&process).prints("CapBnd:\t0000000020000420\n64\n700\n/");
    process["capabilities"] = json!({"bounding": ["CAP_KILL"]});
    process["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 32, "hard": 32}]);
    process["oomScoreAdj"] = 800.into();
    process["env"] = json!(["PATH=/bin", "HOME=/tmp"]);
    run(&process).prints("CapBnd:\t0000000000000020\n32\n800\n/tmp");
    bundle.oci(&["delete", "-f", "box"]).succeeds();
}

#[test]
fn p02_only_promised_descriptors_reach_the_program() {
    let cx = Cx::new();
    let bundle = Bundle::new(&cx, "cat <&3; ls /proc/self/fd");
    bundle.save();
    let runtime = bundle.runtime();
    let run = format!(
        "echo gift > gift; {runtime} run -b home/bundle --preserve-fds 1 box 3<gift 4</ 9</"
    );
    // The fourth is what ls reads.
    cx.script(&run).succeeds().prints("gift\n0\n1\n2\n3\n4");
    let none = format!("{runtime} run -b home/bundle --preserve-fds 2 box 3</");
    let outcome = cx.script(&none).exits_with(1);
    assert!(
        outcome.errors().contains("descriptor 4 is not open"),
        "{outcome:?}"
    );
}

#[test]
fn the_callers_umask_is_not_the_containers() {
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, "ls -ld /dev/pts/.. | grep -o '^d[rwx-]*'");
    bundle.config["process"]["cwd"] = "/work/deep".into();
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.push(json!({"destination": "/made/deep", "type": "tmpfs"}));
    bundle.save();
    let runtime = bundle.runtime();
    let script = format!(
        "umask 077; {runtime} run --pid-file run/pid -b home/bundle box
         cd home/bundle/rootfs; stat -c %a made made/deep work work/deep ../../../run/pid"
    );
    let expected = "drwxr-xr-x\n755\n755\n755\n755\n600";
    cx.script(&script).succeeds().prints(expected);
}

#[test]
fn sockets_of_the_service_manager_come_before_promised_descriptors() {
    let cx = Cx::new();
    let bundle = Bundle::new(&cx, "cat <&3; cat <&4; echo $LISTEN_FDS $LISTEN_PID");
    bundle.save();
    let runtime = bundle.runtime();
    let activated = |pid: &str, options: &str| {
        cx.script(&format!(
            "echo one > one; echo two > two
             export LISTEN_FDS=1 NOTIFY_SOCKET=/nowhere
             exec 3<one 4<two
             sh -c 'LISTEN_PID={pid} exec {runtime} run -b home/bundle {options} box'"
        ))
    };
    let outcome = activated("$$", "--preserve-fds 1").succeeds();
    let warning = "warning: NOTIFY_SOCKET: the socket is not handed to the container";
    assert!(outcome.errors().contains(warning), "{outcome:?}");
    outcome.prints("one\ntwo\n1 1");
    // They are for another process.
    activated("1", "--preserve-fds 2")
        .succeeds()
        .prints("one\ntwo");
}

#[test]
fn errors_reach_the_log_of_the_engine() {
    let cx = Cx::new();
    let bundle = Bundle::new(&cx, "");
    let log = cx.home().join("log");
    let path = log.display().to_string();
    bundle
        .oci(&["--log", &path, "--log-format", "json", "state", "nosuch"])
        .exits_with(1);
    let line: Value = serde_json::from_str(&std::fs::read_to_string(log).unwrap()).unwrap();
    assert_eq!(line["level"], "error");
    assert_eq!(line["msg"], "container \"nosuch\" does not exist");
}

#[test]
fn n01_an_exec_leaves_the_keyring_of_the_login() {
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, "sleep 1000");
    bundle.config["linux"]["maskedPaths"] = json!([]);
    for (option, expected) in [("", "0"), ("--no-new-keyring", "1")] {
        bundle.save();
        // Only who possesses the keyring of the session sees it then.
        let runtime = bundle.runtime();
        let script = format!(
            "keyctl setperm @s 0x3f000000
             {runtime} create {option} -b home/bundle box </dev/null >output 2>&1; {runtime} start box; \
             {runtime} exec box grep -c login-secret /proc/keys; {runtime} delete -f box"
        );
        let path = cx.file("script", &script);
        let session = format!("keyctl session login-secret sh {path} 2>/dev/null");
        cx.script(&session).prints(expected);
    }
}
