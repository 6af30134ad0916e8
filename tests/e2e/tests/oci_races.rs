//! Attacks of the catalogue that exchange names while the runtime works.
//!
//! An attacker shares a directory with a container that is being made, as two containers share a volume,
//! and exchanges names in it. Every round has to make a container or to fail cleanly, and nothing outside
//! may change.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test explains itself by its name"
)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use carrier_e2e::{Bundle, Canary, Cx, Exchange, Outcome, rounds};
use serde_json::{Value, json};

/// A directory of the ordinary user's that the attacker shares with the container.
fn volume(cx: &Cx, directories: &[&str]) -> PathBuf {
    let path = cx.home().join("vol");
    for name in directories {
        fs::create_dir_all(path.join(name)).unwrap();
    }
    cx.give_to_user(&path);
    path
}

fn bind(destination: &str, source: &Path) -> Value {
    json!({"destination": destination, "type": "bind", "source": source, "options": ["bind"]})
}

/// What came of the rounds.
#[derive(Debug, Default)]
struct Tally {
    made: u32,
    failed: u32,
}

impl Tally {
    /// A container was made, or an error says why not; the canary and the host's mounts are as before.
    #[track_caller]
    fn count(&mut self, cx: &Cx, outcome: Outcome, canary: &Canary) -> Option<Outcome> {
        canary.assert_untouched();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let home = cx.home().display().to_string();
        assert!(!mounts.contains(&home), "mounted on the host: {mounts}");
        if outcome.is_success() {
            self.made += 1;
            return Some(outcome);
        }
        self.failed += 1;
        let outcome = outcome.exits_with(1);
        assert!(
            outcome
                .errors()
                .starts_with("carrier-runtime: error: cannot "),
            "{outcome:?}"
        );
        assert_eq!(outcome.errors().lines().count(), 1, "{outcome:?}");
        None
    }

    /// Ends the attack; both sides must have had their chances.
    #[track_caller]
    fn end(self, test: &str, attacker: Exchange) {
        let exchanged = attacker.stop();
        let Self { made, failed } = self;
        println!("{test}: {made} made, {failed} failed, {exchanged} exchanges");
        assert!(made > 0, "no round has made a container");
        assert!(exchanged > u64::from(made + failed), "the attacker slept");
    }
}

#[test]
fn f04_a_terminal_that_is_swapped_leads_nowhere() {
    let cx = Cx::new();
    let canary = Canary::with(&cx, &["pts/ptmx"]);
    let volume = volume(&cx, &["pts"]);
    let at = |name: &str| volume.join(name);
    fs::write(at("console"), "").unwrap();
    symlink(canary.path().join("made"), at("console-decoy")).unwrap();
    symlink(canary.path().join("pts"), at("pts-decoy")).unwrap();
    let mut bundle = Bundle::new(&cx, "test -t 0 && test -t 1 && echo terminal");
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| {
        let destination = mount["destination"].as_str().unwrap();
        destination == "/dev/pts" || !destination.starts_with("/dev")
    });
    mounts.insert(0, bind("/dev", &volume));
    // Somebody who runs already, and is entered while names are exchanged.
    let program = bundle.config["process"]["args"].clone();
    bundle.config["process"]["args"] = json!(["sleep", "1000"]);
    bundle.create().succeeds();
    bundle.oci(&["start", "box"]).succeeds();
    bundle.config["process"]["args"] = program;
    bundle.config["process"]["terminal"] = true.into();
    bundle.save();

    let (console, pts) = (at("console"), at("pts"));
    let (console_decoy, pts_decoy) = (at("console-decoy"), at("pts-decoy"));
    let attacker = Exchange::of(&[(&console, &console_decoy), (&pts, &pts_decoy)]);
    let mut tally = Tally::default();
    let enter = [
        "exec",
        "-t",
        "box",
        "sh",
        "-c",
        "test -t 0 && echo terminal",
    ];
    for _ in 0..rounds() {
        for words in [&["run", "-b", "home/bundle", "other"][..], &enter] {
            if let Some(outcome) = tally.count(&cx, bundle.oci(words), &canary) {
                outcome.prints("terminal");
            }
        }
    }
    tally.end("f04", attacker);
    bundle.oci(&["delete", "-f", "box"]).succeeds();
}

#[test]
fn f06_a_mount_target_that_is_swapped_stays_inside() {
    let cx = Cx::new();
    let canary = Canary::with(
        &cx,
        &[
            "private/",
            "kept/",
            "secret",
            "file",
            "directory/",
            "memory/",
        ],
    );
    let directories = ["private", "kept", "directory", "memory"].map(|name| format!("x/{name}"));
    let volume = volume(&cx, &directories.each_ref().map(String::as_str));
    let at = |name: &str| volume.join(name);
    for file in ["x/secret", "x/file"] {
        fs::write(at(file), "").unwrap();
    }
    let up = format!("{}{}", "../".repeat(20), canary.path().display());
    symlink(canary.path(), at("absolute")).unwrap();
    symlink(up, at("relative")).unwrap();
    let mut bundle = Bundle::new(&cx, "cat /proc/self/mountinfo");
    let file = PathBuf::from(cx.file("content", "content\n"));
    let masked = bundle.config["linux"]["maskedPaths"]
        .as_array_mut()
        .unwrap();
    masked.extend([json!("/vol/x/secret"), json!("/vol/x/private")]);
    let read_only = bundle.config["linux"]["readonlyPaths"]
        .as_array_mut()
        .unwrap();
    read_only.push(json!("/vol/x/kept"));
    let mounts = bundle.config["mounts"].as_array().unwrap().clone();

    let (x, absolute, relative) = (at("x"), at("absolute"), at("relative"));
    let attacker = Exchange::of(&[(&x, &absolute), (&x, &relative)]);
    let mut tally = Tally::default();
    for round in 0..rounds() {
        // Names that are on both sides, and new ones, for which the targets have to be made.
        let names = ["", &format!("-{round}")]
            .map(|end| ["file", "directory", "memory"].map(|name| format!("/{name}{end}")));
        let more = names.iter().flat_map(|[on_file, on_directory, on_memory]| {
            let at = |name: &str| format!("/vol/x{name}");
            let kept = canary.path().join("kept");
            let memory = json!({"destination": at(on_memory), "type": "tmpfs", "source": "tmpfs"});
            [
                bind(&at(on_file), &file),
                bind(&at(on_directory), &kept),
                memory,
            ]
        });
        let all = mounts.iter().cloned().chain([bind("/vol", &volume)]);
        bundle.config["mounts"] = all.chain(more).collect();
        if let Some(outcome) = tally.count(&cx, bundle.run(), &canary) {
            // Each is somewhere in the container's own tree, and so nowhere else.
            let places = outcome
                .text()
                .lines()
                .filter_map(|line| line.split(' ').nth(4));
            let places: Vec<&str> = places.collect();
            for name in names.iter().flatten() {
                let found = places.iter().any(|place| place.ends_with(name));
                assert!(found, "{name} is not in the container: {places:?}");
            }
        }
    }
    tally.end("f06", attacker);
}

#[test]
fn f06_a_node_that_is_swapped_changes_no_mode_outside() {
    let cx = Cx::new();
    let canary = Canary::new(&cx);
    let volume = volume(&cx, &["x"]);
    let (node, decoy) = (volume.join("x/pipe"), volume.join("decoy"));
    let mut bundle = Bundle::new(&cx, "true");
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.push(bind("/vol", &volume));
    bundle.config["linux"]["devices"] =
        json!([{"path": "/vol/x/pipe", "type": "p", "fileMode": 0o644}]);
    let attacker = Exchange::of(&[(&node, &decoy)]);
    let mut tally = Tally::default();
    for _ in 0..rounds() {
        for name in [&node, &decoy] {
            let _ = fs::remove_file(name);
        }
        symlink(canary.path().join("target"), &decoy).unwrap();
        tally.count(&cx, bundle.run(), &canary);
    }
    tally.end("f06 nodes", attacker);
}
