//! Networks of the user: containers that reach each other by name, and nobody else.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{World, until};

#[test]
fn containers_of_one_network_reach_each_other_and_nobody_else_does() {
    let world = World::with(&[&["front"], &["back"]]);
    for (name, network) in [("web", "front"), ("near", "front"), ("far", "back")] {
        world.serve(name, &["--network", network]);
    }
    let web = world.ip("web");
    world.reaches("near", &web, "from-web");
    world.is_refused("far", &web);
    world.reaches("far", &world.ip("far"), "from-far");
    // What is on the gateway answers names, and nothing else.
    world.is_refused("far", &world.gateway("front"));
    world.end();
}

#[test]
fn containers_are_found_by_name_alias_and_id_on_their_own_networks_only() {
    let world = World::with(&[&["front"], &["back"]]);
    let id = {
        world.serve("web", &["--network", "front", "--network-alias", "www"]);
        world.inspected("web", "{{.Id}}")
    };
    world.serve("near", &["--network", "front"]);
    world.serve("far", &["--network", "back"]);
    let ip = world.ip("web");
    for name in ["web", "WWW", id.get(..12).unwrap()] {
        until(&format!("the address of {name}"), || {
            world.looked_up("near", name).contains(&ip)
        });
        assert!(
            !world.looked_up("far", name).contains(&ip),
            "far knows {name}"
        );
    }
    // Asking the server of the other network is no way around.
    let words = [
        "exec",
        "far",
        "timeout",
        "5",
        "nslookup",
        "web",
        &world.gateway("front"),
    ];
    world.cx.carrier(words).hides(&ip);
    until("the name of the address", || {
        world.looked_up("near", &ip).contains("name = web")
    });
    world.end();
}

#[test]
fn a_real_server_is_reached_by_name() {
    let world = World::with(&[&["front"]]);
    let nginx = world.cx.pulled("debian-nginx");
    let python = world.cx.pulled("debian-python");
    let run = ["run", "-d", "--name", "web", "--network", "front", &nginx];
    world.cx.carrier(run).succeeds();
    let program = "import socket,sys\ns=socket.create_connection(('web',80),5)\n\
                   s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')\nprint(s.recv(4096).decode())";
    let words = [
        "run",
        "--rm",
        "--network",
        "front",
        &python,
        "python3",
        "-c",
        program,
    ];
    until("nginx", || world.cx.carrier(words).text().contains("nginx"));
    world.end();
}

#[test]
fn an_internal_network_has_no_way_out() {
    let world = World::with(&[&["--internal", "inside"], &["outside"]]);
    world.serve("web", &["--network", "inside"]);
    world.serve("other", &["--network", "inside"]);
    world.reaches("other", &world.ip("web"), "from-web");
    let routes = |name: &str| {
        world
            .cx
            .carrier(["exec", name, "ip", "route"])
            .text()
            .to_owned()
    };
    assert!(!routes("web").contains("default"), "{}", routes("web"));
    world.serve("open", &["--network", "outside"]);
    assert!(routes("open").contains("default via"), "{}", routes("open"));
    // Even one that makes itself a way is not let out.
    let gateway = world.gateway("inside");
    let words = [
        "run",
        "--rm",
        "--cap-add",
        "NET_ADMIN",
        "--network",
        "inside",
        &world.image,
        "sh",
        "-c",
    ];
    let program = format!(
        "ip route add default via {gateway} && echo tries && timeout 2 nc -w 1 {} 80 </dev/null && \
         echo got out; true",
        world.ip("open")
    );
    let words = words.into_iter().chain([program.as_str()]);
    world.cx.carrier(words).succeeds().prints("tries");
    // And nobody comes in by a port of the host.
    let options = ["--network", "inside", "-p", "127.0.0.1::80"];
    world.serve("hidden", &options);
    world.cx.carrier(["port", "hidden"]).succeeds().prints("");
    world.end();
}

#[test]
fn addresses_are_given_once_and_static_ones_are_kept() {
    let world = World::with(&[&[
        "--subnet",
        "10.77.5.0/24",
        "--ip-range",
        "10.77.5.128/28",
        "front",
    ]]);
    world.serve("first", &["--network", "front:ip=10.77.5.9"]);
    world.serve("second", &["--network", "front"]);
    assert_eq!(world.ip("first"), "10.77.5.9");
    assert_eq!(world.ip("second"), "10.77.5.128");
    let run = |address: &str| {
        let words = [
            "run",
            "--rm",
            "--network",
            "front",
            "--ip",
            address,
            &world.image,
            "true",
        ];
        world.cx.carrier(words).exits_with(125)
    };
    run("10.77.5.9").complains("already in use on network front by first");
    run("10.77.5.1").complains("by the gateway");
    run("10.77.6.1").complains("not in a subnet of the network");
    world.cx.carrier(["restart", "-t", "0", "first"]).succeeds();
    assert_eq!(world.ip("first"), "10.77.5.9");
    world.reaches("second", "10.77.5.9", "from-first");
    world.end();
}

#[test]
fn a_network_has_addresses_of_both_versions_where_that_is_asked_for() {
    let world = World::with(&[&[
        "--ipv6",
        "--subnet",
        "fd77:5::/64",
        "--subnet",
        "10.77.6.0/24",
        "six",
    ]]);
    world.serve("web", &["--network", "six:ip6=fd77:5::77"]);
    world.serve("near", &["--network", "six"]);
    world.reaches("near", "[fd77:5::77]", "from-web");
    world.reaches("near", "10.77.6.2", "from-web");
    until("the address of IPv6", || {
        world.looked_up("near", "web").contains("fd77:5::77")
    });
    // Nobody on the network tells a container where its packets go (threat W-04).
    let path = "/proc/sys/net/ipv6/conf/eth0/accept_ra";
    world
        .cx
        .carrier(["exec", "near", "cat", path])
        .succeeds()
        .prints("0");
    world.end();
}

#[test]
fn a_container_that_runs_is_connected_and_disconnected() {
    let world = World::with(&[&["front"], &["back"]]);
    world.serve("web", &["--network", "front"]);
    world.serve("far", &["--network", "back"]);
    world
        .cx
        .carrier(["network", "connect", "--alias", "www", "back", "web"])
        .succeeds();
    until("the second network", || {
        world.looked_up("far", "www").contains("Name:")
    });
    let template = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}";
    assert_eq!(world.inspected("web", template), "back front");
    let back = world.inspected("web", "{{.NetworkSettings.Networks.back.IPAddress}}");
    world.reaches("far", &back, "from-web");
    world
        .cx
        .carrier(["network", "connect", "back", "web"])
        .exits_with(1)
        .complains("already connected");
    world
        .cx
        .carrier(["network", "rm", "back"])
        .exits_with(1)
        .complains("in use by far, web");
    world
        .cx
        .carrier(["network", "disconnect", "back", "web"])
        .succeeds();
    world.is_refused("far", &back);
    world
        .cx
        .carrier(["network", "disconnect", "back", "web"])
        .exits_with(1)
        .complains("not connected");
    // The record says the same after a start.
    world.cx.carrier(["restart", "-t", "0", "web"]).succeeds();
    assert_eq!(world.inspected("web", template), "front");
    world.end();
}

#[test]
fn networks_are_listed_inspected_and_removed_as_in_docker() {
    let world = World::with(&[&["--label", "a=1", "--opt", "mtu=1400", "front"]]);
    let cx = &world.cx;
    cx.carrier(["network", "ls", "--format", "{{.Name}} {{.Driver}}"])
        .succeeds()
        .prints("bridge bridge\nfront bridge\nhost host\nnone null");
    cx.carrier(["network", "ls", "-q", "--filter", "label=a"])
        .succeeds();
    for (dangling, names) in [("true", "front"), ("false", "bridge\nhost\nnone")] {
        let filter = format!("dangling={dangling}");
        cx.carrier(["network", "ls", "--format", "{{.Name}}", "-f", &filter])
            .succeeds()
            .prints(names);
    }
    cx.carrier(["network", "create", "front"])
        .exits_with(1)
        .complains("already exists");
    cx.carrier(["network", "create", "--ignore", "front"])
        .succeeds();
    cx.carrier(["network", "create", "-d", "macvlan", "x"])
        .exits_with(1)
        .complains("macvlan");
    cx.carrier(["network", "create", "-o", "vlan=7", "x"])
        .exits_with(1)
        .complains("vlan=7");
    cx.carrier(["network", "rm", "bridge"])
        .exits_with(1)
        .complains("pre-defined");
    cx.carrier(["network", "rm", "nope"])
        .exits_with(1)
        .complains("no such network");
    cx.carrier(["network", "rm", "-f", "nope"]).succeeds();
    world.serve("web", &["--network", "front"]);
    cx.carrier(["exec", "web", "cat", "/sys/class/net/eth0/mtu"])
        .succeeds()
        .prints("1400");
    let members = "{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}";
    let ip = format!("web {}/24", world.ip("web"));
    cx.carrier(["network", "inspect", "-f", members, "front"])
        .succeeds()
        .prints(&ip);
    cx.carrier(["network", "rm", "front"])
        .exits_with(1)
        .complains("in use by web");
    cx.carrier(["network", "prune", "-f"]).succeeds().prints("");
    world.end();
    cx.carrier(["network", "prune", "-f"])
        .succeeds()
        .shows("front");
    cx.carrier(["network", "exists", "front"]).exits_with(1);
}

#[test]
fn a_published_port_leads_to_a_container_on_a_network() {
    let world = World::with(&[&["front"]]);
    world.serve("web", &["--network", "front", "-p", "127.0.0.1::80"]);
    let address = world
        .cx
        .carrier(["port", "web", "80"])
        .succeeds()
        .text()
        .to_owned();
    let url = format!("http://{address}/index.html");
    let fetch = || {
        let mut command = world
            .cx
            .plain_command(&["busybox", "wget", "-q", "-O", "-", &url]);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    until("the port", || fetch().trim() == "from-web");
    world.end();
}

#[test]
fn a_network_is_removed_or_joined_and_never_both() {
    let world = World::with(&[]);
    let create = ["network", "create", "front"];
    let run = world.sleeper_on("front");
    for round in 0..8 {
        world.cx.carrier(create).succeeds();
        let mut start = world.cx.start(run);
        let mut remove = world.cx.start(["network", "rm", "front"]);
        let started = start.wait().unwrap().success();
        let removed = remove.wait().unwrap().success();
        assert_ne!(started, removed, "in round {round}");
        let exists = world.cx.carrier(["network", "exists", "front"]);
        assert_eq!(exists.is_success(), started, "in round {round}");
        world.end();
        world
            .cx
            .carrier(["network", "rm", "-f", "front"])
            .succeeds();
    }
}

#[test]
fn of_two_who_connect_at_once_one_is_told_that_it_was_done() {
    let world = World::with(&[&["front"], &["back"]]);
    let words = ["create", "--name", "web", "--network", "front"].into_iter();
    let words = words.chain([world.image.as_str(), "sleep", "999"]);
    world.cx.carrier(words).succeeds();
    let connect = ["network", "connect", "back", "web"];
    let mut connects: Vec<_> = (0..4).map(|_| world.cx.start(connect)).collect();
    let succeeded = connects
        .iter_mut()
        .filter_map(|connect| connect.wait().unwrap().success().then_some(()));
    assert_eq!(succeeded.count(), 1);
    world.cx.carrier(["start", "web"]).succeeds();
    // What the shared network refuses is not written down.
    let gateway = world.gateway("back");
    world.serve("other", &["--network", "front"]);
    world
        .cx
        .carrier(["network", "connect", "--ip", &gateway, "back", "other"])
        .exits_with(1)
        .complains("by the gateway");
    let taken = world.inspected("web", "{{.NetworkSettings.Networks.back.IPAddress}}");
    world
        .cx
        .carrier(["network", "connect", "--ip", &taken, "back", "other"])
        .exits_with(1)
        .complains("by web");
    let template = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}";
    assert_eq!(world.inspected("other", template), "front");
    world.end();
}
