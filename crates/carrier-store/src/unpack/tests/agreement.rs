//! Unpacking agrees with GNU tar, with a model in memory, and with the kernel's overlayfs.

use std::collections::BTreeMap;
use std::process::Command;

use proptest::prelude::*;

use super::*;

/// What a directory holds: kind, mode, time and content by path.
fn listing(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let content = if meta.is_symlink() {
                format!("{:?}", fs::read_link(&path).unwrap())
            } else if meta.is_file() {
                format!("{:?}, links {}", fs::read(&path).unwrap(), meta.nlink())
            } else {
                String::new()
            };
            let facts = (
                meta.mode(),
                meta.uid(),
                meta.gid(),
                meta.mtime(),
                meta.mtime_nsec(),
            );
            let key = path.strip_prefix(root).unwrap().to_owned();
            found.insert(key, format!("{facts:?} {content}"));
            if meta.is_dir() {
                pending.push(path);
            }
        }
    }
    found
}

fn tar(arguments: &[&str]) {
    let status = Command::new("tar").args(arguments).status().unwrap();
    assert!(status.success());
}

#[test]
fn an_archive_of_gnu_tar_becomes_what_gnu_tar_makes_of_it() {
    let scene = Scene::new();
    let home = scene.home.path();
    let source = home.join("source");
    let long = "n".repeat(200);
    fs::create_dir_all(source.join(format!("deep/{long}/{long}"))).unwrap();
    fs::write(source.join(format!("deep/{long}/{long}/file")), "deep").unwrap();
    fs::write(source.join("plain"), vec![7; 1_000_003]).unwrap();
    fs::hard_link(source.join("plain"), source.join("twin")).unwrap();
    symlink("../anywhere", source.join("link")).unwrap();
    symlink(long.repeat(5), source.join("long-link")).unwrap();
    let mode = |name: &str, mode| {
        fs::set_permissions(source.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("plain", 0o4751);
    mode("deep", 0o1777);
    for format in ["gnu", "pax", "ustar"] {
        let archive = home.join(format!("{format}.tar")).display().to_string();
        let root = source.display().to_string();
        let limits = ["--exclude=deep/n*", "--exclude=long-link"];
        let excluded: &[&str] = if format == "ustar" { &limits } else { &[] };
        let create = ["--format", format, "-cf", &archive, "-C", &root];
        tar(&[&create[..], excluded, &["."]].concat());
        let expected = home.join(format);
        fs::create_dir(&expected).unwrap();
        tar(&["-xpf", &archive, "-C", &expected.display().to_string()]);
        let ours = Scene::new();
        let bytes = fs::read(&archive).unwrap();
        ours.unpack_bytes(&bytes, Compression::None).unwrap();
        assert_eq!(listing(&ours.layer("")), listing(&expected), "{format}");
    }
}

/// What a layer should hold, without links on the way: what the last entry of a name says, and marks
/// for what lower layers lose.
#[derive(Default)]
struct Model {
    entries: BTreeMap<String, &'static str>,
    hidden: Vec<String>,
}

impl Model {
    fn put(&mut self, path: &str, kind: &'static str) {
        self.make_parents(path);
        if kind != "dir" || self.entries.get(path) != Some(&"dir") {
            let below = format!("{path}/");
            self.entries
                .retain(|known, _| known != path && !known.starts_with(&below));
        }
        self.entries.insert(path.to_owned(), kind);
    }

    fn make_parents(&mut self, path: &str) {
        for (slash, _) in path.match_indices('/') {
            self.put_directory(&path[..slash]);
        }
    }

    fn put_directory(&mut self, path: &str) {
        if self.entries.get(path) != Some(&"dir") {
            self.entries.insert(path.to_owned(), "dir");
        }
    }

    fn hide(&mut self, path: &str) {
        self.make_parents(path);
        self.hidden.push(path.to_owned());
    }
}

fn kinds(root: &Path) -> BTreeMap<String, &'static str> {
    let kind = |path: &Path| {
        let meta = fs::symlink_metadata(path).unwrap();
        match () {
            () if is_whiteout(path) => "whiteout",
            () if meta.is_dir() => "dir",
            () if meta.is_symlink() => "link",
            () => "file",
        }
    };
    let paths = listing(root).into_keys();
    paths
        .map(|path| (path.display().to_string(), kind(&root.join(&path))))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn u12_any_order_of_entries_gives_what_the_model_says(
        steps in prop::collection::vec((0..3_u8, "[ab](/[ab]){0,2}"), 1..12)
    ) {
        let scene = Scene::in_memory();
        let mut layer = Layer::default();
        let mut model = Model::default();
        for (step, path) in &steps {
            layer = match step {
                0 => layer.file(path, "x"),
                1 => layer.dir(path),
                // Leads nowhere, so that it makes room when it is in the way.
                _ => layer.symlink(path, "nowhere"),
            };
            model.put(path, ["file", "dir", "link"][usize::from(*step)]);
        }
        scene.unpack(&layer).unwrap();
        prop_assert_eq!(kinds(&scene.layer("")), model.entries);
    }

    #[test]
    fn u06_whiteouts_never_touch_their_own_layer(
        files in prop::collection::btree_set("[ab]/[ab]/f", 0..4),
        hidden in prop::collection::vec("[abc]/[abc]", 1..4),
        first in any::<bool>(),
    ) {
        if !can_make_whiteouts() {
            return Ok(());
        }
        let scene = Scene::in_memory();
        let mut model = Model::default();
        let add_files = |layer: Layer| files.iter().fold(layer, |layer, path| layer.file(path, "x"));
        let hide = |layer: Layer| hidden.iter().fold(layer, |layer, path| {
            let (parent, name) = path.split_once('/').unwrap();
            layer.file(&format!("{parent}/.wh.{name}"), "")
        });
        let layer = Layer::default();
        let layer = if first { add_files(hide(layer)) } else { hide(add_files(layer)) };
        files.iter().for_each(|path| model.put(path, "file"));
        hidden.iter().for_each(|path| model.hide(path));
        scene.unpack(&layer).unwrap();
        for path in &model.hidden {
            let place = scene.layer(path);
            let own = model.entries.contains_key(path);
            let mut value = [0; 1];
            let opaque = rustix::fs::getxattr(&place, "user.overlay.opaque", &mut value).is_ok();
            prop_assert_eq!((is_whiteout(&place), opaque), (!own, own), "{}", path);
        }
        for path in model.entries.keys() {
            prop_assert!(scene.layer(path).exists(), "{} is missing", path);
        }
    }

    #[test]
    fn d04_no_bytes_make_it_panic(
        at in prop::collection::vec((0..2560_usize, any::<u8>()), 1..8),
        cut in 0..3584_usize,
    ) {
        let layer = Layer::default().pax("path=long").file("f", "content").symlink("l", "f");
        let mut bytes = layer.bytes();
        for (place, byte) in at {
            bytes[place] = byte;
        }
        bytes.truncate(cut.max(512));
        for how in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let _ = Scene::in_memory().unpack_bytes(&bytes, how);
        }
    }
}
