//! The verbs of images.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{Cx, Image, Layer, Registry};
use serde_json::{Value, json};

/// An image that is told apart by one file.
fn image(content: &str) -> Image {
    let config = json!({ "Cmd": ["/x"], "Labels": { "content": content, "a.b": "c" } });
    Image::new(vec![Layer::new().file("x", content)], config)
}

fn pull(cx: &Cx, registry: &Registry, content: &str, name: &str) -> String {
    image(content).push(registry.host(), name, "latest");
    let reference = registry.reference(name);
    cx.carrier(["pull", "-q", &reference]).succeeds();
    reference
}

fn id(cx: &Cx, name: &str) -> String {
    let shown = cx.carrier(["image", "inspect", "--format", "{{.Id}}", name]);
    shown.succeeds().text().trim().to_owned()
}

#[test]
fn an_image_whose_tag_moves_becomes_dangling_and_can_be_used_and_pruned() {
    let (cx, registry) = (Cx::new(), Registry::empty());
    let name = pull(&cx, &registry, "one", "moving");
    let old = id(&cx, &name);
    pull(&cx, &registry, "two", "moving");
    assert_ne!(old, id(&cx, &name));
    let dangling = ["images", "-q", "--no-trunc", "--filter", "dangling=true"];
    cx.carrier(dangling).succeeds().prints(&old);
    cx.carrier(["images"]).succeeds().shows("<none>");
    cx.carrier(["image", "inspect", &old])
        .succeeds()
        .shows("\"RepoTags\": []")
        .shows("moving@sha256:");
    cx.carrier(["image", "prune", "-f"])
        .succeeds()
        .shows(&format!("deleted: {old}"))
        .shows("Total reclaimed space: ");
    cx.carrier(dangling).succeeds().prints("");
    cx.carrier(["image", "exists", &old]).exits_with(1);
    cx.carrier(["image", "exists", &name]).succeeds();
}

#[test]
fn a_tag_is_another_name_and_goes_alone() {
    let (cx, registry) = (Cx::new(), Registry::empty());
    let name = pull(&cx, &registry, "one", "one");
    cx.carrier(["tag", &name, "mine:1"]).succeeds().prints("");
    cx.carrier(["image", "tag", "mine:1", "mine:2"]).succeeds();
    let id = id(&cx, "mine:2");
    cx.carrier(["image", "inspect", "-f", "{{json .RepoTags}}", &id[..16]])
        .succeeds()
        .shows("\"mine:1\",\"mine:2\"");
    cx.carrier(["rmi", "mine:1"])
        .succeeds()
        .prints("Untagged: mine:1");
    cx.carrier(["rmi", &id])
        .exits_with(1)
        .complains("several repositories");
    cx.carrier(["rmi", &name]).succeeds();
    cx.carrier(["rmi", "mine:2"])
        .succeeds()
        .shows("Untagged: mine:2")
        .shows(&format!("Deleted: {id}"));
    cx.carrier(["rmi", "mine:2"])
        .exits_with(1)
        .complains("no such image: mine:2");
    cx.carrier(["rmi", "--force", "mine:2"])
        .succeeds()
        .complains("no such image");
    cx.carrier(["tag", "mine:2", "x"])
        .exits_with(125)
        .complains("no such image");
}

#[test]
fn untag_leaves_the_image() {
    let (cx, registry) = (Cx::new(), Registry::empty());
    let name = pull(&cx, &registry, "one", "one");
    let id = id(&cx, &name);
    cx.carrier(["tag", &name, "mine"]).succeeds();
    cx.carrier(["untag", &name, "nobodys"])
        .exits_with(125)
        .complains("not a name of image");
    cx.carrier(["untag", "mine", &name])
        .succeeds()
        .prints(&format!("Untagged: {name}:latest"));
    cx.carrier(["untag", &id]).succeeds().shows("mine:latest");
    cx.carrier(["images", "-q", "--no-trunc"])
        .succeeds()
        .prints(&id);
    cx.carrier(["rmi", &id]).succeeds().shows(&id);
    cx.carrier(["images", "-q"]).succeeds().prints("");
}

#[test]
fn an_image_in_use_is_forgotten_by_force_only_and_its_container_goes_on() {
    let cx = Cx::with_registry();
    let name = cx.pulled("busybox");
    let id = id(&cx, &name);
    let mut running = cx.start(["run", "--name", "user", &name, "sleep", "60"]);
    cx.script("until carrier ls -c -q | grep -q .; do sleep 0.05; done")
        .succeeds();
    cx.carrier(["rmi", &name])
        .exits_with(1)
        .complains("used by user");
    cx.carrier(["image", "prune", "-a", "-f"])
        .succeeds()
        .prints("Total reclaimed space: 0B");
    cx.carrier(["rmi", "-f", &id[7..15]]).succeeds().shows(&id);
    cx.carrier(["images", "-q"]).succeeds().prints("");
    cx.carrier(["ls", "-c"]).succeeds().shows("user");
    cx.carrier(["rm", "--force", "user"]).succeeds();
    running.wait().unwrap();
    cx.carrier(["run", &id]).exits_with(125);
}

#[test]
fn an_image_runs_by_its_id() {
    let cx = Cx::with_registry();
    let name = cx.pulled("busybox");
    let id = id(&cx, &name);
    cx.carrier(["untag", &name]).succeeds();
    for word in [&id, &id[7..], &id[7..19]] {
        cx.carrier(["run", "--rm", word, "echo", "here"])
            .succeeds()
            .prints("here");
    }
    cx.carrier(["run", "--name", "one", &id, "true"]).succeeds();
    cx.carrier(["ls", "-c", "-a"]).succeeds().shows(&id[7..19]);
    cx.carrier(["rm", "one"]).succeeds();
}

#[test]
fn lists_are_filtered_and_formatted_as_asked() {
    let (cx, registry) = (Cx::new(), Registry::empty());
    let one = pull(&cx, &registry, "one", "some/one");
    let two = pull(&cx, &registry, "two", "some/two");
    let list = |options: &[&str]| {
        let words = ["images", "--format", "{{.Repository}}"];
        let shown = cx.carrier(words.iter().chain(options).copied()).succeeds();
        let mut lines: Vec<String> = shown.text().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let both = [one.clone(), two.clone()];
    assert_eq!(list(&[]), both);
    assert_eq!(
        list(&["--filter", "label=content=two"]),
        std::slice::from_ref(&two)
    );
    assert_eq!(list(&["--filter", "label=a.b"]), both);
    assert_eq!(list(&["--filter", "label=none"]).len(), 0);
    assert_eq!(
        list(&["-f", "reference=*/*/t*"]),
        std::slice::from_ref(&two)
    );
    assert_eq!(list(&[&one]), std::slice::from_ref(&one));
    assert_eq!(list(&["--filter", "until=2020-01-01"]).len(), 0);
    assert_eq!(list(&["--filter", "until=1h"]), both);
    assert_eq!(list(&["--filter", &format!("before={one}")]).len(), 0);
    assert_eq!(list(&["--filter", "dangling=false"]), both);
    cx.carrier(["images", "--filter", "nope=1"])
        .exits_with(125)
        .complains("invalid filter");
    cx.carrier(["images", "--format", "{{.Nope}}"])
        .exits_with(125)
        .complains("Nope");
    cx.carrier(["ls", "-i", "--digests"])
        .succeeds()
        .shows("DIGEST")
        .shows("sha256:");
    cx.carrier(["images", "--format", r"table {{.ID}}\t{{.Tag}}"])
        .succeeds()
        .shows("IMAGE ID       TAG");
    let line = cx.carrier(["images", "--format", "json", &one]).succeeds();
    let line: Value = serde_json::from_str(line.text()).unwrap();
    assert_eq!(line["Tag"], "latest");
}

#[test]
fn inspect_and_history_show_what_docker_shows() {
    let cx = Cx::with_registry();
    let name = cx.pulled("configured");
    let shown = cx.carrier(["inspect", "--type", "image", &name]).succeeds();
    let images: Value = serde_json::from_str(shown.text()).unwrap();
    let image = &images[0];
    assert_eq!(image["Config"]["User"], "app");
    assert_eq!(image["Config"]["Labels"]["a"], "b");
    assert_eq!(image["Os"], "linux");
    assert_eq!(image["RootFS"]["Type"], "layers");
    assert!(image["Size"].as_u64().unwrap() > 0);
    let keys = ["Id", "RepoTags", "RepoDigests", "Created", "Architecture"];
    for key in keys
        .into_iter()
        .chain(["GraphDriver", "Metadata", "Author"])
    {
        assert!(image.get(key).is_some(), "{key}");
    }
    cx.carrier([
        "image",
        "inspect",
        "-f",
        r#"{{.Config.WorkingDir}} {{index .Config.Env 0}} {{range .RootFS.Layers}}{{len .}}{{end}}"#,
        &name,
    ])
    .succeeds()
    .prints("/srv/made PATH=/bin 71");
    cx.carrier(["image", "inspect", "nobody"])
        .exits_with(1)
        .prints("[]")
        .complains("no such image: nobody");
    cx.carrier(["history", &name])
        .succeeds()
        .shows("CREATED BY")
        .shows("MB");
    cx.carrier(["history", "-q", "--no-trunc", &name])
        .succeeds()
        .shows("sha256:");
    cx.carrier(["history", "--human=false", "--format", "{{.Size}}", &name])
        .succeeds()
        .hides("MB");
}

#[test]
fn prune_asks_before_it_removes() {
    let (cx, registry) = (Cx::new(), Registry::empty());
    pull(&cx, &registry, "one", "one");
    for (answer, left) in [("n\n", 1), ("", 1), ("y\n", 0)] {
        let asked = cx.carrier_with_input(["image", "prune", "--all"], answer);
        asked.succeeds().shows("Are you sure");
        let listed = cx.carrier(["images", "-q"]).succeeds();
        assert_eq!(listed.text().lines().count(), left, "{answer:?}");
    }
}

#[test]
fn every_platform_of_a_name_is_tagged_and_removed() {
    let cx = Cx::with_registry();
    let name = cx.image("busybox");
    for platform in ["linux/amd64", "linux/arm64"] {
        let pulled = cx.carrier(["pull", "-q", "--platform", platform, &name]);
        if !pulled.is_success() {
            return carrier_e2e::skip(
                "every_platform_of_a_name_is_tagged_and_removed",
                "the fixture has one platform",
            );
        }
    }
    cx.carrier(["tag", &name, "both"]).succeeds();
    let platforms = ["images", "--format", "{{.Platform}}", "both"];
    cx.carrier(platforms).succeeds().shows("linux/arm64");
    cx.carrier(["rmi", "--platform", "linux/arm64", "both"])
        .succeeds()
        .shows("Untagged: both:latest");
    cx.carrier(platforms).succeeds().prints("linux/amd64");
    cx.carrier(["rmi", &name, "both"]).succeeds();
    cx.carrier(["images", "-q"]).succeeds().prints("");
    assert_eq!(
        std::fs::read_dir(cx.store().join("layers"))
            .unwrap()
            .count(),
        0
    );
    assert_eq!(
        std::fs::read_dir(cx.store().join("blobs/sha256"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn search_is_refused_with_a_reason() {
    let cx = Cx::new();
    cx.carrier(["search", "nginx"])
        .exits_with(125)
        .complains("no interface for it");
}
