//! `carrier push`, against a real registry and other people's tools.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{Cx, Image, Layer, Registry};
use serde_json::{Value, json};

/// A log line of a request that was answered.
fn requests(registry: &Registry, method: &str, part: &str) -> Vec<String> {
    let log = registry.log();
    let wanted = format!("\"{method} /v2/");
    log.lines()
        .filter(|line| line.contains(&wanted) && line.contains(part))
        .map(ToOwned::to_owned)
        .collect()
}

fn digest_in(text: &str) -> String {
    let place = text.find("sha256:").unwrap();
    text[place..].chars().take(71).collect()
}

/// Gives an image a second name by pushing it there, as a user does with `push IMAGE DESTINATION`.
fn push(cx: &Cx, image: &str, destination: &str) -> String {
    let pushed = cx.carrier(["push", image, destination]).succeeds();
    digest_in(pushed.text())
}

fn skopeo_digest(cx: &Cx, reference: &str) -> String {
    let inspect =
        format!("skopeo inspect --tls-verify=false --raw docker://{reference} | sha256sum");
    let sum = cx.script(&inspect).succeeds();
    format!("sha256:{}", &sum.text()[..64])
}

#[test]
fn a_push_prints_what_docker_prints() {
    let cx = Cx::with_registry();
    let image = cx.pulled("layered");
    let own = Registry::empty();
    let destination = own.reference("some/where:v1");
    let pushed = cx.carrier(["push", &image, &destination]).succeeds();
    let lines: Vec<&str> = pushed.text().lines().collect();
    assert_eq!(
        lines[0],
        format!(
            "The push refers to repository [{}]",
            own.reference("some/where")
        )
    );
    let digest = digest_in(lines[1]);
    assert!(lines[1].starts_with(&format!("v1: digest: {digest} size: ")));
    assert!(pushed.errors().contains(": Pushed"));
    cx.carrier(["push", "-q", &image, &destination])
        .succeeds()
        .prints(&destination);
    cx.script(&format!(
        "carrier push -q --digestfile d {image} {destination} && cat d"
    ))
    .shows(&digest);
}

#[test]
fn other_tools_see_the_digest_that_was_pulled() {
    let cx = Cx::with_registry();
    let own = Registry::empty();
    for name in ["docker-schema2", "layered", "many-layers"] {
        let image = cx.pulled(name);
        let destination = own.reference(&format!("copy/{name}:latest"));
        let digest = push(&cx, &image, &destination);
        assert_eq!(digest, skopeo_digest(&cx, &image), "{name}");
        assert_eq!(digest, skopeo_digest(&cx, &destination), "{name}");
        let copy = format!(
            "skopeo copy -q --src-tls-verify=false docker://{destination} dir:copy-{name} \
             && sha256sum < copy-{name}/manifest.json"
        );
        let sum = cx.script(&copy).succeeds();
        assert_eq!(format!("sha256:{}", &sum.text()[..64]), digest);
    }
}

#[test]
fn podman_pulls_what_was_pushed() {
    let cx = Cx::with_registry();
    let image = cx.pulled("docker-schema2");
    let own = Registry::empty();
    let destination = own.reference("copy:latest");
    let digest = push(&cx, &image, &destination);
    let script = format!(
        "podman --root ./podman --runroot ./podman-run --storage-driver vfs pull -q \
         --tls-verify=false {destination} && podman --root ./podman --runroot ./podman-run \
         --storage-driver vfs inspect --format '{{{{.Digest}}}}' {destination}"
    );
    // Podman keeps a process that holds its user namespace.
    let end = "code=$?; podman unshare rm -rf podman podman-run; \
               kill $(cat $XDG_RUNTIME_DIR/libpod/tmp/pause.pid); exit $code";
    let script = format!("{script}; {end}");
    cx.script(&script).succeeds().shows(&digest);
}

#[test]
fn what_is_there_is_not_uploaded_again() {
    let cx = Cx::with_registry();
    let image = cx.pulled("many-layers");
    let own = Registry::empty();
    let destination = own.reference("copy:latest");
    push(&cx, &image, &destination);
    let uploads = || requests(&own, "PUT", "/blobs/uploads/").len();
    let before = uploads();
    assert!(before > 100, "{before} uploads");
    let again = cx.carrier(["push", &image, &destination]).succeeds();
    assert!(again.errors().contains(": Layer already exists"));
    assert_eq!(uploads(), before);
    assert!(requests(&own, "POST", "/blobs/uploads/").len() <= before);
    println!("second push: 0 of {before} blobs uploaded");
}

#[test]
fn a_blob_is_mounted_from_another_repository_of_the_same_registry() {
    let cx = Cx::new();
    let own = Registry::empty();
    let base = Image::new(
        vec![Layer::new().file("f", "x".repeat(5000))],
        json!({ "Cmd": ["/f"] }),
    );
    base.push(own.host(), "team/base", "latest");
    let image = own.reference("team/base");
    cx.carrier(["pull", "-q", &image]).succeeds();
    let destination = own.reference("team/copy:v2");
    let uploads = || requests(&own, "PUT", "/v2/team/copy/blobs/uploads/").len();
    let pushed = cx.carrier(["push", &image, &destination]).succeeds();
    assert!(pushed.errors().contains(": Mounted from team/base"));
    let mounts = requests(&own, "POST", "mount=sha256");
    assert_eq!(mounts.len(), 1, "{mounts:#?}");
    assert!(mounts[0].contains("from=team%2Fbase") && mounts[0].contains("\" 201 "));
    // The configuration is the only blob that travels.
    assert_eq!(uploads(), 1);
    println!("{}", mounts[0]);
}

#[test]
fn a_registry_may_ask_for_a_password_before_it_takes_anything() {
    let cx = Cx::with_registry();
    let image = cx.pulled("docker-schema2");
    let own = Registry::with_password("ann");
    let destination = own.reference("private:latest");
    cx.carrier(["push", &image, &destination])
        .exits_with(125)
        .complains("denied");
    let config = json!({ "auths": { own.host(): { "auth": "YW5uOnNlY3JldA==" } } });
    cx.script(&format!(
        "mkdir -p ~/.docker && echo '{config}' > ~/.docker/config.json"
    ));
    let digest = push(&cx, &image, &destination);
    assert_eq!(digest, skopeo_digest(&cx, &destination));
}

#[test]
fn another_compression_is_another_manifest_of_the_same_image() {
    let cx = Cx::with_registry();
    let image = cx.pulled("layered");
    let own = Registry::empty();
    for format in ["zstd", "gzip"] {
        let destination = own.reference(&format!("{format}:latest"));
        let level = ["push", "--compression", format, "--compression-level", "4"];
        let words = || level.into_iter().chain([image.as_str(), &destination]);
        let first = digest_in(cx.carrier(words()).succeeds().text());
        let second = digest_in(cx.carrier(words()).succeeds().text());
        assert_eq!(first, second, "{format} is not deterministic");
        let inspect = format!("skopeo inspect --tls-verify=false --raw docker://{destination}");
        let manifest: Value = serde_json::from_str(cx.script(&inspect).succeeds().text()).unwrap();
        for layer in manifest["layers"].as_array().unwrap() {
            let kind = layer["mediaType"].as_str().unwrap();
            assert_eq!(
                kind,
                format!("application/vnd.oci.image.layer.v1.tar+{format}")
            );
        }
        let fresh = Cx::new();
        fresh.carrier(["pull", "-q", &destination]).succeeds();
        let look = "ls /data /hidden; cat /data/kept /hidden/above";
        fresh
            .carrier(["run", "--rm", &destination, "sh", "-c", look])
            .succeeds()
            .prints("/data:\nkept\n\n/hidden:\nabove\n24");
    }
}

#[test]
fn all_tags_of_a_repository_are_pushed_at_once() {
    let cx = Cx::new();
    let own = Registry::empty();
    for tag in ["one", "two"] {
        let layer = Layer::new().file("f", tag);
        Image::new(vec![layer], json!({})).push(own.host(), "many", tag);
        let image = own.reference(&format!("many:{tag}"));
        cx.carrier(["pull", "-q", &image]).succeeds();
    }
    let repository = own.reference("many");
    cx.carrier(["push", "--all-tags", &repository])
        .succeeds()
        .shows("one: digest: ")
        .shows("two: digest: ");
    cx.carrier(["push", "--all-tags", &format!("{repository}:one")])
        .exits_with(125)
        .complains("a tag cannot be used");
}

#[test]
fn what_cannot_be_pushed_is_refused_before_anything_is_sent() {
    let cx = Cx::with_registry();
    let image = cx.pulled("docker-schema2");
    let own = Registry::empty();
    cx.carrier(["push", &own.reference("nothing")])
        .exits_with(125)
        .complains("does not exist locally");
    let pinned = format!("{}@sha256:{}", own.reference("x"), "0".repeat(64));
    cx.carrier(["push", &image, &pinned])
        .exits_with(125)
        .complains("cannot push a digest reference");
    let level = ["push", "--compression", "gzip", "--compression-level", "11"];
    let refused = cx.carrier(level.into_iter().chain([image.as_str()]));
    assert!(
        refused
            .exits_with(125)
            .errors()
            .contains("not between 1 and 9")
    );
    // A layer that the disk has changed.
    let largest = "f=$(ls -S ~/.local/share/carrier/blobs/sha256/* | head -1); chmod 644 $f; \
                   printf x | dd of=$f conv=notrunc bs=1 seek=100 2>/dev/null";
    cx.script(largest).succeeds();
    cx.carrier(["push", &image, &own.reference("x:latest")])
        .exits_with(125)
        .complains("damaged");
    assert!(requests(&own, "PUT", "/manifests/").is_empty());
}

/// An index of two images, pushed with curl as any builder does.
fn push_index(registry: &Registry) -> Vec<String> {
    let platforms = ["amd64", "arm64"];
    let entries: Vec<Value> = platforms
        .iter()
        .map(|architecture| {
            let layer = Layer::new().file("f", architecture);
            let image = Image::new(vec![layer], json!({}));
            let image = Image {
                architecture,
                ..image
            };
            image.push(registry.host(), "multi", architecture)
        })
        .collect();
    let kind = "application/vnd.oci.image.index.v1+json";
    let index = json!({ "schemaVersion": 2, "mediaType": kind, "manifests": entries });
    registry.put_manifest("multi", "latest", kind, &index);
    platforms
        .iter()
        .map(|name| format!("linux/{name}"))
        .collect()
}

#[test]
fn an_index_is_pushed_when_all_of_its_platforms_are_here() {
    let cx = Cx::new();
    let (own, other) = (Registry::empty(), Registry::empty());
    let platforms = push_index(&own);
    let image = own.reference("multi:latest");
    let destination = other.reference("multi:latest");
    cx.carrier(["pull", "-q", "--platform", &platforms[0], &image])
        .succeeds();
    let partial = cx.carrier(["push", &image, &destination]).succeeds();
    assert!(
        partial
            .errors()
            .contains("not all platforms of the image are here"),
        "{partial:#?}"
    );
    cx.carrier(["pull", "-q", "--platform", &platforms[1], &image])
        .succeeds();
    let digest = push(&cx, &image, &destination);
    assert_eq!(digest, skopeo_digest(&cx, &image));
    assert_eq!(digest, skopeo_digest(&cx, &destination));
    cx.carrier(["push", "--platform", &platforms[1], &image, &destination])
        .succeeds();
    assert_ne!(digest, skopeo_digest(&cx, &destination));
}
