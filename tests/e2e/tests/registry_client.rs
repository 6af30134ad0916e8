//! How the client gets along with registries: tokens, waiting, mirrors, proxies.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::collections::HashMap;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use carrier_e2e::{Cx, Image, Internet, Layer, Registry, Reply, Request, Shelf, is_root, skip};
use serde_json::json;

fn image(layers: usize) -> Image {
    let layers = (0..layers).map(|n| Layer::new().file("f", format!("layer {n}").repeat(100)));
    Image::new(layers.collect(), json!({ "Cmd": ["/f"] }))
}

/// Where a registry without a proxy is: the script is asked directly.
fn challenge(request: &Request) -> Reply {
    let host = &request.host;
    Reply::challenge(&format!(
        "Bearer realm=\"http://{host}/token\",service=\"x\""
    ))
}

/// How many requests there were for paths with `part`.
fn count(internet: &Internet, part: &str) -> usize {
    let all = internet.requests();
    all.iter()
        .filter(|request| request.path.contains(part))
        .count()
}

/// Numbers tokens, and knows how old each is.
#[derive(Default)]
struct Tokens(Mutex<HashMap<String, Instant>>);

impl Tokens {
    fn issue(&self, lifetime: u64) -> Reply {
        let mut tokens = self.0.lock().unwrap();
        let token = format!("token{}", tokens.len() + 1);
        tokens.insert(format!("Bearer {token}"), Instant::now());
        Reply::json(json!({ "token": token, "expires_in": lifetime }))
    }

    fn age(&self, request: &Request) -> Option<Duration> {
        let tokens = self.0.lock().unwrap();
        tokens.get(request.authorization()).map(Instant::elapsed)
    }
}

#[test]
fn a_token_is_renewed_before_it_expires() {
    let cx = Cx::new();
    let (shelf, tokens) = (Shelf::of("x", &image(7)), Tokens::default());
    let internet = Internet::of(&cx, &["x"], move |request| {
        if request.path == "/token" {
            return tokens.issue(8);
        }
        match tokens.age(request) {
            Some(age) if age < Duration::from_secs(8) => {
                shelf.get(&request.path).slowly(Duration::from_millis(1700))
            }
            _ => challenge(request),
        }
    });
    let name = format!("{}/x", internet.address());
    cx.carrier(["pull", "-q", &name]).succeeds();
    let asked = internet.requests();
    let unauthorized = asked
        .iter()
        .filter(|it| it.path != "/token" && it.authorization().is_empty());
    assert_eq!(unauthorized.count(), 1, "{asked:#?}");
    let fetched = count(&internet, "/token");
    assert!(
        (2..=5).contains(&fetched),
        "{fetched} tokens for seven layers"
    );
    // Nothing was asked for twice.
    assert_eq!(count(&internet, "/blobs/"), 8);
}

#[test]
fn a_token_that_is_refused_in_mid_pull_is_replaced_once_for_all() {
    let cx = Cx::new();
    let (shelf, tokens) = (Shelf::of("x", &image(3)), Tokens::default());
    let (blobs, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let internet = Internet::of(&cx, &["x"], move |request| {
        let is_first = request.authorization() == "Bearer token1";
        match request.path.as_str() {
            // Whoever does not wait for another's token would ask for one meanwhile.
            "/token" => {
                let deadline = Instant::now() + Duration::from_secs(10);
                let refusals = || refused.load(Ordering::Relaxed);
                while (1..3).contains(&refusals()) && Instant::now() < deadline {
                    std::thread::sleep(Duration::from_millis(10));
                }
                tokens.issue(300).slowly(Duration::from_millis(300))
            }
            _ if tokens.age(request).is_none() => challenge(request),
            // The configuration comes with the first token, the layers do not.
            path if path.contains("/blobs/") => match blobs.fetch_add(1, Ordering::Relaxed) {
                1.. if is_first => {
                    refused.fetch_add(1, Ordering::Relaxed);
                    challenge(request)
                }
                _ => shelf.get(path),
            },
            path => shelf.get(path),
        }
    });
    let name = format!("{}/x", internet.address());
    cx.carrier(["pull", "-q", &name]).succeeds();
    assert_eq!(count(&internet, "/token"), 2, "{:#?}", internet.requests());
    assert_eq!(
        count(&internet, "/blobs/"),
        1 + 3 + 3,
        "three layers are refused at once"
    );
}

#[test]
fn a_registry_or_token_server_that_is_never_content_ends_with_one_error() {
    let cx = Cx::new();
    let tokens = Tokens::default();
    let internet = Internet::of(&cx, &["x"], move |request| match request.path.as_str() {
        "/token" => tokens.issue(300),
        _ => challenge(request),
    });
    let name = format!("{}/x", internet.address());
    cx.carrier(["pull", &name])
        .exits_with(125)
        .complains("denied: authentication required");
    assert_eq!(
        (internet.requests().len(), count(&internet, "/token")),
        (3, 1)
    );
    drop(cx);
    let cx = Cx::new();
    let internet = Internet::of(&cx, &["x"], challenge);
    let name = format!("{}/x", internet.address());
    cx.carrier(["pull", &name])
        .exits_with(125)
        .complains("denied");
    assert_eq!(internet.requests().len(), 2);
}

#[test]
fn a_registry_that_asks_to_wait_is_waited_for_and_says_so() {
    let cx = Cx::new();
    let (shelf, asked) = (Shelf::of("x", &image(1)), AtomicUsize::new(0));
    let internet = Internet::of(&cx, &["x"], move |request| {
        match asked.fetch_add(1, Ordering::Relaxed) {
            0 => Reply::status(429).field("Retry-After: 2"),
            1 => Reply::status(503).field("Retry-After: Sun, 06 Nov 1994 08:49:37 GMT"),
            _ => shelf.get(&request.path),
        }
    });
    let name = format!("{}/x", internet.address());
    let start = Instant::now();
    let outcome = cx.carrier(["pull", &name]).succeeds();
    assert!(start.elapsed() >= Duration::from_secs(2));
    let note = format!("registry {} asks to wait 2 s", internet.address());
    assert!(outcome.errors().contains(&note), "{outcome:#?}");
}

/// Writes Carrier's own configuration.
fn configure(cx: &Cx, text: &str) {
    let directory = cx.home().join(".config/carrier");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("config.toml"), text).unwrap();
}

#[test]
fn mirrors_are_asked_in_their_order_before_the_registry() {
    let cx = Cx::new();
    let (lacking, having) = (Registry::empty(), Registry::empty());
    let _ = image(2).push(having.host(), "hub/library/nginx", "latest");
    configure(
        &cx,
        &format!(
            "[network]\nretries = 0\n[[registry]]\nlocation = 'docker.io'\n\
             [[registry.mirror]]\nlocation = '127.0.0.1:1'\n\
             [[registry.mirror]]\nlocation = '{}'\n\
             [[registry.mirror]]\nlocation = '{}/hub'\n",
            lacking.host(),
            having.host()
        ),
    );
    let outcome = cx.carrier(["pull", "nginx"]).succeeds();
    let outcome = outcome.shows("\ndocker.io/library/nginx:latest");
    let note = "mirror 127.0.0.1:1: cannot connect";
    assert_eq!(outcome.errors().matches(note).count(), 1, "{outcome:#?}");
    assert!(lacking.log().contains("/v2/library/nginx/manifests/latest"));
    assert_eq!(having.blob_requests(), 3);
    cx.carrier(["run", "--rm", "--pull", "never", "nginx"])
        .exits_with(126);
}

#[test]
fn a_mirror_that_does_not_deliver_is_left() {
    let cx = Cx::new();
    let shelf = Shelf::of("x", &image(1));
    let internet = Internet::of(&cx, &["home.test", "mirror.test"], move |request| {
        let reply = shelf.get(&request.path);
        match request.host.as_str() {
            "mirror.test" if request.path.contains("/blobs/") => reply.cut(),
            _ => reply,
        }
    });
    configure(
        &cx,
        "[[registry]]\nlocation = 'home.test'\n[[registry.mirror]]\nlocation = 'mirror.test'\n",
    );
    internet.carrier(&cx, "pull -q home.test/x").succeeds();
    let asked = |host| internet.requests_to(host).len();
    assert!(
        (2..=4).contains(&asked("mirror.test")),
        "{:#?}",
        internet.requests()
    );
    assert!(asked("home.test") >= 1);
}

#[test]
fn prefixes_are_moved_and_blocked_by_podmans_file_too() {
    let cx = Cx::new();
    let registry = Registry::with_password("ann");
    let directory = cx.home().join(".config/containers/registries.conf.d");
    fs::create_dir_all(&directory).unwrap();
    let text = format!(
        "unqualified-search-registries = ['evil.test']\n\
         [[registry]]\nprefix = '*.example.com'\nlocation = '{}/mirror'\n\
         [[registry]]\nprefix = 'docker.io/evil'\nblocked = true\n",
        registry.host()
    );
    fs::write(directory.join("own.conf"), text).unwrap();
    let name = "registry.example.com/team/x";
    // The credentials are those of the host that is really asked.
    cx.carrier(["pull", name])
        .exits_with(125)
        .complains("denied");
    let login = ["login", "-u", "ann", "--password-stdin", registry.host()];
    cx.carrier_with_input(login, "secret").succeeds();
    cx.carrier(["pull", name])
        .exits_with(125)
        .complains("not found");
    assert!(
        registry
            .log()
            .contains("/v2/mirror/team/x/manifests/latest")
    );
    cx.carrier(["pull", "evil/x"])
        .exits_with(125)
        .complains("own.conf blocks docker.io/evil");
    let open = Registry::empty();
    let _ = image(1).push(open.host(), "x", "latest");
    let here = open.reference("x");
    cx.carrier(["pull", "-q", &here]).succeeds();
    cx.carrier(["push", &here, "evil/x"])
        .exits_with(125)
        .complains("own.conf blocks docker.io/evil");
}

#[test]
fn a_mistake_in_the_configuration_names_file_and_key() {
    let cx = Cx::new();
    configure(&cx, "[network]\nretires = 1\n");
    cx.carrier(["pull", "nginx"])
        .exits_with(125)
        .complains(".config/carrier/config.toml: unknown key network.retires");
    // What is here needs no registry.
    cx.carrier(["run", "--rm", "hello"]).succeeds();
}

#[test]
fn proxies_are_used_but_for_this_machine() {
    let cx = Cx::new();
    let shelf = Shelf::of("x", &image(1));
    let internet = Internet::of(&cx, &["secure.test"], move |request| {
        shelf.get(&request.path)
    });
    internet.carrier(&cx, "pull -q secure.test/x").succeeds();
    cx.carrier(["rmi", "secure.test/x"]).succeeds();
    // In plain HTTP, after a port that does not speak TLS.
    internet
        .carrier(&cx, "pull -q --tls-verify=false plain.test:5000/x")
        .succeeds();
    let plain = internet.requests_to("plain.test:5000");
    assert!(plain.iter().all(|request| request.scheme == "http") && !plain.is_empty());
    let script = format!(
        "{} NO_PROXY=.test carrier pull secure.test/x",
        internet.environment()
    );
    cx.script(&script)
        .exits_with(125)
        .complains("cannot connect");
    let registry = Registry::empty();
    let direct = format!(
        "HTTP_PROXY=http://127.0.0.1:1 carrier pull {}/x",
        registry.host()
    );
    cx.script(&direct).exits_with(125).complains("not found");
    // Who insists on HTTPS gets it here too.
    let strict = cx.carrier(["pull", "--tls-verify", &registry.reference("x")]);
    strict.exits_with(125).complains("registry 127.0.0.1");
}

#[test]
fn an_address_that_leads_nowhere_costs_little_more_than_none() {
    const NAME: &str = "an_address_that_leads_nowhere_costs_little_more_than_none";
    if !is_root() {
        return skip(NAME, "only root can make a network that swallows packets");
    }
    let cx = Cx::new();
    let storage = cx.home().join("registry");
    let config = format!(
        "version: 0.1\nhttp: {{addr: \":5000\"}}\n\
         storage: {{filesystem: {{rootdirectory: {}}}}}\n",
        storage.display()
    );
    let config = cx.file("config.yml", &config);
    let hosts = "2001:db8::1 six.test\n127.0.0.1 six.test\n192.0.2.1 four.test\n::1 four.test\n\
                 127.0.0.1 near.test\n";
    let hosts = cx.file("hosts", hosts);
    let inside = format!(
        "ip link set lo up; ip link add hole type veth peer name end
         ip link set hole up; ip link set end up
         ip addr add 2001:db8::2/64 dev hole nodad; ip addr add 192.0.2.2/24 dev hole
         for there in 2001:db8::1 192.0.2.1; do
             ip neigh add $there lladdr 02:00:00:00:00:01 dev hole
         done
         mount --bind {hosts} /etc/hosts
         docker-registry serve {config} >/dev/null 2>&1 & registry=$!
         while ! (: < /dev/tcp/127.0.0.1/5000) 2>/dev/null; do sleep 0.05; done
         for hole in 2001:db8::1 192.0.2.1; do
             timeout 1 bash -c \": < /dev/tcp/$hole/5000\"; echo $?
         done
         for host in near six four; do
             start=$(date +%s%N)
             setpriv --reuid carrier-test --regid carrier-test --init-groups \
                 carrier pull --tls-verify=false $host.test:5000/x 2>&1 | grep -c \"not found\"
             echo $((($(date +%s%N) - start) / 1000000))
         done
         kill $registry"
    );
    let script = format!("unshare -n bash -c '{inside}'");
    let outcome = cx.host_script(&script).succeeds();
    let numbers = outcome.text().split_whitespace();
    let numbers: Vec<u64> = numbers.map(|number| number.parse().unwrap()).collect();
    println!("waits at both holes, found, ms: {numbers:?}");
    // Whoever connects to the holes waits until timeout(1) ends it.
    let [124, 124, 1, near, 1, six, 1, four] = numbers[..] else {
        panic!("{outcome:#?}")
    };
    // Who waits for a hole waits ten seconds.
    let limit = near + 5000;
    assert!(six < limit && four < limit, "{outcome:#?}");
}
