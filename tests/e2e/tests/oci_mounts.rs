//! Mounts whose files have other owners, runtime-spec `config.md`, section "POSIX-platform Mounts".
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::{Bundle, Cx, Outcome, is_root, skip};
use serde_json::{Value, json};

/// A directory and a filesystem mounted in it, with a file of user 1000 in each.
const SOURCE: &str = "mkdir -p source/below && mount -t tmpfs none source && mkdir source/below && \
                      mount -t tmpfs none source/below && touch source/file source/below/file && \
                      chown -R 1000:1000 source";

const OWNERS: &str = "busybox stat -c %u:%g /tmp/file /tmp/below/file";

fn ids(inside: u32, outside: u32, count: u32) -> Value {
    json!([{"containerID": inside, "hostID": outside, "size": count}])
}

/// Mounts the source on `/tmp`, with these options and this map for both kinds of ids.
fn mount_source(bundle: &mut Bundle<'_>, options: &[&str], map: Option<&Value>) {
    let mut mount = json!({"destination": "/tmp", "source": "../../source", "options": options});
    if let Some(map) = map {
        mount["uidMappings"] = map.clone();
        mount["gidMappings"] = map.clone();
    }
    set_last_mount(bundle, mount);
}

/// The mount after those that every configuration has.
fn set_last_mount(bundle: &mut Bundle<'_>, mount: Value) {
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.truncate(7);
    mounts.push(mount);
}

fn give_up_user_namespace(bundle: &mut Bundle<'_>) {
    let linux = bundle.config["linux"].as_object_mut().unwrap();
    linux.remove("uidMappings");
    linux.remove("gidMappings");
    let namespaces = linux["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "user");
}

fn run_as_root(cx: &Cx, bundle: &Bundle<'_>, after: &str) -> Outcome {
    bundle.save();
    let run =
        "carrier oci --root run/root-oci --cgroup-manager disabled run -b home/bundle box; code=$?";
    let clean = "rm -r run/root-oci; umount source/below source; exit $code";
    cx.host_script(&format!("{SOURCE} && {run}; {after} {clean}"))
}

#[test]
fn files_of_a_mount_have_the_owners_that_its_map_says() {
    const NAME: &str = "files_of_a_mount_have_the_owners_that_its_map_says";
    if !is_root() {
        return skip(
            NAME,
            "only root may map the ids of a filesystem of the host",
        );
    }
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, OWNERS);
    let users = ids(0, 100_000, 65_536);
    bundle.config["linux"]["uidMappings"] = users.clone();
    bundle.config["linux"]["gidMappings"] = users;
    let to_containers_root = ids(1000, 100_000, 1);
    let nobody = "65534:65534";
    for (options, map, file, below) in [
        (["rbind", "rw"], None, nobody, nobody),
        (["rbind", "idmap"], Some(&to_containers_root), "0:0", nobody),
        (["rbind", "ridmap"], Some(&to_containers_root), "0:0", "0:0"),
        (["rbind", "rw"], Some(&to_containers_root), "0:0", nobody),
        // The container's own map.
        (["rbind", "idmap"], None, "1000:1000", nobody),
        (["rbind", "ridmap"], None, "1000:1000", "1000:1000"),
    ] {
        mount_source(&mut bundle, &options, map);
        let outcome = run_as_root(&cx, &bundle, "").succeeds();
        assert_eq!(
            outcome.text(),
            format!("{file}\n{below}"),
            "{options:?} {map:?}"
        );
    }
}

#[test]
fn a_container_without_a_user_namespace_can_have_its_mounts_mapped() {
    const NAME: &str = "a_container_without_a_user_namespace_can_have_its_mounts_mapped";
    if !is_root() {
        return skip(NAME, "only root can do without a user namespace");
    }
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, &format!("{OWNERS}; touch /tmp/new"));
    give_up_user_namespace(&mut bundle);
    let map = ids(1000, 0, 1);
    mount_source(&mut bundle, &["rbind", "ridmap"], Some(&map));
    // What root writes belongs to whom the map says, in the other direction.
    let look = "stat -c %u:%g source/new;";
    let outcome = run_as_root(&cx, &bundle, look).succeeds();
    outcome.prints("0:0\n0:0\n1000:1000");
    mount_source(&mut bundle, &["rbind", "ridmap", "rro"], Some(&map));
    let outcome = run_as_root(&cx, &bundle, "").exits_with(1);
    assert!(
        outcome.errors().contains("Read-only file system"),
        "{outcome:?}"
    );
    // A copy of a shared mount is not a peer of it: what is mounted inside stays inside.
    bundle.config["process"]["args"] = json!(["sh", "-c", "mount -t tmpfs none /tmp/below"]);
    bundle.config["process"]["capabilities"]["effective"] = json!(["CAP_SYS_ADMIN"]);
    bundle.config["process"]["capabilities"]["permitted"] = json!(["CAP_SYS_ADMIN"]);
    bundle.config["process"]["capabilities"]["bounding"] = json!(["CAP_SYS_ADMIN"]);
    mount_source(&mut bundle, &["rbind", "ridmap", "rshared"], Some(&map));
    bundle.save();
    let run = "carrier oci --root run/root-oci --cgroup-manager disabled run -b home/bundle box; ls source/below; \
               rm -r run/root-oci; umount source/below source";
    let shared = format!("{SOURCE} && mount --make-rshared source && {run}");
    cx.host_script(&shared).succeeds().prints("file");
}

#[test]
fn who_may_not_map_ids_hears_why() {
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, "true");
    std::fs::create_dir(cx.home().join("../source")).unwrap();
    mount_source(&mut bundle, &["bind", "idmap"], Some(&ids(0, 0, 1)));
    let outcome = bundle.run().exits_with(1);
    let expected =
        "mounts[7].uidMappings: cannot map the ids of ../../source: only who has privileges";
    assert!(outcome.errors().contains(expected), "{outcome:?}");
}

#[test]
fn maps_that_mean_nothing_are_refused_by_name() {
    let cx = Cx::new();
    let mut bundle = Bundle::new(&cx, "true");
    let map = ids(0, 0, 1);
    let mut refused = |mount: Value, expected: &str| {
        set_last_mount(&mut bundle, mount);
        let outcome = bundle.run().exits_with(1);
        assert!(outcome.errors().contains(expected), "{outcome:?}");
    };
    refused(
        json!({"destination": "/tmp", "source": "/tmp", "options": ["bind", "idmap"], "uidMappings": map}),
        "mounts[7].gidMappings is invalid: it is required beside uidMappings",
    );
    refused(
        json!({"destination": "/tmp", "type": "tmpfs", "uidMappings": map, "gidMappings": map}),
        "mounts[7] is invalid: only bind mounts can have their ids mapped",
    );
    give_up_user_namespace(&mut bundle);
    mount_source(&mut bundle, &["bind", "idmap"], None);
    let outcome = bundle.run().exits_with(1);
    let expected = "mounts[7].options is invalid: idmap without uidMappings";
    assert!(outcome.errors().contains(expected), "{outcome:?}");
}
