//! Images that attack the host. Names begin with the threat.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use std::fs;

use carrier_e2e::{Canary, Cx, Fault, FaultyRegistry, Image, Layer, Registry};
use serde_json::{Value, json};

fn busybox_with(layer: Layer, config: Value) -> Image {
    let program = fs::read("/bin/busybox").unwrap();
    Image::new(vec![Layer::new().program("bin/sh", program), layer], config)
}

fn pushed(registry: &Registry, image: &Image) -> String {
    image.push(registry.host(), "evil", "latest");
    registry.reference("evil")
}

#[test]
fn f01_f02_system_directories_that_are_links_are_refused() {
    let cx = Cx::new();
    let canary = Canary::new(&cx);
    let registry = Registry::empty();
    for name in ["dev", "proc", "sys"] {
        let layer = Layer::new().link(name, canary.path().to_str().unwrap());
        let image = pushed(&registry, &busybox_with(layer, json!({ "Cmd": ["sh"] })));
        let run = ["run", "--rm", "--pull", "always", &image];
        cx.carrier(run).exits_with(125);
        canary.assert_untouched();
    }
}

#[test]
fn c02_c12_links_lead_nowhere_but_inside() {
    let cx = Cx::new();
    let canary = Canary::new(&cx);
    let registry = Registry::empty();
    let path = canary.path().to_str().unwrap();
    let layer = Layer::new()
        .link("work", path)
        .link("etc/hosts", &format!("{path}/hosts"))
        .link("etc/resolv.conf", &format!("{path}/target"));
    let config = json!({ "WorkingDir": "/work/made", "Cmd": ["sh", "-c", "pwd"] });
    let image = pushed(&registry, &busybox_with(layer, config));
    cx.carrier(["run", "--rm", &image])
        .succeeds()
        .prints(&format!("{path}/made"));
    canary.assert_untouched();
}

#[test]
fn c02_a_descriptor_is_no_working_directory() {
    let cx = Cx::new();
    let registry = Registry::empty();
    for number in [3, 4, 5, 7, 9] {
        let config =
            json!({ "WorkingDir": format!("/proc/self/fd/{number}"), "Cmd": ["sh", "-c", "ls"] });
        let image = pushed(&registry, &busybox_with(Layer::new(), config));
        cx.carrier(["run", "--rm", "--pull", "always", &image])
            .exits_with(125);
    }
}

#[test]
fn r05_an_ambiguous_manifest_is_refused() {
    let cx = Cx::new();
    let image = busybox_with(Layer::new(), json!({}));
    let registry = FaultyRegistry::serve(&image, Fault::Ambiguous);
    cx.carrier(["pull", &registry.image()])
        .exits_with(125)
        .complains("ambiguous");
}
