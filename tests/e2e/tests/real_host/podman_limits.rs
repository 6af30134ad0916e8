//! Limits that Podman asks for.

use carrier_e2e::Outcome;

use crate::{MEMORY, Session};

const LIMITS: &str = "-m 64m --pids-limit 40 --cpus 0.5";

/// What a container with these limits sees of them, and that it ends when it takes too much.
const SCRIPT: &str = "cd /sys/fs/cgroup; cat memory.max pids.max cpu.max; dd if=/dev/zero of=/dev/null bs=200M count=1";

fn assert_limits(outcome: Outcome) {
    // The shell goes on, with the exit code of what was killed.
    outcome
        .exits_with(137)
        .prints(&format!("{MEMORY}\n40\n50000 100000"));
}

#[test]
fn podmans_limits_are_those_of_a_scope_of_systemd() {
    let session = Session::new();
    assert_limits(session.script(&format!("$run --rm {LIMITS} box sh -c '{SCRIPT}'")));
    session.assert_no_scope_is_left();
}

#[test]
fn a_container_that_takes_too_much_memory_is_killed() {
    let session = Session::new();
    session
        .script("$run --rm -m 64m box dd if=/dev/zero of=/dev/null bs=200M count=1")
        .exits_with(137);
    session.assert_no_scope_is_left();
}

#[test]
fn podmans_limits_are_those_of_a_delegated_cgroup() {
    let session = Session::new();
    // Processes and controllers of one cgroup exclude each other: this shell moves to a leaf.
    let script = format!(
        "own=$(cut -d: -f3 /proc/self/cgroup); here=/sys/fs/cgroup$own
        mkdir $here/shell; echo $$ > $here/shell/cgroup.procs
        echo '+memory +pids +cpu' > $here/cgroup.subtree_control
        podman --runtime {} --cgroup-manager=cgroupfs run --rm --network none \\
            --cgroup-parent $own/pod {LIMITS} box sh -c '{SCRIPT}'",
        session.cx.runtime()
    );
    let _ = session.cx.file("delegated", &script);
    assert_limits(
        session.script("systemd-run --user --scope --quiet -p Delegate=yes sh delegated"),
    );
}
