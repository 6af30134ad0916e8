//! Threats of the network, docs/threats.md: W.

use carrier_e2e::Cx;

/// Listens on the host at every loopback address, and writes the port down.
const LISTEN: &str = "python3 -c \"
import socket, threading, sys
def serve(s):
    while True: s.accept()[0].sendall(b'host')
port = 0
for family, address in ((socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1')):
    s = socket.socket(family); s.bind((address, port)); s.listen(); port = s.getsockname()[1]
    threading.Thread(target=serve, args=(s,), daemon=True).start()
print(port, flush=True)
threading.Event().wait()\"";

#[test]
fn w01_no_address_leads_to_the_hosts_loopback() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let addresses = "127.0.0.1 ::1 10.0.2.2 10.0.2.3 10.0.2.1 10.0.2.99 169.254.1.1 169.254.1.2 \
                     fd00::2 fd00::1 fe80::1%tap0 fe80::2%tap0";
    for mode in ["none", "private", "slirp4netns", "pasta"] {
        let probe = format!(
            "for a in {addresses}; do timeout 3 nc $a $0 < /dev/null && echo reached $a; done; \
             echo probed"
        );
        cx.script(&format!(
            "mkfifo $HOME/port; {LISTEN} > $HOME/port & listener=$!
             read port < $HOME/port
             carrier run --rm --network {mode} {image} sh -c '{probe}' $port 2> /dev/null
             kill $listener; rm $HOME/port"
        ))
        .succeeds()
        .prints("probed");
    }
}

/// Listens on all of the host's addresses, and tells one of them and the port.
const LISTEN_TO_ALL: &str = "python3 -c \"
import socket
s = socket.socket(); s.bind(('0.0.0.0', 0)); s.listen()
way = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); way.connect(('192.0.2.1', 9))
print(way.getsockname()[0], s.getsockname()[1], flush=True)
while True: s.accept()[0].sendall(b'host')\"";

/// What a container hears first that asks for the host by its own address. Old versions of pasta say what
/// comes with the end of a connection several times.
fn heard_from_the_host(cx: &Cx, run: &str) -> String {
    let image = cx.pulled("busybox");
    let script = format!(
        "mkfifo $HOME/at; {LISTEN_TO_ALL} > $HOME/at & listener=$!
         read address port < $HOME/at
         after() {{ :; }}
         carrier network create --subnet 10.89.200.0/24 one > /dev/null
         {run} {image} sh -c 'timeout 10 nc $0 $1 < /dev/null | head -c 4; echo; echo probed' $address $port \
             2> /dev/null
         after; kill $listener; rm $HOME/at; carrier network rm one > /dev/null"
    );
    cx.script(&script).succeeds().text().to_owned()
}

#[test]
fn w01_the_hosts_own_address_is_refused_in_every_mode() {
    let cx = Cx::with_registry();
    for mode in ["none", "private", "slirp4netns", "pasta", "bridge", "one"] {
        let heard = heard_from_the_host(&cx, &format!("carrier run --rm --network {mode}"));
        assert_eq!(heard.trim(), "probed", "--network {mode}");
    }
}

#[test]
fn w01_the_hosts_own_address_is_reached_on_request() {
    let cx = Cx::with_registry();
    for words in [
        "--network slirp4netns:allow_host_loopback=true",
        "--network slirp4netns --add-host host.docker.internal:host-gateway",
        "--network pasta --add-host host.containers.internal:host-gateway",
        "--network one --add-host host.docker.internal:host-gateway",
        "--network host",
    ] {
        let heard = heard_from_the_host(&cx, &format!("carrier run --rm {words}"));
        assert_eq!(heard.trim(), "host\nprobed", "{words}");
    }
}

#[test]
fn w01_who_may_reach_the_host_opens_it_neither_to_neighbours_nor_to_heirs() {
    let cx = Cx::with_registry();
    let friend = "carrier run --network one:ip=10.89.200.9 --add-host host:host-gateway";
    let image = cx.pulled("busybox");
    for run in [
        format!(
            "{friend} -d --rm --name friend {image} sleep 1000 > /dev/null
             after() {{ carrier rm -f friend > /dev/null; }}
             carrier run --rm --network one"
        ),
        format!(
            "{friend} --rm {image} true
             carrier run --rm --network one:ip=10.89.200.9"
        ),
    ] {
        let heard = heard_from_the_host(&cx, &run);
        assert_eq!(heard.trim(), "probed", "{run}");
    }
}

#[test]
fn w01_a_container_that_may_change_its_routes_does_not_reach_it_either() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    for mode in ["slirp4netns", "pasta"] {
        let probe = "ip route del unreachable 10.0.2.0/24; ip route add 10.0.2.0/24 dev tap0; \
                     ip -6 route del unreachable fd00::/64; ip -6 route add fd00::/64 dev tap0; \
                     for a in 10.0.2.2 fd00::2; do timeout 3 nc $a $0 < /dev/null; done; echo probed";
        cx.script(&format!(
            "mkfifo $HOME/port; {LISTEN} > $HOME/port & listener=$!
             read port < $HOME/port
             carrier run --rm --cap-add NET_ADMIN --network {mode} {image} sh -c '{probe}' $port \
                 2> /dev/null
             kill $listener; rm $HOME/port"
        ))
        .succeeds()
        .prints("probed");
    }
}

#[test]
fn w02_a_program_never_takes_a_client_for_itself() {
    let cx = Cx::with_registry();
    let image = cx.pulled("debian-nginx");
    let _web = cx.running("web", ["-p", "80", &image]);
    cx.script(
        "port=$(carrier port web 80 | head -1 | sed 's/.*://')
         for host in 127.0.0.1 [::1] localhost; do
             curl -sS --retry 50 --retry-all-errors --retry-delay 0 -o /dev/null http://$host:$port/
         done
         carrier exec web cat /var/log/nginx/access.log | cut -d' ' -f1 | sort -u",
    )
    .succeeds()
    .hides("127.")
    .hides("::1 ")
    .shows("10.0.2.2");
}

#[test]
fn w02_what_listens_on_the_containers_loopback_is_not_published() {
    let cx = Cx::with_registry();
    let image = cx.pulled("debian-redis");
    let words = [
        "-p",
        "127.0.0.1::6379",
        &image,
        "redis-server",
        "--bind",
        "127.0.0.1",
    ];
    let _redis = cx.running("redis", words);
    cx.script(
        "port=$(carrier port redis 6379 | sed 's/.*://')
         until carrier exec redis redis-cli ping; do sleep 0.1; done
         ! printf 'PING\\r\\n' | timeout 5 curl -s telnet://127.0.0.1:$port",
    )
    .succeeds()
    .prints("PONG");
}

#[test]
fn w03_the_address_is_bound_before_run_has_ended_and_is_told() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    cx.script(&format!(
        "carrier run -d --name one -p 127.0.0.1::80 {image} sleep 1000 > /dev/null
         port=$(carrier port one 80 | sed 's/.*://')
         ss -Hltn \"sport = $port\" | awk '{{print $4}}' | sed \"s/:$port//\"
         carrier ps | grep -c \"127.0.0.1:$port->80/tcp\"
         carrier rm -f one > /dev/null
         ss -Hltn \"sport = $port\" | wc -l"
    ))
    .succeeds()
    .prints("127.0.0.1\n1\n0");
}

#[test]
fn w04_nobody_tells_a_container_its_routes() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let files = "cat /proc/sys/net/ipv6/conf/tap0/accept_ra /proc/sys/net/ipv6/conf/all/forwarding";
    cx.carrier(["run", "--rm", &image, "sh", "-c", files])
        .succeeds()
        .prints("0\n0");
    // Packets as one likes them need a capability that no container has unless it is given.
    cx.carrier(["run", "--rm", &image, "arping", "-c", "1", "10.0.2.2"])
        .exits_with(1);
}

#[test]
fn w06_helpers_are_confined_and_die_with_their_container() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    for mode in ["slirp4netns", "pasta"] {
        let script = format!(
            "carrier run -d --name one --network {mode} -p 127.0.0.1::80 {image} sleep 1000 > /dev/null
             first=$(carrier inspect -f '{{{{.State.Pid}}}}' one)
             monitor=$(awk '/^PPid/ {{print $2}}' /proc/$first/status)
             children=$(pgrep -P $monitor)
             for p in $children; do
                 [ $p = $first ] && continue
                 grep -E '^(NoNewPrivs|Seccomp):' /proc/$p/status | tr -d '\\t' | tr '\\n' ' '
             done; echo
             carrier kill one > /dev/null
             for p in $children; do while [ -e /proc/$p ]; do sleep 0.1; done; done
             carrier rm -f one > /dev/null; echo gone"
        );
        cx.script(&script)
            .succeeds()
            .prints("NoNewPrivs:1 Seccomp:2 NoNewPrivs:1 Seccomp:2 \ngone");
    }
}

#[test]
fn w06_a_helper_that_dies_is_told_and_the_container_lives() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    for mode in ["slirp4netns", "pasta"] {
        let script = format!(
            "carrier run -d --name one --network {mode} {image} sleep 1000 > /dev/null
             monitor=$(awk '/^PPid/ {{print $2}}' /proc/$(carrier inspect -f '{{{{.State.Pid}}}}' one)/status)
             for p in $(pgrep -P $monitor); do
                 grep -q sleep /proc/$p/cmdline || kill -9 $p
             done
             until carrier inspect -f '{{{{.NetworkSettings.Uplink.Status}}}}' one | grep failed; do
                 sleep 0.1
             done
             carrier inspect -f '{{{{.State.Running}}}}' one
             carrier rm -f one > /dev/null"
        );
        cx.script(&script).succeeds().prints("failed\ntrue");
    }
}

#[test]
fn w07_whoever_is_killed_nothing_of_the_network_is_left() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    for mode in ["slirp4netns", "pasta"] {
        let script = format!(
            "carrier run -d --name one --network {mode} -p 127.0.0.1::80 {image} sleep 1000 > /dev/null
             port=$(carrier port one 80 | sed 's/.*://')
             monitor=$(awk '/^PPid/ {{print $2}}' /proc/$(carrier inspect -f '{{{{.State.Pid}}}}' one)/status)
             children=$(pgrep -P $monitor)
             [ $(echo $children | wc -w) -ge 3 ] || exit 9
             kill -9 $monitor
             for p in $children; do while [ -e /proc/$p ]; do sleep 0.1; done; done
             ss -Hltn \"sport = $port\" | wc -l
             carrier rm -f one"
        );
        cx.script(&script).succeeds().prints("0\none");
    }
}

#[test]
fn w07_a_forwarder_that_dies_is_replaced() {
    let cx = Cx::with_registry();
    let image = cx.pulled("debian-nginx");
    let _web = cx.running("web", ["-p", "127.0.0.1::80", &image]);
    cx.script(
        "port=$(carrier port web 80 | sed 's/.*://')
         get() { curl -sS --retry 50 --retry-all-errors --retry-delay 0 -o /dev/null http://127.0.0.1:$port/; }
         get
         # One that dies in its first second is not replaced: it would die again.
         monitor=$(awk '/^PPid/ {print $2}' /proc/$(carrier inspect -f '{{.State.Pid}}' web)/status)
         forwarder=$(for p in $(pgrep -P $monitor); do grep -lz carrier-ports /proc/$p/comm; done)
         forwarder=$(echo $forwarder | cut -d/ -f3)
         until [ $(ps -o etimes= -p $forwarder) -ge 2 ]; do sleep 0.1; done
         kill -9 $forwarder
         get && echo again",
    )
    .succeeds()
    .prints("again");
}
