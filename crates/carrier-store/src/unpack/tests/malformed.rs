//! Archives that readers could take in two ways: U-10, U-11.

use super::*;

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
fn u10_a_nested_archive_is_content() {
    let inner = Layer::default().file("hidden", "x").bytes();
    let layer = Layer::default()
        .pax(&format!("size={}", inner.len()))
        .add(EntryType::Regular, "nested.tar", "", &inner)
        .file("after", "y");
    let scene = Scene::new();
    // The header says nothing of a size: the record does.
    let start = 1024;
    let mut bytes = layer.bytes();
    bytes[start + 124..start + 136].copy_from_slice(b"00000000000\0");
    bytes[start + 148..start + 156].fill(b' ');
    let sum: u32 = bytes[start..start + 512]
        .iter()
        .map(|byte| u32::from(*byte))
        .sum();
    bytes[start + 148..start + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let summary = scene.unpack_bytes(&bytes, Compression::None).unwrap();
    assert_eq!(summary.entries, 2);
    assert_eq!(fs::read(scene.layer("nested.tar")).unwrap(), inner);
    assert!(!scene.layer("hidden").exists());
}

/// What is wrong, where it is said to be, and the archive.
fn malformed() -> [(&'static str, u64, Vec<u8>); 24] {
    let new = Layer::default;
    let file = |layer: Layer| layer.file("f", "x").bytes();
    let record = |record: &str| new().pax(record);
    let extension = |kind: u8, bytes: &[u8]| new().add(EntryType::new(kind), "e", "", bytes);
    let field = |place: std::ops::Range<usize>, text: &'static [u8]| {
        let layer = new().file("f", "");
        layer
            .change(|block| block[place].copy_from_slice(text))
            .bytes()
    };
    let mut checksum = file(new().dir("d"));
    checksum[512] ^= 1;
    [
        ("checksum is wrong", 512, checksum),
        ("wrong length", 0, file(extension(b'x', b"99 path=a\n"))),
        ("wrong length", 0, file(extension(b'x', b"8 path=a\n"))),
        ("wrong length", 0, file(extension(b'x', b"10 path=a"))),
        ("has no value", 0, file(extension(b'x', b"7 path\n"))),
        ("contains a null byte", 0, file(record("path=a\0b"))),
        ("is empty", 0, file(record("linkpath="))),
        (
            "occurs twice",
            0,
            file(new().pax_records(&[b"path=a", b"path=b"])),
        ),
        ("number in a pax record", 0, file(record("size=0x10"))),
        ("time in a pax record", 0, file(record("mtime=1e9"))),
        ("owner out of range", 1024, file(record("uid=4294967295"))),
        ("two different sizes", 1024, file(record("size=2"))),
        (
            "two different names",
            2048,
            file(extension(b'L', b"long\0").pax("path=other")),
        ),
        (
            "two extended headers",
            1024,
            file(record("path=a").pax("path=b")),
        ),
        ("global header", 0, file(extension(b'g', b"10 path=a\n"))),
        ("global header", 0, file(extension(b'g', b"10 size=9\n"))),
        ("null byte", 0, file(extension(b'L', b"a\0b\0"))),
        ("has no entry", 1024, record("path=a").bytes()),
        (
            "unknown type",
            512,
            new()
                .dir("d")
                .add(EntryType::new(b'Z'), "z", "", b"")
                .bytes(),
        ),
        (
            "no file has content",
            0,
            new().add(EntryType::Symlink, "l", "x", b"content").bytes(),
        ),
        (
            "lone empty block",
            512,
            new().dir("d").raw(&[0; 512]).dir("e").bytes(),
        ),
        ("size is malformed", 0, field(124..136, b"-0000000001\0")),
        ("size is negative", 0, field(124..136, &[0xff; 12])),
        ("unknown format", 0, file(record("GNU.sparse.other=1"))),
    ]
}

#[test]
fn u11_malformed_archives_are_refused_with_the_place() {
    let archives = malformed();
    let count = archives.len();
    for (expected, place, bytes) in archives {
        let error = Scene::new()
            .unpack_bytes(&bytes, Compression::None)
            .expect_err(expected);
        let UnpackError::Malformed { offset, reason } = error else {
            panic!("{expected}: {error}");
        };
        assert!(reason.contains(expected), "{reason} and not {expected}");
        assert_eq!(offset, place, "{reason}");
    }
    println!("U-11: {count} malformed archives, each refused with the byte");
}

#[test]
fn u11_archives_that_end_early_are_refused() {
    let whole = Layer::default().pax("path=a").file("f", "long content").0;
    for length in [1, 511, 513, 515, 1025, 1537, 1540] {
        let error = Scene::new().unpack_bytes(&whole[..length], Compression::None);
        assert!(matches!(error, Err(UnpackError::Stream(_))), "{length}");
    }
}
