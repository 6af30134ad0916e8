//! Logging in and out: what is kept, where, and who else understands it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use carrier_e2e::terminal::Terminal;
use carrier_e2e::{Authority, Cx, Image, Layer, Outcome, Registry, TokenIssuer, Validity};
use serde_json::{Value, json};

fn log_in(cx: &Cx, registry: &Registry, password: &str) -> Outcome {
    let host = registry.host();
    let arguments = ["login", "-u", "ann", "--password-stdin", host];
    cx.carrier_with_input(arguments, &format!("{password}\n"))
}

fn kept(cx: &Cx) -> Value {
    let path = cx.home().join(".docker/config.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn what_a_registry_accepts_is_kept_for_its_owner_alone() {
    let cx = Cx::new();
    let registry = Registry::with_password("ann");
    let outcome = log_in(&cx, &registry, "secret").succeeds();
    assert!(
        outcome.errors().contains("stored unencrypted in"),
        "{outcome:#?}"
    );
    outcome.prints("Login Succeeded");
    let mode = |name: &str| {
        let metadata = fs::metadata(cx.home().join(name)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(
        (mode(".docker"), mode(".docker/config.json")),
        (0o700, 0o600)
    );
    let expected = json!({ "auths": { registry.host(): { "auth": "YW5uOnNlY3JldA==" } } });
    assert_eq!(kept(&cx), expected);
    let unknown = registry.reference("x");
    cx.carrier(["pull", &unknown])
        .exits_with(125)
        .complains("not found");
    // Without a word it is asked whether that still holds.
    let again = cx.carrier(["login", registry.host()]).succeeds();
    again.prints("Authenticating with existing credentials...\nLogin Succeeded");
    let out = cx.carrier(["logout", registry.host()]).succeeds();
    out.prints(&format!(
        "Removing login credentials for {}",
        registry.host()
    ));
    assert_eq!(kept(&cx), json!({ "auths": {} }));
    cx.carrier(["pull", &unknown])
        .exits_with(125)
        .complains("denied");
    let out = cx.carrier(["logout", registry.host()]).succeeds();
    out.prints(&format!("Not logged in to {}", registry.host()));
}

#[test]
fn what_a_registry_refuses_is_not_kept() {
    let cx = Cx::new();
    let registry = Registry::with_password("ann");
    let refused = log_in(&cx, &registry, "guess").exits_with(125);
    let refused = refused.complains("does not accept the credentials");
    assert!(!refused.errors().contains("guess"), "{refused:#?}");
    assert!(!cx.home().join(".docker").exists());
    log_in(&cx, &registry, "")
        .exits_with(125)
        .complains("a password is required");
    let host = registry.host();
    let warned = cx
        .carrier(["login", "-u", "ann", "-p", "secret", host])
        .succeeds();
    assert!(
        warned
            .errors()
            .contains("Using --password via the CLI is insecure")
    );
    cx.carrier(["login", "-u", "ann", host])
        .exits_with(125)
        .complains("standard input is not a terminal");
    cx.carrier(["login", "--password-stdin", host])
        .exits_with(125)
        .complains("takes a user name too");
    cx.carrier(["login", "-u", "ann", "-p", "x", "Not A Registry"])
        .exits_with(125)
        .complains("does not name a registry");
    cx.carrier(["login", "-u", "ann", "-p", "x", "127.0.0.1:1"])
        .exits_with(125)
        .complains("cannot connect");
}

#[test]
fn concurrent_logins_are_all_kept() {
    let cx = Cx::new();
    let registries: Vec<Registry> = (0..6).map(|_| Registry::with_password("ann")).collect();
    std::thread::scope(|scope| {
        for registry in &registries {
            scope.spawn(|| log_in(&cx, registry, "secret").succeeds());
        }
    });
    assert_eq!(
        kept(&cx)["auths"].as_object().unwrap().len(),
        registries.len()
    );
    let all = cx.carrier(["logout", "--all"]).succeeds();
    assert_eq!(all.text().lines().count(), registries.len());
    assert_eq!(kept(&cx), json!({ "auths": {} }));
}

#[test]
fn skopeo_uses_what_carrier_keeps_and_the_other_way_round() {
    let cx = Cx::new();
    let registry = Registry::with_password("ann");
    log_in(&cx, &registry, "secret").succeeds();
    let host = registry.host();
    // Its commands about credentials are Podman's and Buildah's, in one library.
    let look = format!("skopeo login --tls-verify=false --get-login {host}");
    cx.script(&look).succeeds().prints("ann");
    let inspect = format!(
        "skopeo inspect --tls-verify=false docker://{host}/x 2>&1 | grep -c 'manifest unknown'"
    );
    cx.script(&inspect).prints("1");
    cx.carrier(["logout", host]).succeeds();
    let theirs =
        format!("echo secret | skopeo login --tls-verify=false -u ann --password-stdin {host}");
    cx.script(&theirs).succeeds();
    let unknown = registry.reference("x");
    cx.carrier(["pull", &unknown])
        .exits_with(125)
        .complains("not found");
    cx.carrier(["logout", host]).succeeds().shows("Removing");
    cx.script(&look).exits_with(1);
    // A file of one's own is the only one then.
    let own = "export REGISTRY_AUTH_FILE=$PWD/home/own.json";
    let login = format!(
        "{own}; echo secret | carrier auth ann {host} --password-stdin; carrier pull {unknown}"
    );
    cx.script(&login).exits_with(125).complains("not found");
    cx.carrier(["pull", &unknown])
        .exits_with(125)
        .complains("denied");
}

#[test]
fn a_namespace_has_credentials_of_its_own() {
    let cx = Cx::new();
    let registry = Registry::with_password("ann");
    let space = format!("{}/team", registry.host());
    let login = ["login", "-u", "ann", "--password-stdin", &space];
    cx.carrier_with_input(login, "secret").succeeds();
    let inside = registry.reference("team/x");
    cx.carrier(["pull", &inside])
        .exits_with(125)
        .complains("not found");
    let outside = registry.reference("other/x");
    cx.carrier(["pull", &outside])
        .exits_with(125)
        .complains("denied");
}

/// A program that keeps secrets in a directory, and tells what it was called with.
const HELPER: &str = r#"#!/bin/sh
echo "$*" >> ~/calls
case $1 in
store) cat > ~/vault ;;
get) read -r server; grep -q "\"$server\"" ~/vault 2>/dev/null && cat ~/vault && exit
     echo credentials not found in native keychain; exit 1 ;;
erase) rm ~/vault ;;
esac
"#;

#[test]
fn a_helper_keeps_secrets_instead() {
    let cx = Cx::new();
    let registry = Registry::with_password("ann");
    let install = format!(
        "cat > bin/docker-credential-vault <<'X'\n{HELPER}X\nchmod +x bin/docker-credential-vault\n\
         mkdir ~/.docker; echo '{{\"credsStore\":\"vault\",\"psFormat\":\"x\"}}' > ~/.docker/config.json"
    );
    cx.script(&install).succeeds();
    let outcome = log_in(&cx, &registry, "secret").succeeds();
    assert!(!outcome.errors().contains("unencrypted"));
    let marked =
        json!({ "auths": { registry.host(): {} }, "credsStore": "vault", "psFormat": "x" });
    assert_eq!(kept(&cx), marked);
    let unknown = registry.reference("x");
    cx.carrier(["pull", &unknown])
        .exits_with(125)
        .complains("not found");
    cx.carrier(["logout", registry.host()])
        .succeeds()
        .shows("Removing");
    cx.carrier(["pull", &unknown])
        .exits_with(125)
        .complains("denied");
    let calls = cx.script("sort -u ~/calls").succeeds();
    calls.prints("erase\nget\nstore");
    cx.script("rm bin/docker-credential-vault").succeeds();
    cx.carrier(["pull", &unknown])
        .exits_with(125)
        .complains("docker-credential-vault get failed: it is not installed");
}

#[test]
fn a_helper_that_fails_or_floods_is_named() {
    let cx = Cx::new();
    let registry = Registry::with_password("ann");
    let unknown = registry.reference("x");
    for (script, reason) in [
        (
            "echo locked; exit 3",
            "docker-credential-bad get failed: locked",
        ),
        ("yes", "it does not stop talking"),
        ("echo '{'", "its answer makes no sense"),
    ] {
        let install = format!(
            "printf '#!/bin/sh\\n%s\\n' \"{script}\" > bin/docker-credential-bad; chmod +x bin/docker-credential-bad\n\
             mkdir -p ~/.docker; echo '{{\"credHelpers\":{{\"{}\":\"bad\"}}}}' > ~/.docker/config.json",
            registry.host()
        );
        cx.script(&install).succeeds();
        cx.carrier(["pull", &unknown])
            .exits_with(125)
            .complains(reason);
    }
    cx.script(r#"echo '{"credsStore":"../../bin/x"}' > ~/.docker/config.json"#);
    cx.carrier(["pull", &unknown])
        .exits_with(125)
        .complains("that is not the name of a program");
}

#[test]
fn a_password_is_not_shown_while_it_is_typed() {
    let cx = Cx::new();
    let registry = Registry::with_password("ann");
    let terminal = Terminal::open(&cx);
    terminal.enter(&format!("carrier login {}", registry.host()));
    terminal.waits_for("Username:");
    terminal.enter("ann");
    terminal.waits_for("Password:");
    // Interrupted, the terminal is as before.
    terminal.keys(&["s", "e", "C-c"]);
    terminal.enter("stty -a | grep -o '.echo '; echo code $?");
    terminal.waits_for("code 0");
    assert!(
        terminal.screen().contains("\n echo"),
        "{}",
        terminal.screen()
    );
    terminal.enter(&format!("clear; carrier auth ann {}", registry.host()));
    terminal.waits_for("Password:");
    terminal.enter("secret");
    terminal.waits_for("Login Succeeded");
    assert!(
        !terminal.screen().contains("secret"),
        "{}",
        terminal.screen()
    );
}

#[test]
fn a_registry_with_tokens_lets_us_in_and_renews_what_expires() {
    let cx = Cx::new();
    let issuer = TokenIssuer::start(&cx, 300);
    let registry = Registry::with_tokens(&issuer);
    log_in(&cx, &registry, "wrong")
        .exits_with(125)
        .complains("who are you");
    log_in(&cx, &registry, "secret").succeeds();
    let image = Image::new(
        vec![
            Layer::new().file("a", "1"),
            Layer::new().file("b", "2"),
            Layer::new().file("c", "3"),
        ],
        json!({ "Cmd": ["/a"] }),
    );
    let source = Registry::empty();
    let _ = image.push(source.host(), "x", "latest");
    let (from, to) = (source.reference("x"), registry.reference("team/x"));
    cx.carrier(["pull", "-q", &from]).succeeds();
    cx.carrier(["push", "-q", &from, &to]).succeeds();
    let before = issuer.requests().len();
    cx.carrier(["rmi", &from]).succeeds();
    cx.carrier(["pull", "-q", &to]).succeeds();
    assert_eq!(
        issuer.requests().len(),
        before + 1,
        "one token for all layers"
    );
    let push = issuer.requests().into_iter().map(|request| request.query);
    assert!(
        push.into_iter()
            .any(|query| query.contains("repository:team/x:pull,push"))
    );
}

#[test]
fn certificates_for_one_host_are_in_a_directory_of_its_name() {
    let cx = Cx::new();
    let authority = Authority::new(&cx, "authority");
    let server = authority.issue("server", &["127.0.0.1"], Validity::Now);
    let client = authority.issue("client", &["ann"], Validity::Now);
    let registry = Registry::with_tls(&server, Some(&authority.certificate()));
    let unknown = registry.reference("x");
    cx.carrier(["pull", &unknown])
        .exits_with(125)
        .complains("cannot be trusted");
    let directory = cx
        .home()
        .join(".config/containers/certs.d")
        .join(registry.host());
    fs::create_dir_all(&directory).unwrap();
    fs::copy(authority.certificate(), directory.join("ca.crt")).unwrap();
    // The registry is not content with that yet.
    cx.carrier(["pull", &unknown])
        .exits_with(125)
        .complains("wants to know us by a certificate");
    fs::copy(&client.certificate, directory.join("ann.cert")).unwrap();
    cx.carrier(["pull", &unknown])
        .exits_with(125)
        .complains("ann.key");
    fs::copy(&client.key, directory.join("ann.key")).unwrap();
    cx.give_to_user(&cx.home());
    cx.carrier(["pull", &unknown])
        .exits_with(125)
        .complains("not found");
    assert!(registry.log().contains("HTTP/2.0"), "{}", registry.log());
}
