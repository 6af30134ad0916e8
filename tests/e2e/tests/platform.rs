//! Images of other architectures.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{Cx, Image, Layer, Registry, skip};
use serde_json::{Value, json};

#[test]
fn an_arm64_program_runs_under_an_emulator_of_its_own() {
    const NAME: &str = "an_arm64_program_runs_under_an_emulator_of_its_own";
    if cfg!(not(target_arch = "x86_64")) {
        return skip(NAME, "the emulator would be the processor");
    }
    let cx = Cx::with_registry();
    let image = cx.image("busybox");
    let pulled = cx.carrier(["pull", "--platform", "linux/arm64", &image]);
    if pulled.errors().contains("not available") {
        return skip(
            NAME,
            "the package busybox-static:arm64 could not be downloaded",
        );
    }
    pulled.succeeds();
    let run = [
        "run",
        "--rm",
        "--platform",
        "linux/arm64",
        &image,
        "uname",
        "-m",
    ];
    cx.carrier(run).succeeds().prints("aarch64");
    cx.carrier(["run", "--rm", &image, "uname", "-m"])
        .succeeds()
        .prints("aarch64");
    cx.carrier(["pull", "-q", "--platform", "linux/amd64", &image])
        .succeeds();
    cx.carrier(["run", "--rm", &image, "uname", "-m"])
        .succeeds()
        .prints("x86_64");
    cx.carrier(run).succeeds().prints("aarch64");
    cx.carrier(["ls", "-i"])
        .succeeds()
        .shows("linux/arm64")
        .shows("linux/amd64");
}

#[test]
fn a_name_means_what_the_registry_has_for_the_platform() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let id = cx.carrier(["images", "-q", "--no-trunc"]);
    let id = id.succeeds().text().to_owned();
    let other = ["create", "-q", "--platform", "linux/arm64"];
    let made = |words: &[&str]| cx.carrier(other.into_iter().chain(words.iter().copied()));
    for words in [&["--pull", "never", &image][..], &[&id]] {
        made(words)
            .exits_with(125)
            .complains("is not here for linux/arm64");
    }
    // The registry is asked, whether it has the platform or not.
    let found = made(&["--name", "other", &image]);
    if found.is_success() {
        cx.carrier(["images"]).succeeds().shows("linux/arm64");
        cx.carrier(["rm", "other"]).succeeds();
    } else {
        found.complains("is not available for linux/arm64");
    }
    cx.assert_nothing_is_left();
}

#[test]
fn a_platform_that_is_not_offered_is_an_error_that_lists_the_others() {
    let cx = Cx::with_registry();
    let image = cx.image("busybox");
    cx.carrier(["run", "--rm", "--platform", "linux/s390x", &image, "true"])
        .exits_with(125)
        .complains("it is for linux/amd64");
    cx.carrier(["pull", "--platform", "a/b/c/d", &image])
        .exits_with(125)
        .complains("platform");
}

#[test]
fn where_an_index_does_not_say_what_an_image_is_for_its_configuration_does() {
    let cx = Cx::new();
    let registry = Registry::empty();
    let entries: Vec<Value> = ["s390x", "amd64", "arm64"]
        .iter()
        .map(|architecture| {
            let layer = Layer::new().file("f", architecture);
            let image = Image {
                architecture,
                ..Image::new(vec![layer], json!({}))
            };
            let mut entry = image.push(registry.host(), "silent", architecture);
            entry.as_object_mut().unwrap().remove("platform");
            entry
        })
        .collect();
    let kind = "application/vnd.oci.image.index.v1+json";
    let index = json!({ "schemaVersion": 2, "mediaType": kind, "manifests": entries });
    registry.put_manifest("silent", "latest", kind, &index);
    let image = format!("{}/silent", registry.host());
    for architecture in ["amd64", "arm64"] {
        let platform = format!("linux/{architecture}");
        cx.carrier(["pull", "--platform", &platform, &image])
            .succeeds();
        cx.carrier(["image", "inspect", "-f", "{{.Architecture}}", &image])
            .succeeds()
            .prints(architecture);
        cx.carrier(["rmi", &image]).succeeds();
    }
    cx.carrier(["pull", "--platform", "linux/riscv64", &image])
        .exits_with(125)
        .complains("linux/riscv64");
    cx.assert_nothing_is_left();
}
