//! What other engines make of odd layers, and what they disagree about.

use super::*;

#[test]
fn u02_links_to_directories_of_the_layer_are_followed() {
    let scene = Scene::new();
    let layer = Layer::default()
        .dir("usr/lib")
        .symlink("lib", "usr/lib")
        .file("lib/a", "a")
        .symlink("abs", "/usr/lib")
        .file("abs/b", "b")
        .symlink("usr/up", "../../../../lib")
        .file("usr/up/c", "c")
        .hard_link("twin", "lib/a");
    scene.unpack(&layer).unwrap();
    for name in ["lib", "abs", "usr/up"] {
        assert!(scene.layer(name).is_symlink(), "{name}");
    }
    for name in ["a", "b", "c"] {
        let path = scene.layer("usr/lib").join(name);
        assert_eq!(fs::read(path).unwrap(), name.as_bytes());
    }
    assert_eq!(fs::metadata(scene.layer("twin")).unwrap().nlink(), 2);
}

#[test]
fn u12_a_link_that_becomes_a_directory_leads_nowhere_any_more() {
    let scene = Scene::new();
    let layer = Layer::default()
        .dir("d")
        .symlink("l", "d")
        .file("l/before", "x")
        .dir("l")
        .file("l/after", "x");
    scene.unpack(&layer).unwrap();
    assert!(scene.layer("d/before").exists());
    assert!(!scene.layer("d/after").exists());
    assert!(scene.layer("l").is_dir() && !scene.layer("l").is_symlink());
    assert!(scene.layer("l/after").exists());
}

#[test]
fn u12_the_last_entry_of_a_directory_says_its_mode() {
    let scene = Scene::new();
    let directory =
        |layer: Layer, name, mode| layer.add_with_mode(EntryType::Directory, name, "", b"", mode);
    let layer = directory(Layer::default(), "d", 0o700);
    let layer = directory(layer, "d/inner", 0o711).file("d/inner/f", "x");
    let layer = directory(layer, "./d/", 0o751);
    scene.unpack(&layer).unwrap();
    let mode = |name| fs::metadata(scene.layer(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("d"), mode("d/inner")), (0o751, 0o711));
}

#[test]
fn u02_loops_of_links_are_refused_by_name() {
    let layer = Layer::default()
        .symlink("one", "two")
        .symlink("two", "one")
        .file("one/f", "bad");
    let error = Scene::new().unpack(&layer).unwrap_err();
    assert!(error.to_string().contains("one/f"), "{error}");
}

#[test]
fn u06_aufs_metadata_is_skipped_as_by_every_engine() {
    let scene = Scene::new();
    let layer = Layer::default()
        .file(".wh..wh.aufs", "")
        .dir(".wh..wh.plnk")
        .file(".wh..wh.plnk/1.2", "x")
        .file("d/.wh..wh..plnk", "");
    scene.unpack(&layer).unwrap();
    assert_eq!(fs::read_dir(scene.layer("")).unwrap().count(), 0);
}

#[test]
fn u08_devices_and_links_to_them_are_left_out() {
    let scene = Scene::new();
    let layer = Layer::default()
        .add(EntryType::Char, "dev/null", "", b"")
        .hard_link("dev/zero", "dev/null")
        .add_with_mode(EntryType::Fifo, "pipe", "", b"", 0o622);
    assert_eq!(scene.unpack(&layer).unwrap().skipped_devices, 2);
    let pipe = fs::symlink_metadata(scene.layer("pipe")).unwrap();
    assert_eq!(pipe.mode() & 0o7777, 0o622);
    assert!(!scene.layer("dev").exists());
}

#[test]
fn u10_what_readers_take_differently_is_refused() {
    let twice = Layer::default().pax("path=a").pax("path=b").file("f", "");
    let names = Layer::default()
        .add(EntryType::GNULongName, "L", "", b"long\0")
        .pax("path=other")
        .file("f", "");
    let orphan = Layer::default().pax("path=a");
    let mut lone = Layer::default().file("f", "").0;
    lone.resize(lone.len() + 512, 0);
    let lone = Layer([lone, Layer::default().file("g", "").0].concat());
    let nul = Layer::default()
        .add(EntryType::GNULongName, "L", "", b"a\0b\0")
        .file("f", "");
    for (what, layer) in [
        ("two pax headers", twice),
        ("two names", names),
        ("no entry", orphan),
        ("lone empty block", lone),
        ("null byte", nul),
    ] {
        let result = Scene::new().unpack(&layer);
        assert!(
            matches!(result, Err(UnpackError::Malformed { .. })),
            "{what}"
        );
    }
}

#[test]
fn u19_the_table_of_zstd_chunked_is_skipped() {
    // RFC 8878, section 3.1.2: frames that a decoder skips.
    let skippable = |text: &[u8]| {
        let length = u32::try_from(text.len()).unwrap().to_le_bytes();
        [&0x184d_2a50_u32.to_le_bytes()[..], &length, text].concat()
    };
    let layer = Layer::default().file("f", "archive").bytes();
    let (head, tail) = layer.split_at(600);
    let frame = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    let table = skippable(br#"{"entries":[{"name":"f","digest":"sha256:0"}]}"#);
    let stream = [frame(head), frame(tail), table, skippable(b"footer")].concat();
    let scene = Scene::new();
    let summary = scene.unpack_bytes(&stream, Compression::Zstd).unwrap();
    assert_eq!(summary.diff_id.0, crate::blobs::digest_of(&layer));
    assert_eq!(fs::read(scene.layer("f")).unwrap(), b"archive");
    let garbage = [frame(&layer), b"garbage".to_vec()].concat();
    assert!(
        Scene::new()
            .unpack_bytes(&garbage, Compression::Zstd)
            .is_err()
    );
}
