//! `carrier save` and `carrier load`: layouts, names, and archives that mean no good.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use carrier_e2e::{Cx, Layer, Outcome, digest};
use serde_json::{Value, json};

/// The parts of an image of one layer with one file.
struct Parts {
    layer: Vec<u8>,
    config: Vec<u8>,
}

impl Parts {
    fn new(content: &str) -> Self {
        let layer = Layer::new().file("x", content).finished();
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": { "Cmd": ["/x"] },
            "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
        });
        Self {
            config: config.to_string().into_bytes(),
            layer,
        }
    }

    fn id(&self) -> String {
        digest(&self.config)
    }

    fn manifest(&self) -> Vec<u8> {
        let descriptor = |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "digest": digest(bytes), "size": bytes.len() });
        let config = descriptor("application/vnd.oci.image.config.v1+json", &self.config);
        let layer = descriptor("application/vnd.oci.image.layer.v1.tar", &self.layer);
        let kind = "application/vnd.oci.image.manifest.v1+json";
        json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer] })
            .to_string()
            .into_bytes()
    }

    /// `index.json` that names the image.
    fn index(&self, annotations: &Value) -> String {
        let manifest = self.manifest();
        json!({ "schemaVersion": 2, "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest(&manifest), "size": manifest.len(), "annotations": annotations,
        }]})
        .to_string()
    }

    /// The archive of an image layout.
    fn layout(&self, annotations: &Value) -> Layer {
        let mut archive = Layer::new()
            .file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#)
            .file("index.json", self.index(annotations));
        for bytes in [&self.manifest(), &self.config, &self.layer] {
            archive = archive.file(&blob(bytes), bytes);
        }
        archive
    }

    /// An archive as Docker wrote it from 1.10 to 24.
    fn docker(&self, names: &[&str]) -> Layer {
        let listed = json!([{ "Config": "c.json", "RepoTags": names, "Layers": ["l/layer.tar"] }]);
        Layer::new()
            .file("c.json", &self.config)
            .directory("l/", 0o755, 0)
            .file("l/VERSION", "1.0")
            .file("l/json", "{}")
            .file("l/layer.tar", &self.layer)
            .file("manifest.json", listed.to_string())
            .file("repositories", "{}")
    }
}

fn blob(bytes: &[u8]) -> String {
    format!("blobs/{}", digest(bytes).replacen(':', "/", 1))
}

fn load(cx: &Cx, archive: &[u8]) -> Outcome {
    let path = cx.home().join("archive.tar");
    fs::write(&path, archive).unwrap();
    cx.carrier(["load", "-i", &path.display().to_string()])
}

fn is_empty(cx: &Cx) -> bool {
    let places = ["blobs/sha256", "layers", "images", "staging"];
    let count = |place| fs::read_dir(cx.store().join(place)).unwrap().count();
    places.into_iter().all(|place| count(place) == 0)
}

#[test]
fn every_layout_of_an_image_archive_is_loaded() {
    let cx = Cx::new();
    let parts = Parts::new("one");
    let whole_name = json!({ "io.containerd.image.name": "docker.io/library/one:1",
                             "org.opencontainers.image.ref.name": "1" });
    let podmans_name = json!({ "org.opencontainers.image.ref.name": "docker.io/library/one:1" });
    let listed = json!([{ "Config": blob(&parts.config), "RepoTags": ["one:1"],
                          "Layers": [blob(&parts.layer)] }]);
    for (layout, archive) in [
        ("docker 1.10 to 24", parts.docker(&["one:1"])),
        (
            "docker 25",
            parts
                .layout(&whole_name)
                .file("manifest.json", listed.to_string()),
        ),
        ("podman's oci-archive", parts.layout(&podmans_name)),
    ] {
        let loaded = load(&cx, &archive.finished()).succeeds();
        assert_eq!(loaded.text(), "Loaded image: one:1", "{layout}");
        let shown = cx.carrier(["image", "inspect", "-f", "{{.Id}} {{.RepoTags}}", "one:1"]);
        shown.succeeds().prints(&format!("{} [one:1]", parts.id()));
        let layer = &digest(&parts.layer)["sha256:".len()..];
        let file = cx.store().join("layers").join(layer).join("fs/x");
        assert_eq!(fs::read_to_string(file).unwrap(), "one", "{layout}");
        cx.carrier(["rmi", "one:1"]).succeeds();
        assert!(is_empty(&cx), "{layout}");
    }
}

#[test]
fn layers_may_be_links_to_layers_of_other_images_of_the_archive() {
    let cx = Cx::new();
    let parts = Parts::new("one");
    let listed = json!([
        { "Config": "c.json", "RepoTags": ["one"], "Layers": ["a/layer.tar"] },
        { "Config": "c.json", "RepoTags": ["two"], "Layers": ["b/layer.tar"] },
    ]);
    let archive = Layer::new()
        .link("b/layer.tar", "../a/layer.tar")
        .file("a/layer.tar", &parts.layer)
        .file("c.json", &parts.config)
        .file("manifest.json", listed.to_string());
    load(&cx, &archive.finished())
        .succeeds()
        .prints("Loaded image: one:latest\nLoaded image: two:latest");
}

#[test]
fn a_name_that_an_archive_takes_is_told_and_its_image_stays() {
    let cx = Cx::new();
    let (old, new) = (Parts::new("old"), Parts::new("new"));
    load(&cx, &old.docker(&["a:1"]).finished()).succeeds();
    load(&cx, &new.docker(&["a:1"]).finished())
        .succeeds()
        .prints(&format!(
            "The image a:1 already exists, renaming the old one with ID {} to empty string\n\
             Loaded image: a:1",
            old.id()
        ));
    load(&cx, &new.docker(&["a:1"]).finished())
        .succeeds()
        .prints("Loaded image: a:1");
    let dangling = ["images", "-q", "--no-trunc", "--filter", "dangling=true"];
    cx.carrier(dangling).succeeds().prints(&old.id());
}

#[test]
fn an_image_without_a_name_is_loaded_by_its_id() {
    let cx = Cx::new();
    let parts = Parts::new("one");
    let tag_only = json!({ "org.opencontainers.image.ref.name": "latest" });
    for archive in [
        parts.docker(&[]),
        parts.layout(&json!({})),
        parts.layout(&tag_only),
    ] {
        load(&cx, &archive.finished())
            .succeeds()
            .prints(&format!("Loaded image ID: {}", parts.id()));
    }
    cx.carrier(["image", "exists", &parts.id()]).succeeds();
}

#[test]
fn a_platform_is_chosen() {
    let cx = Cx::new();
    let archive = Parts::new("one").docker(&["one"]).finished();
    let path = cx.home().join("archive.tar").display().to_string();
    fs::write(&path, archive).unwrap();
    cx.carrier(["load", "--platform", "linux/arm64", "-i", &path])
        .exits_with(125)
        .complains("no image for linux/arm64, only for linux/amd64");
    cx.carrier(["load", "--platform", "linux/amd64", "-i", &path])
        .succeeds();
}

/// An image for a variant of arm.
fn of_variant(variant: &str) -> Parts {
    let parts = Parts::new(variant);
    let config = json!({
        "architecture": "arm", "variant": variant, "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [digest(&parts.layer)] },
    });
    Parts {
        config: config.to_string().into_bytes(),
        ..parts
    }
}

#[test]
fn of_several_variants_the_nearest_is_loaded() {
    let cx = Cx::new();
    let entry = |bytes: &[u8], kind: &str| json!({ "mediaType": kind, "digest": digest(bytes), "size": bytes.len() });
    let (manifest_kind, index_kind) = (
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
    );
    let mut archive = Layer::new().file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    let mut entries = Vec::new();
    for variant in ["v6", "v7"] {
        let parts = of_variant(variant);
        let manifest = parts.manifest();
        let mut one = entry(&manifest, manifest_kind);
        one["platform"] = json!({ "os": "linux", "architecture": "arm", "variant": variant });
        entries.push(one);
        for bytes in [&manifest, &parts.config, &parts.layer] {
            archive = archive.file(&blob(bytes), bytes);
        }
    }
    let index = json!({ "schemaVersion": 2, "mediaType": index_kind, "manifests": entries });
    let index = index.to_string().into_bytes();
    let mut whole = entry(&index, index_kind);
    whole["annotations"] = json!({ "org.opencontainers.image.ref.name": "two:1" });
    let root = json!({ "schemaVersion": 2, "manifests": [whole] }).to_string();
    let archive = archive.file(&blob(&index), &index).file("index.json", root);
    let path = cx.home().join("archive.tar").display().to_string();
    fs::write(&path, archive.finished()).unwrap();
    for (platform, loaded) in [("linux/arm/v6", "v6"), ("linux/arm/v7", "v7")] {
        let id = of_variant(loaded).id();
        cx.carrier(["load", "--platform", platform, "-i", &path])
            .succeeds();
        cx.carrier(["images", "-q", "--no-trunc"])
            .succeeds()
            .prints(&id);
        cx.carrier(["rmi", "two:1"]).succeeds();
    }
    // None of the two takes the other's name.
    let loaded = cx.carrier(["load", "-i", &path]).succeeds();
    assert!(!loaded.text().contains("renaming"), "{loaded:?}");
}

/// Archives as `docker save` wrote them, that are not what they seem.
fn hostile_docker_archives(parts: &Parts) -> Vec<(&'static str, Layer)> {
    let other = Parts::new("other");
    let with = |layer: &str| {
        let listed = json!([{ "Config": "c.json", "RepoTags": ["x"], "Layers": [layer] }]);
        Layer::new()
            .file("c.json", &parts.config)
            .file("manifest.json", listed.to_string())
    };
    let linked = |target: &str| with("l/layer.tar").link("l/layer.tar", target);
    let named = blob(&parts.layer);
    let junk = "no archive at all".repeat(60);
    vec![
        ("names an image badly", parts.docker(&["a:b:c"])),
        ("holds no images", Layer::new().file("etc/passwd", "root")),
        ("before 1.10", Layer::new().file("repositories", "{}")),
        ("is malformed", Layer::new().file("manifest.json", "[{}]")),
        ("has no file \"etc/passwd\"", linked("/etc/passwd")),
        ("leads out", linked("../../etc/passwd")),
        ("links lead nowhere", linked("layer.tar")),
        ("unpacks to", with("l").file("l", &other.layer)),
        (
            "not what its name says",
            with(&named).file(&named, &other.layer),
        ),
        ("cannot be unpacked", with("l").file("l", junk)),
    ]
}

/// Image layouts that are not what they seem.
fn hostile_layouts(parts: &Parts) -> Vec<(&'static str, Layer)> {
    let (other, none) = (Parts::new("other"), json!({}));
    let without = |missing: &[u8]| {
        let archive = Layer::new()
            .file("oci-layout", "{}")
            .file("index.json", parts.index(&none));
        let blobs = [parts.manifest(), parts.config.clone(), parts.layer.clone()];
        let blobs = blobs.iter().filter(|bytes| *bytes != missing);
        blobs.fold(archive, |archive, bytes| archive.file(&blob(bytes), bytes))
    };
    let named = |name: &str| parts.layout(&json!({ "io.containerd.image.name": name }));
    let (layer, manifest, config) = (&parts.layer, &parts.manifest(), &parts.config);
    let huge = vec![b' '; 5 << 20];
    vec![
        (
            "is a link",
            without(layer).link(&blob(layer), "/etc/passwd"),
        ),
        (
            "is a link",
            without(manifest).link(&blob(manifest), "oci-layout"),
        ),
        (
            "has digest",
            without(layer).file(&blob(layer), &other.layer),
        ),
        (
            "has digest",
            without(config).file(&blob(config), &other.config),
        ),
        ("has no file", without(layer)),
        ("two of it", parts.layout(&none).file("index.json", "{}")),
        ("two of it", parts.layout(&none).file("./index.json", "{}")),
        ("leads out", parts.layout(&none).file("../../x", "y")),
        ("names an image badly", named("a\u{1b}[31m/b:c")),
        ("names an image badly", named("../../etc:c")),
        ("larger than 4 MiB", Layer::new().file("index.json", huge)),
    ]
}

#[test]
fn r13_a_hostile_archive_is_refused_and_leaves_nothing() {
    let cx = Cx::new();
    let parts = Parts::new("one");
    let mut archives = hostile_docker_archives(&parts);
    archives.extend(hostile_layouts(&parts));
    for (reason, archive) in &archives {
        load(&cx, &archive.finished())
            .exits_with(125)
            .complains(reason);
        assert!(is_empty(&cx), "{reason}");
    }
    println!("{} hostile archives refused", archives.len());
}

#[test]
fn an_archive_that_is_damaged_or_compressed_in_another_way_is_refused() {
    let cx = Cx::new();
    let archive = Parts::new("one").docker(&["one"]).finished();
    for length in [0, 100, 512, archive.len() / 2, archive.len() - 2000] {
        load(&cx, &archive[..length]).exits_with(125);
        assert!(is_empty(&cx), "{length}");
    }
    for (start, how) in [
        (&b"\xfd7zXZ\0rest"[..], "xz -dc"),
        (b"BZh91AY&SY", "bzip2 -dc"),
    ] {
        load(&cx, start)
            .exits_with(125)
            .complains("compressed with");
        assert!(load(&cx, start).errors().contains(how));
    }
}

/// Memory and time do not depend on what an archive claims to hold.
#[test]
fn r13_a_huge_document_is_refused_when_it_is_too_large_and_not_when_it_ends() {
    let cx = Cx::new();
    let header = Layer::new().file("index.json", vec![0; 1]).finished()[..512].to_vec();
    let mut header = header;
    header[124..136].copy_from_slice(b"10000000000\0");
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut child = cx
        .command(&["sh", "-c", "ulimit -v 1000000; exec carrier load"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&header).unwrap();
    let mut written = 0_u64;
    // The program goes away long before a gigabyte.
    while written < 1 << 30 && input.write_all(&[b' '; 1 << 16]).is_ok() {
        written += 1 << 16;
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("larger than 4 MiB"), "{told}");
    assert!(written < 16 << 20, "{written}");
    assert!(is_empty(&cx));
    println!("refused after {} KiB of 1 GiB", written >> 10);
}

#[test]
fn what_is_saved_is_whole_or_nothing() {
    let cx = Cx::with_registry();
    let name = cx.pulled("layered");
    let file = cx.home().join("saved.tar").display().to_string();
    cx.carrier(["save", "-o", &file, &name, "nobody"])
        .exits_with(125)
        .complains("no such image: nobody");
    let blob = cx.carrier(["image", "inspect", "-f", "{{.Descriptor.digest}}", &name]);
    let manifest = blob.succeeds().text().trim().replace("sha256:", "");
    let manifest = fs::read(cx.store().join("blobs/sha256").join(manifest)).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    let layer = cx
        .store()
        .join("blobs/sha256")
        .join(&layer["sha256:".len()..]);
    let bytes = fs::read(&layer).unwrap();
    fs::remove_file(&layer).unwrap();
    for damage in [None, Some(&bytes[..bytes.len() / 2]), Some(&b"x"[..])] {
        if let Some(damage) = damage {
            fs::write(&layer, damage).unwrap();
        }
        for format in ["docker-archive", "oci-archive"] {
            cx.carrier(["save", "--format", format, "-o", &file, &name])
                .exits_with(125)
                .complains("is missing or damaged");
        }
    }
    let left = fs::read_dir(cx.home()).unwrap();
    let left = left.filter(|entry| entry.as_ref().unwrap().file_name() != ".local");
    assert_eq!(left.count(), 0);
}

#[test]
fn an_archive_is_read_alike_by_three_readers() {
    let cx = Cx::with_registry();
    let name = cx.pulled("layered");
    for format in ["docker-archive", "oci-archive"] {
        let file = format!("{format}.tar");
        let save = format!("carrier save --format {format} {name} -o {file}");
        cx.script(&save).succeeds();
        let lists = [
            format!("tar tf {file}"),
            format!("bsdtar tf {file}"),
            format!(
                "python3 -c 'import tarfile; print(*tarfile.open(\"{file}\").getnames(), sep=\"\\n\")'"
            ),
        ];
        let mut seen = lists.iter().map(|list| {
            let listed = cx.script(list).succeeds();
            let lines = listed
                .text()
                .lines()
                .map(|line| line.trim_end_matches('/').to_owned());
            lines.collect::<Vec<_>>()
        });
        let first = seen.next().unwrap();
        assert!(first.len() > 3);
        assert!(seen.all(|other| other == first));
    }
}

#[test]
fn save_refuses_a_terminal_and_load_too() {
    let cx = Cx::with_registry();
    let name = cx.pulled("busybox");
    for (verb, reason) in [
        (
            format!("save {name}"),
            "cowardly refusing to save to a terminal",
        ),
        ("load".to_owned(), "it is a terminal"),
    ] {
        let program = cx.program();
        let shown = cx.script(&format!(
            "script -qec '{program} {verb}' /dev/null </dev/null"
        ));
        shown.shows(reason);
    }
}

#[test]
fn a_repository_means_all_its_tags_in_save() {
    let cx = Cx::with_registry();
    let name = cx.pulled("busybox");
    let other = cx.pulled("layered");
    for (image, tag) in [
        (&name, "box:1"),
        (&name, "box:2"),
        (&other, "box:3"),
        (&name, "boxes:4"),
    ] {
        cx.carrier(["tag", image, tag]).succeeds();
    }
    for format in ["docker-archive", "oci-archive"] {
        cx.script(&format!(
            "carrier save --format {format} box -o box.tar && carrier rmi box:1 box:2 box:3 >/dev/null \
             && carrier load -q -i box.tar && carrier images box --format '{{{{.Tag}}}}' | sort"
        ))
        .succeeds()
        .shows("1\n2\n3");
    }
    cx.carrier(["save", "-o", "none.tar", "nothing"])
        .exits_with(125)
        .complains("no such image: nothing");
}
