//! Connections that begin or end badly: names that resolve late, addresses that lead nowhere, and TLS
//! without a goodbye.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{Cx, Image, Internet, Layer, Outcome, Registry, Request, Shelf, is_root, skip};
use serde_json::json;

/// Answers queries for addresses: the first ones with a failure, then with 127.0.0.1.
const NAME_SERVER: &str = r#"
import socket, struct, sys
failures = int(sys.argv[1])
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
while True:
    query, client = server.recvfrom(4096)
    end = query.index(b"\0", 12) + 5
    question, kind = query[12:end], struct.unpack("!H", query[end - 4:end - 2])[0]
    if failures > 0:
        failures -= 1
        server.sendto(query[:2] + struct.pack("!HHHHH", 0x8182, 1, 0, 0, 0) + question, client)
        continue
    answer = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton("127.0.0.1")
    count = 1 if kind == 1 else 0
    head = query[:2] + struct.pack("!HHHHH", 0x8180, 1, count, 0, 0)
    server.sendto(head + question + (answer if count else b""), client)
"#;

/// Runs a script, and then a pull from `registry.test`, in a network of their own with the registry;
/// how many milliseconds the pull took is printed last.
fn pull_where(cx: &Cx, registry: &Registry, arrangement: &str) -> Outcome {
    let port = registry.host().rsplit(':').next().unwrap();
    let configuration = registry.configuration();
    let script = format!(
        "ip link set lo up && {arrangement}
         setpriv --pdeathsig KILL docker-registry serve {} >/dev/null 2>&1 &
         served=$!
         until ss -Hltn 'sport = {port}' | grep -q .; do sleep 0.05; done
         start=$(date +%s%N)
         setpriv --reuid carrier-test --regid carrier-test --init-groups \
             carrier pull -q --tls-verify=false registry.test:{port}/x
         code=$?
         echo $((($(date +%s%N) - start) / 1000000))
         kill $served $named 2>/dev/null
         exit $code",
        configuration.display()
    );
    let script = cx.file("script", &script);
    cx.host_script(&format!("unshare -n sh {script}"))
}

fn world() -> (Cx, Registry) {
    let registry = Registry::empty();
    let layer = Layer::new().file("f", "content");
    Image::new(vec![layer], json!({ "Cmd": ["/f"] })).push(registry.host(), "x", "latest");
    (Cx::new(), registry)
}

#[test]
fn a_name_that_does_not_resolve_at_first_is_tried_again() {
    const NAME: &str = "a_name_that_does_not_resolve_at_first_is_tried_again";
    if !is_root() {
        return skip(NAME, "only root can be a name server");
    }
    let (cx, registry) = world();
    let server = cx.file("nameserver.py", NAME_SERVER);
    let resolver = cx.file(
        "resolv.conf",
        "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
    );
    let serve = |failures: u32| {
        format!(
            "mount --bind {resolver} /etc/resolv.conf || exit 9
             python3 {server} {failures} & named=$!
             until ss -Hlun 'sport = 53' | grep -q .; do sleep 0.05; done"
        )
    };
    pull_where(&cx, &registry, &serve(3)).succeeds();
    let never = pull_where(&cx, &registry, &serve(1_000_000)).exits_with(125);
    never.complains("cannot connect to registry registry.test");
}

#[test]
fn an_address_that_leads_nowhere_costs_little_where_there_is_another() {
    const NAME: &str = "an_address_that_leads_nowhere_costs_little_where_there_is_another";
    if !is_root() {
        return skip(
            NAME,
            "only root can make a network that swallows what it is sent",
        );
    }
    let (cx, registry) = world();
    let hosts = cx.file(
        "hosts",
        "2001:db8:1::5 registry.test\n127.0.0.1 registry.test\n",
    );
    let hole = format!(
        "mount --bind {hosts} /etc/hosts && ip link add hole type veth peer name end && \
         ip link set end up && ip link set hole up && \
         ip -6 addr add 2001:db8:1::1/64 dev hole nodad && \
         ip -6 neigh add 2001:db8:1::5 lladdr 02:00:00:00:00:05 dev hole || exit 9"
    );
    let pull = pull_where(&cx, &registry, &hole).succeeds();
    let milliseconds: u32 = pull.text().lines().last().unwrap().parse().unwrap();
    // Who waits for the hole waits ten seconds.
    assert!(milliseconds < 8000, "{pull:?}");
    println!("an IPv6 black hole: {milliseconds} ms");
}

#[test]
fn a_server_that_leaves_without_a_word_has_said_all() {
    let cx = Cx::new();
    let layer = Layer::new().file("f", "content");
    let shelf = Shelf::of("x", &Image::new(vec![layer], json!({ "Cmd": ["/f"] })));
    let answer = move |request: &Request| shelf.get(&request.path);
    let internet = Internet::of(&cx, &["abrupt.example"], answer);
    let pull = internet.carrier(&cx, "pull -q abrupt.example/x");
    pull.succeeds().prints("abrupt.example/x:latest");
    println!("TLS without a goodbye: the image is whole");
}
