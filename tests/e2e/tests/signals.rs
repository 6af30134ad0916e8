//! Signals, and commands that die.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::Cx;

const TRAP: &str = "trap 'echo got it; exit 3' TERM; echo up; while :; do sleep 0.1; done";

/// Prints the monitor of a container: the parent of its program.
const MONITOR: &str = r#"sh -c 'awk "/^PPid/ { print \$2 }" /proc/$(carrier inspect -f "{{.State.Pid}}" $1)/status' -"#;

#[test]
fn signals_reach_the_program() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let script = format!(
        "carrier run --rm {image} sh -c \"{TRAP}\" > out & pid=$!
         until grep -q up out; do sleep 0.05; done
         kill -TERM $pid; wait $pid; echo code $?; cat out"
    );
    cx.script(&format!("cd ~; {script}"))
        .succeeds()
        .prints("code 3\nup\ngot it");
}

#[test]
fn the_container_dies_with_its_monitor_and_the_next_command_cleans_up() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let script = format!(
        "carrier run --rm --name gone {image} sleep 1000 & pid=$!
         until carrier ls -c -q | grep -q .; do sleep 0.05; done
         kill -KILL $({MONITOR} gone); wait $pid; echo $?
         carrier ls -c -a -q"
    );
    let outcome = cx.script(&script).succeeds().prints("137");
    assert!(outcome.errors().contains("monitor was killed"));
    cx.assert_nothing_is_left();
}

#[test]
fn a_killed_container_that_was_to_stay_is_listed_as_ended() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let script = format!(
        "carrier run -d --name stays {image} sleep 1001
         monitor=$({MONITOR} stays); kill -KILL $monitor
         while kill -0 $monitor 2> /dev/null; do sleep 0.01; done
         carrier ls -c -a"
    );
    cx.script(&script)
        .succeeds()
        .shows("Exited (137)")
        .shows("stays");
    cx.carrier(["rm", "stays"]).succeeds();
}

#[test]
fn a_container_outlives_the_command_that_was_killed() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let script = format!(
        "carrier run --name in {image} sleep 1002 & pid=$!
         until [ $(carrier ls -c -q | wc -l) = 1 ]; do sleep 0.05; done
         kill -KILL $pid; wait $pid; sleep 0.3
         carrier ls -c; carrier stop -t 0 in"
    );
    cx.script(&script).succeeds().shows("Up").shows("in");
    cx.carrier(["rm", "in"]).succeeds().prints("in");
}
