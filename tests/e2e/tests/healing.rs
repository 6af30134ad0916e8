//! What the disk or somebody has damaged, the next pull makes right.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use carrier_e2e::{Cx, Image, Layer, Registry, is_root, skip};
use serde_json::json;

fn image() -> Image {
    let layer = |n: usize| {
        (0..20).fold(Layer::new(), |layer, file| {
            layer.file(
                &format!("d{n}/f{file}"),
                format!("{n} {file}\n").repeat(300),
            )
        })
    };
    Image::new(vec![layer(0), layer(1)], json!({ "Cmd": ["/f"] }))
}

/// The files in a part of the store.
fn files_in(cx: &Cx, place: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(cx.store().join(place)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn overwrite(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
}

fn flip(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
}

fn state(cx: &Cx) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    let mut places = vec![cx.store().join("layers"), cx.store().join("blobs")];
    while let Some(place) = places.pop() {
        for entry in fs::read_dir(place).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                places.push(path);
            } else {
                let bytes = fs::read(&path).unwrap();
                all.push((path, bytes));
            }
        }
    }
    all.sort();
    all
}

#[test]
fn a_pull_replaces_blobs_that_are_damaged() {
    const NAME: &str = "a_pull_replaces_blobs_that_are_damaged";
    if !is_root() {
        return skip(NAME, "only root can damage files of a layer");
    }
    let registry = Registry::empty();
    image().push(registry.host(), "x", "latest");
    let name = registry.reference("x");
    let cx = Cx::new();
    cx.carrier(["pull", "-q", &name]).succeeds();
    let whole = state(&cx);
    let layers = files_in(&cx, "layers");
    for blob in files_in(&cx, "blobs/sha256") {
        let changes = [Vec::clear as fn(&mut Vec<u8>), |bytes| flip(bytes)];
        for change in changes {
            overwrite(&blob, change);
            // A layer that must be unpacked again shows whether its blob is what it should be.
            for layer in &layers {
                cx.host_script(&format!("rm -r {}", layer.display()))
                    .succeeds();
            }
            cx.carrier(["pull", "-q", &name]).succeeds();
            assert!(state(&cx) == whole, "{}", blob.display());
        }
        fs::remove_file(&blob).unwrap();
        cx.carrier(["pull", "-q", &name]).succeeds();
        assert!(state(&cx) == whole, "{}", blob.display());
    }
}

#[test]
fn a_pull_replaces_layers_that_are_damaged() {
    const NAME: &str = "a_pull_replaces_layers_that_are_damaged";
    if !is_root() {
        return skip(NAME, "only root can damage files of a layer");
    }
    let registry = Registry::empty();
    image().push(registry.host(), "x", "latest");
    let name = registry.reference("x");
    let cx = Cx::new();
    cx.carrier(["pull", "-q", &name]).succeeds();
    let whole = state(&cx);
    let before = registry.blob_requests();
    for layer in files_in(&cx, "layers") {
        let shown = layer.display();
        for damage in [
            format!("truncate -s 0 $(find {shown}/fs -type f | head -1)"),
            format!("rm $(find {shown}/fs -type f | head -1)"),
            format!("touch {shown}/fs/stranger"),
            format!("rm -r {shown}/fs/*"),
            format!("rm -r {shown}/fs"),
            format!("rm {shown}/layer.json"),
            format!("truncate -s 3 {shown}/layer.json"),
        ] {
            cx.host_script(&damage).succeeds();
            cx.carrier(["pull", "-q", &name]).succeeds();
            assert!(state(&cx) == whole, "{damage}");
        }
    }
    assert_eq!(
        registry.blob_requests(),
        before,
        "all was unpacked from the blobs"
    );
}

#[test]
fn a_container_whose_record_a_power_cut_has_emptied_keeps_neither_image_nor_name() {
    let (cx, registry) = (Cx::new(), Registry::empty());
    image().push(registry.host(), "x", "latest");
    let name = registry.reference("x");
    let left_by_a_power_cut = || {
        cx.carrier(["create", "--rm", "--name", "web", &name])
            .succeeds();
        for container in files_in(&cx, "containers") {
            fs::write(container.join("container.json"), "").unwrap();
        }
    };
    for command in [
        "carrier rmi",
        "carrier image prune -a -f #",
        "carrier system prune -a -f #",
        "carrier rm -f web #",
        "carrier create --name web",
    ] {
        cx.carrier(["pull", "-q", &name]).succeeds();
        left_by_a_power_cut();
        cx.script(&format!("{command} {name}")).succeeds();
        let made = usize::from(command.contains("create"));
        cx.script("carrier ps -aq | wc -l")
            .prints(&made.to_string());
        assert_eq!(files_in(&cx, "containers").len(), made, "{command}");
        assert_eq!(files_in(&cx, "names").len(), made, "{command}");
        assert!(files_in(&cx, "staging").is_empty());
        cx.script("carrier rm -f web").succeeds();
    }
}
