//! Images on their way between Carrier and other people's tools.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{Bundle, Cx, Outcome, Registry};

/// Options that give the other tools a store and a policy of the test's own.
const OTHERS: &str = "podman() { command podman --root home/store --runroot run/store \"$@\"; }; \
                      buildah() { command buildah --root home/store --runroot run/store \"$@\"; }; \
                      skopeo() { command skopeo --insecure-policy \"$@\"; }; ";

/// A world with Podman's store, and the image `box` in it.
struct Others {
    cx: Cx,
    registry: Registry,
}

impl Others {
    fn new() -> Self {
        let others = Self {
            cx: Cx::new(),
            registry: Registry::empty(),
        };
        let bundle = Bundle::new(&others.cx, "");
        let root = bundle.path().join("rootfs").display().to_string();
        let import = "podman import -q -c 'CMD [\"sh\"]' -c ENV=PATH=/bin - box 2>/dev/null";
        others
            .script(&format!("tar -C {root} -c . | {import}"))
            .succeeds();
        drop(bundle);
        others
    }

    fn script(&self, script: &str) -> Outcome {
        let host = self.registry.host();
        self.cx.script(&format!("{OTHERS} host={host}; {script}"))
    }

    fn runs(&self, name: &str) {
        self.cx
            .carrier(["run", "--rm", name, "sh", "-c", "echo from-$0", name])
            .succeeds()
            .prints(&format!("from-{name}"));
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        let reset = self.script("podman system reset -f");
        if !std::thread::panicking() {
            reset.succeeds();
        }
    }
}

#[test]
fn what_podman_buildah_and_skopeo_push_is_pulled_and_run() {
    let others = Others::new();
    others
        .script(
            "podman push -q --tls-verify=false box $host/podman:1 && \
             container=$(buildah from --pull-never box) && \
             buildah config --label made=by-buildah $container && \
             buildah commit -q $container built >/dev/null && buildah rm $container >/dev/null && \
             buildah push -q --tls-verify=false built docker://$host/buildah:1 && \
             skopeo copy -q --src-tls-verify=false --dest-tls-verify=false \
                 --format v2s2 docker://$host/podman:1 docker://$host/skopeo:1",
        )
        .succeeds();
    for tool in ["podman", "buildah", "skopeo"] {
        let name = others.registry.reference(&format!("{tool}:1"));
        others.cx.carrier(["pull", "-q", &name]).succeeds();
        others.runs(&name);
    }
    let built = others.registry.reference("buildah:1");
    let label = ["image", "inspect", "-f", "{{.Config.Labels.made}}", &built];
    others.cx.carrier(label).succeeds().prints("by-buildah");
}

#[test]
fn what_podman_saves_is_loaded_and_run() {
    let others = Others::new();
    others
        .script(
            "podman tag box localhost/other:2 && \
             podman save -q -o docker.tar localhost/box:latest localhost/other:2 && \
             podman save -q --format oci-archive -o oci.tar localhost/box:latest",
        )
        .succeeds();
    for (archive, name) in [
        ("docker.tar", "localhost/other:2"),
        ("oci.tar", "localhost/box"),
    ] {
        others
            .script(&format!("carrier load -i {archive}"))
            .succeeds()
            .shows("Loaded image: localhost/box:latest");
        others.runs(name);
        let id = others.script(&format!("podman image inspect -f {{{{.Id}}}} {name}"));
        let own = ["image", "inspect", "-f", "{{.Id}}", name];
        others
            .cx
            .carrier(own)
            .succeeds()
            .prints(&format!("sha256:{}", id.succeeds().text().trim()));
        others.cx.carrier(["image", "prune", "-a", "-f"]).succeeds();
        others.cx.carrier(["images", "-q"]).succeeds().prints("");
    }
    for compress in ["gzip", "zstd -q"] {
        others
            .script(&format!("{compress} -c docker.tar | carrier load -q"))
            .succeeds()
            .shows("Loaded image: localhost/other:2");
    }
    others.runs("localhost/box");
}

#[test]
fn what_carrier_saves_is_loaded_by_podman_and_by_itself() {
    let others = Others::new();
    let cx = Cx::with_registry();
    let name = cx.pulled("layered");
    cx.carrier(["tag", &name, "localhost/saved:1"]).succeeds();
    let id = cx.carrier(["image", "inspect", "-f", "{{.Id}}", &name]);
    let id = id.succeeds().text().trim().to_owned();
    for format in ["docker-archive", "oci-archive"] {
        let file = others.cx.home().join(format).display().to_string();
        // Podman takes one image from an OCI layout.
        cx.script(&format!(
            "carrier save --format {format} localhost/saved:1 > {format}.tar"
        ))
        .succeeds();
        let from = cx.home().join("..").join(format!("{format}.tar"));
        std::fs::copy(from, &file).unwrap();
        others
            .script(&format!(
                "podman load -q -i {file} && podman image inspect -f {{{{.Id}}}} localhost/saved:1"
            ))
            .succeeds()
            .shows(&id["sha256:".len()..]);
        others
            .script("podman rmi -f localhost/saved:1 >/dev/null")
            .succeeds();
        others
            .cx
            .carrier(["load", "-i", &file])
            .succeeds()
            .shows("Loaded image: localhost/saved:1");
        let own = ["image", "inspect", "-f", "{{.Id}}", "localhost/saved:1"];
        others.cx.carrier(own).succeeds().prints(&id);
        others.cx.carrier(["image", "prune", "-a", "-f"]).succeeds();
        others
            .script(&format!("skopeo inspect --raw {format}:{file} >/dev/null || skopeo list-tags docker-archive:{file}"))
            .succeeds();
    }
}

#[test]
fn skopeo_and_umoci_read_the_store() {
    let cx = Cx::with_registry();
    let name = cx.pulled("layered");
    cx.carrier(["tag", &name, "localhost/short:1"]).succeeds();
    let store = cx.store().display().to_string();
    cx.script(&format!(
        "skopeo --insecure-policy copy -q --preserve-digests oci:{store}:localhost/short:1 oci:copied:1 && \
         skopeo inspect --raw oci:copied:1 | sha256sum | cut -d' ' -f1"
    ))
    .succeeds();
    let digest = cx.carrier(["image", "inspect", "-f", "{{.Descriptor.digest}}", &name]);
    let digest = digest.succeeds().text().trim()["sha256:".len()..].to_owned();
    cx.script("skopeo inspect --raw oci:copied:1 | sha256sum")
        .succeeds()
        .shows(&digest);
    // This umoci knows gzip only.
    let simple = cx.pulled("busybox");
    cx.carrier(["tag", &simple, "localhost/simple:1"])
        .succeeds();
    cx.script(&format!("umoci ls --layout {store}"))
        .succeeds()
        .shows("localhost/short:1");
    cx.script(&format!(
        "umoci unpack --rootless --image {store}:localhost/simple:1 bundle 2>&1 && ls bundle/rootfs/bin/busybox"
    ))
    .succeeds()
    .shows("bundle/rootfs/bin/busybox");
}
