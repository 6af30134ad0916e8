//! What a container wrote, and what it writes.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use carrier_e2e::{Cx, Outcome, until};

/// Runs a container in the background to its end; its log is there then.
fn ran(cx: &Cx, options: &[&str], script: &str) {
    started(cx, options, script);
    cx.carrier(["wait", "box"]).succeeds();
}

fn started(cx: &Cx, options: &[&str], script: &str) {
    let image = cx.pulled("busybox");
    let head = ["run", "-d", "--name", "box"];
    let words = head.iter().chain(options).copied();
    let words = words.chain([image.as_str(), "sh", "-c", script]);
    cx.carrier(words).succeeds();
}

fn logs(cx: &Cx, options: &[&str]) -> Outcome {
    let words = ["logs"].iter().chain(options).chain([&"box"]).copied();
    cx.carrier(words).succeeds()
}

fn remove(cx: &Cx) {
    cx.carrier(["rm", "--force", "box"]).succeeds();
}

/// The directory of the only container.
fn directory(cx: &Cx) -> PathBuf {
    let mut containers = fs::read_dir(cx.store().join("containers")).unwrap();
    containers.next().unwrap().unwrap().path()
}

/// The process that takes care of the only container.
fn monitor(cx: &Cx) -> u64 {
    let state = fs::read(directory(cx).join("state.json")).unwrap();
    let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
    state["monitor"]["pid"].as_u64().unwrap()
}

fn follow(cx: &Cx, options: &[&str]) -> Child {
    cx.start(
        ["logs", "-f"]
            .iter()
            .chain(options)
            .chain([&"box"])
            .copied(),
    )
}

/// Waits until the follower has seen that the container begins.
#[track_caller]
fn has_begun(follower: &mut Child) {
    let mut line = [0; 6];
    let output = follower.stdout.as_mut().unwrap();
    output.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"begin\n");
}

/// Says that it begins, and waits for [`go`].
const BEGIN: &str = "echo begin; until [ -e /go ]; do sleep 0.1; done";

/// Lets the container go on once the follower has seen its first line.
fn go(cx: &Cx, follower: &mut Child) {
    has_begun(follower);
    cx.carrier(["exec", "box", "touch", "/go"]).succeeds();
}

/// All that a command writes until it ends by itself.
#[track_caller]
fn until_end(mut child: Child) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut text = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
    text
}

#[test]
fn both_streams_come_back_where_they_belong() {
    let cx = Cx::with_registry();
    ran(&cx, &[], "echo out; echo error >&2; printf half");
    let outcome = logs(&cx, &[]).prints("out\nhalf");
    assert_eq!(outcome.errors(), "error\n");
    let log = fs::read_to_string(directory(&cx).join("log.json")).unwrap();
    assert!(
        log.contains("{\"log\":\"out\\n\",\"stream\":\"stdout\",\"time\":\"20"),
        "{log}"
    );
    cx.carrier(["logs", "nothing"])
        .exits_with(1)
        .complains("no such container: nothing");
    remove(&cx);
}

#[test]
fn lines_are_chosen_from_the_end_by_time_and_by_search() {
    let cx = Cx::with_registry();
    ran(
        &cx,
        &[],
        "for i in $(seq 20); do echo line $i; done; sleep 1.2; echo Last one",
    );
    logs(&cx, &["-n", "2"]).prints("line 20\nLast one");
    logs(&cx, &["--tail", "0"]).prints("");
    logs(&cx, &["--tail=-1"]).shows("line 1\n");
    logs(&cx, &["--search", "ne 1", "-n", "2"]).prints("line 18\nline 19");
    logs(&cx, &["--search", "last"]).prints("");
    logs(&cx, &["--search", "lsat one", "--fuzzy"]).prints("Last one");
    logs(&cx, &["--regex", "^line .0$"]).prints("line 10\nline 20");
    let stamped = logs(&cx, &["-t", "--tail", "1"]);
    let (time, line) = stamped.text().split_once(' ').unwrap();
    assert_eq!((time.len(), line), (30, "Last one"));
    logs(&cx, &["--since", time]).prints("Last one");
    logs(&cx, &["--until", time, "-n", "2"]).prints("line 20\nLast one");
    logs(&cx, &["--since", "10m", "-n", "1"]).prints("Last one");
    logs(&cx, &["--until", "10m"]).prints("");
    cx.carrier(["logs", "--since", "yesterday", "box"])
        .exits_with(125)
        .complains("invalid value for --since: \"yesterday\" is no time");
    cx.carrier(["logs", "--regex", "(", "box"])
        .exits_with(125)
        .complains("\"(\" is not a regular expression: unclosed group");
    cx.carrier(["logs", "--tail", "ten", "box"])
        .exits_with(125)
        .complains("invalid value for --tail");
    remove(&cx);
}

#[test]
fn a_container_that_never_ran_has_an_empty_log() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["create", "--name", "box", &image, "true"])
        .succeeds();
    logs(&cx, &[]).prints("");
    logs(&cx, &["-f"]).prints("");
    remove(&cx);
}

#[test]
fn a_driver_that_keeps_nothing_cannot_be_read_and_others_are_refused() {
    let cx = Cx::with_registry();
    ran(&cx, &["--log-driver", "none"], "echo text");
    cx.carrier(["logs", "box"])
        .exits_with(1)
        .complains("configured logging driver does not support reading");
    assert!(!directory(&cx).join("log.json").exists());
    remove(&cx);
    let image = cx.pulled("busybox");
    for (option, value, complaint) in [
        (
            "--log-driver",
            "fluentd",
            "log driver \"fluentd\" is not supported",
        ),
        (
            "--log-driver",
            "journald",
            "cannot reach the journal of the host",
        ),
        (
            "--log-opt",
            "compress=true",
            "log option \"compress\" is not supported by driver json-file",
        ),
        (
            "--log-opt",
            "max-size=x",
            "log option max-size: \"x\" is not a positive size",
        ),
    ] {
        cx.carrier(["run", "--rm", option, value, &image, "true"])
            .exits_with(125)
            .complains(complaint);
    }
}

#[test]
fn two_writers_are_kept_to_the_byte_across_rotation() {
    let cx = Cx::with_registry();
    let size = 16 << 20;
    // Random bytes in both streams, and their sums in files.
    let script = format!(
        "(head -c {size} /dev/urandom | tee /out) & (head -c {size} /dev/urandom | tee /err) >&2 & wait"
    );
    ran(
        &cx,
        &["--log-opt", "max-size=10m", "--log-opt", "max-file=50"],
        &script,
    );
    assert!(directory(&cx).join("log.json.5").exists());
    let upper = directory(&cx).join("upper");
    cx.script(&format!(
        "carrier logs box >out 2>err; cmp out {0}/out && cmp err {0}/err && rm out err",
        upper.display()
    ))
    .succeeds();
    remove(&cx);
}

#[test]
fn a_gibibyte_of_two_writers_is_kept_to_the_byte() {
    let cx = Cx::with_registry();
    let options = ["--log-opt", "max-size=100m", "--log-opt", "max-file=30"];
    // Each part begins with its number: none can be missing or out of place.
    let write = |name: &str| format!("for i in $(seq 64); do echo {name} $i; cat /lines; done");
    let (out, err) = (write("out"), write("err"));
    let lines = "head -c 6285312 /dev/urandom | base64 -w 1023 | head -n 8192 > /lines";
    let script = format!("{lines}; ({out}) & ({err}) >&2 & wait");
    ran(&cx, &options, &script);
    let lines = directory(&cx).join("upper/lines");
    assert_eq!(fs::metadata(&lines).unwrap().len(), 8 << 20);
    let script = format!(
        "write() {{ for i in $(seq 64); do echo $1 $i; cat {}; done; }}
         carrier logs box 2> >(sha256sum > err.sum) | sha256sum > out.sum
         until [ -s err.sum ]; do sleep 0.1; done
         diff <(write out | sha256sum) out.sum && diff <(write err | sha256sum) err.sum
         same=$?; rm out.sum err.sum; exit $same",
        lines.display()
    );
    let bash = ["bash", "-c", script.as_str()];
    assert!(cx.command(&bash).status().unwrap().success());
    remove(&cx);
}

#[test]
fn the_disk_is_bounded_by_the_cap_and_the_newest_lines_stay() {
    let cx = Cx::with_registry();
    let options = ["--log-opt", "max-size=1m", "--log-opt", "max-file=3"];
    ran(
        &cx,
        &options,
        "(seq 300000) & (seq 300000 >&2) & wait; echo end",
    );
    let sizes: Vec<u64> = fs::read_dir(directory(&cx))
        .unwrap()
        .map(Result::unwrap)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("log.json"))
        .map(|entry| entry.metadata().unwrap().len())
        .collect();
    assert_eq!(sizes.len(), 3);
    assert!(sizes.iter().all(|size| *size <= 1_000_000), "{sizes:?}");
    // Which of the two pipes is read last is not said.
    logs(&cx, &["--search", "end"]).prints("end");
    remove(&cx);
}

#[test]
fn a_slow_reader_holds_nothing_up_and_is_told_what_it_missed() {
    let cx = Cx::with_registry();
    let options = ["--log-opt", "max-size=100k", "--log-opt", "max-file=2"];
    let script = format!("{BEGIN}; seq 200000; echo end; sleep 600");
    started(&cx, &options, &script);
    // Nobody reads the pipe of this one, but for its first line.
    let mut slow = cx
        .command(&[&cx.program(), "logs", "-f", "box"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    go(&cx, &mut slow);
    let begun = Instant::now();
    while !logs(&cx, &["-n", "1"]).text().contains("end") {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "the container waits for a reader"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    cx.carrier(["kill", "box"]).succeeds();
    let mut text = String::new();
    slow.stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert!(text.starts_with("1\n") && text.ends_with("\n200000\nend\n"));
    let mut complaint = String::new();
    slow.stderr
        .take()
        .unwrap()
        .read_to_string(&mut complaint)
        .unwrap();
    // Once or more often.
    let told = "carrier: lines were written faster than they were shown, and some have gone";
    assert!(
        !complaint.is_empty() && complaint.lines().all(|line| line == told),
        "{complaint}"
    );
    slow.wait().unwrap();
    remove(&cx);
}

#[test]
fn following_goes_on_across_rotations_until_the_container_ends() {
    let cx = Cx::with_registry();
    // As many files as it takes: a follower that is late misses nothing.
    let options = ["--log-opt", "max-size=100k", "--log-opt", "max-file=20"];
    let numbers = "i=0; while [ $i -lt 60 ]; do seq $((i * 200)) $((i * 200 + 199)); i=$((i + 1)); \
                   sleep 0.02; done; printf end";
    started(&cx, &options, &format!("{BEGIN}; {numbers}"));
    let mut follower = follow(&cx, &[]);
    go(&cx, &mut follower);
    let text = until_end(follower);
    let expected: String = (0..12_000).map(|number| format!("{number}\n")).collect();
    assert!(text == expected + "end", "{} bytes", text.len());
    assert!(directory(&cx).join("log.json.4").exists());
    remove(&cx);
}

#[test]
fn following_goes_on_across_restarts_by_policy() {
    let cx = Cx::with_registry();
    started(
        &cx,
        &["--restart", "on-failure:2"],
        "sleep 0.5; echo round; exit 1",
    );
    let text = until_end(follow(&cx, &[]));
    assert_eq!(text, "round\nround\nround\n");
    logs(&cx, &[]).prints("round\nround\nround");
    remove(&cx);
}

#[test]
fn following_ends_when_the_container_is_removed_and_when_nobody_reads() {
    let cx = Cx::with_registry();
    started(&cx, &[], "echo begin; sleep 60");
    let mut follower = follow(&cx, &[]);
    has_begun(&mut follower);
    cx.script("carrier logs -f box | head -n 1")
        .succeeds()
        .prints("begin");
    remove(&cx);
    assert_eq!(until_end(follower), "");
}

#[test]
fn the_terminal_of_a_container_is_logged() {
    let cx = Cx::with_registry();
    ran(&cx, &["-t"], "echo out; echo error >&2");
    logs(&cx, &[]).prints("out\r\nerror");
    remove(&cx);
}

#[test]
fn a_log_that_is_a_link_is_neither_read_nor_written() {
    let cx = Cx::with_registry();
    ran(&cx, &[], "echo first");
    let canary = cx.file("canary", "secret\n");
    let log = directory(&cx).join("log.json");
    fs::remove_file(&log).unwrap();
    std::os::unix::fs::symlink(&canary, &log).unwrap();
    logs(&cx, &[]).prints("");
    cx.carrier(["start", "box"]).succeeds();
    cx.carrier(["wait", "box"]).succeeds();
    logs(&cx, &[]).prints("first");
    assert_eq!(fs::read_to_string(&canary).unwrap(), "secret\n");
    remove(&cx);
}

#[test]
fn a_monitor_killed_while_it_rotates_leaves_whole_lines_in_their_order() {
    let cx = Cx::with_registry();
    let options = ["--log-opt", "max-size=40k", "--log-opt", "max-file=4"];
    started(&cx, &options, "seq 100000000");
    until("a line", || !logs(&cx, &["-n", "1"]).text().is_empty());
    for round in 0..20_u64 {
        std::thread::sleep(Duration::from_millis(5 + round * 7 % 40));
        let pid = monitor(&cx);
        // Until it has ended the container runs, and need not be started.
        let killed = format!(
            "kill -9 {pid}; until [ ! -e /proc/{pid} ] || grep -q '^State:.Z' /proc/{pid}/status; \
             do sleep 0.01; done"
        );
        cx.script(&killed).succeeds();
        let text = logs(&cx, &[]);
        let numbers: Vec<u64> = text
            .text()
            .lines()
            .map(|line| line.parse().unwrap())
            .collect();
        // Each start begins anew; apart from that a number follows on the one before.
        let odd = numbers
            .windows(2)
            .filter(|pair| pair[1] != pair[0] + 1 && pair[1] != 1)
            .count();
        assert!(!numbers.is_empty(), "no line in round {round}");
        assert_eq!(odd, 0, "gaps in round {round}");
        cx.carrier(["start", "box"]).succeeds();
    }
    remove(&cx);
}
