//! Devices of the host, groups, and which id the caller has: `--device`, `--group-add`, `--userns`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use carrier_e2e::{Cx, Outcome, is_root, skip};

fn sh(cx: &Cx, options: &[&str], image: &str, script: &str) -> Outcome {
    let head = ["run", "--rm"].iter().chain(options).copied();
    cx.carrier(head.chain([image, "sh", "-c", script]))
}

/// The ordinary user's ids.
fn ids(cx: &Cx) -> (String, String) {
    let id = |flag: &str| {
        cx.script(&format!("id {flag}"))
            .succeeds()
            .text()
            .trim()
            .to_owned()
    };
    (id("-u"), id("-g"))
}

#[test]
fn n06_a_device_is_there_when_it_was_asked_for() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let listed = "ls /dev";
    let without = sh(&cx, &[], &image, listed).succeeds();
    assert_eq!(
        without
            .text()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" "),
        "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    );
    let script =
        "test -c /dev/own/zero && head -c 3 /dev/own/zero | wc -c; stat -c %t:%T /dev/own/zero";
    sh(
        &cx,
        &["--device", "/dev/zero:/dev/own/zero"],
        &image,
        script,
    )
    .succeeds()
    .prints("3\n1:5");
    sh(
        &cx,
        &["--device", "/dev/fuse:rw"],
        &image,
        "test -c /dev/fuse",
    )
    .succeeds();
    // A link is a name for what it points to.
    cx.script("ln -s /dev/full link").succeeds();
    let link = format!("{}/link:/dev/link", cx.script("pwd").text().trim());
    sh(
        &cx,
        &["--device", &link],
        &image,
        "test -c /dev/link && ! echo x > /dev/link",
    )
    .succeeds();
    let config = "{{range .HostConfig.Devices}}{{.PathOnHost}} {{.PathInContainer}} {{.CgroupPermissions}}{{end}}";
    cx.carrier([
        "create",
        "--name",
        "box",
        "--device",
        "/dev/fuse",
        &image,
        "true",
    ])
    .succeeds();
    cx.carrier(["inspect", "-f", config, "box"])
        .prints("/dev/fuse /dev/fuse rwm");
    cx.carrier(["rm", "box"]).succeeds();
}

#[test]
fn what_is_no_device_or_cannot_be_limited_is_refused() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    for (device, expected) in [
        ("/dev/none", "No such file"),
        ("/etc/passwd", "not a device node"),
        ("/dev/fuse:r", "only root of the host can forbid"),
        ("/dev/fuse:/dev/x:frob", "letters of rwm"),
        ("vendor.com/gpu=all", "CDI"),
    ] {
        let refused = sh(&cx, &["--device", device], &image, "true").exits_with(125);
        assert!(refused.errors().contains(expected), "{refused:?}");
    }
}

#[test]
fn groups_are_added_by_name_and_by_number() {
    let cx = Cx::with_registry();
    let image = cx.pulled("layered");
    sh(
        &cx,
        &[
            "-u",
            "1000:1000",
            "--group-add",
            "wheel",
            "--group-add",
            "77",
        ],
        &image,
        "id -G",
    )
    .succeeds()
    .prints("1000 10 77");
    let unknown = sh(&cx, &["--group-add", "nobodys"], &image, "true").exits_with(125);
    assert!(
        unknown.errors().contains("unable to find group nobodys"),
        "{unknown:?}"
    );
    let both = ["--group-add", "keep-groups", "--group-add", "77"];
    sh(&cx, &both, &image, "true").exits_with(125);
}

#[test]
fn groups_of_the_host_are_kept_where_that_is_asked_for() {
    const NAME: &str = "groups_of_the_host_are_kept_where_that_is_asked_for";
    if !is_root() {
        return skip(NAME, "only root gives groups");
    }
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let user = "setpriv --reuid carrier-test --regid carrier-test --groups 54321";
    let run = |options: &str| {
        let script = format!(
            "echo secret > f && chgrp 54321 f && chmod 040 f && \
             {user} carrier run --rm -v ./f:/f -u 1000:1000 {options} {image} cat /f"
        );
        cx.host_script(&script)
    };
    run("--group-add keep-groups").succeeds().prints("secret");
    run("").exits_with(1);
}

#[test]
fn containers_with_one_network_have_the_same_users() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let _owner = cx.running("owner", ["--userns", "keep-id", &image, "sleep", "1000"]);
    let shared = ["run", "--rm", "--network", "container:owner"];
    let uid = cx.script("id -u").succeeds().text().to_owned();
    cx.carrier(shared.into_iter().chain([image.as_str(), "id", "-u"]))
        .succeeds()
        .prints(&uid);
    let other = ["--userns", "host", &image, "true"];
    let refused = cx.carrier(shared.into_iter().chain(other)).exits_with(125);
    let words = "cannot be had with the network of container owner, which has --userns keep-id";
    assert!(refused.errors().contains(words), "{refused:?}");
    assert!(refused.errors().contains("hint: leave --userns out"));
}

#[test]
fn with_keep_id_the_caller_is_who_he_is() {
    let cx = Cx::with_registry();
    let image = cx.pulled("layered");
    let (uid, gid) = ids(&cx);
    cx.script("mkdir d && touch d/mine").succeeds();
    let look = "id -u; id -g; stat -c %u:%g /etc/passwd / /x /x/mine; touch /x/new; ! touch /etc/new 2>/dev/null";
    sh(&cx, &["--userns", "keep-id", "-v", "./d:/x"], &image, look)
        .succeeds()
        .prints(&format!("{uid}\n{gid}\n0:0\n0:0\n{uid}:{gid}\n{uid}:{gid}"));
    let owner = |name: &str| {
        let here = cx.script("pwd").text().trim().to_owned();
        fs::metadata(format!("{here}/d/{name}"))
            .unwrap()
            .uid()
            .to_string()
    };
    assert_eq!(owner("new"), uid);
    // With the host's network, and without any.
    for mode in ["host", "none"] {
        let options = ["--userns", "keep-id", "--network", mode];
        sh(&cx, &options, &image, "id -u").succeeds().prints(&uid);
    }
    // Another number, and another user: whose files are not the caller's.
    let other = ["--userns", "keep-id:uid=1000,gid=1000", "-v", "./d:/x"];
    sh(
        &cx,
        &other,
        &image,
        "id -u; stat -c %u /x/mine; touch /x/also",
    )
    .succeeds()
    .prints("1000\n1000");
    assert_eq!(owner("also"), uid);
    let root = ["--userns", "keep-id", "-u", "0", "-v", "./d:/x"];
    sh(
        &cx,
        &root,
        &image,
        "id -u; touch /x/roots && touch /etc/new && stat -c %u /etc/new",
    )
    .succeeds()
    .prints("0\n0");
    assert_ne!(owner("roots"), uid);
}

#[test]
fn the_caller_is_in_the_files_of_users_and_groups() {
    const NAME: &str = "the_caller_is_in_the_files_of_users_and_groups";
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let (uid, gid) = ids(&cx);
    if uid == "1000" {
        return skip(NAME, "the image has a user with the caller's id");
    }
    let (name, group) = (cx.script("id -un"), cx.script("id -gn"));
    let (name, group) = (name.text(), group.text());
    let kept = |options: &[&str], script: &str| {
        let options = [&["--userns", "keep-id"], options].concat();
        sh(&cx, &options, &image, script).succeeds()
    };
    let look = "tail -n 1 /etc/passwd; tail -n 1 /etc/group; id -un; id -gn; echo $HOME; stat -c %u:%g:%a /etc/passwd /etc";
    kept(&[], look).prints(&format!(
        "{name}:*:{uid}:{gid}::/:/bin/sh\n{group}:x:{gid}:{name}\n{name}\n{group}\n/\n0:0:644\n0:0:755"
    ));
    // Its first lines are the image's.
    kept(&[], "head -n 2 /etc/passwd | cut -d: -f1").prints("root\napp");
    let home = cx.script("getent passwd $(id -u) | cut -d: -f6");
    let own = format!("own:{}", home.text());
    for (options, expected) in [
        (&["-w", "/tmp"][..], "/tmp"),
        (&["-v", &own, "-w", "/tmp"], home.text()),
        (&["-e", "HOME=/elsewhere"], "/elsewhere"),
        (&["-u", name, "-w", "/tmp"], "/tmp"),
    ] {
        kept(options, "echo $HOME").prints(expected);
    }
    let other = ["--userns", "keep-id:uid=77,gid=78"];
    sh(
        &cx,
        &other,
        &image,
        "tail -n 1 /etc/passwd; tail -n 1 /etc/group",
    )
    .succeeds()
    .prints("77:*:77:78:container user:/:/bin/sh\n78:x:78:77");
    // Whoever is there already stays, and so does a file of the user's own.
    let app = ["--userns", "keep-id:uid=1000,gid=1000"];
    sh(&cx, &app, &image, "grep -c . /etc/passwd; id -un")
        .succeeds()
        .prints("2\napp");
    cx.script("echo mine:x:0:0::/:/bin/sh >passwd").succeeds();
    kept(&["-v", "./passwd:/etc/passwd"], "cat /etc/passwd").prints("mine:x:0:0::/:/bin/sh");
    sh(&cx, &[], &image, "grep -c . /etc/passwd")
        .succeeds()
        .prints("2");

    // What the container makes of the file is there at its next start.
    let change = "echo new:x:9:9::/:/bin/sh >>/etc/passwd; cp /etc/passwd /etc/p; mv /etc/p /etc/passwd; grep -c . /etc/passwd";
    let words = [
        "run", "--name", "again", "--userns", "keep-id", "-u", "0", &image,
    ];
    cx.carrier(words.into_iter().chain(["sh", "-c", change]))
        .succeeds()
        .prints("4");
    cx.carrier(["start", "-a", "again"]).succeeds().prints("5");
    cx.carrier(["rm", "again"]).succeeds();
    cx.carrier(["volume", "prune", "-af"]).succeeds();
    cx.assert_nothing_is_left();
}

#[test]
fn a_container_with_keep_id_is_like_any_other() {
    let cx = Cx::with_registry();
    let image = cx.pulled("layered");
    let (uid, gid) = ids(&cx);
    let box_ = cx.running("box", ["--userns", "keep-id", &image, "sleep", "300"]);
    cx.carrier(["exec", "box", "id", "-u"])
        .succeeds()
        .prints(&uid);
    cx.carrier(["exec", "-u", "0", "box", "sh", "-c", "echo x > /etc/new"])
        .succeeds();
    cx.carrier(["exec", "box", "sh", "-c", "echo y > /tmp/own"])
        .succeeds();
    cx.carrier(["diff", "box"]).succeeds().shows("A /etc/new");
    cx.script("carrier cp box:/tmp/own - | tar -tv --numeric-owner -f - | awk '{print $2}'")
        .succeeds()
        .prints(&format!("{uid}/{gid}"));
    cx.script("echo in > in && carrier cp in box:/tmp/in")
        .succeeds();
    cx.carrier(["exec", "box", "cat", "/tmp/in"])
        .succeeds()
        .prints("in");
    cx.carrier(["commit", "-q", "box", "kept"]).succeeds();
    sh(&cx, &[], "kept", "stat -c %u:%g /etc/new /tmp/own")
        .succeeds()
        .prints(&format!("0:0\n{uid}:{gid}"));
    drop(box_);
    cx.carrier(["system", "check"]).succeeds();
    cx.carrier(["system", "prune", "-f"]).succeeds();
    cx.carrier(["inspect", "box"]).exits_with(1);
}

#[test]
fn volumes_of_a_container_with_keep_id_are_filled_for_it() {
    let cx = Cx::with_registry();
    let image = cx.pulled("layered");
    let (uid, _) = ids(&cx);
    sh(
        &cx,
        &["--userns", "keep-id", "-v", "data:/etc"],
        &image,
        "stat -c %u /etc/passwd /etc",
    )
    .succeeds()
    .prints("0\n0");
    sh(
        &cx,
        &["--userns", "keep-id", "-v", "own:/own:U"],
        &image,
        "touch /own/f && stat -c %u /own",
    )
    .succeeds()
    .prints(&uid);
    cx.carrier(["volume", "prune", "-af"]).succeeds();
}

#[test]
fn other_modes_are_refused_with_the_reason() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    sh(&cx, &["--userns", "host"], &image, "id -u")
        .succeeds()
        .prints("0");
    for mode in ["nomap", "auto", "container:x", "frob", "keep-id:frob=1"] {
        let refused = sh(&cx, &["--userns", mode], &image, "true").exits_with(125);
        assert!(
            refused.errors().contains("hint: modes are host"),
            "{refused:?}"
        );
    }
}
