//! Networks of the user: containers that reach each other by name, and nobody else.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::process::Command;
use std::time::{Duration, Instant};

use carrier_e2e::Cx;
use serde_json::Value;

/// Waits for what takes its time on a busy machine.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A container in the background that serves its name on port 80.
fn serve(cx: &Cx, image: &str, name: &str, network: &str) {
    let program = format!("echo from-{name} > /tmp/index.html; exec httpd -f -p 80 -h /tmp");
    let words = ["run", "-d", "--name", name, "--network", network];
    cx.carrier(words.into_iter().chain([image, "sh", "-c", &program]))
        .succeeds();
}

/// What a container gets from this address.
fn fetched(cx: &Cx, container: &str, address: &str) -> String {
    let url = format!("http://{address}/index.html");
    let words = ["exec", container, "wget", "-q", "-T", "2", "-O", "-", &url];
    cx.carrier(words).text().to_owned()
}

#[track_caller]
fn gets(cx: &Cx, container: &str, address: &str, expected: &str) {
    until(&format!("an answer of {address} to {container}"), || {
        fetched(cx, container, address) == expected
    });
}

fn ip(cx: &Cx, container: &str) -> String {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
    let inspected = cx.carrier(["inspect", "-f", format, container]).succeeds();
    inspected.text().to_owned()
}

fn end(cx: &Cx) {
    cx.carrier(["rm", "-c", "--force"]).succeeds();
}

/// Processes of the test with this name.
fn keepers(cx: &Cx) -> Vec<String> {
    let list = cx.plain_command(&["sh", "-c", "grep -lz \"^CARRIER_E2E=$CARRIER_E2E$\" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3"]).output().unwrap();
    let pids = String::from_utf8_lossy(&list.stdout).into_owned();
    let name = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let is_keeper = |pid: &&str| name(pid).trim() == "carrier-network";
    pids.lines()
        .filter(is_keeper)
        .map(ToOwned::to_owned)
        .collect()
}

#[test]
fn containers_of_one_network_reach_each_other_and_nobody_else_does() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.carrier(["network", "create", "front"]).succeeds();
    cx.carrier(["network", "create", "back"]).succeeds();
    serve(&cx, &image, "web", "front");
    let sleep = |name, network| {
        let words = [
            "run",
            "-d",
            "--name",
            name,
            "--network",
            network,
            &image,
            "sleep",
            "999",
        ];
        cx.carrier(words).succeeds();
    };
    sleep("near", "front");
    sleep("far", "back");
    let web = ip(&cx, "web");
    gets(&cx, "near", &web, "from-web");
    assert_eq!(fetched(&cx, "far", &web), "");
    // The gateway of the other network is no way either.
    let gateway = cx.carrier([
        "network",
        "inspect",
        "-f",
        "{{(index .IPAM.Config 0).Gateway}}",
        "front",
    ]);
    let words = ["exec", "far", "ping", "-c", "1", "-W", "1", gateway.text()];
    cx.carrier(words);
    end(&cx);
}
