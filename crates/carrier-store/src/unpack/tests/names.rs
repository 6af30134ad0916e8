//! Names and links that lead elsewhere, and ids of nobody: U-01 to U-05, U-13, U-16.

use super::*;

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
        "/",
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
fn u01_names_that_stay_inside_are_taken() {
    let scene = Scene::new();
    let layer = Layer::default()
        .file("./a", "a")
        .file("/b", "b")
        .file("x/../c", "c");
    scene.unpack(&layer).unwrap();
    for name in ["a", "b", "c"] {
        assert_eq!(fs::read(scene.layer(name)).unwrap(), name.as_bytes());
    }
}

#[test]
fn u13_a_tree_of_ten_thousand_levels_is_refused_by_name() {
    let deep = "d/".repeat(10_000);
    for path in [format!("{deep}f"), "n".repeat(200) + &"/n".repeat(2100)] {
        let scene = Scene::new();
        let layer = Layer::default().pax(&format!("path={path}")).file("f", "x");
        let error = scene.unpack(&layer).unwrap_err();
        let expected = matches!(
            error,
            UnpackError::Entry {
                source: Errno::NAMETOOLONG,
                ..
            }
        );
        assert!(expected, "{error}");
        assert!(error.to_string().len() < 400, "{error}");
    }
}

#[test]
fn u13_a_path_as_long_as_the_kernel_takes_is_made() {
    let scene = Scene::new();
    let deep = "dd/".repeat(1300);
    let layer = Layer::default()
        .pax(&format!("path={deep}f"))
        .file("f", "x");
    scene.unpack(&layer).unwrap();
    let home = crate::store::open_directory(scene.home.path()).unwrap();
    crate::tree::remove(home.as_fd(), "layer".as_ref()).unwrap();
}

#[test]
fn u13_names_are_bytes_and_errors_are_text() {
    use std::os::unix::ffi::OsStrExt as _;
    let scene = Scene::new();
    let name = b"\xff\xfe\x1b[2J";
    let layer = Layer::default()
        .pax_records(&[&[&b"path="[..], name].concat()])
        .file("f", "x");
    scene.unpack(&layer).unwrap();
    assert!(
        scene
            .layer("")
            .join(std::ffi::OsStr::from_bytes(name))
            .exists()
    );
    let layer = Layer::default()
        .pax_records(&[&[&b"path=../"[..], name].concat()])
        .file("f", "x");
    let error = scene.unpack(&layer).unwrap_err().to_string();
    assert!(!error.contains('\u{1b}'), "{error:?}");
}

#[test]
fn u16_eight_ids_are_taken_or_refused() {
    let in_header = |bytes: [u8; 8]| {
        Layer::default()
            .file("f", "")
            .change(|block| block[108..116].copy_from_slice(&bytes))
    };
    let in_record = |record: &str| Layer::default().pax(record).file("f", "");
    let refused = [
        in_record("uid=4294967295"),
        in_record("gid=4294967296"),
        in_record("uid=-1"),
        in_record("gid=99999999999999999999"),
        in_header([0xff; 8]),
        in_header([0x80, 0, 0, 1, 0, 0, 0, 0]),
    ];
    for layer in refused {
        let error = Scene::new().unpack(&layer).unwrap_err();
        assert!(matches!(error, UnpackError::Malformed { .. }), "{error}");
    }
    for layer in [
        in_record("uid=2147483648"),
        in_header([0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xfe]),
    ] {
        Scene::new().unpack(&layer).unwrap();
    }
}
