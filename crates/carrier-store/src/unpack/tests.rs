//! Layers as strangers make them. Names of tests begin with the threat that they are about.

mod agreement;
mod customs;

use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use tar::{EntryType, Header};

use super::*;

/// A place to unpack into, and a directory outside that must stay as it is.
struct Scene {
    home: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("layer")).unwrap();
        fs::create_dir(home.path().join("canary")).unwrap();
        fs::write(home.path().join("canary/target"), "safe").unwrap();
        Self { home }
    }

    fn layer(&self, path: &str) -> PathBuf {
        self.home.path().join("layer").join(path)
    }

    fn canary(&self) -> String {
        self.home.path().join("canary").display().to_string()
    }

    fn unpack(&self, archive: &Layer) -> Result<LayerSummary, UnpackError> {
        self.unpack_bytes(&archive.bytes(), Compression::None)
    }

    fn unpack_bytes(&self, bytes: &[u8], how: Compression) -> Result<LayerSummary, UnpackError> {
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
        let directory = rustix::fs::open(self.layer(""), flags, rustix::fs::Mode::empty()).unwrap();
        let options = UnpackOptions {
            ownership: Ownership::Caller,
            ..UnpackOptions::default()
        };
        let summary = unpack(bytes, how, directory.as_fd(), &options)?;
        // Whatever is unpacked, what is said about it is true.
        let found = crate::count(directory.as_fd()).unwrap();
        assert_eq!(summary.tree, Some(found));
        Ok(summary)
    }

    fn assert_canary_is_safe(&self) {
        let canary = self.home.path().join("canary");
        let meta = fs::metadata(canary.join("target")).unwrap();
        assert_eq!(fs::read(canary.join("target")).unwrap(), b"safe");
        assert_eq!(meta.nlink(), 1);
        assert_eq!(meta.permissions().mode() & 0o7777, 0o644);
        assert_eq!(fs::read_dir(&canary).unwrap().count(), 1);
        assert_eq!(
            fs::metadata(&canary).unwrap().permissions().mode() & 0o777,
            0o755
        );
    }
}

/// An archive, entry by entry, with names that the builder of crate `tar` would refuse.
#[derive(Default)]
struct Layer(Vec<u8>);

impl Layer {
    fn add(self, kind: EntryType, name: &str, link: &str, content: &[u8]) -> Self {
        let mode = if kind == EntryType::Directory {
            0o755
        } else {
            0o644
        };
        self.add_with_mode(kind, name, link, content, mode)
    }

    fn add_with_mode(
        mut self,
        kind: EntryType,
        name: &str,
        link: &str,
        content: &[u8],
        mode: u32,
    ) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str, content: &str) -> Self {
        self.add(EntryType::Regular, name, "", content.as_bytes())
    }

    fn dir(self, name: &str) -> Self {
        self.add(EntryType::Directory, name, "", b"")
    }

    fn symlink(self, name: &str, target: &str) -> Self {
        self.add(EntryType::Symlink, name, target, b"")
    }

    fn hard_link(self, name: &str, target: &str) -> Self {
        self.add(EntryType::Link, name, target, b"")
    }

    fn pax(self, records: &str) -> Self {
        let length = (1..).find(|length: &usize| format!("{length} {records}\n").len() == *length);
        let record = format!("{} {records}\n", length.unwrap());
        self.add(EntryType::XHeader, "pax", "", record.as_bytes())
    }

    fn bytes(&self) -> Vec<u8> {
        [self.0.as_slice(), &[0; 1024]].concat()
    }
}

fn is_whiteout(path: &Path) -> bool {
    fs::symlink_metadata(path)
        .is_ok_and(|meta| meta.rdev() == 0 && meta.mode() & 0o170_000 == 0o020_000)
}

/// Whether this process may make whiteouts: root, or root of a user namespace.
fn can_make_whiteouts() -> bool {
    let able = rustix::process::geteuid().is_root();
    if !able {
        println!("skipped: making a whiteout needs CAP_MKNOD in a user namespace");
    }
    able
}

#[test]
fn an_ordinary_layer_is_unpacked_as_it_says() {
    let scene = Scene::new();
    let layer = Layer::default()
        .dir("./")
        .dir("bin/")
        .file("bin/tool", "#!")
        .symlink("bin/alias", "tool")
        .hard_link("bin/twin", "bin/tool")
        .file("etc/deep/er/file", "x")
        .add(EntryType::Fifo, "pipe", "", b"")
        .add(EntryType::Char, "node", "", b"");
    let summary = scene.unpack(&layer).unwrap();
    assert_eq!(
        (summary.entries, summary.bytes, summary.skipped_devices),
        (8, 3, 1)
    );
    assert_eq!(fs::read(scene.layer("bin/alias")).unwrap(), b"#!");
    assert_eq!(fs::metadata(scene.layer("bin/tool")).unwrap().nlink(), 2);
    assert_eq!(
        fs::metadata(scene.layer("bin")).unwrap().mtime(),
        1_000_000_000
    );
    assert_eq!(fs::read(scene.layer("etc/deep/er/file")).unwrap(), b"x");
    assert!(!scene.layer("node").exists());
}

#[test]
fn every_compression_gives_the_same_layer() {
    let layer = Layer::default().file("f", "content").bytes();
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut encoder, bytes).unwrap();
        encoder.finish().unwrap()
    };
    let (head, tail) = layer.split_at(700);
    let variants = [
        (layer.clone(), Compression::None),
        (gzip(&layer), Compression::Gzip),
        ([gzip(head), gzip(tail)].concat(), Compression::Gzip),
        (
            zstd::encode_all(layer.as_slice(), 3).unwrap(),
            Compression::Zstd,
        ),
    ];
    let ids = variants.map(|(bytes, how)| {
        let scene = Scene::new();
        let summary = scene.unpack_bytes(&bytes, how).unwrap();
        assert_eq!(fs::read(scene.layer("f")).unwrap(), b"content");
        summary.diff_id
    });
    assert!(ids.iter().all(|id| *id == ids[0]));
}

#[test]
fn u01_names_that_lead_out_are_refused() {
    for name in [
        "../x",
        "a/../../x",
        "/../x",
        "..",
        "a/b/../../../canary/target",
    ] {
        let scene = Scene::new();
        let error = scene
            .unpack(&Layer::default().file(name, "bad"))
            .unwrap_err();
        assert!(
            matches!(error, UnpackError::BadEntry { .. }),
            "{name}: {error}"
        );
        scene.assert_canary_is_safe();
    }
}

#[test]
fn u02_links_on_the_way_are_replaced_by_directories() {
    for target in ["", "../canary", "loop"] {
        let scene = Scene::new();
        let target = if target.is_empty() {
            scene.canary()
        } else {
            target.to_owned()
        };
        let short = "l";
        symlink(&target, scene.layer("kept")).unwrap();
        let layer = Layer::default()
            .symlink(short, "x")
            .file("l/target", "bad")
            .file("kept/f", "bad");
        scene.unpack(&layer).unwrap();
        assert!(fs::symlink_metadata(scene.layer("l")).unwrap().is_dir());
        assert!(fs::symlink_metadata(scene.layer("kept")).unwrap().is_dir());
        scene.assert_canary_is_safe();
    }
}

#[test]
fn u03_a_directory_entry_does_not_follow_a_link() {
    let scene = Scene::new();
    symlink(scene.canary(), scene.layer("d")).unwrap();
    scene.unpack(&Layer::default().dir("d")).unwrap();
    assert!(fs::symlink_metadata(scene.layer("d")).unwrap().is_dir());
    scene.assert_canary_is_safe();
}

#[test]
fn u04_hard_links_reach_only_files_of_the_layer() {
    let scene = Scene::new();
    symlink(scene.canary(), scene.layer("s")).unwrap();
    for target in [
        "../canary/target",
        "/etc/passwd",
        "s/target",
        "later",
        "d",
        "h",
        "",
    ] {
        let layer = Layer::default().dir("d").hard_link("h", target);
        let error = scene.unpack(&layer).unwrap_err();
        assert!(
            matches!(error, UnpackError::BadEntry { .. }),
            "{target}: {error}"
        );
    }
    let link_to_link = Layer::default().hard_link("h", "s").file("h", "bad");
    scene.unpack(&link_to_link).unwrap();
    scene.assert_canary_is_safe();
}

#[test]
fn u05_the_root_is_a_directory() {
    for name in [".", "./", "/", ""] {
        let scene = Scene::new();
        assert!(
            scene
                .unpack(&Layer::default().symlink(name, "/etc"))
                .is_err(),
            "{name:?}"
        );
        assert!(scene.unpack(&Layer::default().file(name, "x")).is_err() || name.ends_with('/'));
    }
}

#[test]
fn u06_whiteouts_that_hide_nothing_are_refused() {
    for name in [".wh.", ".wh..", ".wh...", "d/.wh.", ".wh.d/x", ".wh../x"] {
        let error = Scene::new()
            .unpack(&Layer::default().file(name, ""))
            .unwrap_err();
        assert!(
            matches!(error, UnpackError::BadEntry { .. }),
            "{name}: {error}"
        );
    }
}

#[test]
fn u06_whiteouts_hide_only_what_lies_below() {
    if !can_make_whiteouts() {
        return;
    }
    let scene = Scene::new();
    let layer = Layer::default()
        .file(".wh.gone", "")
        .file("kept", "x")
        .file(".wh.kept", "")
        .file(".wh.again", "")
        .file("again/f", "x")
        .dir("d")
        .file("d/before", "x")
        .file("d/.wh..wh..opq", "")
        .file("d/after", "x");
    scene.unpack(&layer).unwrap();
    assert!(is_whiteout(&scene.layer("gone")));
    assert_eq!(fs::read(scene.layer("kept")).unwrap(), b"x");
    for directory in ["again", "d"] {
        let mut value = [0; 1];
        let path = scene.layer(directory);
        assert_eq!(
            rustix::fs::getxattr(path, "user.overlay.opaque", &mut value),
            Ok(1)
        );
    }
    assert!(scene.layer("d/before").exists() && scene.layer("d/after").exists());
}

#[test]
fn u07_overlays_marks_are_dropped() {
    let scene = Scene::new();
    let layer = Layer::default()
        .pax("SCHILY.xattr.user.overlay.opaque=y")
        .dir("d")
        .pax("SCHILY.xattr.user.kept=1")
        .file("f", "x");
    scene.unpack(&layer).unwrap();
    let mut value = [0; 1];
    assert!(rustix::fs::getxattr(scene.layer("d"), "user.overlay.opaque", &mut value).is_err());
    assert_eq!(
        rustix::fs::getxattr(scene.layer("f"), "user.kept", &mut value),
        Ok(1)
    );
}

#[test]
fn u10_two_sizes_are_refused() {
    let hidden = Layer::default().file("hidden", "x").0;
    let layer = Layer::default()
        .pax("size=1024")
        .add(EntryType::Regular, "f", "", &hidden[..600]);
    assert!(matches!(
        Scene::new().unpack(&layer),
        Err(UnpackError::Malformed { .. })
    ));
    let same = Layer::default().pax("size=3").file("f", "abc");
    assert_eq!(Scene::new().unpack(&same).unwrap().bytes, 3);
}

#[test]
fn u11_malformed_archives_are_refused() {
    let mut checksum = Layer::default().file("f", "x").bytes();
    checksum[0] ^= 1;
    let mut truncated = Layer::default().file("f", "long content").bytes();
    truncated.truncate(515);
    let global = Layer::default()
        .add(EntryType::XGlobalHeader, "g", "", b"10 path=a\n")
        .bytes();
    let sparse = Layer::default()
        .pax("GNU.sparse.major=1")
        .file("f", "")
        .bytes();
    let unknown = Layer::default()
        .add(EntryType::new(b'Z'), "z", "", b"")
        .bytes();
    let content = Layer::default()
        .add(EntryType::Symlink, "l", "x", b"content")
        .bytes();
    for (what, bytes) in [
        ("checksum", checksum),
        ("truncated", truncated),
        ("global", global),
        ("sparse", sparse),
        ("unknown", unknown),
        ("content", content),
    ] {
        assert!(
            Scene::new()
                .unpack_bytes(&bytes, Compression::None)
                .is_err(),
            "{what} was accepted"
        );
    }
}

#[test]
fn u12_the_last_of_two_entries_wins() {
    let scene = Scene::new();
    let layer = Layer::default()
        .dir("a/b")
        .file("a/b/c", "old")
        .file("a", "now a file")
        .symlink("l", "/canary")
        .dir("l")
        .file("l/f", "in a directory");
    scene.unpack(&layer).unwrap();
    assert_eq!(fs::read(scene.layer("a")).unwrap(), b"now a file");
    assert_eq!(fs::read(scene.layer("l/f")).unwrap(), b"in a directory");
}

#[test]
fn u13_long_names_are_taken_or_refused_with_a_reason() {
    let long = "n".repeat(250);
    let layer = Layer::default()
        .pax(&format!("path=d/{long}"))
        .file("short", "x");
    let scene = Scene::new();
    scene.unpack(&layer).unwrap();
    assert!(scene.layer(&format!("d/{long}")).exists());
    let too_long = "n".repeat(256);
    let layer = Layer::default()
        .pax(&format!("path={too_long}"))
        .file("short", "x");
    assert!(matches!(
        scene.unpack(&layer),
        Err(UnpackError::Entry {
            source: Errno::NAMETOOLONG,
            ..
        })
    ));
}

#[test]
fn u14_a_bomb_stops_at_the_limit() {
    let scene = Scene::new();
    let zeroes = vec![0; 4 << 20];
    let layer = Layer::default()
        .add(EntryType::Regular, "f", "", &zeroes)
        .bytes();
    let bytes = zstd::encode_all(layer.as_slice(), 3).unwrap();
    let directory = crate::store::open_directory(&scene.layer("")).unwrap();
    let limits = Limits {
        bytes: 1 << 20,
        entries: 10,
    };
    let options = UnpackOptions {
        ownership: Ownership::Caller,
        limits,
    };
    let error = unpack(
        bytes.as_slice(),
        Compression::Zstd,
        directory.as_fd(),
        &options,
    );
    assert!(matches!(
        error,
        Err(UnpackError::TooLarge { what: "bytes", .. })
    ));
    assert!(fs::metadata(scene.layer("f")).unwrap().len() <= 2 << 20);
}

#[test]
fn u15_the_digest_is_of_the_whole_stream() {
    let layer = Layer::default().file("f", "x").bytes();
    let padded = [layer.as_slice(), b"trailing"].concat();
    let plain = Scene::new()
        .unpack_bytes(&layer, Compression::None)
        .unwrap();
    let trailing = Scene::new()
        .unpack_bytes(&padded, Compression::None)
        .unwrap();
    assert_eq!(plain.diff_id.0, crate::blobs::digest_of(&layer));
    assert_eq!(trailing.diff_id.0, crate::blobs::digest_of(&padded));
}

#[test]
fn u15_a_truncated_stream_is_refused() {
    let layer = Layer::default().file("f", &"x".repeat(5000)).bytes();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::Write::write_all(&mut encoder, &layer).unwrap();
    let gzip = encoder.finish().unwrap();
    for cut in [1, 8, gzip.len() / 2] {
        let bytes = &gzip[..gzip.len() - cut];
        assert!(
            Scene::new().unpack_bytes(bytes, Compression::Gzip).is_err(),
            "{cut} bytes less"
        );
    }
}

#[test]
fn u16_ids_out_of_range_are_refused() {
    for record in [
        "uid=4294967295",
        "uid=4294967296",
        "gid=18446744073709551615",
    ] {
        let layer = Layer::default().pax(record).file("f", "x");
        assert!(
            matches!(
                Scene::new().unpack(&layer),
                Err(UnpackError::Malformed { .. })
            ),
            "{record}"
        );
    }
}

#[test]
fn closed_directories_are_filled_and_set_user_id_survives() {
    let scene = Scene::new();
    let layer = Layer::default()
        .add_with_mode(EntryType::Directory, "closed", "", b"", 0o500)
        .add_with_mode(EntryType::Regular, "closed/f", "", b"", 0o4755);
    scene.unpack(&layer).unwrap();
    let mode = |path: &str| fs::metadata(scene.layer(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("closed"), mode("closed/f")), (0o500, 0o4755));
}
