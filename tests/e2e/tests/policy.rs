//! What the user's policy asks of images that come in (threat R-16).
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{Cx, Image, Layer, Registry, digest};
use serde_json::json;

/// A user's image, and what cosign would store beside it.
struct World {
    cx: Cx,
    registry: Registry,
}

impl World {
    fn new() -> Self {
        let world = Self {
            cx: Cx::new(),
            registry: Registry::empty(),
        };
        for key in ["ours", "theirs"] {
            let make = format!(
                "mkdir -p ~/.config/carrier && cd ~/.config/carrier && \
                 openssl ecparam -name prime256v1 -genkey -noout -out {key}.key && \
                 openssl ec -in {key}.key -pubout -out {key}.pub 2>/dev/null"
            );
            world.cx.script(&make).succeeds();
        }
        world
    }

    /// Pushes an image of its own, and tells its digest.
    fn image(&self, repository: &str) -> String {
        let layer = Layer::new().file("f", repository);
        let image = Image::new(vec![layer], json!({ "Cmd": ["/f"] }));
        let entry = image.push(self.registry.host(), repository, "latest");
        entry["digest"].as_str().unwrap().to_owned()
    }

    fn require(&self, policy: &str) {
        let file = "~/.config/carrier/config.toml";
        let write = format!("printf '%s' '{policy}' > {file}");
        self.cx.script(&write).succeeds();
    }

    /// Signs that `name` is `image` with a key, beside the image `at` in `repository`.
    fn sign(&self, key: &str, repository: &str, at: &str, name: &str, image: &str) {
        let payload = json!({ "critical": {
            "identity": { "docker-reference": name }, "image": { "docker-manifest-digest": image },
            "type": "cosign container image signature" }, "optional": null })
        .to_string();
        let sign = format!(
            "printf '%s' '{payload}' | openssl dgst -sha256 -sign ~/.config/carrier/{key}.key | base64 -w 0"
        );
        let signature = self.cx.script(&sign).succeeds().text().to_owned();
        let config = b"{}".to_vec();
        let describe = |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "digest": digest(bytes), "size": bytes.len() });
        let mut layer = describe(
            "application/vnd.dev.cosign.simplesigning.v1+json",
            payload.as_bytes(),
        );
        layer["annotations"] = json!({ "dev.cosignproject.cosign/signature": signature });
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({ "schemaVersion": 2, "mediaType": kind,
            "config": describe("application/vnd.oci.image.config.v1+json", &config), "layers": [layer] });
        for blob in [config, payload.into_bytes()] {
            self.registry.put_blob(repository, &blob);
        }
        let tag = format!("{}.sig", at.replace(':', "-"));
        self.registry
            .put_manifest(repository, &tag, kind, &manifest);
    }

    #[track_caller]
    fn refuses(&self, repository: &str, reason: &str) {
        let name = self.registry.reference(repository);
        for verb in [&["pull"][..], &["run", "--rm"]] {
            let words = verb.iter().copied().chain([name.as_str()]);
            self.cx.carrier(words).exits_with(125).complains(reason);
        }
        self.cx.carrier(["ls", "-i", "-q"]).succeeds().prints("");
    }

    #[track_caller]
    fn lets_in(&self, name: &str) {
        self.cx.carrier(["pull", "-q", name]).succeeds();
        self.cx.carrier(["rmi", name]).succeeds();
    }
}

#[test]
fn r16_an_image_must_be_signed_by_the_right_key_as_itself() {
    let world = World::new();
    let host = world.registry.host();
    let rule = format!(
        "[[policy]]\nprefix = \"{host}\"\nrequire = \"signature\"\nkeys = [\"ours.pub\"]\n"
    );
    world.require(&rule);
    let name = |repository: &str| world.registry.reference(repository);

    world.image("unsigned");
    world.refuses("unsigned", "it is not signed");

    let image = world.image("stranger");
    world.sign("theirs", "stranger", &image, &name("stranger"), &image);
    world.refuses("stranger", "it is signed by somebody else");

    let image = world.image("signed");
    world.sign("ours", "signed", &image, &name("signed"), &image);
    world.lets_in(&name("signed"));

    let other = world.image("other");
    world.sign("ours", "other", &other, &name("other"), &image);
    world.refuses("other", "that of another image");

    // The same bytes and the same signature, under a name that nobody signed.
    let layer = Layer::new().file("f", "signed");
    let copy = Image::new(vec![layer], json!({ "Cmd": ["/f"] })).push(host, "replayed", "latest");
    assert_eq!(copy["digest"], image.as_str());
    world.sign("ours", "replayed", &image, &name("signed"), &image);
    world.refuses("replayed", "an image with another name");
}

#[test]
fn r16_a_policy_can_ask_for_digests_or_let_nothing_in() {
    let world = World::new();
    let host = world.registry.host();
    let image = world.image("x");
    let name = world.registry.reference("x");
    let pinned = format!("{name}@{image}");
    world.require(&format!(
        "[[policy]]\nprefix = \"{host}\"\nrequire = \"digest\"\n"
    ));
    world.refuses("x", "its name has no digest");
    world.lets_in(&pinned);
    world.require("[[policy]]\nrequire = \"reject\"\n");
    world.refuses("x", "no such image may be used");
    world.require(&format!(
        "[[policy]]\nrequire = \"reject\"\n[[policy]]\nprefix = \"{host}/x\"\nrequire = \"nothing\"\n"
    ));
    world.lets_in(&name);
    for (wrong, message) in [
        ("[[policy]]\nrequire = \"signature\"\n", "has no keys"),
        ("[[policy]]\nrequire = \"digset\"\n", "digset"),
        (
            "[[policy]]\nrequire = \"digest\"\nkey = \"x\"\n",
            "unknown key policy.key",
        ),
        (
            "[[policy]]\nrequire = \"signature\"\nkeys = [\"absent.pub\"]\n",
            "absent.pub",
        ),
        (
            "[[policy]]\nrequire = \"signature\"\nkeys = [\"ours.key\"]\n",
            "PUBLIC KEY",
        ),
    ] {
        world.require(wrong);
        world
            .cx
            .carrier(["pull", &name])
            .exits_with(125)
            .complains(message);
    }
}
