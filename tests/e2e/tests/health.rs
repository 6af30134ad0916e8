//! Whether a container is well, and what follows from it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::fs;
use std::time::{Duration, Instant};

use carrier_e2e::{Cx, Outcome};
use serde_json::Value;

const FOREVER: &str = "trap exit TERM; sleep 600 & wait";

/// Options of a check that is made often.
const OFTEN: [&str; 6] = [
    "--health-interval",
    "100ms",
    "--health-start-interval",
    "100ms",
    "--health-retries",
    "2",
];

fn run(cx: &Cx, options: &[&str], script: &str) -> Outcome {
    let image = cx.pulled("busybox");
    let head = ["run", "-d", "--name", "box"];
    let words = head.iter().chain(&OFTEN).chain(options).copied();
    cx.carrier(words.chain([image.as_str(), "sh", "-c", script]))
}

fn state(cx: &Cx) -> Value {
    let mut containers = fs::read_dir(cx.store().join("containers")).unwrap();
    let directory = containers.next().unwrap().unwrap().path();
    let state = fs::read(directory.join("state.json")).unwrap();
    serde_json::from_slice(&state).unwrap()
}

/// Waits until the container's state is as it shall be.
#[track_caller]
fn until(cx: &Cx, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let state = state(cx);
        if is_so(&state) {
            return state;
        }
        assert!(Instant::now() < deadline, "not {what}: {state:#}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is(status: &str) -> impl Fn(&Value) -> bool {
    move |state| state["health"]["status"] == status
}

fn remove(cx: &Cx) {
    cx.carrier(["rm", "--force", "box"]).succeeds();
}

#[test]
fn a_container_gets_well_and_ill_and_well_again() {
    let cx = Cx::with_registry();
    run(
        &cx,
        &["--health-cmd", "test -e /ok || { echo missing; exit 3; }"],
        FOREVER,
    )
    .succeeds();
    let ill = until(&cx, "unhealthy", is("unhealthy"));
    let last = ill["health"]["log"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .clone();
    assert_eq!(
        (&last["exit_code"], &last["output"]),
        (&3.into(), &"missing\n".into())
    );
    cx.carrier(["healthcheck", "run", "box"])
        .exits_with(1)
        .prints("missing\nunhealthy");
    cx.carrier(["exec", "box", "touch", "/ok"]).succeeds();
    cx.carrier(["wait", "--condition=healthy", "box"])
        .succeeds()
        .prints("-1");
    let well = until(&cx, "healthy", is("healthy"));
    assert_eq!(well["health"]["failing_streak"], 0);
    let format = "{{.State.Health.Status}} {{.State.Health.FailingStreak}} \
                  {{.Config.Healthcheck.Retries}}";
    cx.carrier(["inspect", "-f", format, "box"])
        .prints("healthy 0 2");
    cx.carrier(["ps"]).shows("(healthy)");
    cx.carrier(["ps", "-q", "-f", "health=unhealthy"])
        .prints("");
    cx.carrier(["healthcheck", "run", "box"])
        .succeeds()
        .prints("");
    cx.carrier(["exec", "box", "rm", "/ok"]).succeeds();
    until(&cx, "unhealthy", is("unhealthy"));
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(state(&cx)["health"]["log"].as_array().unwrap().len(), 5);
    remove(&cx);
}

#[test]
fn a_check_that_takes_too_long_has_no_answer_and_leaves_nothing() {
    let cx = Cx::with_registry();
    let options = [
        "--health-cmd",
        "echo begun; exec sleep 600",
        "--health-timeout",
        "2s",
    ];
    run(&cx, &options, FOREVER).succeeds();
    let state = until(&cx, "unhealthy", is("unhealthy"));
    let first = &state["health"]["log"][0];
    assert_eq!(first["exit_code"], -1);
    assert_eq!(
        first["output"],
        "Health check exceeded timeout (2s): begun\n"
    );
    // Only the program's own, and that of the check that is being made.
    let sleeping = cx.carrier(["exec", "box", "sh", "-c", "ps | grep -c 'sleep 60[0]'"]);
    assert!(sleeping.text().parse::<u32>().unwrap() <= 2, "{sleeping:?}");
    remove(&cx);
}

#[test]
fn much_output_is_cut_and_a_command_that_does_not_exist_is_a_failure() {
    let cx = Cx::with_registry();
    run(&cx, &["--health-cmd", "yes | head -c 100000"], FOREVER).succeeds();
    let state = until(&cx, "healthy", is("healthy"));
    let output = state["health"]["log"][0]["output"].as_str().unwrap();
    assert!(output.len() == 4099 && output.ends_with("y\n..."));
    remove(&cx);
    run(&cx, &["--health-cmd", "no-such-program"], FOREVER).succeeds();
    let state = until(&cx, "unhealthy", is("unhealthy"));
    assert_eq!(state["health"]["log"][0]["exit_code"], 127);
    remove(&cx);
}

#[test]
fn failures_do_not_count_while_the_container_starts() {
    let cx = Cx::with_registry();
    let _ = cx.pulled("busybox");
    let begun = Instant::now();
    run(
        &cx,
        &["--health-cmd", "false", "--health-start-period", "5s"],
        FOREVER,
    )
    .succeeds();
    let asked = until(&cx, "asked", |state| {
        state["health"]["log"]
            .as_array()
            .is_some_and(|log| log.len() > 2)
    });
    assert_eq!(asked["health"]["failing_streak"], 0);
    until(&cx, "unhealthy", is("unhealthy"));
    assert!(begun.elapsed() >= Duration::from_secs(5));
    remove(&cx);
}

#[test]
fn what_is_held_is_not_asked() {
    let cx = Cx::with_registry();
    run(&cx, &["--health-cmd", "true"], FOREVER).succeeds();
    until(&cx, "healthy", is("healthy"));
    cx.carrier(["pause", "box"]).succeeds();
    let before = state(&cx)["health"]["log"].clone();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(state(&cx)["health"]["log"], before);
    cx.carrier(["unpause", "box"]).succeeds();
    until(&cx, "asked again", |state| state["health"]["log"] != before);
    remove(&cx);
}

#[test]
fn what_is_ill_is_killed_stopped_or_started_again_as_asked() {
    let cx = Cx::with_registry();
    for (action, code) in [("kill", "137"), ("stop", "7")] {
        // It falls ill when it is ready to be stopped.
        let check = "test ! -e /up";
        let options = ["--health-cmd", check, "--health-on-failure", action];
        let script = "trap 'exit 7' TERM; touch /up; sleep 600 & wait";
        run(&cx, &options, script).succeeds();
        cx.carrier(["wait", "box"]).prints(code);
        assert_eq!(state(&cx)["health"]["status"], "unhealthy");
        remove(&cx);
    }
    let options = ["--health-cmd", "false", "--health-on-failure", "restart"];
    run(&cx, &options, FOREVER).succeeds();
    until(&cx, "started again", |state| {
        state["restarts"].as_u64() >= Some(2)
    });
    remove(&cx);
}

#[test]
fn a_check_dies_with_its_container_and_its_monitor() {
    let cx = Cx::with_registry();
    let options = ["--health-cmd", "echo > /asked; exec sleep 600"];
    run(&cx, &options, FOREVER).succeeds();
    let asked = || {
        cx.carrier(["exec", "box", "test", "-e", "/asked"])
            .is_success()
    };
    while !asked() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = state(&cx)["monitor"]["pid"].as_u64().unwrap();
    cx.script(&format!("kill -9 {pid}")).succeeds();
    cx.carrier(["wait", "box"]).prints("137");
    remove(&cx);
}

#[test]
fn a_run_waits_until_its_container_is_ready() {
    let cx = Cx::with_registry();
    run(&cx, &["--wait"], FOREVER).succeeds();
    remove(&cx);
    run(
        &cx,
        &["--wait=log:ready now"],
        "sleep 0.5; echo ready now; sleep 600",
    )
    .succeeds();
    remove(&cx);
    run(&cx, &["--wait=port:8080"], "sleep 0.5; nc -l -p 8080").succeeds();
    remove(&cx);
    let begun = Instant::now();
    run(
        &cx,
        &[
            "--wait=healthy",
            "--health-cmd",
            "test -e /ok",
            "--health-start-period",
            "200s",
        ],
        "sleep 0.5; touch /ok; sleep 600",
    )
    .succeeds();
    until(&cx, "healthy", is("healthy"));
    remove(&cx);
    assert!(begun.elapsed() < Duration::from_secs(100));
}

#[test]
fn a_run_does_not_wait_for_what_will_not_come() {
    let cx = Cx::with_registry();
    for (options, script, reason) in [
        (&["--wait=log:ready"][..], "echo not yet", "it has ended"),
        (
            &["--wait=port:8080", "--wait-timeout", "1"],
            FOREVER,
            "it took too long",
        ),
        (&["--wait=healthy"], FOREVER, "it has no health check"),
        (
            &["--wait", "--health-cmd", "false"],
            FOREVER,
            "it is unhealthy",
        ),
    ] {
        run(&cx, options, script)
            .exits_with(1)
            .complains(&format!("container box is not ready: {reason}"));
        remove(&cx);
    }
    let image = cx.pulled("busybox");
    for (words, complaint) in [
        (
            &["--wait", &image][..],
            "--wait is for containers in the background",
        ),
        (
            &["-d", "--wait=soon", &image],
            "\"soon\" is nothing to wait for",
        ),
        (&["--health-interval", "1", &image], "\"1\" is no duration"),
        (
            &["--no-healthcheck", "--health-cmd", "true", &image],
            "--no-healthcheck conflicts",
        ),
        (
            &["--health-timeout", "1us", &image],
            "--health-timeout cannot be less than 1ms",
        ),
    ] {
        cx.carrier(["run"].iter().chain(words).copied())
            .exits_with(125)
            .complains(complaint);
    }
    run(&cx, &[], FOREVER).succeeds();
    cx.carrier(["healthcheck", "run", "box"])
        .exits_with(125)
        .complains("container box has no health check");
    remove(&cx);
}
