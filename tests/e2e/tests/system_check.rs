//! FI-23: a store with one fault at a time. `carrier system check --deep` finds each.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use carrier_e2e::{Cx, Image, Layer, Registry, is_root, rounds_or, skip};
use serde_json::{Value, json};

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Delete,
    Truncate,
    Flip,
    Mode,
    Stray,
}

const FAULTS: [Fault; 5] = [
    Fault::Delete,
    Fault::Truncate,
    Fault::Flip,
    Fault::Mode,
    Fault::Stray,
];

/// A store with two images that share a layer, and a container.
fn store(cx: &Cx) -> Registry {
    let registry = Registry::empty();
    let base = Layer::new()
        .directory("etc", 0o755, 0)
        .file("etc/file", "0123456789".repeat(50))
        .program("bin/busybox", fs::read("/bin/busybox").unwrap())
        .link("etc/link", "file");
    for name in ["alpha", "beta"] {
        let own = Layer::new()
            .file(&format!("{name}/deep/er/file"), name.repeat(100))
            .file("etc/.wh.link", "");
        let image = Image::new(
            vec![base.clone(), own],
            json!({ "Cmd": ["/bin/busybox", "true"] }),
        );
        image.push(registry.host(), name, "latest");
        let reference = registry.reference(&format!("{name}:latest"));
        cx.carrier(["pull", "-q", &reference]).succeeds();
    }
    cx.carrier(["run", "--name", "one", &registry.reference("alpha")])
        .succeeds();
    cx.carrier(["system", "check", "--deep"])
        .succeeds()
        .prints("");
    registry
}

fn everything_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(everything_below(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

/// Whether Carrier knows what should be there: what a container writes is its own affair, and what
/// every command makes anew is none of a check's.
fn is_known(relative: &Path, fault: Fault) -> bool {
    let parts: Vec<&str> = relative.iter().map(|part| part.to_str().unwrap()).collect();
    match parts.as_slice() {
        ["foundation" | "lock" | "oci-layout" | "volumes" | "networks"] => fault != Fault::Delete,
        ["containers", _, "container.json"] => fault != Fault::Flip,
        ["containers", _, "upper" | "work"] => fault == Fault::Delete,
        ["containers", _] => fault != Fault::Stray,
        ["containers", _, ..] => false,
        _ => true,
    }
}

/// Does something to a path; false where that cannot be done to it.
fn inject(path: &Path, fault: Fault, numbers: &mut Numbers) -> bool {
    let found = fs::symlink_metadata(path).unwrap();
    let (is_directory, length) = (found.is_dir(), found.len() as usize);
    if found.is_symlink() && fault != Fault::Delete {
        return false;
    }
    match fault {
        Fault::Delete if is_directory => {
            let removed = Command::new("rm").arg("-rf").arg(path).status();
            assert!(removed.unwrap().success());
        }
        Fault::Delete => fs::remove_file(path).unwrap(),
        Fault::Truncate | Fault::Flip if !found.is_file() || length == 0 => return false,
        Fault::Truncate => {
            // Root may do that; others must be let.
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_len(numbers.below(length) as u64).unwrap();
            file.set_modified(found.modified().unwrap()).unwrap();
            fs::set_permissions(path, found.permissions()).unwrap();
        }
        Fault::Flip => {
            let mut bytes = fs::read(path).unwrap();
            bytes[numbers.below(length)] ^= 1 << numbers.below(8);
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
            fs::write(path, bytes).unwrap();
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(found.modified().unwrap()).unwrap();
            fs::set_permissions(path, found.permissions()).unwrap();
        }
        Fault::Mode => {
            let mode = if is_directory { 0o777 } else { 0o666 };
            if found.permissions().mode() & 0o7777 == mode {
                return false;
            }
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        Fault::Stray if !is_directory => return false,
        Fault::Stray => {
            let stray = path.join("stray");
            match numbers.below(3) {
                0 => fs::create_dir(&stray).unwrap(),
                1 => fs::write(&stray, "x").unwrap(),
                _ => symlink("/etc/passwd", &stray).unwrap(),
            }
            lchown(stray, Some(found.uid()), Some(found.gid())).unwrap();
        }
    }
    true
}

/// Why others cannot run these tests.
const COPIES: &str = "only root copies a store with files of other ids";

fn copy(from: &Path, to: &Path) {
    let _ = Command::new("rm").arg("-rf").arg(to).status();
    let status = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(status.unwrap().success());
}

#[test]
fn every_single_fault_is_found_and_nothing_else_is_harmed() {
    const NAME: &str = "every_single_fault_is_found_and_nothing_else_is_harmed";
    if !is_root() {
        return skip(NAME, COPIES);
    }
    let cx = Cx::new();
    let registry = store(&cx);
    let (place, good) = (cx.store(), cx.home().join("good"));
    copy(&place, &good);
    let everything = everything_below(&good);
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let wanted = rounds_or(150);
    let (mut injected, mut found, mut repaired) = (0, 0, 0);
    while injected < wanted {
        let fault = FAULTS[numbers.below(FAULTS.len())];
        let victim = &everything[numbers.below(everything.len())];
        let relative = victim.strip_prefix(&good).unwrap();
        if !is_known(relative, fault) {
            continue;
        }
        copy(&good, &place);
        if !inject(&place.join(relative), fault, &mut numbers) {
            continue;
        }
        injected += 1;
        let checked = cx.carrier(["system", "check", "--deep"]);
        let what = format!("{fault:?} of {}: {checked:#?}", relative.display());
        assert!(checked.has_code(1), "not found: {what}");
        assert!(!checked.errors().contains("panicked"), "{what}");
        found += 1;
        // Whatever is damaged, the rest is listed and can be repaired.
        cx.carrier(["images", "-q"]).succeeds();
        if injected % 5 == 0 {
            repair(&cx, &registry, &what);
            repaired += 1;
        }
    }
    println!("{injected} single faults: {found} found, 0 panics; {repaired} repaired and pulled");
    copy(&good, &place);
    let _ = Command::new("rm").arg("-rf").arg(&good).status();
    cx.carrier(["rm", "one"]).succeeds();
}

/// After a repair, and pulls of what it says is missing, nothing is wrong any more.
fn repair(cx: &Cx, registry: &Registry, what: &str) {
    let report = cx.carrier(["system", "check", "--deep", "--repair", "--json"]);
    // What the command in between has mended by itself is no finding any more.
    let known = report.has_code(0) || report.has_code(1);
    assert!(known, "{report:#?}\nof {what}");
    let report: Value = serde_json::from_str(report.text()).unwrap();
    assert!(report["findings"].is_array(), "{what}");
    for name in ["alpha", "beta"] {
        cx.carrier(["pull", "-q", &registry.reference(name)])
            .succeeds();
    }
    // A container whose record is gone is gone; its name goes with the next look.
    cx.carrier(["system", "check", "--repair"]);
    let again = cx.carrier(["system", "check", "--deep"]);
    assert!(again.has_code(0), "after the repair: {again:#?}\nof {what}");
}

#[test]
fn a_quick_check_finds_what_is_missing_or_cut() {
    const NAME: &str = "a_quick_check_finds_what_is_missing_or_cut";
    if !is_root() {
        return skip(NAME, COPIES);
    }
    let cx = Cx::new();
    let registry = store(&cx);
    let (place, good) = (cx.store(), cx.home().join("good"));
    copy(&place, &good);
    for damage in [
        "rm blobs/sha256/$(ls -S blobs/sha256 | head -1)",
        "b=blobs/sha256/$(ls -S blobs/sha256 | head -1); chmod 600 $b; truncate -s 1 $b",
        "rm -r layers/$(ls layers | head -1)",
        "rm layers/*/fs/etc/file",
        "truncate -s 0 layers/*/fs/etc/file",
        "rm names/one",
        "mkdir staging/left",
        "echo x > images/stray",
        "chmod 755 blobs",
    ] {
        copy(&good, &place);
        cx.script(&format!("cd ~/.local/share/carrier && {damage}"))
            .succeeds();
        let checked = cx.carrier(["system", "check"]).exits_with(1);
        assert_eq!(checked.text().lines().count(), 1, "{damage}: {checked:#?}");
        println!("{damage}\n  {}", checked.text());
    }
    copy(&good, &place);
    cx.script("rm ~/.local/share/carrier/blobs/sha256/*")
        .succeeds();
    let alpha = registry.reference("alpha:latest");
    cx.carrier(["system", "check"])
        .exits_with(1)
        .shows(&format!("needs `carrier pull {alpha}`"));
    copy(&good, &place);
    let _ = Command::new("rm").arg("-rf").arg(&good).status();
    cx.carrier(["rm", "one"]).succeeds();
}
