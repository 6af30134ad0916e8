//! Signals, and commands that die.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::Cx;

const TRAP: &str = "trap 'echo got it; exit 3' TERM; echo up; while :; do sleep 0.1; done";

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
fn the_container_dies_with_carrier_and_the_next_command_cleans_up() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let script = format!(
        "carrier run --rm --name gone {image} sleep 1000 & pid=$!
         until carrier ls -c -q | grep -q .; do sleep 0.05; done
         kill -KILL $pid; wait $pid
         sleep 1
         carrier ls -c -a -q"
    );
    cx.script(&script).succeeds().prints("");
    cx.assert_nothing_is_left();
}

#[test]
fn a_killed_container_that_was_to_stay_is_listed_as_ended() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let script = format!(
        "carrier run --name stays {image} sleep 1001 & pid=$!
         until carrier ls -c -q | grep -q .; do sleep 0.05; done
         kill -KILL $pid; wait $pid
         sleep 1
         carrier ls -c -a"
    );
    cx.script(&script)
        .succeeds()
        .shows("Exited (unknown)")
        .shows("stays");
    cx.carrier(["rm", "stays"]).succeeds();
}
