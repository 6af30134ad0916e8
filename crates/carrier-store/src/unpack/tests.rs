//! Layers as strangers make them. Names of tests begin with the threat that they are about.

mod agreement;
mod bombs;
mod customs;
mod differential;
mod malformed;
mod marks;
mod model;
mod names;
mod sparse;

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
        Self::at(tempfile::tempdir().unwrap())
    }

    /// A place in memory, where a thousand of them take no time.
    fn in_memory() -> Self {
        let memory = tempfile::tempdir_in("/dev/shm");
        memory.map_or_else(|_| Self::new(), Self::at)
    }

    fn at(home: tempfile::TempDir) -> Self {
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
        self.unpack_limited(bytes, how, Limits::default())
    }

    fn unpack_limited(
        &self,
        stream: impl Read,
        how: Compression,
        limits: Limits,
    ) -> Result<LayerSummary, UnpackError> {
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
        let directory = rustix::fs::open(self.layer(""), flags, rustix::fs::Mode::empty()).unwrap();
        let options = UnpackOptions {
            ownership: Ownership::Caller,
            limits,
        };
        let summary = unpack(stream, how, directory.as_fd(), &options)?;
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

    /// Changes the last header, and makes its checksum right again.
    fn change(mut self, change: impl FnOnce(&mut [u8; 512])) -> Self {
        let start = self.0.len() - 512;
        let block: &mut [u8; 512] = self.0[start..].first_chunk_mut().unwrap();
        change(block);
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self
    }

    /// Adds bytes that no entry is made of.
    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
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

    fn pax(self, record: &str) -> Self {
        self.pax_records(&[record.as_bytes()])
    }

    fn pax_records(self, records: &[&[u8]]) -> Self {
        let records: Vec<Vec<u8>> = records.iter().map(|text| record(text)).collect();
        self.add(EntryType::XHeader, "pax", "", &records.concat())
    }

    fn bytes(&self) -> Vec<u8> {
        [self.0.as_slice(), &[0; 1024]].concat()
    }
}

/// A record of an extended header: its length counts its own digits.
fn record(text: &[u8]) -> Vec<u8> {
    let fits = |length: &usize| length.to_string().len() + text.len() + 2 == *length;
    let length = (1..).find(fits).unwrap();
    [length.to_string().as_bytes(), b" ", text, b"\n"].concat()
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
fn closed_directories_are_filled_and_set_user_id_survives() {
    let scene = Scene::new();
    let layer = Layer::default()
        .add_with_mode(EntryType::Directory, "closed", "", b"", 0o500)
        .add_with_mode(EntryType::Regular, "closed/f", "", b"", 0o4755);
    scene.unpack(&layer).unwrap();
    let mode = |path: &str| fs::metadata(scene.layer(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("closed"), mode("closed/f")), (0o500, 0o4755));
}
