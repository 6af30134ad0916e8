//! Networks of a container that runs change, and what carries its packets dies.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::process::Command;

use carrier_e2e::{Cx, World, until};

fn signal(pid: &str, signal: &str) {
    let _ = Command::new("kill").args([signal, pid]).status();
}

/// The monitor of a container.
fn monitor(cx: &Cx, name: &str) -> String {
    let find = format!(
        "id=$(carrier inspect -f '{{{{.Id}}}}' {name}); \
         python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))[\"monitor\"][\"pid\"])' \
         ~/.local/share/carrier/containers/$id/state.json"
    );
    cx.script(&find).succeeds().text().trim().to_owned()
}

/// What carries the connections of published ports.
fn forwarder(cx: &Cx, name: &str) -> Option<String> {
    let find = format!("pgrep -x -P {} carrier-ports; true", monitor(cx, name));
    let found = cx.script(&find).text().trim().to_owned();
    (!found.is_empty()).then_some(found)
}

#[test]
fn a_container_on_several_networks_knows_the_names_of_all() {
    let world = World::with(&[&["na"], &["nb"], &["--internal", "ni"]]);
    world.serve("ona", &["--network", "na"]);
    world.serve("onb", &["--network", "nb"]);
    world.serve("oni", &["--network", "ni"]);
    for order in [["na", "nb", "ni"], ["nb", "ni", "na"], ["ni", "na", "nb"]] {
        let networks = order.iter().flat_map(|name| ["--network", name]);
        let networks: Vec<&str> = networks.collect();
        world.serve("all", &networks);
        for name in ["ona", "onb", "oni"] {
            world.reaches("all", name, &format!("from-{name}"));
        }
        world.cx.carrier(["rm", "-f", "all"]).succeeds();
    }
    // Those of other networks are not told to who is on one.
    world.is_refused("ona", "onb");
    world.is_refused("oni", "ona");
    // A name is looked for as it is, first of all.
    world
        .cx
        .carrier(["exec", "ona", "cat", "/etc/resolv.conf"])
        .shows("ndots:0");
    world.end();
}

#[test]
fn a_container_is_found_by_its_new_name_alone() {
    let world = World::with(&[&["front"]]);
    world.serve("blue", &["--network", "front"]);
    world.serve("near", &["--network", "front"]);
    world.reaches("near", "blue", "from-blue");
    world.cx.carrier(["rename", "blue", "green"]).succeeds();
    world.reaches("near", "green", "from-blue");
    world.is_refused("near", "blue");
    world.serve("blue", &["--network", "front"]);
    world.reaches("near", "blue", "from-blue");
    world.end();
}

#[test]
fn the_gateway_keeps_its_hardware_address_whoever_comes() {
    let world = World::with(&[&["front"]]);
    world.serve("near", &["--network", "front"]);
    let both = "gateway=$(sed -n 's/nameserver //p' /etc/resolv.conf)
        nslookup near > /dev/null
        awk -v at=$gateway '$1 == at { print $4 }' /proc/net/arp
        printf '02:42:%02x:%02x:%02x:%02x' $(echo $gateway | tr . ' ')";
    let found = world.cx.carrier(["exec", "near", "sh", "-c", both]);
    let found = found.succeeds().text().to_owned();
    let (found, expected) = found.split_once('\n').unwrap();
    assert_eq!(found, expected);
    world.end();
}

#[test]
fn connections_outlive_another_network_of_the_container() {
    let world = World::with(&[&["na"], &["nb"]]);
    let words = ["run", "-d", "--name", "echo", "--network", "na", "-p"];
    let words = words.into_iter().chain(["127.0.0.1::80", &world.image]);
    let words = words.chain(["nc", "-ll", "-p", "80", "-e", "cat"]);
    world.cx.carrier(words).succeeds();
    let client = "import socket, subprocess, sys, time
host, port = subprocess.check_output(['carrier', 'port', 'echo', '80'], text=True).strip().split(':')
def says(s, word):
    s.sendall(word)
    return s.recv(9) == word
for _ in range(100):
    s = socket.create_connection((host, int(port)))
    s.settimeout(10)
    try:
        if says(s, b'before'): break
    except OSError: pass
    time.sleep(0.1)
for verb in ['connect', 'disconnect']:
    subprocess.run(['carrier', 'network', verb, 'nb', 'echo'], check=True)
    assert says(s, b'after'), verb
assert says(socket.create_connection((host, int(port))), b'new')
";
    let file = world.cx.file("client.py", client);
    world
        .cx
        .script(&format!("timeout 60 python3 {file}"))
        .succeeds();
    world.end();
}

#[test]
fn what_a_container_has_written_into_its_files_stays() {
    let world = World::with(&[&["na"], &["nb"]]);
    world.serve("web", &["--network", "na"]);
    let write = "echo 192.0.2.7 bank >> /etc/hosts; echo '# mine' >> /etc/resolv.conf";
    world
        .cx
        .carrier(["exec", "web", "sh", "-c", write])
        .succeeds();
    let files = |world: &World| {
        let words = ["exec", "web", "cat", "/etc/hosts", "/etc/resolv.conf"];
        world.cx.carrier(words).succeeds().text().to_owned()
    };
    let before = files(&world);
    world
        .cx
        .carrier(["network", "connect", "nb", "web"])
        .succeeds();
    let there = files(&world);
    assert!(there.contains("192.0.2.7 bank") && there.contains("# mine"));
    // Its new address is told.
    assert!(there.len() > before.len(), "{there}");
    world
        .cx
        .carrier(["network", "disconnect", "nb", "web"])
        .succeeds();
    assert_eq!(files(&world), before);
    let keepers = world.keepers();
    keepers.iter().for_each(|keeper| signal(keeper, "-KILL"));
    until("another keeper", || {
        world.keepers().len() == 1 && world.keepers() != keepers
    });
    world.serve("near", &["--network", "na"]);
    world.reaches("near", "web", "from-web");
    assert_eq!(files(&world), before);
    world.end();
}

#[test]
fn ports_are_published_as_soon_as_a_network_leads_out() {
    let world = World::with(&[&["--internal", "ni"], &["na"]]);
    world.serve("web", &["--network", "ni", "-p", "127.0.0.1::80"]);
    world.cx.carrier(["port", "web"]).prints("");
    world
        .cx
        .carrier(["network", "connect", "na", "web"])
        .succeeds();
    let fetch = "curl -sf --max-time 5 http://$(carrier port web 80)/index.html";
    until("an answer", || {
        world.cx.script(fetch).text().trim() == "from-web"
    });
    world.end();
}

#[test]
fn a_forwarder_that_dies_young_is_replaced_and_one_that_always_does_lets_go_of_its_ports() {
    let world = World::with(&[]);
    world.serve("web", &["-p", "127.0.0.1::80"]);
    let port = world.cx.carrier(["port", "web", "80"]).succeeds();
    let fetch = format!("curl -sf --max-time 5 http://{}/index.html", port.text());
    let first = forwarder(&world.cx, "web").unwrap();
    signal(&first, "-KILL");
    until("an answer of another one", || {
        world.cx.script(&fetch).text().trim() == "from-web"
    });
    // Each is killed before it is a second old, until there is no other one.
    let monitor = monitor(&world.cx, "web");
    let kill = format!(
        "for i in $(seq 200); do pkill -9 -x -P {monitor} carrier-ports; sleep 0.02; done; true"
    );
    world.cx.script(&kill).succeeds();
    until("the end of the last one", || {
        forwarder(&world.cx, "web").is_none()
    });
    // Refused at once: curl's code.
    world.cx.script(&fetch).exits_with(7);
    world.end();
}

#[test]
fn whose_address_was_given_to_another_container_comes_back_with_a_new_one() {
    let world = World::with(&[&["front"]]);
    world.serve("first", &["--network", "front"]);
    let address = world.ip("first");
    let monitor = monitor(&world.cx, "first");
    // It does not hear of the end of the keeper for a while.
    signal(&monitor, "-STOP");
    for keeper in world.keepers() {
        signal(&keeper, "-KILL");
    }
    until("the end of the keeper", || world.keepers().is_empty());
    world.serve("second", &["--network", "front"]);
    assert_eq!(world.ip("second"), address);
    signal(&monitor, "-CONT");
    world.reaches("second", "first", "from-first");
    assert_ne!(world.ip("first"), address);
    world.end();
}

#[test]
fn networks_and_ports_may_be_spelt_at_length() {
    let world = World::with(&[&["front"]]);
    let long = ["--network", "name=front,alias=other", "-p"];
    let port = "published=0,target=80,protocol=tcp";
    world.serve("web", &[&long[..], &[port]].concat());
    world.serve("near", &["--network", "front"]);
    world.reaches("near", "other", "from-web");
    world.cx.carrier(["port", "web", "80"]).succeeds();
    world.end();
}
