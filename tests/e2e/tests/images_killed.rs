//! Commands on images that are killed, or find the disk full: the next command finds nothing half done.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use carrier_e2e::{Cx, Image, Layer, Outcome, Registry, is_root, rounds_or, skip};
use serde_json::json;

const FILES: usize = 300;

/// A world with an archive of an image, `x.tar`, and of a file system, `fs.tar`.
fn with_archives() -> Cx {
    let (cx, registry) = (Cx::new(), Registry::empty());
    let layers = (0..3).map(|layer| {
        (0..FILES).fold(Layer::new(), |made, file| {
            made.file(&format!("d{layer}/f{file}"), "content".repeat(100 + file))
        })
    });
    let image = Image::new(layers.collect(), json!({ "Cmd": ["/x"] }));
    image.push(registry.host(), "x", "latest");
    let name = registry.reference("x");
    cx.carrier(["pull", "-q", &name]).succeeds();
    cx.carrier(["tag", &name, "x"]).succeeds();
    cx.script("carrier save -o x.tar x && mkdir empty && tar cf fs.tar bin")
        .succeeds();
    cx.carrier(["rmi", &name, "x"]).succeeds();
    cx
}

fn count(cx: &Cx, place: &str) -> usize {
    let files = fs::read_dir(cx.store().join(place)).unwrap();
    let names = files.map(|file| file.unwrap().file_name());
    names.filter(|name| name != "untagged").count()
}

/// What the next command finds: an image that is whole, or nothing.
fn is_whole_or_gone(cx: &Cx) -> bool {
    cx.until_swept();
    let listed = cx.carrier(["images", "-q"]).succeeds();
    if listed.text().is_empty() {
        let places = ["blobs/sha256", "layers", "images"];
        assert_eq!(places.map(|place| count(cx, place)), [0; 3]);
        return false;
    }
    cx.script(&format!(
        "carrier save {} > /dev/null",
        listed.text().trim()
    ))
    .succeeds();
    true
}

/// Kills a command at moments spread over its time; returns how often its work was done.
fn kill(cx: &Cx, rounds: u32, prepare: &str, words: &[&str]) -> u32 {
    cx.script(prepare).succeeds();
    let start = Instant::now();
    cx.carrier(words.iter().copied()).succeeds();
    let whole = start.elapsed();
    let mut done = 0;
    for round in 0..rounds {
        cx.script(prepare).succeeds();
        let mut command = cx.start(words.iter().copied());
        std::thread::sleep(whole * round / rounds.max(1) + Duration::from_micros(500));
        // It may have ended.
        let _ = command.kill();
        command.wait().unwrap();
        done += u32::from(is_whole_or_gone(cx));
    }
    cx.script("carrier image prune -a -f").succeeds();
    done
}

#[test]
fn what_is_killed_in_load_import_and_rmi_is_whole_or_gone() {
    let cx = with_archives();
    let rounds = rounds_or(8);
    let clean = "carrier image prune -a -f";
    let loaded = kill(&cx, rounds, clean, &["load", "-i", "x.tar"]);
    let imported = kill(&cx, rounds, clean, &["import", "fs.tar", "x"]);
    let kept = kill(&cx, rounds, "carrier load -q -i x.tar", &["rmi", "x"]);
    println!(
        "killed {rounds} times each: {loaded} loaded, {imported} imported, {kept} kept by rmi, nothing half done"
    );
}

#[test]
fn a_full_disk_refuses_load_and_import_and_rmi_works_on_it() {
    const NAME: &str = "a_full_disk_refuses_load_and_import_and_rmi_works_on_it";
    if !is_root() {
        return skip(NAME, "only root can mount a small file system");
    }
    let cx = with_archives();
    let home = cx.home().display().to_string();
    let script = format!(
        "mount -t tmpfs -o size=16m,mode=0777 small {home} && exec setpriv --reuid carrier-test \
         --regid carrier-test --init-groups sh -c '
            carrier images -q
            head -c 15800k /dev/zero > {home}/filler
            carrier load -i x.tar; echo load $?
            carrier import fs.tar x; echo import $?
            ls -A {home}/.local/share/carrier/blobs/sha256 {home}/.local/share/carrier/layers {home}/.local/share/carrier/staging
            rm {home}/filler
            carrier load -i x.tar
            cat /dev/zero > {home}/filler 2>/dev/null
            carrier rmi x; echo rmi $?
            ls -A {home}/.local/share/carrier/blobs/sha256 {home}/.local/share/carrier/layers'"
    );
    let outcome = cx.host_script(&script);
    let lines: Vec<&str> = outcome
        .text()
        .lines()
        .filter(|line| !line.contains('/'))
        .collect();
    let shown = lines.join("\n");
    for part in [
        "load 125",
        "import 125",
        "Loaded image: x:latest",
        "Untagged: x:latest",
        "rmi 0",
    ] {
        assert!(shown.contains(part), "{part}: {outcome:?}");
    }
    let left = lines.iter().filter(|line| line.len() == 64);
    assert_eq!(left.count(), 0, "{outcome:?}");
    assert!(Path::new(&home).exists());
}

#[test]
fn an_image_that_did_not_get_its_name_leaves_nothing() {
    let cx = with_archives();
    for command in ["carrier import fs.tar x", "carrier load -i x.tar"] {
        let images = cx.store().join("images").display().to_string();
        let script = format!("chmod 500 {images}; {command}; echo $?; chmod 700 {images}");
        cx.script(&script).prints("125");
        let places = ["blobs/sha256", "layers", "staging"];
        assert_eq!(places.map(|place| count(&cx, place)), [0; 3]);
        assert!(!is_whole_or_gone(&cx));
    }
}

#[test]
fn the_layers_of_an_interrupted_pull_are_kept_for_a_day() {
    let (cx, registry) = (Cx::new(), Registry::empty());
    let image = Image::new(vec![Layer::new().file("x", "x")], json!({ "Cmd": ["/x"] }));
    image.push(registry.host(), "x", "latest");
    let name = registry.reference("x");
    cx.carrier(["images", "-q"]).succeeds();
    let interrupted = || {
        let images = cx.store().join("images").display().to_string();
        cx.script(&format!(
            "chmod 500 {images}; carrier pull -q {name}; echo $?; chmod 700 {images}"
        ))
        .prints("125");
        cx.carrier(["images", "-q"]).succeeds().prints("");
    };
    let fetched = || registry.log().matches("/blobs/").count();
    interrupted();
    assert_eq!(count(&cx, "layers"), 1);
    let before = fetched();
    cx.carrier(["pull", "-q", &name]).succeeds();
    assert_eq!(fetched(), before);
    assert_eq!(count(&cx, "downloads"), 0);
    cx.carrier(["rmi", &name]).succeeds();
    interrupted();
    let downloads = cx.store().join("downloads").display().to_string();
    cx.script(&format!("touch -d '25 hours ago' {downloads}/*.pull"))
        .succeeds();
    assert!(!is_whole_or_gone(&cx));
}

/// Runs `command` with a second between its last look at the image and the container's name, and removes
/// the image in that second.
fn meet_rmi(cx: &Cx, command: &str) -> (Outcome, Outcome) {
    cx.script("carrier load -q -i x.tar").succeeds();
    let script = format!(
        "strace -f -q -u carrier-test -o trace -e trace=symlink -e inject=symlink:delay_enter=1500000 {command}"
    );
    std::thread::scope(|scope| {
        let command = scope.spawn(|| cx.host_script(&script));
        std::thread::sleep(Duration::from_millis(700));
        let removed = cx.carrier(["rmi", "x"]);
        (command.join().unwrap(), removed)
    })
}

#[test]
fn a_container_of_an_image_that_is_being_removed_is_not_made() {
    const NAME: &str = "a_container_of_an_image_that_is_being_removed_is_not_made";
    if !is_root() {
        return skip(
            NAME,
            "a set-user-ID helper works under strace only for root",
        );
    }
    let cx = with_archives();
    for command in ["create --name met x", "run --name met x", "run -d x"] {
        let (made, removed) = meet_rmi(&cx, &format!("carrier {command}"));
        removed.succeeds();
        made.exits_with(125).complains("layer");
        cx.carrier(["ps", "-aq"]).succeeds().prints("");
        assert!(!is_whole_or_gone(&cx));
    }
}
