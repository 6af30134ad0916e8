//! The keeper of the networks, and containers that end before it or after it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::fs;
use std::process::Command;
use std::time::Duration;

use carrier_e2e::{World, until};

fn kill(pid: &str) {
    let _ = Command::new("kill").args(["-KILL", pid]).status();
}

#[test]
fn twenty_containers_at_once_share_one_keeper_and_no_address() {
    let world = World::with(&[&["front"]]);
    let words = world.sleeper_on("front");
    let mut starts: Vec<_> = (0..20).map(|_| world.cx.start(words)).collect();
    for start in &mut starts {
        assert!(start.wait().unwrap().success());
    }
    assert_eq!(world.keepers().len(), 1);
    let template = "{{range .Containers}}{{.IPv4Address}}\n{{end}}";
    let listed = world
        .cx
        .carrier(["network", "inspect", "-f", template, "front"])
        .succeeds();
    let mut addresses: Vec<&str> = listed.text().lines().collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), 20, "{addresses:?}");
    world.end();
    until("the end of the keeper", || world.keepers().is_empty());
}

#[test]
fn containers_come_back_when_the_keeper_was_killed() {
    let world = World::with(&[&["front"]]);
    world.serve("web", &["--network", "front"]);
    world.serve("near", &["--network", "front"]);
    let before = world.ip("web");
    world.reaches("near", &before, "from-web");
    // A cable that is plugged in again is another device.
    let cable = |name| {
        let index = ["exec", name, "cat", "/sys/class/net/eth0/ifindex"];
        world.cx.carrier(index).text().trim().to_owned()
    };
    let cables = ["web", "near"].map(|name| (name, cable(name)));
    for keeper in world.keepers() {
        kill(&keeper);
    }
    for (name, old) in cables {
        until(&format!("another cable of {name}"), || {
            let now = cable(name);
            !now.is_empty() && now != old
        });
    }
    assert_eq!(world.keepers().len(), 1);
    world.reaches("near", &before, "from-web");
    assert_eq!(world.ip("web"), before);
    // New ones are on the same network.
    world.serve("late", &["--network", "front"]);
    world.reaches("late", &before, "from-web");
    world.end();
}

#[test]
fn killed_monitors_leave_their_addresses_to_others() {
    let world = World::with(&[&["--subnet", "10.77.7.0/29", "small"]]);
    let run = |name: &str| {
        let words = [
            "run",
            "-d",
            "--name",
            name,
            "--network",
            "small",
            &world.image,
            "sleep",
            "999",
        ];
        world.cx.carrier(words)
    };
    let names = ["c1", "c2", "c3", "c4", "c5"];
    for name in names {
        run(name).succeeds();
    }
    run("c6").exits_with(125).complains("no free address left");
    for id in fs::read_dir(world.cx.store().join("containers")).unwrap() {
        let state = fs::read(id.unwrap().path().join("state.json")).unwrap_or_default();
        let state: serde_json::Value = serde_json::from_slice(&state).unwrap_or_default();
        if let Some(pid) = state["monitor"]["pid"].as_u64() {
            kill(&pid.to_string());
        }
    }
    for name in ["d1", "d2", "d3", "d4", "d5"] {
        until(&format!("an address for {name}"), || {
            let started = run(name).is_success();
            if !started {
                world.cx.carrier(["rm", "-c", "--force", name]);
            }
            started
        });
    }
    world.end();
}

#[test]
fn a_container_that_ends_takes_its_address_from_those_who_share_its_network() {
    let world = World::with(&[&["--subnet", "10.77.9.0/24", "front"]]);
    let address = "10.77.9.9";
    let at_it = ["--network", "front", "--ip", address];
    world.serve("first", &at_it);
    let run = ["run", "-d", "--name", "guest", "--network"];
    let words = ["container:first", &world.image, "sleep", "77125"];
    world.cx.carrier(run.into_iter().chain(words)).succeeds();
    world.cx.carrier(["rm", "-f", "first"]).succeeds();
    world.serve("next", &at_it);
    world.serve("client", &["--network", "front"]);
    world.reaches("client", address, "from-next");
    let devices = ["exec", "guest", "ls", "/sys/class/net"];
    world.cx.carrier(devices).succeeds().prints("lo");
    world.end();
}

#[test]
fn a_container_that_ends_takes_its_cable_from_those_who_share_its_network() {
    let world = World::with(&[&["front"]]);
    let sleep = |name: &str, network: &str| {
        let run = ["run", "-d", "--name", name, "--network", network];
        let words = [world.image.as_str(), "sleep", "77125"];
        world.cx.carrier(run.into_iter().chain(words)).succeeds();
    };
    sleep("first", "front");
    sleep("guest", "container:first");
    world.cx.carrier(["rm", "-f", "first"]).succeeds();
    until("the end of the cable", || {
        let devices = ["exec", "guest", "ls", "/sys/class/net"];
        world.cx.carrier(devices).succeeds().text() == "lo"
    });
    world.end();
}

#[test]
fn the_last_container_may_end_while_the_next_one_begins() {
    let world = World::with(&[&["front"]]);
    let words = ["run", "--rm", "--network", "front", &world.image, "true"];
    // Each of them ends about when the keeper would, and the other begins then.
    for pause in [0, 900, 950, 1000, 1050, 1100] {
        world.cx.carrier(words).succeeds();
        std::thread::sleep(Duration::from_millis(pause));
        let mut starts: Vec<_> = (0..3).map(|_| world.cx.start(words)).collect();
        for start in &mut starts {
            assert!(start.wait().unwrap().success(), "after {pause} ms");
        }
    }
    until("the end of the keeper", || world.keepers().is_empty());
}

#[test]
fn the_keeper_has_only_the_powers_that_it_needs() {
    let world = World::with(&[&["front"]]);
    world.serve("web", &["--network", "front"]);
    for keeper in world.keepers() {
        let status = fs::read_to_string(format!("/proc/{keeper}/status")).unwrap();
        // CAP_NET_BIND_SERVICE, CAP_NET_ADMIN and CAP_SYS_ADMIN.
        for expected in [
            "CapPrm:\t0000000000201400",
            "CapEff:\t0000000000201400",
            "NoNewPrivs:\t1",
        ] {
            assert!(status.contains(expected), "{expected} is not in {status}");
        }
    }
    // They are enough for one more network.
    let words = ["network", "create", "back"];
    world.cx.carrier(words).succeeds();
    world.serve("far", &["--network", "back"]);
    world.reaches("far", &world.ip("far"), "from-far");
    world.end();
}
