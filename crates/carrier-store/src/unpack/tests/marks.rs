//! Whiteouts, overlay's own marks, special files and attributes: U-06 to U-09.

use super::*;

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
fn u07_what_a_layer_shows_is_what_its_archive_lists() {
    for attribute in [
        "trusted.overlay.redirect",
        "trusted.overlay.opaque",
        "user.overlay.redirect",
        "user.overlay.metacopy",
        "user.overlay.whiteout",
        "user.fuseoverlayfs.opaque",
        "user.containers.override_stat",
        "security.selinux",
        "security.ima",
        "security.evm",
        "trusted.other",
        "system.posix_acl_access",
    ] {
        let scene = Scene::new();
        let layer = Layer::default()
            .pax(&format!("SCHILY.xattr.{attribute}=y"))
            .dir("d")
            .pax(&format!("SCHILY.xattr.{attribute}=y"))
            .file("d/f", "x");
        scene.unpack(&layer).unwrap();
        for path in ["d", "d/f"] {
            let mut names = [0; 256];
            let length = rustix::fs::listxattr(scene.layer(path), &mut names).unwrap();
            assert_eq!(
                names[..length].escape_ascii().to_string(),
                "",
                "{attribute}"
            );
        }
    }
}

#[test]
fn u07_a_device_0_0_is_a_device_and_no_whiteout() {
    let scene = Scene::new();
    let layer = Layer::default().add(EntryType::Char, "hidden", "", b"");
    assert_eq!(scene.unpack(&layer).unwrap().skipped_devices, 1);
    assert!(fs::symlink_metadata(scene.layer("hidden")).is_err());
}

#[test]
fn u09_file_capabilities_lose_the_root_of_the_builder() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: setting a file capability needs CAP_SETFCAP");
        return;
    }
    let scene = Scene::new();
    let words: [&[u8]; 5] = [&[1, 0, 0, 2], &[0, 4, 0, 0], &[0; 4], &[0; 4], &[0; 4]];
    let version_2 = words.concat();
    let mut version_3 = version_2.clone();
    version_3[3] = 3;
    version_3.extend_from_slice(&1000_u32.to_le_bytes());
    for value in [&version_2, &version_3] {
        let attribute = [&b"SCHILY.xattr.security.capability="[..], value].concat();
        let layer = Layer::default().pax_records(&[&attribute]).file("f", "x");
        scene.unpack(&layer).unwrap();
        let mut stored = [0; 64];
        let length = rustix::fs::getxattr(scene.layer("f"), "security.capability", &mut stored);
        assert_eq!(&stored[..length.unwrap()], version_2.as_slice());
    }
    for bad in [&version_2[..19], &[0; 20], &version_3[..20], b""] {
        let attribute = [&b"SCHILY.xattr.security.capability="[..], bad].concat();
        let layer = Layer::default().pax_records(&[&attribute]).file("f", "x");
        let error = scene.unpack(&layer).unwrap_err();
        assert!(matches!(error, UnpackError::Capability { .. }), "{error}");
    }
}
