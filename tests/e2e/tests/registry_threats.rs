//! Attacks by registries and by whoever stands between: threats R-01 to R-03, R-09 to R-11.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use carrier_e2e::{
    Authority, Cx, Image, Internet, Layer, Registry, Reply, Request, Shelf, Validity, is_root, skip,
};
use serde_json::json;

const HOME: &str = "registry.example.org";
const EVIL: &str = "evil.example.net";

/// ann:s3cret, in Docker's file.
const AUTH: &str = "YW5uOnMzY3JldA==";

fn shelf() -> Shelf {
    let layer = Layer::new().file("f", "x".repeat(1000));
    Shelf::of("x", &Image::new(vec![layer], json!({ "Cmd": ["/f"] })))
}

fn log_in(cx: &Cx) {
    let config = json!({ "auths": { HOME: { "auth": AUTH } } });
    let script = format!("mkdir -p ~/.docker; echo '{config}' > ~/.docker/config.json");
    cx.script(&script).succeeds();
}

/// A registry that wants a token, and has its blobs where `elsewhere` says.
fn registry(request: &Request, elsewhere: impl Fn(&str) -> Reply) -> Reply {
    match request.path.as_str() {
        "/token" => Reply::json(json!({ "token": "t0ken" })),
        _ if request.authorization() != "Bearer t0ken" => Reply::challenge(&format!(
            "Bearer realm=\"https://{HOME}/token\",service=\"x\""
        )),
        path if path.contains("/blobs/") => elsewhere(path),
        path => shelf().get(path),
    }
}

/// Nothing of ours came to the foreign host.
#[track_caller]
fn evil_learned_nothing(internet: &Internet) {
    let foreign = internet.requests_to(EVIL);
    for request in foreign {
        let fields = format!("{:?}{}{}", request.fields, request.query, request.body);
        assert!(request.authorization().is_empty(), "{request:#?}");
        for secret in ["s3cret", AUTH, "t0ken", "cookie"] {
            assert!(!fields.contains(secret), "{secret} in {request:#?}");
        }
    }
}

#[test]
fn r01_a_foreign_host_that_asks_gets_nothing() {
    for challenge in [
        format!("Bearer realm=\"https://{EVIL}/token\",service=\"x\""),
        format!("Bearer realm=\"https://{HOME}/token\",service=\"x\""),
        "Basic realm=\"x\"".to_owned(),
    ] {
        let cx = Cx::new();
        log_in(&cx);
        let internet = Internet::of(&cx, &[HOME, EVIL], move |request| {
            if request.host == EVIL {
                return Reply::challenge(&challenge).field("Set-Cookie: cookie=1");
            }
            registry(request, |path| {
                Reply::redirect(307, &format!("https://{EVIL}{path}"))
            })
        });
        let name = format!("pull {HOME}/x");
        internet
            .carrier(&cx, &name)
            .exits_with(125)
            .complains("denied");
        assert!(!internet.requests_to(EVIL).is_empty());
        evil_learned_nothing(&internet);
    }
}

#[test]
fn r01_a_token_server_without_tls_gets_nothing() {
    let cx = Cx::new();
    log_in(&cx);
    let internet = Internet::of(&cx, &[HOME], |_| {
        Reply::challenge(&format!(
            "Bearer realm=\"http://{EVIL}/token\",service=\"x\""
        ))
    });
    let refused = internet
        .carrier(&cx, &format!("pull {HOME}/x"))
        .exits_with(125);
    refused.complains("its token server is not https");
    assert!(internet.requests_to(EVIL).is_empty());
}

#[test]
fn r02_credentials_stay_at_home_in_every_redirection() {
    for status in [301, 302, 303, 307, 308] {
        for target in [EVIL.to_owned(), format!("{HOME}:8443")] {
            let cx = Cx::new();
            log_in(&cx);
            let foreign = target.clone();
            let internet = Internet::of(&cx, &[HOME, EVIL], move |request| {
                if request.host == foreign {
                    return match request.authorization() {
                        "" => shelf().get(&request.path),
                        _ => Reply::status(400),
                    };
                }
                let target = &foreign;
                registry(request, |path| {
                    Reply::redirect(status, &format!("https://{target}{path}"))
                })
            });
            internet
                .carrier(&cx, &format!("pull -q {HOME}/x"))
                .succeeds();
            assert_eq!(internet.requests_to(&target).len(), 2);
            evil_learned_nothing(&internet);
        }
    }
}

#[test]
fn r02_dangerous_redirections_are_not_followed() {
    for (target, reason) in [
        (format!("http://{HOME}:8080/blob"), "from https to http"),
        (format!("http://{EVIL}/blob"), "from https to http"),
        (
            format!("https://ann:pw@{EVIL}/blob"),
            "a URL with credentials",
        ),
        ("ftp://example.net/blob".to_owned(), "not http"),
        ("file:///etc/passwd".to_owned(), "not http"),
        ("unix:///run/docker.sock".to_owned(), "not http"),
        ("https://".to_owned(), "nowhere"),
    ] {
        let cx = Cx::new();
        let location = target.clone();
        let internet = Internet::of(&cx, &[HOME, EVIL], move |request| {
            registry(request, |_| Reply::redirect(302, &location))
        });
        let refused = internet.carrier(&cx, &format!("pull {HOME}/x"));
        refused.exits_with(125).complains(reason);
        assert!(internet.requests_to(EVIL).is_empty(), "{target}");
    }
}

#[test]
fn r02_a_circle_is_left_after_five_steps() {
    let cx = Cx::new();
    let internet = Internet::of(&cx, &[HOME], |request| {
        registry(request, |path| Reply::redirect(302, path))
    });
    let refused = internet
        .carrier(&cx, &format!("pull {HOME}/x"))
        .exits_with(125);
    refused.complains("it redirects too often");
    let blobs = internet.requests().into_iter();
    let blobs = blobs
        .filter(|request| request.path.contains("/blobs/"))
        .count();
    assert_eq!(blobs, 6);
}

/// Counts who connects to it.
fn listener() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let listen = move || {
        for mut stream in listener.incoming().filter_map(Result::ok) {
            counter.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 64]);
        }
    };
    std::thread::Builder::new().spawn(listen).unwrap();
    (port, count)
}

#[test]
fn r03_a_registry_on_the_network_cannot_send_us_to_this_machine() {
    let (port, connections) = listener();
    for host in [
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "2130706433",
        "localhost",
        "x.localhost",
        "169.254.169.254",
        "[fe80::1]",
    ] {
        for as_realm in [false, true] {
            let cx = Cx::new();
            let target = format!("https://{host}:{port}/x");
            let internet = Internet::of(&cx, &[HOME], move |request| {
                if as_realm {
                    Reply::challenge(&format!("Bearer realm=\"{target}\",service=\"x\""))
                } else {
                    registry(request, |_| Reply::redirect(307, &target))
                }
            });
            let refused = internet
                .carrier(&cx, &format!("pull {HOME}/x"))
                .exits_with(125);
            refused.complains("it names a");
        }
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

/// A registry whose token server is, by its name, on this machine; and that server.
const BY_NAME: &str = r#"
import http.server, threading
class Home(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Bearer realm="http://evil.test:6000/token"')
        self.send_header("Content-Length", "0")
        self.end_headers()
class Evil(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("somebody came", flush=True)
    def log_message(self, *_):
        pass
evil = http.server.ThreadingHTTPServer(("127.0.0.1", 6000), Evil)
threading.Thread(target=evil.serve_forever, daemon=True).start()
home = http.server.ThreadingHTTPServer(("192.0.2.2", 5000), Home)
open("ready", "w")
home.serve_forever()
"#;

#[test]
fn r03_a_name_from_a_registry_does_not_lead_to_this_machine() {
    const NAME: &str = "r03_a_name_from_a_registry_does_not_lead_to_this_machine";
    if !is_root() {
        return skip(NAME, "only root can make a network");
    }
    let cx = Cx::new();
    let server = cx.file("server.py", BY_NAME);
    let hosts = cx.file(
        "hosts",
        "192.0.2.2 home.test\n127.0.0.1 evil.test here.test\n",
    );
    let inside = format!(
        "ip link set lo up; ip link add one type veth peer name two; ip link set one up
         ip addr add 192.0.2.2/24 dev one; mount --bind {hosts} /etc/hosts
         python3 {server} 2>/dev/null & server=$!
         while ! test -e ready; do sleep 0.05; done
         setpriv --reuid carrier-test --regid carrier-test --init-groups \
             carrier pull --tls-verify=false home.test:5000/x
         code=$?; kill $server; exit $code"
    );
    let script = format!("unshare -n bash -c '{inside}'");
    let outcome = cx.host_script(&script).exits_with(125);
    outcome
        .complains("it names a host at 127.0.0.1, an address of this machine")
        .hides("somebody came");
}

/// The registry's answer when it is spoken to with a certificate that is not good.
fn with_certificate(names: &[&str], validity: Validity, trusted: bool) {
    let cx = Cx::new();
    let authority = Authority::new(&cx, "own");
    let certified = authority.issue("server", names, validity);
    let other = Authority::new(&cx, "other");
    let authority = if trusted { authority } else { other };
    let shelf = shelf();
    let internet = Internet::with(authority, &certified, move |request| {
        shelf.get(&request.path)
    });
    let refused = internet
        .carrier(&cx, &format!("pull {HOME}/x"))
        .exits_with(125);
    let refused = refused.complains("cannot be trusted");
    assert!(internet.requests().is_empty(), "{refused:#?}");
    // Nothing but the user's word on this registry changes that.
    let tricks = "CARRIER_INSECURE=1 DOCKER_TLS_VERIFY=0 GODEBUG=x NODE_TLS_REJECT_UNAUTHORIZED=0";
    let script = format!("{tricks} {} carrier pull {HOME}/x", internet.environment());
    cx.script(&script)
        .exits_with(125)
        .complains("cannot be trusted");
    let allowed = format!("pull -q --tls-verify=false {HOME}/x");
    internet.carrier(&cx, &allowed).succeeds();
}

#[test]
fn r09_a_certificate_of_a_stranger_is_refused() {
    with_certificate(&[HOME], Validity::Now, false);
}

#[test]
fn r09_a_certificate_for_another_host_is_refused() {
    with_certificate(&["other.example.org"], Validity::Now, true);
}

#[test]
fn r09_a_certificate_of_the_past_is_refused() {
    with_certificate(&[HOME], Validity::Expired, true);
}

#[test]
fn r09_the_word_on_one_registry_does_not_cover_another_host() {
    let cx = Cx::new();
    let own = Authority::new(&cx, "own");
    let certified = own.issue("server", &[HOME, EVIL], Validity::Now);
    let other = Authority::new(&cx, "other");
    let internet = Internet::with(other, &certified, |request| {
        registry(request, |path| {
            Reply::redirect(307, &format!("https://{EVIL}{path}"))
        })
    });
    let refused = internet.carrier(&cx, &format!("pull --tls-verify=false {HOME}/x"));
    refused.exits_with(125).complains("cannot be trusted");
    assert!(internet.requests_to(EVIL).is_empty());
    assert!(!internet.requests_to(HOME).is_empty());
}

#[test]
fn r09_plain_http_takes_the_users_word() {
    let cx = Cx::new();
    let shelf = shelf();
    let internet = Internet::of(&cx, &["none"], move |request| shelf.get(&request.path));
    internet
        .carrier(&cx, "pull plain.test:80/x")
        .exits_with(125);
    let plain = internet.requests_to("plain.test:80").into_iter();
    assert_eq!(plain.filter(|request| request.scheme == "http").count(), 0);
}

/// Whether bytes are anywhere below a directory.
fn files_with(directory: &Path, needles: &[&str], found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            files_with(&path, needles, found);
        } else if kind.is_file() {
            let content = fs::read(&path).unwrap_or_default();
            let has = |needle: &&str| {
                content
                    .windows(needle.len())
                    .any(|it| it == needle.as_bytes())
            };
            if needles.iter().any(has) {
                found.push(path.display().to_string());
            }
        }
    }
}

/// Looks at all processes until told to stop; returns those that show a secret.
fn watch(needles: &[&str], until: &AtomicUsize) -> Vec<String> {
    let mut seen = Vec::new();
    while until.load(Ordering::SeqCst) == 0 {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            for name in ["cmdline", "environ"] {
                let path = entry.path().join(name);
                let content = fs::read(&path).unwrap_or_default();
                let text = String::from_utf8_lossy(&content);
                if needles.iter().any(|needle| text.contains(needle)) {
                    seen.push(format!("{}: {}", path.display(), text.replace('\0', " ")));
                }
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    seen
}

#[test]
fn r10_a_password_is_nowhere_but_in_the_auth_file() {
    let cx = Cx::new();
    // The second is the first in Base64, behind `ann:`.
    let needles = ["canary-7a1c5e", "YW5uOmNhbmFyeS03YTFjNWU="];
    let wanted = format!("Basic {}", needles[1]);
    let shelf = shelf();
    let internet = Internet::of(&cx, &[HOME], move |request| {
        let path = request.path.as_str();
        match path {
            _ if request.authorization() != wanted => Reply::challenge("Basic realm=\"x\""),
            "/v2/" => Reply::json("{}"),
            "/v2/x/manifests/broken" => Reply::status(500).body("{\"errors\":[]}"),
            _ => shelf.get(path).slowly(Duration::from_millis(300)),
        }
    });
    let password = cx.file("password", needles[0]);
    let impatient =
        "mkdir -p ~/.config/carrier; echo '[network]\nretries = 0' > ~/.config/carrier/config.toml";
    cx.script(impatient).succeeds();
    let ended = AtomicUsize::new(0);
    let (outcomes, seen) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&needles, &ended));
        let login = format!(
            "export {} RUST_LOG=trace RUST_BACKTRACE=full; \
             carrier login -u ann --password-stdin {HOME} < {password}; rm {password}",
            internet.environment()
        );
        let verbose = format!(
            "export {} RUST_LOG=trace RUST_BACKTRACE=full;",
            internet.environment()
        );
        let outcomes = [
            cx.script(&login).succeeds(),
            cx.script(&format!("{verbose} carrier pull {HOME}/x"))
                .succeeds(),
            cx.script(&format!("{verbose} carrier push {HOME}/x")),
            cx.script(&format!("{verbose} carrier pull {HOME}/x:missing"))
                .exits_with(125),
            cx.script(&format!("{verbose} carrier pull {HOME}/x:broken"))
                .exits_with(125),
            cx.script(&format!("{verbose} carrier inspect {HOME}/x")),
            cx.script(&format!(
                "{verbose} carrier login -u eve -p wrong-canary {HOME}"
            ))
            .exits_with(125),
        ];
        ended.store(1, Ordering::SeqCst);
        (outcomes, watcher.join().unwrap())
    });
    assert_eq!(seen, [""; 0], "a process shows the password");
    for outcome in outcomes {
        let said = format!("{}{}", outcome.text(), outcome.errors());
        for needle in needles.iter().chain(&["wrong-canary"]) {
            assert!(!said.contains(needle), "{needle} in {outcome:#?}");
        }
    }
    let mut found = Vec::new();
    files_with(cx.home().parent().unwrap(), &needles, &mut found);
    let own = cx.home().join(".docker/config.json").display().to_string();
    assert_eq!(found, [own]);
    let used = internet.requests().into_iter();
    assert!(
        used.filter(|request| request.authorization().contains(needles[1]))
            .count()
            > 3
    );
}

#[test]
fn r11_a_short_name_means_docker_hub_and_nothing_else() {
    let cx = Cx::new();
    let directory = cx.home().join(".config/containers");
    fs::create_dir_all(&directory).unwrap();
    let text = "unqualified-search-registries = ['evil.example.net']\n\
                short-name-mode = 'disabled'\n[aliases]\n'alpine' = 'evil.example.net/x'\n";
    fs::write(directory.join("registries.conf"), text).unwrap();
    let layer = Layer::new().file("f", "x");
    let image = Image::new(vec![layer], json!({ "Cmd": ["/f"] }));
    let hub = Shelf::of("library/alpine", &image);
    let internet = Internet::of(
        &cx,
        &["registry-1.docker.io", EVIL],
        move |request| match request.host.as_str() {
            "registry-1.docker.io" => hub.get(&request.path),
            _ => Reply::status(404),
        },
    );
    let outcome = internet.carrier(&cx, "pull alpine").succeeds();
    outcome.shows("\ndocker.io/library/alpine:latest");
    internet.carrier(&cx, "pull unknown").exits_with(125);
    let hosts = internet.requests().into_iter().map(|request| request.host);
    assert!(hosts.into_iter().all(|host| host == "registry-1.docker.io"));
    // A registry of one's own that is spoken of in full is another matter.
    let own = Registry::empty();
    cx.carrier(["pull", &own.reference("alpine")])
        .exits_with(125)
        .complains("not found");
}
