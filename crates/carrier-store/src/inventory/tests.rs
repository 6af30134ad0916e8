//! Every change of a tree shows.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::*;

type Change = fn(&Path);

fn tree() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    fs::create_dir_all(path("a/b")).unwrap();
    fs::write(path("a/b/file"), "content").unwrap();
    fs::write(path("a/other"), "").unwrap();
    fs::write(path("a.b"), "sorts between").unwrap();
    symlink("file", path("a/b/link")).unwrap();
    home
}

fn opened(path: &Path) -> File {
    File::open(path).unwrap()
}

fn size(path: &Path) -> TreeSize {
    count(opened(path).as_fd()).unwrap()
}

fn all(path: &Path) -> Vec<Fingerprint> {
    fingerprints(opened(path).as_fd()).unwrap()
}

#[test]
fn entries_and_bytes_are_counted() {
    let home = tree();
    let found = size(home.path());
    assert_eq!((found.entries, found.bytes), (6, 20));
    fs::hard_link(home.path().join("a.b"), home.path().join("twice")).unwrap();
    let found = size(home.path());
    assert_eq!((found.entries, found.bytes), (7, 20));
}

#[test]
fn every_change_of_metadata_shows() {
    let changes: [(&str, Change); 6] = [
        ("a mode", |root| {
            let mode = fs::Permissions::from_mode(0o600);
            fs::set_permissions(root.join("a/other"), mode).unwrap();
        }),
        ("a size", |root| {
            fs::write(root.join("a/b/file"), "conten").unwrap();
        }),
        ("a link", |root| {
            fs::remove_file(root.join("a/b/link")).unwrap();
            symlink("elsewhere", root.join("a/b/link")).unwrap();
        }),
        ("a new file", |root| {
            fs::write(root.join("a/new"), "").unwrap();
        }),
        ("a lost file", |root| {
            fs::remove_file(root.join("a/other")).unwrap();
        }),
        ("a directory's mode", |root| {
            let mode = fs::Permissions::from_mode(0o700);
            fs::set_permissions(root.join("a"), mode).unwrap();
        }),
    ];
    for (what, change) in changes {
        let home = tree();
        let before = all(home.path());
        change(home.path());
        assert!(
            first_difference(&all(home.path()), &before).is_some(),
            "{what}"
        );
    }
}

#[test]
fn a_flipped_byte_is_found_by_reading() {
    let home = tree();
    let before = all(home.path());
    assert_eq!(first_difference(&before, &all(home.path())), None);
    let path = home.path().join("a/b/file");
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "cOntent").unwrap();
    opened(&path).set_modified(time).unwrap();
    let found = first_difference(&before, &all(home.path()));
    assert_eq!(found.as_deref(), Some(&b"a/b/file"[..]));
}

#[test]
fn a_very_deep_tree_is_walked() {
    let home = tempfile::tempdir().unwrap();
    let mut directory: OwnedFd = opened(home.path()).into();
    for _ in 0..2000 {
        rustix::fs::mkdirat(&directory, "d", Mode::from_raw_mode(0o755)).unwrap();
        directory = open_directory(directory.as_fd(), c"d").unwrap();
    }
    assert_eq!(size(home.path()).entries, 2000);
}
