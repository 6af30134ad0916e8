//! `carrier top`, `carrier stats`, `carrier port`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::Cx;
use serde_json::Value;

#[test]
fn processes_are_shown_without_a_ps_in_the_container() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let script = "sleep 601 & exec sleep 602";
    cx.carrier(["run", "-d", "--name", "two", &image, "sh", "-c", script])
        .succeeds();
    cx.script("until carrier top two | grep -q '[0-9]  *sleep 601$'; do sleep 0.05; done")
        .succeeds();
    let table = cx.carrier(["top", "two"]).succeeds().text().to_owned();
    let lines: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0],
        ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    );
    assert_eq!(lines.len(), 3, "{table}");
    assert!(lines[1..].iter().all(|line| line[0] == "root"), "{table}");
    // As in Docker: each column but the last is at least twenty wide.
    assert!(
        table.starts_with("UID                 PID                 "),
        "{table}"
    );
    cx.carrier(["top", "two", "-o", "pid,args"])
        .succeeds()
        .shows("PID")
        .shows("sleep 602");
    cx.carrier(["top", "two", "aux"])
        .succeeds()
        .shows("%CPU")
        .shows("RSS");
    cx.carrier(["container", "top", "two", "pid", "comm"])
        .succeeds()
        .shows("COMMAND");
    cx.carrier(["top", "two", "-Z"])
        .exits_with(1)
        .complains("-Z");
    cx.carrier(["stop", "-t", "0", "two"]).succeeds();
    cx.carrier(["top", "two"])
        .exits_with(1)
        .complains("not running");
    cx.carrier(["top", "nobody"])
        .exits_with(1)
        .complains("nobody");
    cx.carrier(["rm", "two"]).succeeds();
}

#[test]
fn a_busy_container_uses_a_processor_and_an_idle_one_none() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier([
        "run",
        "-d",
        "--name",
        "busy",
        &image,
        "sh",
        "-c",
        "while :; do :; done",
    ])
    .succeeds();
    let idle = ["run", "-d", "--name", "idle", "--network", "none"];
    cx.carrier(idle.into_iter().chain([image.as_str(), "sleep", "600"]))
        .succeeds();
    let printed = cx
        .carrier(["stats", "--no-stream", "--format", "json"])
        .succeeds();
    let rows: Vec<Value> = printed
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let named = |name: &str| rows.iter().find(|row| row["Name"] == name).unwrap().clone();
    let percent = |name: &str| -> f64 {
        let text = named(name)["CPUPerc"].as_str().unwrap().to_owned();
        text.trim_end_matches('%').parse().unwrap()
    };
    assert!(percent("busy") > 5.0, "{rows:?}");
    assert!(percent("idle") < 5.0, "{rows:?}");
    let idle = named("idle");
    assert_eq!(idle["PIDs"], "1");
    assert_eq!(idle["NetIO"], "0B / 0B");
    assert!(
        idle["MemUsage"].as_str().unwrap().contains("iB / "),
        "{idle}"
    );
    assert_eq!(idle["ID"].as_str().unwrap().len(), 12);
    let header = "CONTAINER ID NAME CPU % MEM USAGE / LIMIT MEM % NET I/O BLOCK I/O PIDS";
    let table = cx
        .carrier(["stats", "--no-stream", "idle"])
        .succeeds()
        .text()
        .to_owned();
    let first: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(first.join(" "), header);
    assert_eq!(table.lines().count(), 2);
    cx.carrier(["stats", "--no-stream", "nobody"])
        .exits_with(1)
        .complains("nobody");
    cx.carrier(["rm", "-f", "busy"]).succeeds();
    cx.carrier(["stop", "-t", "0", "idle"]).succeeds();
    cx.carrier(["stats", "--no-stream"])
        .succeeds()
        .hides("idle");
    cx.carrier(["stats", "--no-stream", "-a"])
        .succeeds()
        .shows("idle")
        .shows("0.00%");
    cx.carrier(["rm", "idle"]).succeeds();
}

#[test]
fn a_stream_of_results_ends_with_its_reader() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["run", "-d", "--name", "idle", &image, "sleep", "600"])
        .succeeds();
    cx.script("carrier stats idle | head -n 4")
        .succeeds()
        .shows("idle");
    cx.carrier(["rm", "-f", "idle"]).succeeds();
}

#[test]
fn no_port_is_published() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["create", "--name", "one", &image, "true"])
        .succeeds();
    cx.carrier(["port", "one"]).succeeds().prints("");
    cx.carrier(["port", "one", "80"])
        .exits_with(1)
        .complains("no public port '80/tcp' published for one");
    cx.carrier(["port", "one", "80/udp"])
        .exits_with(1)
        .complains("no public port '80/udp'");
    cx.carrier(["port", "one", "http"])
        .exits_with(1)
        .complains("invalid port");
    cx.carrier(["port", "nobody"])
        .exits_with(1)
        .complains("nobody");
    cx.carrier(["rm", "one"]).succeeds();
}
