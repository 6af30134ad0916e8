//! Published ports: real programs in containers, and clients of the host.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::Cx;

/// What binds to a port of the host itself.
const OCCUPY: &str = "python3 -c \"
import socket, time
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); print(s.getsockname()[1], flush=True)
time.sleep(1000)\"";

/// An echo for datagrams that also says who asks.
const ECHO: &str = "import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind(('::', 53))
while True:
    data, who = s.recvfrom(65536); s.sendto(data + b' ' + who[0].encode(), who)";

fn address_of(cx: &Cx, container: &str, port: &str) -> String {
    let outcome = cx.carrier(["port", container, port]).succeeds();
    outcome.text().lines().next().unwrap().to_owned()
}

#[test]
fn nginx_is_reached_from_the_host_by_both_versions_of_ip() {
    let cx = Cx::with_registry();
    let image = cx.pulled("debian-nginx");
    let _web = cx.running("web", ["-p", "80", &image]);
    let address = address_of(&cx, "web", "80");
    let port = address.rsplit(':').next().unwrap();
    for host in ["127.0.0.1", "[::1]"] {
        cx.script(&format!(
            "curl -sS --retry 50 --retry-all-errors --retry-delay 0 http://{host}:{port}/"
        ))
        .succeeds()
        .shows("nginx");
    }
    cx.carrier(["ps"]).shows(&format!("0.0.0.0:{port}->80/tcp"));
    cx.carrier([
        "inspect",
        "--format",
        "{{json .NetworkSettings.Ports}}",
        "web",
    ])
    .shows(&format!(
        "{{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"{port}\"}}"
    ));
    cx.carrier(["port", "web", "81"])
        .exits_with(1)
        .complains("no public port '81/tcp' published for web");
}

#[test]
fn redis_keeps_many_clients_apart() {
    let cx = Cx::with_registry();
    let image = cx.pulled("debian-redis");
    let words = ["-p", "127.0.0.1::6379", &image, "redis-server"];
    let _redis = cx.running("redis", words.into_iter().chain(["--protected-mode", "no"]));
    let address = address_of(&cx, "redis", "6379/tcp");
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    let port = address.rsplit(':').next().unwrap();
    let script = format!(
        "python3 -c \"
import socket, time
def dial():
    for _ in range(300):
        try:
            s = socket.create_connection(('127.0.0.1', {port})); s.sendall(b'PING\\r\\n')
            if s.recv(16): return s
        except OSError: pass
        time.sleep(0.1)
clients = [dial() for _ in range(200)]
for n, c in enumerate(clients): c.sendall(b'SET k%d %d\\r\\n' % (n, n))
for n, c in enumerate(clients): assert c.recv(64) == b'+OK\\r\\n'
big = b'x' * (8 << 20)
clients[0].sendall(b'*3\\r\\n\\$3\\r\\nSET\\r\\n\\$1\\r\\nb\\r\\n\\$%d\\r\\n%s\\r\\n' % (len(big), big))
assert clients[0].recv(64) == b'+OK\\r\\n'
clients[1].sendall(b'GET b\\r\\n')
head = b'\\$%d\\r\\n' % len(big); got = b''
while len(got) < len(head) + len(big) + 2: got += clients[1].recv(1 << 20)
assert got == head + big + b'\\r\\n'
print('whole')\""
    );
    cx.script(&script).succeeds().prints("whole");
}

#[test]
fn one_side_may_end_before_the_other() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let words = [
        "-p",
        "127.0.0.1::7",
        &image,
        "nc",
        "-ll",
        "-p",
        "7",
        "-e",
        "sha256sum",
    ];
    let _server = cx.running("sums", words);
    let address = address_of(&cx, "sums", "7");
    let port = address.rsplit(':').next().unwrap();
    let script = format!(
        "python3 -c \"
import socket, time
def ask():
    s = socket.create_connection(('127.0.0.1', {port}))
    s.sendall(b'x' * 3000000); s.shutdown(socket.SHUT_WR)
    return s.makefile().read()
for _ in range(300):
    try: answer = ask()
    except OSError: answer = ''
    if answer: break
    time.sleep(0.1)
import hashlib
print(answer.split()[0]); print(hashlib.sha256(b'x' * 3000000).hexdigest())\""
    );
    let outcome = cx.script(&script).succeeds();
    let lines: Vec<&str> = outcome.text().lines().filter(|it| !it.is_empty()).collect();
    assert_eq!(lines[0], lines[1], "{outcome:?}");
}

#[test]
fn datagrams_come_and_go_by_both_versions_of_ip() {
    let cx = Cx::with_registry();
    let image = cx.pulled("debian-python");
    let _echo = cx.running("echo", ["-p", "53/udp", &image, "python3", "-c", ECHO]);
    let address = address_of(&cx, "echo", "53/udp");
    let port = address.rsplit(':').next().unwrap();
    for host in ["127.0.0.1", "::1"] {
        let script = format!(
            "python3 -c \"
import socket
s = socket.socket(socket.AF_INET6 if ':' in '{host}' else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1); s.connect(('{host}', {port}))
for _ in range(60):
    try:
        s.send(b'hello'); print(s.recv(100).decode()); break
    except OSError: pass
for _ in range(60):
    try:
        s.send(b'y' * 9000)
        # Answers to what was asked before may be on their way.
        while len(s.recv(65536)) <= 9000: pass
        break
    except OSError: pass
else: raise SystemExit('no large datagram')\""
        );
        let outcome = cx.script(&script).succeeds().shows("hello ");
        assert!(!outcome.text().contains("127.0.0.1"), "{outcome:?}");
        assert!(!outcome.text().contains(" ::1"), "{outcome:?}");
    }
}

#[test]
fn datagrams_by_ipv6_reach_a_program_that_has_only_ipv4() {
    let cx = Cx::with_registry();
    let image = cx.pulled("debian-python");
    let old = ECHO.replace("AF_INET6", "AF_INET").replace("'::'", "''");
    let _echo = cx.running("old", ["-p", "53/udp", &image, "python3", "-c", &old]);
    let address = address_of(&cx, "old", "53/udp");
    let port = address.rsplit(':').next().unwrap();
    let script = format!(
        "python3 -c \"
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.settimeout(1); s.connect(('::1', {port}))
for _ in range(60):
    try:
        s.send(b'hello'); print(s.recv(100).decode()); break
    except OSError: pass\""
    );
    cx.script(&script).succeeds().shows("hello 10.0.2.2");
}

#[test]
fn a_client_is_told_that_nobody_listens() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let _idle = cx.running("idle", ["-p", "80", &image, "sleep", "1000"]);
    let address = address_of(&cx, "idle", "80");
    let port = address.rsplit(':').next().unwrap();
    // Long before a connection that nobody answers is given up.
    cx.script(&format!(
        "own=$(ip -4 route get 192.0.2.1 | sed -n 's/.* src \\([0-9.]*\\).*/\\1/p')
         for host in 127.0.0.1 [::1] $own; do
             timeout 60 curl -s -o /dev/null http://$host:{port}/
             case $? in 0|124) echo not told ;; *) echo told ;; esac
         done"
    ))
    .succeeds()
    .prints("told\ntold\ntold");
}

#[test]
fn the_program_sees_the_client_that_asks() {
    let cx = Cx::with_registry();
    let image = cx.pulled("debian-nginx");
    let _web = cx.running("web", ["-p", "80", &image]);
    let address = address_of(&cx, "web", "80");
    let port = address.rsplit(':').next().unwrap();
    // By its own address, the host is one client of many.
    cx.script(&format!(
        "own=$(ip -4 route get 192.0.2.1 | sed -n 's/.* src \\([0-9.]*\\).*/\\1/p')
         curl -sS --retry 50 --retry-all-errors --retry-delay 0 -o /dev/null http://$own:{port}/
         carrier exec web sh -c 'cat /var/log/nginx/access.log' | grep \"^$own \""
    ))
    .succeeds();
}

#[test]
fn a_port_that_is_taken_is_an_error_of_run() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let _first = cx.running("first", ["-p", "127.0.0.1::80", &image, "sleep", "1000"]);
    let address = address_of(&cx, "first", "80");
    cx.carrier([
        "run",
        "-d",
        "--rm",
        "-p",
        &format!("{address}:80"),
        &image,
        "true",
    ])
    .exits_with(125)
    .complains("port is already allocated")
    .hints("container first has it");
    cx.script(&format!(
        "mkfifo $HOME/port; {OCCUPY} > $HOME/port & holder=$!
         read port < $HOME/port
         carrier run -d --rm -p 127.0.0.1:$port:80 {image} true; code=$?
         kill $holder; rm $HOME/port; exit $code"
    ))
    .exits_with(125)
    .complains("ddress already in use");
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if first.trim().parse::<u16>().unwrap() > 1 {
        cx.carrier(["run", "--rm", "-p", "127.0.0.1:1:80", &image, "true"])
            .exits_with(125)
            .hints("net.ipv4.ip_unprivileged_port_start=1");
    }
    cx.carrier(["run", "--rm", "-p", "80/sctp", &image, "true"])
        .exits_with(125)
        .complains("invalid proto");
}

#[test]
fn every_port_of_the_image_is_published_on_request() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let words = [
        "-P", "--expose", "80-81", "--expose", "53/udp", &image, "sleep", "1000",
    ];
    let _all = cx.running("all", words);
    let outcome = cx.carrier(["port", "all"]).succeeds();
    for port in [
        "80/tcp -> 0.0.0.0:",
        "81/tcp -> 0.0.0.0:",
        "53/udp -> 0.0.0.0:",
    ] {
        assert!(outcome.text().contains(port), "{outcome:?}");
    }
    let _one = cx.running("one", ["--expose", "80", &image, "sleep", "1000"]);
    cx.carrier(["ps", "--filter", "name=one"]).shows("80/tcp");
    cx.carrier(["port", "one"]).succeeds().prints("");
}

#[test]
fn a_container_that_is_started_again_keeps_its_ports() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let script = "echo up; nc -l -p 80 < /dev/null";
    let words = [
        "run",
        "-d",
        "--name",
        "again",
        "--restart",
        "always",
        "-p",
        "127.0.0.1::80",
    ];
    cx.carrier(
        words
            .into_iter()
            .chain([image.as_str(), "sh", "-c", script]),
    )
    .succeeds();
    let address = address_of(&cx, "again", "80");
    let port = address.rsplit(':').next().unwrap();
    cx.script(&format!(
        "until [ $(carrier logs again | grep -c up) -ge 3 ]; do
             timeout 5 curl -s -m 2 http://127.0.0.1:{port}/; sleep 0.1
         done
         until carrier port again 80; do sleep 0.1; done"
    ))
    .succeeds()
    .shows(&address);
    cx.carrier(["rm", "-f", "again"]).succeeds();
}

#[test]
fn where_nothing_can_be_published_that_is_said() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    for mode in ["host", "none"] {
        cx.carrier(["run", "--rm", "--network", mode, "-p", "80", &image, "true"])
            .succeeds()
            .warns("published ports are discarded");
    }
}
