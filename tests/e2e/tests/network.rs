//! What containers reach by the network, and under which names.

use carrier_e2e::Cx;

/// A listener on the host for the time of a test, in the background of a script.
const LISTEN: &str = "python3 -c \"
import socket, sys
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], 0)); s.listen(); print(s.getsockname()[1], flush=True)
while True:
    c = s.accept()[0]; c.sendall(b'host'); c.close()
\"";

/// Runs `script` with the port of a listener on `address` of the host in `$port`.
fn with_listener(cx: &Cx, address: &str, script: &str) -> carrier_e2e::Outcome {
    cx.script(&format!(
        "mkfifo $HOME/port; {LISTEN} '{address}' > $HOME/port & listener=$!
         read port < $HOME/port; {script}; code=$?
         kill $listener; rm $HOME/port; exit $code"
    ))
}

#[test]
fn without_a_word_a_container_has_a_network_with_an_uplink() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let outcome = cx.carrier(["run", "--rm", &image, "ip", "-4", "route"]);
    outcome.succeeds().shows("default via 10.0.2.2 dev tap0");
    let outcome = cx.carrier(["run", "--rm", "--network", "none", &image, "ip", "addr"]);
    assert!(!outcome.succeeds().text().contains("tap0"));
}

/// A command that prints what the listener says. Through pasta of 2022 that comes again and again, and
/// the end of the connection late or never.
fn hear(host: &str) -> String {
    format!("timeout 10 nc {host} $port < /dev/null; true")
}

#[test]
fn the_hosts_loopback_is_reached_by_the_name_that_asks_for_it() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    for mode in ["slirp4netns", "pasta"] {
        let run = format!(
            "carrier run --rm --network {mode} --add-host me:host-gateway {image} sh -c \"{}\"",
            hear("me")
        );
        let outcome = with_listener(&cx, "127.0.0.1", &run).succeeds();
        assert!(outcome.text().starts_with("host"), "{outcome:?}");
    }
    with_listener(
        &cx,
        "127.0.0.1",
        &format!(
            "carrier run --rm --network slirp4netns:allow_host_loopback=true {image} \
             timeout 10 nc host.containers.internal $port < /dev/null"
        ),
    )
    .succeeds()
    .prints("host");
}

#[test]
fn a_container_with_the_callers_id_has_the_same_network() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    for mode in ["slirp4netns", "pasta"] {
        let words = [
            "run",
            "--rm",
            "--userns",
            "keep-id",
            "--network",
            mode,
            &image,
        ];
        cx.carrier(words.into_iter().chain(["ip", "-4", "route"]))
            .succeeds()
            .shows("default via 10.0.2.2 dev tap0");
    }
}

#[test]
fn every_user_may_ping() {
    let cx = Cx::with_registry();
    let image = cx.pulled("debian-python");
    let ping = "import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP); s.settimeout(20)
s.connect(('10.0.2.100', 0)); s.send(b'\\x08\\0\\0\\0\\0\\1\\0\\1hello'); print(s.recv(100)[8:].decode())";
    for user in ["0", "1000", "65534"] {
        let words = ["run", "--rm", "--user", user, &image, "python3", "-c", ping];
        cx.carrier(words).succeeds().prints("hello");
    }
}

#[test]
fn two_containers_have_one_network() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let _first = cx.running("first", ["--hostname", "one", &image, "sleep", "1000"]);
    let shared = ["run", "--rm", "--network", "container:first", &image];
    let run = |words: &[&'static str]| cx.carrier(shared.into_iter().chain(words.iter().copied()));
    run(&["ip", "addr"]).succeeds().shows("10.0.2.100");
    run(&["cat", "/etc/hosts"]).succeeds().shows("one");
    run(&["hostname"]).succeeds().prints("one");
    cx.carrier([
        "exec", "-d", "first", "nc", "-l", "-p", "7", "-e", "echo", "there",
    ])
    .succeeds();
    run(&[
        "sh",
        "-c",
        "until nc 127.0.0.1 7 < /dev/null; do sleep 0.1; done",
    ])
    .succeeds()
    .shows("there");
    cx.carrier([
        "run",
        "--rm",
        "--network",
        "container:none-such",
        &image,
        "true",
    ])
    .exits_with(125)
    .complains("no such container");
    for option in [["-p", "80"], ["--dns", "192.0.2.1"], ["--hostname", "x"]] {
        let words = ["run", "--rm", "--network", "container:first"];
        cx.carrier(
            words
                .into_iter()
                .chain(option)
                .chain([image.as_str(), "true"]),
        )
        .exits_with(125)
        .complains("conflicting options");
    }
    cx.carrier([
        "create",
        "--name",
        "late",
        "--network",
        "container:first",
        &image,
        "true",
    ])
    .succeeds();
    cx.carrier(["stop", "-t", "0", "first"]).succeeds();
    cx.carrier(["start", "late"])
        .exits_with(1)
        .complains("no such container");
    cx.carrier(["rm", "late"]).succeeds();
}

#[test]
fn names_and_name_servers_are_those_of_the_command_line() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let cat = |options: &[&str], file: &str| {
        let words = ["run", "--rm"].into_iter().chain(options.iter().copied());
        let words = words.chain([image.as_str(), "cat", file]);
        cx.carrier(words).succeeds().text().to_owned()
    };
    let options = [
        "--dns",
        "192.0.2.53",
        "--dns-search",
        "example.org",
        "--dns-option",
        "ndots:2",
    ];
    assert_eq!(
        cat(&options, "/etc/resolv.conf"),
        "nameserver 192.0.2.53\nsearch example.org\noptions ndots:2"
    );
    let hosts = cat(
        &[
            "--add-host",
            "db:192.0.2.7",
            "--hostname",
            "web",
            "--domainname",
            "example.org",
        ],
        "/etc/hosts",
    );
    assert!(hosts.contains("192.0.2.7\tdb\n"), "{hosts}");
    assert!(
        hosts.contains("10.0.2.100\tweb.example.org web\n"),
        "{hosts}"
    );
    cx.carrier(["run", "--rm", "--no-hosts", &image, "cat", "/etc/hosts"])
        .exits_with(1);
    cx.carrier([
        "run",
        "--rm",
        "--add-host",
        "a\nb:192.0.2.7",
        &image,
        "true",
    ])
    .exits_with(125)
    .complains("bad format for add-host");
    cx.carrier(["run", "--rm", "--link", "db", &image, "true"])
        .exits_with(125)
        .complains("--link");
}

#[test]
fn resolv_conf_follows_the_hosts_until_the_container_changes_it() {
    if !carrier_e2e::is_root() {
        return carrier_e2e::skip(
            "resolv_conf_follows_the_hosts_until_the_container_changes_it",
            "the host's file is changed in a mount namespace of root's",
        );
    }
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let program = cx.program();
    let script = format!(
        "as() {{ setpriv --reuid carrier-test --regid carrier-test --init-groups {program} \"$@\"; }}
         mount -t tmpfs -o mode=755 none /mnt; cp -a /etc/. /mnt; mount --bind /mnt /etc
         echo nameserver 192.0.2.1 > /etc/resolv.conf
         as run -d --name one {image} sleep 1000 > /dev/null
         as exec one cat /etc/resolv.conf
         echo nameserver 192.0.2.2 > /etc/new; mv /etc/new /etc/resolv.conf
         until as exec one grep 192.0.2.2 /etc/resolv.conf; do sleep 0.1; done
         as exec one sh -c 'echo nameserver 192.0.2.9 > /etc/resolv.conf'
         echo nameserver 192.0.2.3 > /etc/resolv.conf
         as exec one sh -c 'sleep 1; cat /etc/resolv.conf'
         as rm -f one > /dev/null"
    );
    cx.host_script(&script)
        .succeeds()
        .prints("nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.9");
}

#[test]
fn without_a_program_that_carries_packets_the_container_runs_alone_with_a_warning() {
    if !carrier_e2e::is_root() {
        return carrier_e2e::skip(
            "without_a_program_that_carries_packets_the_container_runs_alone_with_a_warning",
            "the programs are hidden in a mount namespace of root's",
        );
    }
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let program = cx.program();
    let hidden = "for p in slirp4netns pasta pasta.avx2; do \
                  [ -e /usr/bin/$p ] && mount --bind /dev/null /usr/bin/$p; done; \
                  as() { setpriv --reuid carrier-test --regid carrier-test --init-groups \"$@\"; };";
    let run = |words: &str| cx.host_script(&format!("{hidden} as {program} run --rm {words}"));
    run(&format!("{image} echo runs"))
        .succeeds()
        .prints("runs")
        .warns("uplink: slirp4netns is not installed");
    run(&format!("--network slirp4netns {image} true"))
        .exits_with(125)
        .hints("uplink: slirp4netns is not installed");
    run(&format!("-p 80 {image} true"))
        .exits_with(125)
        .hints("uplink: slirp4netns is not installed");
}
