//! `carrier system`: what everything takes, what may go, the end of it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{Cx, Image, Layer, Registry};
use serde_json::{Value, json};

/// Two images that share a layer, pulled.
fn two_images(cx: &Cx) -> (Registry, String, String) {
    let registry = Registry::empty();
    let base = Layer::new().file("base", "b".repeat(100_000));
    for name in ["alpha", "beta"] {
        let own = Layer::new().file(name, name.repeat(10_000));
        Image::new(vec![base.clone(), own], json!({ "Cmd": ["/none"] })).push(
            registry.host(),
            name,
            "latest",
        );
    }
    let [alpha, beta] = ["alpha", "beta"].map(|name| registry.reference(&format!("{name}:latest")));
    cx.carrier(["pull", "-q", &alpha]).succeeds();
    cx.carrier(["pull", "-q", &beta]).succeeds();
    (registry, alpha, beta)
}

fn rows(cx: &Cx) -> Vec<Value> {
    let printed = cx.carrier(["system", "df", "--format", "json"]).succeeds();
    let lines = printed.text().lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn df_counts_what_is_shared_once() {
    let cx = Cx::new();
    let (_registry, alpha, _beta) = two_images(&cx);
    cx.carrier(["system", "df"])
        .succeeds()
        .shows("TYPE")
        .shows("RECLAIMABLE")
        .shows("Local Volumes");
    let before = rows(&cx);
    assert_eq!(before[0]["Type"], "Images");
    assert_eq!(before[0]["TotalCount"], "2");
    // 100 kB that they share, 50 kB and 40 kB of their own, and some blobs.
    let size = before[0]["Size"].as_str().unwrap();
    let kilobytes: f64 = size.trim_end_matches("kB").parse().unwrap();
    assert!((190.0..200.0).contains(&kilobytes), "{size}");
    assert!(
        before[0]["Reclaimable"]
            .as_str()
            .unwrap()
            .ends_with("(100%)")
    );
    cx.carrier(["system", "df", "-v"])
        .succeeds()
        .shows("SHARED SIZE")
        .shows("alpha");
    cx.carrier(["rmi", &alpha]).succeeds();
    assert_eq!(rows(&cx)[0]["TotalCount"], "1");
}

#[test]
fn prune_asks_and_removes_what_nothing_needs() {
    let cx = Cx::with_registry();
    let busybox = cx.pulled("busybox");
    let (_registry, alpha, _beta) = two_images(&cx);
    cx.carrier([
        "run",
        "--name",
        "ended",
        &busybox,
        "sh",
        "-c",
        "echo 1234 > /f",
    ])
    .succeeds();
    let used = rows(&cx);
    assert_eq!(used[0]["Active"], "1");
    assert_eq!(used[1]["Size"], "5B");
    let asked = cx.carrier_with_input(["system", "prune", "-a"], "n\n");
    asked
        .succeeds()
        .shows("WARNING! This will remove:")
        .hides("Total reclaimed");
    cx.carrier(["system", "prune", "-f", "--volumes", "--filter", "until=1h"])
        .exits_with(125)
        .complains("not supported with");
    cx.carrier(["system", "prune", "-f", "--filter", "dangling=true"])
        .exits_with(125)
        .complains("invalid filter 'dangling'");
    for kept in ["until=1h", "label=keep"] {
        cx.carrier_with_input(["system", "prune", "--filter", kept], "y\n")
            .succeeds()
            .shows(&format!("filtered with:\n  - {kept}"))
            .shows("Total reclaimed space: 0B");
    }
    let pruned = cx.carrier_with_input(["system", "prune"], "y\n").succeeds();
    pruned
        .shows("Deleted Containers:")
        .shows("Total reclaimed space: 5B");
    assert_eq!(rows(&cx)[0]["TotalCount"], "3");
    cx.carrier(["system", "prune", "-a", "-f"])
        .succeeds()
        .shows(&format!("untagged: {alpha}"))
        .shows("deleted: sha256:");
    let left = rows(&cx);
    assert_eq!(left[0]["TotalCount"], "0");
    assert_eq!(left[0]["Size"], "0B");
    cx.carrier(["system", "check", "--deep"])
        .succeeds()
        .prints("");
}

#[test]
fn reset_is_refused_while_containers_run_and_works_when_the_store_is_damaged() {
    let cx = Cx::with_registry();
    let busybox = cx.pulled("busybox");
    let mut running = cx.start(["run", "--name", "running", &busybox, "sleep", "60"]);
    cx.script("until carrier ls -c -q | grep -q .; do sleep 0.05; done")
        .succeeds();
    cx.carrier_with_input(["system", "reset"], "y\n")
        .exits_with(125)
        .complains("1 containers are running");
    cx.script("cd ~/.local/share/carrier && rm oci-layout && echo x > images/x && chmod 0 layers")
        .succeeds();
    cx.carrier(["system", "reset", "-f"])
        .succeeds()
        .shows("Removed everything in ");
    assert_eq!(running.wait().unwrap().code(), Some(137));
    cx.script("find ~/.local/share/carrier $XDG_RUNTIME_DIR/carrier -mindepth 1 | wc -l")
        .succeeds()
        .prints("0");
    let again = cx.pulled("busybox");
    cx.carrier(["run", "--rm", &again, "true"]).succeeds();
}

#[test]
fn a_check_has_nothing_to_say_about_what_carrier_itself_has_made() {
    let cx = Cx::with_registry();
    for name in ["busybox", "layered", "many-layers", "docker-schema2"] {
        let image = cx.pulled(name);
        cx.carrier(["tag", &image, &format!("{name}:second")])
            .succeeds();
        cx.carrier(["untag", &image, &image]).succeeds();
    }
    cx.carrier(["run", "hello"]).succeeds();
    let script = "carrier save -o docker.tar layered:second && \
                  carrier save --format oci-archive -o oci.tar busybox:second && \
                  carrier rmi layered:second busybox:second && \
                  carrier load -q -i docker.tar && carrier load -q -i oci.tar && \
                  tar -c -C /etc hostname | carrier import - imported:1 && \
                  rm docker.tar oci.tar";
    cx.script(script).succeeds();
    for depth in ["--quick", "--deep"] {
        cx.carrier(["system", "check", depth]).succeeds().prints("");
    }
    cx.carrier(["rm", "-c"]).succeeds();
}

#[test]
fn info_tells_facts_in_every_format() {
    let cx = Cx::new();
    cx.carrier(["info"])
        .succeeds()
        .shows("Images: 0\n")
        .shows("Carrier Root Dir: ");
    let json = cx
        .carrier(["system", "info", "--format", "json"])
        .succeeds();
    let json: Value = serde_json::from_str(json.text()).unwrap();
    assert_eq!(json["OSType"], "linux");
    for (template, expected) in [
        (
            "{{.Containers}} {{.ContainersPaused}} {{.OSType}}",
            "0 0 linux",
        ),
        ("{{.Architecture}}", std::env::consts::ARCH),
        (
            "{{.ID}}{{.Swarm.LocalNodeState}} {{.Warnings}}",
            "inactive []",
        ),
        (
            "{{.LoggingDriver}} {{.DefaultRuntime}}",
            "json-file carrier",
        ),
        (
            "{{range $name, $it := .Runtimes}}{{$name}}{{end}}",
            "carrier",
        ),
        ("{{.IndexServerAddress}}", "https://index.docker.io/v1/"),
        (
            "{{range .DriverStatus}}x{{end}}{{.ClientInfo.Context}}",
            "default",
        ),
    ] {
        cx.carrier(["info", "-f", template])
            .succeeds()
            .prints(expected);
    }
    let driver = json["CgroupDriver"].as_str().unwrap();
    assert!(
        ["cgroupfs", "systemd", "none"].contains(&driver),
        "{driver}"
    );
    assert_eq!(json["ClientInfo"]["Version"], json["ServerVersion"]);
    assert!(json["SystemTime"].as_str().unwrap().ends_with('Z'));
}
