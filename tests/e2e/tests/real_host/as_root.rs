//! What root does: containerd, profiles of `AppArmor`, and the settings of the machine.

mod disks;
mod doctor;
mod machine;

use std::sync::OnceLock;

use carrier_e2e::{Bundle, Cx, Outcome, other_runtime};

use crate::MEMORY;

/// containerd as the distribution starts it, with an image `box`.
struct Containerd {
    cx: Cx,
}

impl Containerd {
    fn new() -> Self {
        static IMAGE: OnceLock<()> = OnceLock::new();
        let containerd = Self { cx: Cx::new() };
        IMAGE.get_or_init(|| containerd.make_image());
        containerd
    }

    fn make_image(&self) {
        let root = Bundle::new(&self.cx, "").path().join("rootfs");
        let setup = format!(
            "unset CARRIER_E2E; systemctl start containerd
             tar -C {} -c . | podman import -q - localhost/box:latest
             podman save -q localhost/box:latest | ctr images import -",
            root.display()
        );
        self.cx.host_script(&setup).succeeds();
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

/// Shows the limit in the cgroup of the task, which is in or below the one named, and ends it.
const SHOW_AND_END: &str = r"
    pid=$(ctr task ls | awk '$1 == NAME { print $2 }' NAME=limited)
    own=$(cut -d: -f3 /proc/$pid/cgroup)
    case $own in $expected*) cat /sys/fs/cgroup$own/memory.max ;; *) echo $own ;; esac
    ctr task kill -s KILL limited; until_stopped
    ctr task delete limited 2>&1 | grep -c 'exit code 137'; ctr container delete limited
    test ! -e /sys/fs/cgroup$expected && echo gone";

#[test]
fn containerds_limits_are_those_of_a_cgroup() {
    let containerd = Containerd::new();
    let run = format!("$run -d --memory-limit {MEMORY} $box limited sleep 1000");
    containerd
        .script(&format!("expected=/default/limited; {run}{SHOW_AND_END}"))
        .succeeds()
        .prints(&format!("{MEMORY}\n1\ngone"));
}

#[test]
fn containerds_limits_are_those_of_a_scope_of_systemd() {
    let containerd = Containerd::new();
    let scope = "--runc-systemd-cgroup --cgroup system.slice:carrier-test:limited";
    let run = format!("$run -d --memory-limit {MEMORY} {scope} $box limited sleep 1000");
    let script = format!(
        "expected=/system.slice/carrier-test-limited.scope; {run}
         systemctl is-active carrier-test-limited.scope{SHOW_AND_END}
         systemctl list-units --all --plain --no-legend 'carrier-test*'"
    );
    containerd
        .script(&script)
        .succeeds()
        .prints(&format!("active\n{MEMORY}\n1\ngone"));
}

#[test]
fn a_container_runs_under_the_profile_that_it_names() {
    const NAME: &str = "carrier-test-profile";
    let cx = Cx::new();
    let text =
        format!("profile {NAME} flags=(attach_disconnected) {{ file, capability, signal, }}");
    let file = cx.file("profile", &text);
    cx.host_script(&format!("apparmor_parser -r {file}"))
        .succeeds();
    let mut bundle = Bundle::new(&cx, "cat /proc/self/attr/current");
    for (name, shown) in [
        ("unconfined", "unconfined".to_owned()),
        (NAME, format!("{NAME} (enforce)")),
    ] {
        bundle.config["process"]["apparmorProfile"] = name.into();
        bundle.run().succeeds().prints(&shown);
    }
    cx.host_script(&format!("apparmor_parser -R {file}"))
        .succeeds();
}

#[test]
fn a_profile_that_is_not_loaded_is_an_error_that_names_it() {
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, "true");
    bundle.config["process"]["apparmorProfile"] = "no-such-profile".into();
    let outcome = bundle.run().exits_with(1);
    // Other runtimes name only the file of the kernel.
    let named = other_runtime().map_or("no-such-profile", |_| "attr/");
    assert!(outcome.errors().contains(named), "{outcome:?}");
}
