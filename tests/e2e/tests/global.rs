//! Options before the verb, which hold for all of them, and `carrier version`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use carrier_e2e::Cx;

#[test]
fn containers_live_in_the_root_that_is_named() {
    let cx = Cx::with_registry();
    let image = cx.image("busybox");
    let (root, runroot) = (cx.home().join("other"), cx.home().join("otherrun"));
    cx.script("mkdir -m 700 ~/otherrun").succeeds();
    let (root, runroot) = (root.display().to_string(), runroot.display().to_string());
    let there = |words: &[&str]| {
        let options = ["--root", &root, "--runroot", &runroot];
        cx.carrier(options.into_iter().chain(words.iter().copied()))
    };
    there(&["pull", "-q", &image]).succeeds();
    there(&["network", "create", "lan"]).succeeds();
    there(&[
        "run",
        "-d",
        "--name",
        "box",
        "--network",
        "lan",
        &image,
        "sleep",
        "600",
    ])
    .succeeds();
    there(&["exec", "box", "true"]).succeeds();
    there(&["ps", "--format", "{{.Names}}"])
        .succeeds()
        .prints("box");
    there(&["info", "-f", "{{.DockerRootDir}}"])
        .succeeds()
        .prints(&root);
    there(&[
        "__complete",
        "--",
        "--root",
        &root,
        "--runroot",
        &runroot,
        "stop",
        "",
    ])
    .succeeds()
    .shows("box\t");
    cx.carrier(["ps", "-aq"]).succeeds().prints("");
    cx.script("ls $XDG_RUNTIME_DIR/carrier | grep -v events; ls ~/otherrun/carrier-*/events.jsonl")
        .succeeds()
        .shows("/otherrun/carrier-");
    there(&["rm", "-f", "box"]).succeeds();
    there(&["network", "rm", "lan"]).succeeds();
    there(&["system", "reset", "-f"]).succeeds();
    cx.assert_nothing_is_left();
}

#[test]
fn two_roots_do_not_disturb_each_other() {
    let cx = Cx::with_registry();
    let image = cx.pulled("busybox");
    let root = cx.home().join("other").display().to_string();
    // By way of a link it is the same one.
    cx.script("ln -s . ~/here").succeeds();
    let link = cx.home().join("here/other").display().to_string();
    let there =
        |words: &[&str]| cx.carrier(["--root", &link].into_iter().chain(words.iter().copied()));
    let at = |root: &str, words: &[&str]| {
        cx.carrier(["--root", root].into_iter().chain(words.iter().copied()))
    };
    at(&root, &["pull", "-q", &image]).succeeds();
    let box_of = |words: &str| format!("run -d --name box {image} sh -c {words}");
    for (carrier, said) in [("carrier", "here"), ("carrier --root ~/other", "there")] {
        let run = box_of(&format!("'echo {said} >/etc/hosts; sleep 612'"));
        cx.script(&format!("{carrier} {run}")).succeeds();
    }
    let hosts = ["exec", "box", "cat", "/etc/hosts"];
    cx.carrier(hosts).succeeds().prints("here");
    at(&root, &hosts).succeeds().prints("there");
    let seen = [
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "--filter",
        "event=start",
    ];
    assert_eq!(there(&seen).succeeds().text().lines().count(), 1);
    assert_eq!(cx.carrier(seen).succeeds().text().lines().count(), 1);
    // Everything of one goes, and nothing of the other.
    there(&["system", "reset", "-f"]).succeeds();
    cx.carrier(hosts).succeeds().prints("here");
    assert_eq!(cx.carrier(seen).succeeds().text().lines().count(), 1);
    cx.script("ls $XDG_RUNTIME_DIR")
        .succeeds()
        .shows("carrier-");
    cx.carrier(["rm", "-f", "box"]).succeeds();
    cx.assert_nothing_is_left();
}

#[test]
fn a_directory_with_other_things_is_no_root() {
    let cx = Cx::new();
    cx.script("echo mine > ~/letter").succeeds();
    let home = cx.home().display().to_string();
    for verb in [&["ps"][..], &["system", "reset", "-f"]] {
        let words = ["--root", &home].into_iter().chain(verb.iter().copied());
        cx.carrier(words)
            .exits_with(125)
            .complains("has other things in it");
    }
    cx.script("cat ~/letter").succeeds().prints("mine");
}

#[test]
fn the_level_says_how_much_is_said() {
    let cx = Cx::new();
    let warned = ["run", "--rm", "--kernel-memory", "64m", "hello"];
    let with =
        |options: &[&'static str]| cx.carrier(options.iter().copied().chain(warned)).succeeds();
    with(&[]).warns("--kernel-memory has no effect");
    let quiet = with(&["--log-level", "error"]);
    assert!(!format!("{quiet:?}").contains("warning: "), "{quiet:?}");
    let chatty = format!("{:?}", with(&["-l", "debug"]));
    assert!(chatty.contains("debug: the store is /"), "{chatty}");
    assert!(chatty.contains("debug: container "), "{chatty}");
    for decision in [
        "debug: the root is the kernel's overlay",
        "debug: the uplink is /usr/bin/slirp4netns, the first that can be used",
    ] {
        assert!(chatty.contains(decision), "{decision}: {chatty}");
    }
    assert!(!format!("{:?}", with(&[])).contains("debug: "));
    cx.carrier(["network", "create", "shared"]).succeeds();
    let shared = cx.carrier(["-D", "run", "--rm", "--network", "shared", "hello"]);
    let shared = shared.succeeds().errors().to_owned();
    let decision = "debug: the uplink is that of all networks, slirp4netns";
    assert!(shared.contains(decision), "{shared}");
    cx.carrier(["network", "rm", "shared"]).succeeds();
    cx.carrier(["-D", "ps"]).succeeds().hides("debug");
    cx.carrier(["--log-level", "loud", "ps"])
        .exits_with(125)
        .complains("--log-level cannot be \"loud\"");
    cx.assert_nothing_is_left();
}

#[test]
fn version_has_dockers_shape_and_makes_nothing() {
    let cx = Cx::new();
    let version = cx.carrier(["--version"]).succeeds().text().to_owned();
    let number = version.strip_prefix("carrier ").unwrap();
    for word in ["-v", "-V"] {
        cx.carrier([word]).succeeds().prints(&version);
    }
    for field in ["{{.Server.Version}}", "{{.Client.Version}}"] {
        cx.carrier(["version", "--format", field])
            .succeeds()
            .prints(number);
    }
    let others = "{{.Client.APIVersion}}{{.Server.APIVersion}}{{.Server.GoVersion}}\
                  {{.Server.Platform.Name}} {{.Client.Context}}";
    cx.carrier(["version", "-f", others])
        .succeeds()
        .prints("Carrier default");
    cx.carrier(["version", "-f", "json"])
        .succeeds()
        .shows("\"KernelVersion\":\"");
    cx.carrier(["version"])
        .succeeds()
        .shows(&format!("Version:  {number}\n"));
    assert!(!cx.store().exists());
}
