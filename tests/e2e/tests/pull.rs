//! `carrier pull`, against a real registry.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{Cx, Fault, FaultyRegistry, Image, Internet, Layer, Registry, Reply};
use serde_json::json;

#[test]
fn a_pull_prints_what_docker_prints() {
    let cx = Cx::with_registry();
    let image = cx.image("busybox");
    let first = cx.carrier(["pull", &image]).succeeds();
    assert!(first.text().starts_with("Digest: sha256:"));
    assert!(first.errors().contains("Pull complete"));
    first
        .shows(&format!(
            "Status: Downloaded newer image for {image}:latest"
        ))
        .shows(&format!("\n{image}:latest"));
    cx.carrier(["pull", "-q", &image])
        .succeeds()
        .prints(&format!("{image}:latest"));
}

#[test]
fn what_is_here_is_not_downloaded_again() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let before = cx.registry().blob_requests();
    assert!(before > 0);
    cx.carrier(["pull", &image])
        .succeeds()
        .shows("Status: Image is up to date");
    assert_eq!(cx.registry().blob_requests(), before);
}

#[test]
fn dockers_manifests_and_every_compression_are_read() {
    let cx = Cx::with_registry();
    let image = cx.pulled("docker-schema2");
    cx.carrier(["run", "--rm", &image, "echo", "hi"])
        .succeeds()
        .prints("hi");
    let layered = cx.pulled("layered");
    let look = "ls /data /hidden; cat /data/kept /hidden/above";
    cx.carrier(["run", "--rm", &layered, "sh", "-c", look])
        .succeeds()
        .prints("/data:\nkept\n\n/hidden:\nabove\n24");
}

#[test]
fn an_image_may_have_more_layers_than_fit_into_mount_options() {
    let cx = Cx::with_registry();
    let image = cx.pulled("many-layers");
    cx.carrier(["run", "--rm", &image, "cat", "/n"])
        .succeeds()
        .prints("119");
}

#[test]
fn a_digest_pins_an_image() {
    let cx = Cx::with_registry();
    let image = cx.image("busybox");
    let pulled = cx.carrier(["pull", &image]).succeeds();
    let digest = pulled
        .text()
        .lines()
        .next()
        .unwrap()
        .trim_start_matches("Digest: ")
        .to_owned();
    let pinned = format!("{image}@{digest}");
    cx.carrier(["pull", "-q", &pinned])
        .succeeds()
        .prints(&pinned);
    cx.carrier(["run", "--rm", &pinned, "true"]).succeeds();
}

#[test]
fn a_registry_may_ask_for_a_password() {
    let cx = Cx::new();
    let registry = Registry::with_password("ann");
    let image = registry.reference("x");
    cx.carrier(["pull", &image])
        .exits_with(125)
        .complains("denied");
    let config = json!({ "auths": { registry.host(): { "auth": "YW5uOnNlY3JldA==" } } });
    cx.script(&format!(
        "mkdir -p ~/.docker && echo '{config}' > ~/.docker/config.json"
    ));
    // Whoever may look finds nothing.
    cx.carrier(["pull", &image])
        .exits_with(125)
        .complains("not found");
}

fn tiny() -> Image {
    Image::new(
        vec![Layer::new().file("f", "x".repeat(5000))],
        json!({ "Cmd": ["/f"] }),
    )
}

#[test]
fn a_registry_may_ask_for_a_token() {
    let cx = Cx::new();
    let registry = FaultyRegistry::serve(&tiny(), Fault::Bearer);
    cx.carrier(["pull", &registry.image()]).succeeds();
    let tokens = registry
        .requests()
        .iter()
        .filter(|line| line.starts_with("GET /token"))
        .count();
    assert_eq!(
        tokens,
        1,
        "one token for all blobs: {:#?}",
        registry.requests()
    );
}

#[test]
fn r02_credentials_do_not_follow_a_redirection() {
    let cx = Cx::new();
    let registry = FaultyRegistry::serve(&tiny(), Fault::RedirectsBlobs);
    cx.carrier(["pull", &registry.image()]).succeeds();
    let home = registry.image();
    let home = home.trim_end_matches("/image");
    let elsewhere = registry
        .requests()
        .into_iter()
        .filter(|line| !line.contains(home));
    let elsewhere: Vec<String> = elsewhere.collect();
    assert!(!elsewhere.is_empty());
    assert!(
        elsewhere
            .iter()
            .all(|line| line.ends_with("authorization=")),
        "{elsewhere:#?}"
    );
}

#[test]
fn every_tag_of_a_repository_is_pulled_and_several_images_at_once() {
    let cx = Cx::new();
    let registry = Registry::empty();
    for tag in ["a", "b", "c"] {
        tiny().push(registry.host(), "x", tag);
    }
    tiny().push(registry.host(), "y", "latest");
    let (x, y) = (registry.reference("x"), registry.reference("y"));
    let pulled = cx.carrier(["pull", "-q", "--all-tags", &x]).succeeds();
    let mut names: Vec<&str> = pulled.text().lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "b", "c"].map(|tag| format!("{x}:{tag}")));
    cx.carrier(["pull", "-a", &format!("{x}:a")])
        .exits_with(125)
        .complains("a tag cannot be used with --all-tags");
    cx.carrier(["pull", "-q", &y, &format!("{x}:b")])
        .succeeds()
        .prints(&format!("{y}:latest\n{x}:b"));
}

#[test]
fn the_user_says_how_often_to_try_again() {
    let cx = Cx::new();
    cx.carrier(["pull", "--pull-retry", "0", "127.0.0.1:1/x"])
        .exits_with(125)
        .complains("Connection refused");
    let internet = Internet::of(&cx, &["x"], |_| Reply::status(503));
    let name = format!("{}/x", internet.address());
    let mut before = 0;
    for (retries, requests) in [("0", 1), ("2", 3)] {
        cx.carrier(["pull", "--pull-retry", retries, &name])
            .exits_with(125)
            .complains("503");
        let all = internet.requests().len();
        assert_eq!(all - before, requests, "{:#?}", internet.requests());
        before = all;
    }
}
