//! Things that go wrong: one line, one hint, exit code 125, and nothing left.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{Cx, Fault, FaultyRegistry, Image, Layer, is_root, skip};
use serde_json::json;

fn image() -> Image {
    let noise: Vec<u8> = (0..200_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    Image::new(
        vec![Layer::new().file("f", noise)],
        json!({ "Cmd": ["/f"] }),
    )
}

#[test]
fn wrong_bytes_are_refused() {
    let cx = Cx::new();
    let registry = FaultyRegistry::serve(&image(), Fault::WrongBytes);
    cx.carrier(["pull", &registry.image()])
        .exits_with(125)
        .complains("layer");
    cx.carrier(["ls", "-i", "-q"]).succeeds().prints("");
}

#[test]
fn a_layer_that_ends_early_is_tried_again_and_then_refused() {
    let cx = Cx::new();
    let registry = FaultyRegistry::serve(&image(), Fault::Truncated);
    cx.carrier(["run", "--rm", &registry.image()])
        .exits_with(125)
        .complains("layer");
    cx.carrier(["ls", "-i", "-q"]).succeeds().prints("");
}

#[test]
fn an_image_that_is_nowhere_is_not_found() {
    let cx = Cx::with_registry();
    let unknown = cx.image("unknown");
    cx.carrier(["pull", &unknown])
        .exits_with(125)
        .complains("not found");
    cx.carrier(["run", "--rm", &unknown, "true"])
        .exits_with(125)
        .complains("not found");
}

#[test]
fn a_registry_that_is_not_there_is_named() {
    let cx = Cx::new();
    cx.carrier(["pull", "127.0.0.1:1/x"])
        .exits_with(125)
        .complains("cannot connect to registry 127.0.0.1:1: Connection refused");
}

#[test]
fn nonsense_is_refused_before_anything_happens() {
    let cx = Cx::new();
    cx.carrier(["pull", "NGINX"]).exits_with(125);
    cx.carrier(["run", "--rm", "--network", "bogus", "x"])
        .exits_with(125)
        .complains("no such network: bogus");
    cx.carrier(["run", "--rm", "--cap-add", "bogus", "x"])
        .exits_with(125)
        .complains("capability");
    let unconfined = ["apparmor=unconfined", "label=disable", "label:disable"];
    for option in unconfined {
        cx.carrier(["run", "--rm", "--security-opt", option, "hello"])
            .succeeds();
    }
    cx.carrier(["run", "--rm", "--security-opt", "bogus", "x"])
        .exits_with(125)
        .complains("security");
    cx.carrier(["run", "--frobnicate", "x"]).exits_with(125);
}

/// Runs a script in which the host looks otherwise; only root can arrange that.
fn on_a_host_where(cx: &Cx, arrangement: &str, arguments: &str) -> carrier_e2e::Outcome {
    let script = format!(
        "{arrangement} && exec setpriv --reuid carrier-test --regid carrier-test --init-groups \
         carrier {arguments}"
    );
    cx.host_script(&script)
}

#[test]
fn a_missing_helper_is_named_with_its_package() {
    const NAME: &str = "a_missing_helper_is_named_with_its_package";
    if !is_root() {
        return skip(NAME, "only root can hide newuidmap");
    }
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let hide = "mount -t tmpfs none /mnt && mkdir /mnt/u /mnt/w && \
                mount -t overlay none -o lowerdir=/usr/bin,upperdir=/mnt/u,workdir=/mnt/w /usr/bin && \
                rm /usr/bin/newuidmap";
    on_a_host_where(&cx, hide, &format!("run --rm {image} true"))
        .exits_with(125)
        .complains("newuidmap is not installed");
}

#[test]
fn beside_a_container_that_runs_no_helper_is_needed_for_the_ids() {
    const NAME: &str = "beside_a_container_that_runs_no_helper_is_needed_for_the_ids";
    if !is_root() {
        return skip(NAME, "only root can replace newuidmap");
    }
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let broken = "mount --bind /bin/false /usr/bin/newuidmap";
    let run = format!("run --rm {image} true");
    cx.carrier(["run", "-d", "--name", "first", &image, "sleep", "2003"])
        .succeeds();
    on_a_host_where(&cx, broken, &run).succeeds();
    cx.carrier(["rm", "-f", "first"]).succeeds();
    on_a_host_where(&cx, broken, &run)
        .exits_with(125)
        .complains("newuidmap refused the id map");
}

#[test]
fn without_subordinate_ids_only_images_of_one_owner_work() {
    const NAME: &str = "without_subordinate_ids_only_images_of_one_owner_work";
    if !is_root() {
        return skip(NAME, "only root can change /etc/subuid");
    }
    let cx = Cx::with_registry();
    let empty = "mount --bind /dev/null /etc/subuid && mount --bind /dev/null /etc/subgid";
    let image = cx.image("busybox");
    on_a_host_where(&cx, empty, &format!("pull {image}"))
        .exits_with(125)
        .complains("belongs to 1000:1000, which is not mapped");
    on_a_host_where(&cx, empty, "run --rm hello")
        .succeeds()
        .shows("Hello");
    on_a_host_where(&cx, empty, "run --rm -u 5 hello")
        .exits_with(125)
        .complains("user 5 is not mapped");
}

#[test]
fn n10_subordinate_ids_that_somebody_else_has_are_refused() {
    const NAME: &str = "n10_subordinate_ids_that_somebody_else_has_are_refused";
    if !is_root() {
        return skip(NAME, "only root can change /etc/subuid");
    }
    let cx = Cx::with_registry();
    let image = cx.image("busybox");
    let as_the_host_says = |subuid: &str, subgid: &str, environment: &str, arguments: &str| {
        let subuid = cx.file("subuid", subuid);
        let subgid = cx.file("subgid", subgid);
        let shared = format!(
            "mount --bind {subuid} /etc/subuid && mount --bind {subgid} /etc/subgid && export {environment}"
        );
        on_a_host_where(&cx, &shared, arguments)
    };
    let (own, unset) = ("carrier-test:100000:65536\n", "NOTHING=1");
    let overlap = "carrier-test:100000:65536\nsomebody:160000:65536\n";
    let message =
        "subordinate user ids 100000-165535 of carrier-test overlap 160000-225535 of somebody";
    let run = "run --rm hello";
    for arguments in [run, &format!("pull {image}")] {
        let outcome = as_the_host_says(overlap, own, unset, arguments).exits_with(125);
        outcome.complains(message).prints("");
    }
    let message = "subordinate group ids 65000-66000 of carrier-test contain 65534, which is group";
    let outcome = as_the_host_says(own, "carrier-test:65000:1001\n", unset, run);
    outcome.exits_with(125).complains(message);
    // What is there can be seen and removed.
    as_the_host_says(overlap, own, unset, "ls -a").succeeds();
    let allowed = as_the_host_says(overlap, own, "CARRIER_ALLOW_SHARED_IDS=1", run);
    allowed.succeeds().shows("Hello");
    as_the_host_says(own, own, unset, run).succeeds();
}

#[test]
fn a_home_that_cannot_be_written_is_named() {
    const NAME: &str = "a_home_that_cannot_be_written_is_named";
    if !is_root() {
        return skip(NAME, "only root can mount a file system read-only");
    }
    let cx = Cx::with_registry();
    let image = cx.image("busybox");
    on_a_host_where(
        &cx,
        "mount -t tmpfs -o ro none $HOME",
        &format!("pull {image}"),
    )
    .exits_with(125)
    .complains("Read-only file system");
}

#[test]
fn a_full_disk_leaves_nothing_half_done() {
    const NAME: &str = "a_full_disk_leaves_nothing_half_done";
    if !is_root() {
        return skip(NAME, "only root can mount a small file system");
    }
    let cx = Cx::with_registry();
    let image = cx.image("debian-redis");
    let small = "mount -t tmpfs -o size=20m,mode=777 none $HOME";
    let look = "find .local/share/carrier/staging -mindepth 1";
    let script = format!(
        "{small} && cd && {{ setpriv --reuid carrier-test --regid carrier-test \
         --init-groups carrier pull {image}; code=$?; {look}; exit $code; }}"
    );
    let outcome = cx.host_script(&script).exits_with(125);
    outcome.complains("No space left").prints("");
}
