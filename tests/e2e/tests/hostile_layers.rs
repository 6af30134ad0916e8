//! Layers that attack whoever unpacks them: threats U-01 to U-19, by a whole pull. What the reader alone
//! decides is tested in carrier-store, what a reader that was taken over can do in carrier-engine.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use carrier_e2e::{Canary, Cx, Image, Layer, Registry, is_root, skip};
use serde_json::{Value, json};

/// A world, something in it that nobody may touch, and a registry.
struct Scene {
    cx: Cx,
    canary: Canary,
    registry: Registry,
}

impl Scene {
    fn new() -> Self {
        let cx = Cx::new();
        Self {
            canary: Canary::new(&cx),
            cx,
            registry: Registry::empty(),
        }
    }

    fn push(&self, image: &Image) -> String {
        image.push(self.registry.host(), "evil", "latest");
        self.registry.reference("evil")
    }

    /// Pulls an image with a shell and these layers on top.
    fn pull(&self, layers: Vec<Layer>) -> carrier_e2e::Outcome {
        let image = self.push(&with_shell(layers, json!({})));
        self.cx.carrier(["pull", "-q", &image])
    }

    fn refuses(&self, layer: Layer, complaint: &str) {
        let outcome = self.pull(vec![layer]);
        outcome.exits_with(125).complains(complaint).prints("");
        self.canary.assert_untouched();
    }

    /// What a command in a container of these layers prints.
    fn shows(&self, layers: Vec<Layer>, command: &str) -> String {
        let image = self.push(&with_shell(layers, json!({})));
        let run = [
            "run", "--rm", "--pull", "always", &image, "sh", "-c", command,
        ];
        let outcome = self.cx.carrier(run).succeeds();
        self.canary.assert_untouched();
        outcome.text().to_owned()
    }

    fn canary(&self) -> &str {
        self.canary.path().to_str().unwrap()
    }
}

fn with_shell(layers: Vec<Layer>, config: Value) -> Image {
    let program = fs::read("/bin/busybox").unwrap();
    let base = ["sh", "cat", "find", "ls", "stat", "sort"].iter().fold(
        Layer::new().program("bin/busybox", program),
        |layer, name| layer.link(&format!("bin/{name}"), "busybox"),
    );
    Image::new([vec![base], layers].concat(), config)
}

/// Bytes that no compression makes fewer, xorshift.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    next.take(length).collect()
}

#[test]
fn u01_names_that_lead_out_are_refused() {
    let scene = Scene::new();
    for name in [
        "../escaped",
        "a/../../escaped",
        "/../escaped",
        "a/b/../../..",
    ] {
        scene.refuses(
            Layer::new().file(name, "x"),
            &format!("bad entry \"{name}\""),
        );
    }
    let shown = scene.shows(
        vec![Layer::new().file("./a", "a").file("/b", "b")],
        "cat /a /b",
    );
    assert_eq!(shown, "ab");
}

#[test]
fn u02_links_lead_nowhere_but_inside() {
    let scene = Scene::new();
    let link = Layer::new().link("l", scene.canary());
    let both = link.clone().file("l/target", "bad");
    assert_eq!(scene.shows(vec![both], "cat /l/target"), "bad");
    let next = Layer::new().file("l/target", "next");
    assert_eq!(scene.shows(vec![link, next], "cat /l/target"), "next");
    let chain = (0..40).fold(Layer::new(), |layer, n| {
        layer.link(&format!("c{n}"), &format!("c{}", n + 1))
    });
    let chain = chain.link("c40", scene.canary()).file("c0/target", "bad");
    scene.refuses(chain, "\"c0/target\": Too many levels of symbolic links");
    let circle = Layer::new()
        .link("x", "y")
        .link("y", "x")
        .file("x/f", "bad");
    scene.refuses(circle, "\"x/f\": Too many levels of symbolic links");
}

#[test]
fn u03_a_directory_entry_does_not_follow_a_link() {
    let scene = Scene::new();
    let layer = Layer::new()
        .link("d", scene.canary())
        .directory("d", 0o777, 0);
    assert_eq!(
        scene.shows(vec![layer], "stat -c '%F %a' /d"),
        "directory 777"
    );
}

#[test]
fn u04_hard_links_reach_only_files_of_the_layer() {
    let scene = Scene::new();
    let target = format!("{}/target", scene.canary());
    let layer = || Layer::new().directory("d", 0o755, 0);
    for source in ["../../../etc/shadow", &target, "later", "d", "h", "/"] {
        scene.refuses(layer().special(b'1', "h", source, b""), "bad entry \"h\"");
    }
    // A file of the layer below is none of this layer's.
    scene.refuses(
        layer().special(b'1', "h", "bin/busybox", b""),
        "bad entry \"h\"",
    );
    let to_link = Layer::new()
        .link("s", &target)
        .special(b'1', "h", "s", b"")
        .file("h", "bad");
    assert_eq!(scene.shows(vec![to_link], "cat /h"), "bad");
}

#[test]
fn u05_the_root_is_a_directory() {
    let scene = Scene::new();
    for name in [".", "./", "/", "", "a/.."] {
        for first in [true, false] {
            let bad = Layer::new().special(b'2', name, scene.canary(), b"");
            let good = Layer::new().file("f", "x");
            let layers = if first {
                vec![bad, good]
            } else {
                vec![good, bad]
            };
            scene
                .pull(layers)
                .exits_with(125)
                .complains("the root of a layer is a directory");
            scene.canary.assert_untouched();
        }
    }
}

#[test]
fn u06_whiteouts_that_hide_nothing_are_refused() {
    let scene = Scene::new();
    for name in [".wh.", ".wh..", ".wh...", "d/.wh.", ".wh../x", ".wh.d/x"] {
        scene.refuses(
            Layer::new().file(name, ""),
            &format!("bad entry \"{name}\""),
        );
    }
}

#[test]
fn u06_whiteouts_hide_what_is_below_and_nothing_else() {
    let scene = Scene::new();
    let below = Layer::new()
        .file("t/gone/f", "1")
        .file("t/kept", "1")
        .file("t/opaque/below", "1")
        .file("t/again/old", "1")
        .file("t/real/target", "1")
        .link("t/lnk", "real");
    let above = Layer::new()
        .file("t/.wh.gone", "")
        .file("t/opaque/before", "2")
        .file("t/opaque/.wh..wh..opq", "")
        .file("t/opaque/after", "2")
        .file("t/.wh.again", "")
        .file("t/again/new", "2")
        .file("t/kept", "2")
        .file("t/.wh.kept", "")
        .file("t/.wh.never", "");
    let shown = scene.shows(vec![below, above], "cd t && find . | sort && cat kept");
    let expected = "./again\n./again/new\n./kept\n./lnk\n./opaque\n./opaque/after\n./opaque/before\n\
                    ./real\n./real/target\n2";
    assert_eq!(shown, format!(".\n{expected}"));
}

#[test]
fn u07_what_a_container_sees_is_what_the_archive_lists() {
    let scene = Scene::new();
    let below = Layer::new().file("d/below", "1").file("f", "1");
    let marks = ["opaque", "redirect", "metacopy", "whiteout", "origin"];
    let above = ["trusted", "user"]
        .iter()
        .flat_map(|space| marks.map(|mark| format!("SCHILY.xattr.{space}.overlay.{mark}")));
    let above = above.fold(Layer::new(), |layer, key| {
        layer.record(&key, b"y").directory("d", 0o755, 0)
    });
    let above = above
        .special(b'3', "f", "", b"")
        .record("SCHILY.xattr.user.overlay.metacopy", b"")
        .file("g", "2");
    let shown = scene.shows(vec![below, above], "find /d | sort; cat /f /g");
    assert_eq!(shown, "/d\n/d/below\n12");
}

#[test]
fn u08_pipes_where_files_are_read_hang_nobody() {
    let scene = Scene::new();
    let pipes = [
        "etc/passwd",
        "etc/group",
        "etc/hosts",
        "etc/resolv.conf",
        "work",
    ];
    let layer = pipes.iter().fold(Layer::new(), |layer, name| {
        layer.special(b'6', name, "", b"")
    });
    let image = with_shell(
        vec![layer],
        json!({ "WorkingDir": "/work", "User": "somebody" }),
    );
    let image = scene.push(&image);
    let begin = Instant::now();
    let outcome = scene
        .cx
        .carrier(["run", "--rm", &image, "sh", "-c", "true"]);
    assert!(begin.elapsed() < Duration::from_secs(60), "{outcome:#?}");
    outcome.exits_with(125);
    let devices = Layer::new()
        .special(b'3', "null", "", b"")
        .special(b'4', "disk", "", b"");
    assert_eq!(
        scene.shows(vec![devices], "ls /null /disk 2>/dev/null; echo end"),
        "end"
    );
}

#[test]
fn u09_set_user_id_files_are_out_of_others_reach() {
    const NAME: &str = "u09_set_user_id_files_are_out_of_others_reach";
    if !is_root() {
        return skip(NAME, "only root can become a second user");
    }
    let scene = Scene::new();
    let mut words = vec![1, 0, 0, 2, 0, 4, 0, 0];
    words.resize(20, 0);
    let layer = Layer::new()
        .record("SCHILY.xattr.security.capability", &words)
        .file("ping", "x")
        .special(b'0', "plain", "", b"");
    scene.pull(vec![layer]).succeeds();
    let store = scene.cx.store();
    assert_eq!(
        fs::metadata(&store).unwrap().permissions().mode() & 0o777,
        0o700
    );
    let store = store.display().to_string();
    let find = format!("setpriv --reuid nobody --clear-groups find {store} 2>&1; true");
    let found = scene.cx.host_script(&find).succeeds();
    assert!(found.text().contains("Permission denied"), "{found:#?}");
    assert!(!found.text().contains("layers"), "{found:#?}");
    // Version 3, and the root of the user's own namespace.
    let look = format!(
        "python3 -c 'import os,sys\nfor d,_,f in os.walk(\"{store}/layers\"):\n if \"ping\" in f: \
         v=os.getxattr(d+\"/ping\",\"security.capability\"); \
         print(len(v), v[3], int.from_bytes(v[20:],\"little\")==os.stat(d).st_uid)'"
    );
    scene.cx.host_script(&look).succeeds().prints("24 3 True");
}

#[test]
fn u10_what_is_in_a_file_is_no_entry() {
    let scene = Scene::new();
    let inner = Layer::new().file("hidden", "x").finished();
    let layer = Layer::new().file("nested.tar", &inner).file("after", "y");
    assert_eq!(
        scene.shows(vec![layer], "ls /after /hidden 2>/dev/null; true"),
        "/after"
    );
    let desync = Layer::new().record("size", b"512").file("f", &inner);
    scene.refuses(desync, "an entry has two different sizes");
}

#[test]
fn u11_malformed_archives_are_refused_with_the_place() {
    let scene = Scene::new();
    let unknown = Layer::new().file("f", "x").special(b'Z', "z", "", b"");
    scene.refuses(
        unknown,
        "malformed at byte 1024: an entry has an unknown type",
    );
    let global = Layer::new()
        .special(b'g', "g", "", b"10 path=a\n")
        .file("f", "x");
    scene.refuses(
        global,
        "malformed at byte 0: a global header describes entries",
    );
}

#[test]
fn u12_the_last_of_two_entries_wins() {
    let scene = Scene::new();
    let layer = Layer::new()
        .directory("d", 0o755, 0)
        .file("d/f", "1")
        .link("d", scene.canary())
        .directory("d", 0o755, 0)
        .file("d/target", "2")
        .file("e/f", "1")
        .file("e", "2");
    assert_eq!(scene.shows(vec![layer], "ls /d; cat /e"), "target\n2");
}

#[test]
fn u13_paths_without_end_are_refused() {
    let scene = Scene::new();
    let deep = "d/".repeat(10_000) + "f";
    let layer = Layer::new().record("path", deep.as_bytes()).file("f", "x");
    scene.refuses(layer, "File name too long");
    let long = "n".repeat(256);
    let layer = Layer::new().record("path", long.as_bytes()).file("f", "x");
    scene.refuses(layer, "File name too long");
    let odd = Layer::new()
        .record("path", b"../\xff\x1b[31m")
        .file("f", "x");
    let outcome = scene.pull(vec![odd]).exits_with(125).complains("leads out");
    assert!(!outcome.errors().contains('\u{1b}'), "{outcome:#?}");
}

#[test]
fn u14_a_layer_does_not_fill_the_disk() {
    const NAME: &str = "u14_a_layer_does_not_fill_the_disk";
    if !is_root() {
        return skip(NAME, "only root can mount a small file system");
    }
    let scene = Scene::new();
    let bomb = Layer::new().file("zeros", vec![0; 80 << 20]);
    let image = scene.push(&with_shell(vec![bomb], json!({})));
    let script = format!(
        "mount -t tmpfs -o size=64m,mode=777 none $HOME && cd && {{ setpriv --reuid carrier-test \
         --regid carrier-test --init-groups carrier pull {image}; code=$?; \
         find .local/share/carrier/staging -mindepth 2; exit $code; }}"
    );
    let outcome = scene.cx.host_script(&script).exits_with(125);
    outcome
        .complains("No space left on device, which has to keep 3 MiB free")
        .prints("");
}

#[test]
fn u14_a_file_with_holes_takes_the_space_of_its_parts() {
    let scene = Scene::new();
    let file = scene.cx.file("sparse", "begin");
    fs::OpenOptions::new()
        .write(true)
        .open(&file)
        .unwrap()
        .set_len(100 << 20)
        .unwrap();
    let archive = Command::new("tar")
        .args([
            "--sparse",
            "--format=pax",
            "--owner=0",
            "--group=0",
            "-cf",
            "-",
            "-C",
        ])
        .arg(Path::new(&file).parent().unwrap())
        .arg("sparse")
        .output()
        .unwrap();
    let layer = Layer::of_archive(archive.stdout);
    let shown = scene.shows(vec![layer], "stat -c '%s %b' /sparse");
    let (size, blocks) = shown.split_once(' ').unwrap();
    assert_eq!(size, "104857600");
    assert!(blocks.parse::<u32>().unwrap() < 100, "{blocks} blocks");
}

#[test]
fn u15_a_hundred_flipped_bits_are_refused() {
    let scene = Scene::new();
    let image = Image::new(
        vec![Layer::new().file("f", noise(20_000))],
        json!({ "Cmd": ["/f"] }),
    );
    let (manifest, blobs) = image.build();
    let reference = scene.push(&image);
    let digest = manifest["layers"][0]["digest"].as_str().unwrap();
    let place = scene.registry.blob(digest);
    for round in 0..100 {
        let mut bytes = blobs[0].clone();
        let byte = round * 7919 % bytes.len();
        bytes[byte] ^= 1 << (round % 8);
        fs::write(&place, bytes).unwrap();
        scene
            .cx
            .carrier(["pull", "-q", &reference])
            .exits_with(125)
            .complains("layer");
        scene.cx.carrier(["ls", "-i", "-q"]).succeeds().prints("");
    }
    fs::write(&place, &blobs[0]).unwrap();
    scene.cx.carrier(["pull", "-q", &reference]).succeeds();
    println!("U-15: 100 flipped bits, 100 refused");
}

#[test]
fn u15_a_layer_that_the_configuration_does_not_name_is_refused() {
    let scene = Scene::new();
    let image = Image {
        foreign_diff_ids: true,
        ..with_shell(vec![], json!({}))
    };
    let reference = scene.push(&image);
    scene
        .cx
        .carrier(["pull", &reference])
        .exits_with(125)
        .complains("unpacked layer");
    assert_eq!(
        fs::read_dir(scene.cx.store().join("layers"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn u16_owners_that_do_not_exist_are_named() {
    let scene = Scene::new();
    for owner in [70_000, 1 << 31, u64::from(u32::MAX) - 1] {
        let layer = Layer::new().directory("somebodys", 0o755, owner);
        let complaint = format!("\"somebodys\" belongs to {owner}:{owner}, which is not mapped");
        scene.refuses(layer, &complaint);
    }
    for owner in [u64::from(u32::MAX), 1 << 32, 1 << 40] {
        let layer = Layer::new().directory("somebodys", 0o755, owner);
        scene.refuses(layer, "an entry has an owner out of range");
    }
    for id in ["-1", "4294967296"] {
        let layer = Layer::new().record("uid", id.as_bytes()).file("f", "x");
        scene.refuses(layer, "malformed at byte");
    }
}

#[test]
fn u18_file_systems_of_others_are_not_mounted() {
    let scene = Scene::new();
    for kind in ["erofs", "squashfs", "cimfs"] {
        let image = Layer::new().file("f", "x").compressed_with(kind);
        scene.refuses(image, &format!("tar+{kind}"));
    }
}

#[test]
fn u19_tables_of_contents_of_lazy_formats_count_for_nothing() {
    let scene = Scene::new();
    let toc = json!({ "version": 1, "entries": [{ "name": "f", "type": "reg", "size": 5,
        "digest": "sha256:0000000000000000000000000000000000000000000000000000000000000000" }] });
    let layer = || {
        Layer::new()
            .file("f", "archive")
            .file("stargz.index.json", toc.to_string())
    };
    assert_eq!(scene.shows(vec![layer()], "cat /f"), "archive");
    let image = Image {
        foreign_diff_ids: true,
        ..with_shell(vec![layer().compressed_with("zstd")], json!({}))
    };
    let reference = scene.push(&image);
    scene
        .cx
        .carrier(["pull", &reference])
        .exits_with(125)
        .complains("unpacked layer");
}
