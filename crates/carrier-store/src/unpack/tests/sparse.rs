//! Files with holes, as GNU tar and bsdtar store them.

use std::process::Command;

use super::*;

fn source(scene: &Scene) -> Vec<u8> {
    use std::os::unix::fs::FileExt as _;
    let file = fs::File::create(scene.home.path().join("sparse")).unwrap();
    file.set_len(3_000_000).unwrap();
    for part in 0..40_u64 {
        let content = vec![u8::try_from(part).unwrap() + 1; 5000];
        file.write_all_at(&content, part * 70_000 + 8192).unwrap();
    }
    fs::read(scene.home.path().join("sparse")).unwrap()
}

#[test]
fn every_format_of_sparse_files_is_read() {
    let scene = Scene::new();
    let content = source(&scene);
    for format in [
        &["--format=gnu"][..],
        &["--format=pax", "--sparse-version=0.0"],
        &["--format=pax", "--sparse-version=0.1"],
        &["--format=pax", "--sparse-version=1.0"],
    ] {
        let archive = Command::new("tar")
            .args(["--sparse", "--hole-detection=raw", "-C"])
            .arg(scene.home.path())
            .args(format)
            .args(["-cf", "-", "sparse"])
            .output()
            .unwrap();
        assert!(archive.stdout.len() < 1_000_000, "{format:?} stores holes");
        let ours = Scene::new();
        let summary = ours.unpack_bytes(&archive.stdout, Compression::None);
        assert_eq!(summary.unwrap().entries, 1, "{format:?}");
        assert_eq!(
            fs::read(ours.layer("sparse")).unwrap(),
            content,
            "{format:?}"
        );
        let blocks = fs::metadata(ours.layer("sparse")).unwrap().blocks();
        assert!(blocks * 512 < 1_000_000, "{format:?} fills the holes");
    }
}

/// A file in GNU's old format, with a table of parts and a size.
fn old(parts: &[(u64, u64)], size: u64, content: &[u8]) -> Layer {
    let layer = Layer::default().add(EntryType::GNUSparse, "f", "", b"");
    let layer = layer.change(|block| {
        block[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        for (place, (offset, length)) in parts.iter().enumerate() {
            let text = format!("{offset:011o}\0{length:011o}\0");
            block[386 + 24 * place..][..24].copy_from_slice(text.as_bytes());
        }
        if size >> 33 == 0 {
            block[483..495].copy_from_slice(format!("{size:011o}\0").as_bytes());
        } else {
            block[483] = 0x80;
            block[487..495].copy_from_slice(&size.to_be_bytes());
        }
    });
    let mut content = content.to_vec();
    content.resize(content.len().next_multiple_of(512), 0);
    layer.raw(&content)
}

#[test]
fn u11_maps_that_lie_are_refused() {
    let good = old(&[(2, 3)], 10, b"abc");
    let scene = Scene::new();
    scene.unpack(&good.file("after", "x")).unwrap();
    assert_eq!(fs::read(scene.layer("f")).unwrap(), b"\0\0abc\0\0\0\0\0");
    assert!(scene.layer("after").exists());
    for (what, layer) in [
        ("overlap", old(&[(0, 2), (1, 1)], 10, b"abc")),
        ("beyond the end", old(&[(8, 3)], 10, b"abc")),
        ("less than stored", old(&[(0, 2)], 10, b"abc")),
        ("more than stored", old(&[(0, 4)], 10, b"abc")),
    ] {
        let error = Scene::new().unpack(&layer).unwrap_err();
        assert!(
            matches!(error, UnpackError::Malformed { offset: 0, .. }),
            "{what}: {error}"
        );
    }
}

#[test]
fn u14_eight_eib_of_holes_are_refused() {
    let layer = old(&[(0, 3)], i64::MAX.unsigned_abs(), b"abc");
    let error = Scene::new().unpack(&layer).unwrap_err();
    assert!(
        matches!(error, UnpackError::TooLarge { what: "bytes", .. }),
        "{error}"
    );
}

#[test]
fn u11_records_of_several_formats_are_refused() {
    let records: [&[&[u8]]; 6] = [
        &[b"GNU.sparse.major=1", b"GNU.sparse.minor=0"],
        &[
            b"GNU.sparse.major=2",
            b"GNU.sparse.minor=0",
            b"GNU.sparse.realsize=3",
        ],
        &[
            b"GNU.sparse.map=0,1",
            b"GNU.sparse.size=3",
            b"GNU.sparse.numblocks=2",
        ],
        &[b"GNU.sparse.map=0,1,1"],
        &[b"GNU.sparse.numbytes=1", b"GNU.sparse.offset=0"],
        &[
            b"GNU.sparse.major=1",
            b"GNU.sparse.minor=0",
            b"GNU.sparse.realsize=3",
        ],
    ];
    for records in records {
        let layer = Layer::default().pax_records(records).file("f", "x");
        let error = Scene::new().unpack(&layer).unwrap_err();
        assert!(matches!(error, UnpackError::Malformed { .. }), "{error}");
    }
}
