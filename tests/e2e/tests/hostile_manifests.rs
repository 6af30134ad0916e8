//! Manifests, indexes and configurations that somebody hostile wrote.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::collections::HashMap;

use carrier_e2e::{Canary, Cx, Fault, FaultyRegistry, Image, Layer, Outcome, Registry, digest};
use serde_json::{Value, json};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

fn image() -> Image {
    Image::new(
        vec![Layer::new().file("f", "content")],
        json!({ "Cmd": ["/f"] }),
    )
}

/// An image in a registry whose documents can be anything.
#[derive(Default)]
struct Site(HashMap<String, (String, Vec<u8>)>);

impl Site {
    fn of(image: &Image) -> (Self, Value) {
        let (manifest, blobs) = image.build();
        let mut site = Self::default();
        for blob in blobs {
            site.blob(&blob);
        }
        (site, manifest)
    }

    fn blob(&mut self, bytes: &[u8]) -> String {
        let name = digest(bytes);
        let path = format!("/v2/image/blobs/{name}");
        self.0.insert(
            path,
            ("application/octet-stream".to_owned(), bytes.to_vec()),
        );
        name
    }

    fn manifest(&mut self, name: &str, kind: &str, bytes: impl Into<Vec<u8>>) {
        let path = format!("/v2/image/manifests/{name}");
        self.0.insert(path, (kind.to_owned(), bytes.into()));
    }

    /// Serves a manifest by its digest, and describes it.
    fn entry(&mut self, kind: &str, document: &Value) -> Value {
        let bytes = document.to_string();
        let name = digest(bytes.as_bytes());
        self.manifest(&name, kind, bytes.clone());
        json!({ "mediaType": kind, "digest": name, "size": bytes.len(),
                "platform": { "os": "linux", "architecture": "amd64" } })
    }

    fn serve(self) -> FaultyRegistry {
        FaultyRegistry::of_documents(self.0, Fault::None)
    }
}

fn pull(cx: &Cx, registry: &FaultyRegistry) -> Outcome {
    cx.carrier(["pull", "-q", &registry.image()])
}

/// The document is refused with one line that has `reason` in it, and nothing has come of it.
#[track_caller]
fn is_refused(cx: &Cx, registry: &FaultyRegistry, reason: &str) {
    pull(cx, registry).exits_with(125).complains(reason);
    cx.carrier(["ls", "-i", "-q"]).succeeds().prints("");
}

/// Changes an image's manifest, and pulls it.
#[track_caller]
fn refused_when(cx: &Cx, change: impl Fn(&mut Value), reason: &str) {
    let (mut site, mut manifest) = Site::of(&image());
    change(&mut manifest);
    site.manifest("latest", MANIFEST, manifest.to_string());
    is_refused(cx, &site.serve(), reason);
}

#[test]
fn r04_a_digest_is_no_path() {
    let cx = Cx::new();
    let canary = Canary::new(&cx);
    let hex = "a".repeat(64);
    let target = format!(
        "sha256:../../../../../../..{}/target",
        canary.path().display()
    );
    let bad = [
        target,
        format!("sha256:{}", "a".repeat(63)),
        format!("sha256:{hex}a"),
        format!("sha256:{}", "A".repeat(64)),
        format!("md5:{}", "a".repeat(32)),
        format!("sha256:{hex}\u{0}"),
        format!("sha256:{hex}\n"),
        format!("sha256:{}/..", "a".repeat(61)),
        format!("sha256{hex}"),
        format!(":{hex}"),
        hex.clone(),
        String::new(),
    ];
    for digest in &bad {
        refused_when(
            &cx,
            |manifest| manifest["config"]["digest"] = json!(digest),
            "digest",
        );
        refused_when(
            &cx,
            |manifest| manifest["layers"][0]["digest"] = json!(digest),
            "digest",
        );
        let entry = json!({ "mediaType": MANIFEST, "digest": digest, "size": 2,
            "platform": { "os": "linux", "architecture": "amd64" } });
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] });
        let mut site = Site::default();
        site.manifest("latest", INDEX, index.to_string());
        is_refused(&cx, &site.serve(), "digest");
        let pinned = format!("127.0.0.1:1/image@{digest}");
        if !digest.contains('\0') {
            cx.carrier(["pull", &pinned])
                .exits_with(125)
                .complains("digest");
        }
    }
    canary.assert_untouched();
}

#[test]
fn r05_a_document_that_means_two_things_is_refused() {
    let cx = Cx::new();
    let both = |name: &'static str, value: Value| {
        move |manifest: &mut Value| manifest[name] = value.clone()
    };
    refused_when(&cx, both("manifests", json!([])), "ambiguous");
    refused_when(&cx, both("fsLayers", json!([])), "schema 1");
    refused_when(
        &cx,
        both("mediaType", json!(DOCKER_MANIFEST)),
        "calls itself",
    );

    let (mut site, manifest) = Site::of(&image());
    let text = manifest.to_string();
    let twice = text.replacen("\"layers\":", "\"layers\":[],\"layers\":", 1);
    assert_ne!(text, twice);
    site.manifest("latest", MANIFEST, twice);
    is_refused(&cx, &site.serve(), "malformed");

    let mut site = Site::default();
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [], "config": {} });
    site.manifest("latest", INDEX, index.to_string());
    is_refused(&cx, &site.serve(), "ambiguous");

    let mut site = Site::default();
    let old = json!({ "schemaVersion": 1, "name": "image", "fsLayers": [], "history": [] });
    let kind = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    site.manifest("latest", kind, old.to_string());
    is_refused(&cx, &site.serve(), "schema 1");
}

#[test]
fn r06_bytes_are_what_their_digest_says_or_refused() {
    let cx = Cx::new();
    // Whoever asks for a digest gets nothing else, whatever the registry calls it.
    let (mut site, manifest) = Site::of(&image());
    let wanted = digest(b"another manifest");
    site.manifest(&wanted, MANIFEST, manifest.to_string());
    let registry = site.serve();
    cx.carrier(["pull", &format!("{}@{wanted}", registry.image())])
        .exits_with(125)
        .complains("as promised");
    let requests = registry.requests();
    assert!(requests.len() <= 3, "{requests:#?}");

    // A manifest behind an index, of another size than the index says.
    let (mut site, manifest) = Site::of(&image());
    let mut entry = site.entry(MANIFEST, &manifest);
    entry["size"] = json!(entry["size"].as_u64().unwrap() + 1);
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] });
    site.manifest("latest", INDEX, index.to_string());
    is_refused(&cx, &site.serve(), "as promised");

    for (field, place) in [("config", "/config"), ("layers", "/layers/0")] {
        for difference in [-1, 1] {
            let change = |manifest: &mut Value| {
                let size = manifest.pointer(place).unwrap()["size"].as_i64().unwrap();
                manifest.pointer_mut(place).unwrap()["size"] = json!(size + difference);
            };
            let (mut site, mut manifest) = Site::of(&image());
            change(&mut manifest);
            site.manifest("latest", MANIFEST, manifest.to_string());
            let registry = site.serve();
            let outcome = pull(&cx, &registry).exits_with(125);
            assert_eq!(outcome.errors().lines().count(), 2, "{field}: {outcome:#?}");
            cx.carrier(["ls", "-i", "-q"]).succeeds().prints("");
        }
    }
}

#[test]
fn r07_documents_have_limits() {
    let cx = Cx::new();
    let padded_to = |manifest: &Value, length: usize| {
        let mut text = manifest.to_string();
        let rest = length - text.len();
        text.push_str(&" ".repeat(rest));
        text
    };
    for (length, fits) in [(4 << 20, true), ((4 << 20) + 1, false)] {
        let (mut site, manifest) = Site::of(&image());
        site.manifest("latest", MANIFEST, padded_to(&manifest, length));
        let registry = site.serve();
        if fits {
            pull(&cx, &registry).succeeds();
            cx.carrier(["rmi", &registry.image()]).succeeds();
        } else {
            is_refused(&cx, &registry, "larger than");
        }
    }

    let layers = |count: usize| {
        move |manifest: &mut Value| {
            let one = manifest["layers"][0].clone();
            manifest["layers"] = Value::Array(vec![one; count]);
        }
    };
    refused_when(&cx, layers(512), "lists 1 layers, the manifest 512");
    refused_when(&cx, layers(513), "at most 512");

    for (count, reason) in [(1000, "not available"), (1001, "at most 1000")] {
        let entry = json!({ "mediaType": MANIFEST, "digest": digest(b"x"), "size": 1,
            "platform": { "os": "plan9", "architecture": "mips" } });
        let index =
            json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": vec![entry; count] });
        let mut site = Site::default();
        site.manifest("latest", INDEX, index.to_string());
        is_refused(&cx, &site.serve(), reason);
    }

    // An index of indexes of an image is one too many.
    for (depth, fits) in [(1, true), (2, true), (3, false)] {
        let (mut site, manifest) = Site::of(&image());
        let mut entry = site.entry(MANIFEST, &manifest);
        for _ in 1..depth {
            let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] });
            entry = site.entry(INDEX, &index);
        }
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] });
        site.manifest("latest", INDEX, index.to_string());
        let registry = site.serve();
        if fits {
            pull(&cx, &registry).succeeds();
            cx.carrier(["rmi", &registry.image()]).succeeds();
        } else {
            is_refused(&cx, &registry, "indexes");
        }
    }

    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let mut site = Site::default();
    site.manifest("latest", MANIFEST, format!("{{\"annotations\":{deep}}}"));
    is_refused(&cx, &site.serve(), "malformed");
}

#[test]
fn r08_a_size_is_no_reason_to_allocate() {
    let cx = Cx::new();
    for size in [
        json!(9_000_000_000_000_000_000_u64),
        json!(-1),
        json!(1.5),
        json!("1"),
    ] {
        for place in ["/config/size", "/layers/0/size"] {
            let (mut site, mut manifest) = Site::of(&image());
            *manifest.pointer_mut(place).unwrap() = size.clone();
            site.manifest("latest", MANIFEST, manifest.to_string());
            let registry = site.serve();
            let script = format!(
                "ulimit -v 400000; ulimit -f 20000; carrier pull -q {}",
                registry.image()
            );
            let outcome = cx.script(&script).exits_with(125);
            assert_eq!(
                outcome.errors().lines().count(),
                2,
                "{size} at {place}: {outcome:#?}"
            );
            cx.carrier(["ls", "-i", "-q"]).succeeds().prints("");
        }
    }
}

#[test]
fn r12_a_tag_is_resolved_once_and_a_platform_is_what_was_chosen() {
    let cx = Cx::new();
    let (mut site, manifest) = Site::of(&image());
    site.manifest("latest", MANIFEST, manifest.to_string());
    let registry = site.serve();
    cx.carrier(["run", "--rm", &registry.image()])
        .exits_with(126);
    let resolved = registry
        .requests()
        .iter()
        .filter(|line| line.contains("/manifests/latest"))
        .count();
    assert_eq!(resolved, 1, "{:#?}", registry.requests());

    // The index says amd64, and the image says something else.
    let foreign = Image {
        architecture: "s390x",
        ..image()
    };
    let (mut site, manifest) = Site::of(&foreign);
    let entry = site.entry(MANIFEST, &manifest);
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] });
    site.manifest("latest", INDEX, index.to_string());
    let registry = site.serve();
    cx.carrier(["pull", "--platform", "linux/amd64", &registry.image()])
        .exits_with(125)
        .complains("linux/s390x");
}

#[test]
fn r14_names_are_neither_paths_nor_terminal_codes() {
    let cx = Cx::new();
    let canary = Canary::new(&cx);
    let long = "x".repeat(300);
    let long_tag = format!("x:{}", "t".repeat(129));
    let names = [
        "..",
        "../x",
        "x/../y",
        "a/./b",
        "/etc/passwd",
        "x//y",
        "x/",
        "%2e%2e/x",
        "x%2fy",
        "x%00",
        "x\u{1b}[31m",
        "x\u{7}",
        "x\u{202e}y",
        "x\ny",
        "x y",
        "x\ty",
        "X",
        "x:",
        "x:-t",
        "x:.t",
        "x:a/b",
        "x@",
        "x@sha256:x",
        "x@sha512:x",
        "käse",
        "x:тег",
        "-x.io/y",
        "x.io:99999/y",
        &long,
        &long_tag,
    ];
    assert_eq!(names.len(), 30);
    for name in names {
        for words in [
            &["pull", "--", name][..],
            &["run", "--rm", "--pull", "always", "--", name],
        ] {
            let outcome = cx.carrier(words.iter().copied()).exits_with(125);
            let shown = outcome.errors();
            assert_eq!(shown.lines().count(), 2, "{name:?}: {outcome:#?}");
            let is_plain = |c: char| c == '\n' || (!c.is_control() && c != '\u{202e}');
            assert!(shown.chars().all(is_plain), "{name:?}: {shown:?}");
        }
    }
    cx.carrier(["ls", "-i", "-q"]).succeeds().prints("");
    canary.assert_untouched();
}

#[test]
fn layers_that_are_no_tar_streams_are_refused_by_their_type() {
    let cx = Cx::new();
    for kind in [
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
        "application/vnd.erofs.layer.v1",
        "application/vnd.oci.image.layer.v1.squashfs",
        "text/plain",
    ] {
        refused_when(
            &cx,
            |manifest| manifest["layers"][0]["mediaType"] = json!(kind),
            kind,
        );
    }
    let artifact = |manifest: &mut Value| {
        manifest["artifactType"] = json!("application/vnd.example+type");
        manifest["config"]["mediaType"] = json!("application/vnd.oci.empty.v1+json");
    };
    refused_when(&cx, artifact, "not an image");
    let registry = Registry::empty();
    image().push(registry.host(), "x", "latest");
    cx.carrier(["pull", "-q", &registry.reference("x")])
        .succeeds();
}
