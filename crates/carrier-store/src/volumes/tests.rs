use std::fs;
use std::os::unix::fs::symlink;

use super::*;

fn store() -> (tempfile::TempDir, Store) {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(&home.path().join("store")).unwrap();
    (home, store)
}

fn record(name: &str) -> VolumeRecord {
    VolumeRecord {
        name: name.parse().unwrap(),
        created: 7,
        labels: BTreeMap::new(),
        options: BTreeMap::new(),
        anonymous: false,
        container: None,
    }
}

fn staged(store: &Store) -> usize {
    fs::read_dir(store.path("staging")).unwrap().count()
}

#[test]
fn a_volume_is_made_once_and_removed_as_a_whole() {
    let (_home, store) = store();
    let record = record("data");
    assert!(store.create_volume(&record, true).unwrap());
    assert!(!store.create_volume(&record, true).unwrap());
    let volume = store.volume(&record.name);
    assert_eq!(volume.read_record().unwrap().unwrap(), record);
    assert_eq!(
        store.volume_names().unwrap(),
        std::slice::from_ref(&record.name)
    );
    assert!(volume.is_empty().unwrap());
    fs::write(volume.data().join("file"), "x").unwrap();
    assert!(!volume.is_empty().unwrap());
    let lock = store.lock_volume(&record.name).unwrap().unwrap();
    assert!(store.try_lock_volume(&record.name).unwrap().is_none());
    assert!(store.remove_volume(&lock).unwrap());
    assert!(store.volume_names().unwrap().is_empty());
    assert!(store.lock_volume(&record.name).unwrap().is_none());
    assert_eq!(staged(&store), 0);
}

#[test]
fn a_volume_is_filled_with_what_all_layers_have() {
    let (home, store) = store();
    let layer = |name: &str| {
        let path = home.path().join(name);
        fs::create_dir_all(path.join("sub")).unwrap();
        path
    };
    let (low, top) = (layer("low"), layer("top"));
    fs::write(low.join("sub/a"), "low").unwrap();
    fs::write(low.join("sub/b"), "low").unwrap();
    fs::write(top.join("sub/a"), "top").unwrap();
    symlink("/etc/passwd", top.join("link")).unwrap();
    fs::set_permissions(&top, fs::Permissions::from_mode(0o750)).unwrap();
    let parts = [&top, &low].map(|path| fs::File::open(path).unwrap().into());
    store.create_volume(&record("data"), false).unwrap();
    let lock = store.lock_volume(&record("data").name).unwrap().unwrap();
    assert!(!lock.fill_with_nothing(&parts).unwrap());
    lock.fill(&store, &[], &parts, true).unwrap();
    let data = lock.directory().data();
    assert_eq!(fs::read_to_string(data.join("sub/a")).unwrap(), "top");
    assert_eq!(fs::read_to_string(data.join("sub/b")).unwrap(), "low");
    assert!(data.join("link").is_symlink());
    assert_eq!(fs::metadata(&data).unwrap().mode() & 0o7777, 0o750);
    assert!(!lock.directory().is_unsettled());
    assert_eq!(staged(&store), 0);
}

#[test]
fn what_a_layer_has_lost_on_its_way_out_is_not_copied() {
    let (home, store) = store();
    let top = home.path().join("top");
    fs::create_dir(&top).unwrap();
    fs::write(top.join("file"), "x").unwrap();
    store.create_volume(&record("data"), false).unwrap();
    let lock = store.lock_volume(&record("data").name).unwrap().unwrap();
    let parts = [fs::File::open(&top).unwrap().into()];
    let gone = carrier_spec::DiffId(crate::digest_of(b"gone"));
    let refused = lock.fill(&store, std::slice::from_ref(&gone), &parts, false);
    assert!(matches!(refused, Err(Error::LayerMissing(id)) if id == gone));
    assert!(lock.directory().is_empty().unwrap() && !lock.directory().is_unsettled());
    assert_eq!(staged(&store), 0);
}

#[test]
fn what_a_crash_left_on_its_way_arrives_and_takes_nobodys_place() {
    let (_home, store) = store();
    store.create_volume(&record("data"), false).unwrap();
    let lock = store.lock_volume(&record("data").name).unwrap().unwrap();
    let arriving = lock.directory().path().join(ARRIVING);
    fs::create_dir_all(arriving.join("taken/deep")).unwrap();
    fs::write(arriving.join("new"), "image").unwrap();
    fs::write(lock.directory().data().join("taken"), "container").unwrap();
    lock.settle().unwrap();
    let read = |name: &str| fs::read_to_string(lock.directory().data().join(name)).unwrap();
    assert_eq!(
        (read("new"), read("taken")),
        ("image".into(), "container".into())
    );
    assert!(!lock.directory().is_unsettled());
}

#[test]
fn an_empty_directory_of_an_image_gives_a_volume_its_mode() {
    let (home, store) = store();
    let path = home.path().join("layer");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o1777)).unwrap();
    let parts = [fs::File::open(&path).unwrap().into()];
    store.create_volume(&record("data"), false).unwrap();
    let lock = store.lock_volume(&record("data").name).unwrap().unwrap();
    assert!(lock.fill_with_nothing(&parts).unwrap());
    let mode = fs::metadata(lock.directory().data()).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o1777);
}

#[test]
fn giving_a_tree_away_follows_no_link() {
    let home = tempfile::tempdir().unwrap();
    let (tree, canary) = (home.path().join("tree"), home.path().join("canary"));
    fs::create_dir_all(tree.join("sub")).unwrap();
    fs::write(&canary, "x").unwrap();
    symlink(&canary, tree.join("sub/link")).unwrap();
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let root = fs::File::open(&tree).unwrap().into();
    change_owner(&root, 7, 8).unwrap();
    let owner = |path: &Path| {
        let found = fs::symlink_metadata(path).unwrap();
        (found.uid(), found.gid())
    };
    for path in ["", "sub", "sub/link"] {
        assert_eq!(owner(&tree.join(path)), (7, 8), "{path:?}");
    }
    assert_eq!(owner(&canary), (0, 0));
}
