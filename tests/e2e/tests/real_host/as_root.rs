//! What root does: containerd, and profiles of `AppArmor`.

use carrier_e2e::{Bundle, Cx, Outcome};

use crate::MEMORY;

/// containerd as the distribution starts it, with an image `box`.
struct Containerd {
    cx: Cx,
}

impl Containerd {
    fn new() -> Self {
        let cx = Cx::new();
        let root = Bundle::new(&cx, "").path().join("rootfs");
        let setup = format!(
            "systemctl start containerd
             tar -C {} -c . | podman import -q - localhost/box:latest
             podman save -q localhost/box:latest | ctr images import -",
            root.display()
        );
        cx.host_script(&setup).succeeds();
        Self { cx }
    }

    /// Runs a script; `$run` is `ctr run` with the runtime.
    fn script(&self, script: &str) -> Outcome {
        let runtime = self.cx.runtime();
        self.cx.host_script(&format!(
            "run='ctr run --runc-binary {runtime}'; box=localhost/box:latest
             until_stopped() {{ while ctr task ls | grep -q RUNNING; do sleep 0.2; done; }}
             {script}"
        ))
    }
}

#[test]
fn containerd_runs_enters_pauses_and_ends_containers() {
    let containerd = Containerd::new();
    let script = "
        $run --rm $box one sh -c 'echo out; exit 3'; echo code $?
        $run -d $box two sleep 1000
        ctr task exec --exec-id x two sh -c 'exit 4'; echo code $?
        ctr task pause two; ctr task ls | grep -c PAUSED
        ctr task resume two; ctr task ls | grep -c RUNNING
        ctr task kill -s KILL two; until_stopped
        ctr task delete two 2>&1 | grep -c 'exit code 137'; ctr container delete two";
    containerd
        .script(script)
        .succeeds()
        .prints("out\ncode 3\ncode 4\n1\n1\n1");
}

#[test]
fn containerd_gives_a_terminal() {
    let containerd = Containerd::new();
    let script =
        "script -qec \"$run --rm -t $box three sh -c 'test -t 1 && echo terminal'\" /dev/null";
    containerd.script(script).succeeds().shows("terminal");
}

#[test]
fn containerds_limits_are_those_of_a_cgroup() {
    let containerd = Containerd::new();
    let read = "cat /sys/fs/cgroup/memory.max";
    let limit = format!("--rm --memory-limit {MEMORY}");
    containerd
        .script(&format!("$run {limit} $box four {read}"))
        .succeeds()
        .prints(MEMORY);
}

#[test]
fn containerds_limits_are_those_of_a_scope_of_systemd() {
    let containerd = Containerd::new();
    let script = format!(
        "$run -d --memory-limit {MEMORY} --runc-systemd-cgroup --cgroup system.slice:carrier-test:five $box five sleep 1000
         systemctl show -P MemoryMax carrier-test-five.scope
         ctr task kill -s KILL five; until_stopped
         ctr task delete five 2>&1 | grep -c 'exit code 137'; ctr container delete five
         systemctl list-units --all --plain --no-legend 'carrier-test*'"
    );
    containerd
        .script(&script)
        .succeeds()
        .prints(&format!("{MEMORY}\n1"));
}

/// A bundle of the ordinary user that shows its profile.
fn confined<'a>(cx: &'a Cx, profile: &str) -> Bundle<'a> {
    let mut bundle = Bundle::new(cx, "cat /proc/self/attr/current");
    bundle.config["process"]["apparmorProfile"] = profile.into();
    bundle
}

#[test]
fn a_container_runs_under_the_profile_that_it_names() {
    let cx = Cx::new();
    let profile =
        "profile carrier-test-profile flags=(attach_disconnected) { file, capability, signal, }";
    let profile = cx.file("profile", profile);
    cx.host_script(&format!("apparmor_parser -r {profile}"))
        .succeeds();
    for (name, shown) in [
        ("unconfined", "unconfined"),
        ("carrier-test-profile", "carrier-test-profile (enforce)"),
    ] {
        confined(&cx, name).run().succeeds().prints(shown);
    }
    cx.host_script(&format!("apparmor_parser -R {profile}"))
        .succeeds();
}

#[test]
fn a_profile_that_is_not_loaded_is_an_error_that_names_it() {
    let cx = Cx::new();
    let outcome = confined(&cx, "no-such-profile").run().exits_with(1);
    assert!(outcome.errors().contains("no-such-profile"), "{outcome:?}");
}
