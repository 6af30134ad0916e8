use super::*;
use std::io::Write as _;

use carrier_spec::DiffId;

fn store() -> (tempfile::TempDir, Store) {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(&home.path().join("store")).unwrap();
    (home, store)
}

fn layer(store: &Store, name: &str) -> DiffId {
    let id = DiffId(digest_of(name.as_bytes()));
    let staged = store.stage_layer().unwrap();
    let summary = crate::LayerSummary {
        diff_id: id.clone(),
        entries: 1,
        bytes: 7,
        skipped_devices: 0,
        tree: None,
    };
    let mut ingest = store.ingest();
    ingest.add_layer(staged, &summary).unwrap();
    ingest.commit().unwrap();
    id
}

fn blob(store: &Store, bytes: &str) -> Digest {
    let mut writer = store.new_blob().unwrap();
    writer.write_all(bytes.as_bytes()).unwrap();
    let digest = digest_of(bytes.as_bytes());
    let mut ingest = store.ingest();
    ingest.add_blob(writer.verify(&digest, bytes.len() as u64).unwrap());
    ingest.commit().unwrap();
    digest
}

/// An image whose content is told apart by `content`.
fn record(store: &Store, name: &str, content: &str, layers: &[DiffId]) -> ImageRecord {
    let platform: Platform = "linux/amd64".parse().unwrap();
    let mut config = ImageConfig::default();
    config.rootfs.diff_ids = layers.to_vec();
    let digest = blob(store, &format!("manifest of {content}"));
    ImageRecord {
        schema: ImageRecord::SCHEMA,
        reference: Some(name.parse().unwrap()),
        origin: None,
        platform,
        manifest: Descriptor {
            media_type: "m".into(),
            digest,
            size: 1,
            platform: None,
        },
        index: None,
        id: ImageId(blob(store, &format!("config of {content}"))),
        size: store.unpacked_size(&config).unwrap(),
        config,
    }
}

fn image(store: &Store, name: &str, platform: &str, layers: &[DiffId]) -> ImageRecord {
    let content = format!("{name} for {platform}");
    let platform = platform.parse().unwrap();
    let record = ImageRecord {
        platform,
        ..record(store, name, &content, layers)
    };
    store.put_image(&record).unwrap();
    record
}

fn nobody() -> Result<Vec<ImageUser>, Error> {
    Ok(Vec::new())
}

fn remove(store: &Store, record: &ImageRecord) -> RemovedImages {
    let records = std::slice::from_ref(record);
    store
        .remove_images(records, LastName::Remove, nobody)
        .unwrap()
}

/// What there is: names, and short ids of images without one.
fn listed(store: &Store) -> Vec<String> {
    let shown = |image: ImageRecord| match image.reference {
        Some(reference) => format!("{} {}", reference.familiar(), image.id.0.short()),
        None => format!("<none> {}", image.id.0.short()),
    };
    store.images().unwrap().into_iter().map(shown).collect()
}

fn line(name: &str, image: &ImageRecord) -> String {
    format!("{name} {}", image.id.0.short())
}

#[test]
fn platforms_of_a_reference_live_side_by_side() {
    let (_home, store) = store();
    let base = layer(&store, "base");
    image(&store, "a", "linux/arm64", std::slice::from_ref(&base));
    let name = "a".parse().unwrap();
    let found = |platform: Option<&str>| {
        let platform = platform.map(|text| text.parse().unwrap());
        let record = store.image(&name, platform.as_ref()).unwrap();
        record.map(|record| record.platform.to_string())
    };
    assert_eq!(found(None).as_deref(), Some("linux/arm64"));
    assert_eq!(
        found(Some("linux/arm64/v8")).as_deref(),
        Some("linux/arm64")
    );
    assert_eq!(found(Some("linux/s390x")), None);
    let host = Platform::host().to_string();
    image(&store, "a", &host, &[base]);
    assert_eq!(found(None), Some(host));
    assert_eq!(store.images().unwrap().len(), 2);
}

#[test]
fn what_nobody_needs_goes_with_the_last_image() {
    let (_home, store) = store();
    let (shared, own, used) = (layer(&store, "s"), layer(&store, "o"), layer(&store, "u"));
    let a = image(
        &store,
        "a",
        "linux/amd64",
        &[shared.clone(), own.clone(), used.clone()],
    );
    let b = image(&store, "b", "linux/amd64", std::slice::from_ref(&shared));
    let user = ImageUser {
        name: "user".into(),
        image: b.id.clone(),
        layers: vec![used.clone()],
    };
    let removed = store
        .remove_images(std::slice::from_ref(&a), LastName::Remove, || {
            Ok(vec![user.clone()])
        })
        .unwrap();
    assert!(!removed.needs_sweep);
    assert_eq!(removed.layers, std::slice::from_ref(&own));
    assert!(!store.has_layer(&own));
    assert!(store.has_layer(&shared) && store.has_layer(&used));
    assert!(!store.has_blob(&a.manifest.digest).unwrap());
    assert!(store.has_blob(&b.manifest.digest).unwrap());
    assert!(
        store
            .image(a.reference.as_ref().unwrap(), None)
            .unwrap()
            .is_none()
    );
}

#[test]
fn an_image_without_its_layers_is_refused() {
    let (_home, store) = store();
    let base = layer(&store, "base");
    let a = image(&store, "a", "linux/amd64", std::slice::from_ref(&base));
    remove(&store, &a);
    assert!(matches!(store.put_image(&a), Err(Error::LayerMissing(id)) if id == base));
}

#[test]
fn what_does_not_belong_among_the_images_hides_none() {
    let (_home, store) = store();
    let base = layer(&store, "base");
    let a = image(&store, "a", "linux/amd64", std::slice::from_ref(&base));
    let images = store.path(DIRECTORY);
    fs::write(images.join("stray"), "x").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", images.join("link")).unwrap();
    fs::create_dir(images.join("empty")).unwrap();
    let own = store.record_path(&a);
    fs::create_dir(own.with_file_name("directory.json")).unwrap();
    fs::write(own.with_file_name("notes"), "x").unwrap();
    assert_eq!(store.images().unwrap(), std::slice::from_ref(&a));
}

#[test]
fn a_damaged_record_harms_no_other_image() {
    let (_home, store) = store();
    let base = layer(&store, "base");
    let a = image(&store, "a", "linux/amd64", std::slice::from_ref(&base));
    let b = image(&store, "b", "linux/amd64", std::slice::from_ref(&base));
    let path = store.record_path(&a);
    for damage in [&b""[..], b"{", b"{}", b"\xff\xfe"] {
        fs::write(&path, damage).unwrap();
        assert_eq!(
            store.image(a.reference.as_ref().unwrap(), None).unwrap(),
            None
        );
        assert_eq!(store.images().unwrap(), std::slice::from_ref(&b));
    }
    store.put_image(&a).unwrap();
    assert_eq!(store.images().unwrap().len(), 2);
    fs::write(&path, b"").unwrap();
    assert!(!remove(&store, &b).needs_sweep);
    assert!(store.images().unwrap().is_empty());
}

/// A small file system; nothing where this process may not mount one.
fn small_disk() -> Option<(tempfile::TempDir, Store)> {
    use rustix::mount::{MountFlags, mount};
    let home = tempfile::tempdir().unwrap();
    let options = c"size=1m,mode=0700";
    if mount("small", home.path(), "tmpfs", MountFlags::empty(), options).is_err() {
        println!("skipped: only root can mount a small file system");
        return None;
    }
    let store = Store::open(&home.path().join("store")).unwrap();
    Some((home, store))
}

#[test]
fn an_image_can_be_removed_from_a_full_disk() {
    let Some((home, store)) = small_disk() else {
        return;
    };
    let base = layer(&store, "base");
    let a = image(&store, "a", "linux/amd64", std::slice::from_ref(&base));
    let b = image(&store, "b", "linux/amd64", std::slice::from_ref(&base));
    let mut filler = fs::File::create(home.path().join("filler")).unwrap();
    while filler.write_all(&[0; 512]).is_ok() {}
    assert!(!remove(&store, &a).needs_sweep);
    assert!(!remove(&store, &b).needs_sweep);
    assert!(!store.has_layer(&base));
    let flags = rustix::mount::UnmountFlags::DETACH;
    rustix::mount::unmount(home.path(), flags).unwrap();
}

#[test]
fn an_image_whose_name_moved_away_stays_without_one() {
    let (_home, store) = store();
    let base = layer(&store, "base");
    let old = record(&store, "a", "old", std::slice::from_ref(&base));
    let new = record(&store, "a", "new", std::slice::from_ref(&base));
    assert_eq!(store.put_image(&old).unwrap(), None);
    assert_eq!(store.put_image(&old).unwrap(), None);
    assert_eq!(store.put_image(&new).unwrap().unwrap().id, old.id);
    assert_eq!(
        listed(&store),
        [line("a:latest", &new), line("<none>", &old)]
    );
    assert!(store.has_blob(&old.manifest.digest).unwrap());
    let untagged = store.images().unwrap().pop().unwrap();
    remove(&store, &untagged);
    assert_eq!(listed(&store), [line("a:latest", &new)]);
    assert!(!store.has_blob(&old.manifest.digest).unwrap());
    assert!(store.has_layer(&base));
}

#[test]
fn an_image_with_another_name_is_not_kept_twice() {
    let (_home, store) = store();
    let old = record(&store, "a", "old", &[]);
    let new = record(&store, "a", "new", &[]);
    store.put_image(&old).unwrap();
    store
        .tag_image(std::slice::from_ref(&old), &"b".parse().unwrap())
        .unwrap();
    assert_eq!(store.put_image(&new).unwrap(), None);
    assert_eq!(listed(&store).len(), 2);
    let b = store.image(&"b".parse().unwrap(), None).unwrap().unwrap();
    let removed = remove(&store, &b);
    assert_eq!(removed.deleted.len(), 1);
    assert_eq!(listed(&store), [line("a:latest", &new)]);
}

#[test]
fn a_name_given_back_to_an_untagged_image_is_the_only_one_shown() {
    let (_home, store) = store();
    let old = record(&store, "a", "old", &[]);
    let new = record(&store, "a", "new", &[]);
    store.put_image(&old).unwrap();
    store.put_image(&new).unwrap();
    store.put_image(&old).unwrap();
    assert_eq!(
        listed(&store),
        [line("a:latest", &old), line("<none>", &new)]
    );
    // With its name goes the image, and does not come back without one.
    remove(&store, &old);
    assert_eq!(listed(&store), [line("<none>", &new)]);
}

#[test]
fn a_name_can_be_taken_from_an_image_that_stays() {
    let (_home, store) = store();
    let a = record(&store, "a", "a", &[]);
    store.put_image(&a).unwrap();
    let records = std::slice::from_ref(&a);
    let removed = store
        .remove_images(records, LastName::Keep, nobody)
        .unwrap();
    assert_eq!((removed.untagged.len(), removed.deleted.len()), (1, 0));
    assert_eq!(listed(&store), [line("<none>", &a)]);
    assert!(store.has_blob(&a.manifest.digest).unwrap());
}

#[test]
fn an_image_in_use_keeps_its_last_name_unless_forced() {
    let (_home, store) = store();
    let base = layer(&store, "base");
    let a = record(&store, "a", "a", std::slice::from_ref(&base));
    store.put_image(&a).unwrap();
    store
        .tag_image(std::slice::from_ref(&a), &"b".parse().unwrap())
        .unwrap();
    let users = || {
        Ok(vec![ImageUser {
            name: "web".into(),
            image: a.id.clone(),
            layers: vec![base.clone()],
        }])
    };
    let both = store.images().unwrap();
    let refused = store.remove_images(&both, LastName::Remove, users);
    assert!(matches!(refused, Err(Error::ImageInUse { users, .. }) if users == ["web"]));
    assert_eq!(listed(&store).len(), 2);
    store
        .remove_images(&both[..1], LastName::Remove, users)
        .unwrap();
    store
        .remove_images(&both[1..], LastName::RemoveUsed, users)
        .unwrap();
    assert!(listed(&store).is_empty());
    assert!(store.has_layer(&base));
}

/// One container that is there from the second look on.
fn late_user(image: &ImageRecord) -> impl Fn() -> Result<Vec<ImageUser>, Error> {
    let user = ImageUser {
        name: "late".into(),
        image: image.id.clone(),
        layers: image.config.rootfs.diff_ids.clone(),
    };
    let looks = std::cell::Cell::new(0);
    move || {
        looks.set(looks.get() + 1);
        let is_there = looks.get() > 1;
        Ok(is_there.then(|| user.clone()).into_iter().collect())
    }
}

#[test]
fn a_container_that_is_made_while_its_image_is_removed_keeps_it() {
    let (_home, store) = store();
    let base = layer(&store, "base");
    let a = image(&store, "a", "linux/amd64", std::slice::from_ref(&base));
    let all = store.images().unwrap();
    let refused = store.remove_images(&all, LastName::Remove, late_user(&a));
    assert!(matches!(refused, Err(Error::ImageInUse { users, .. }) if users == ["late"]));
    assert_eq!(store.images().unwrap(), all);
    assert!(store.has_layer(&base) && store.has_blob(&a.manifest.digest).unwrap());
    let user = late_user(&a);
    let removed = store.remove_images(&all, LastName::RemoveUsed, user);
    assert!(removed.unwrap().layers.is_empty());
    assert!(listed(&store).is_empty() && store.has_layer(&base));
    let user = late_user(&a);
    let layers = || Ok(user()?.into_iter().flat_map(|user| user.layers).collect());
    store.remove_unneeded(layers).unwrap();
    assert!(store.has_layer(&base));
    assert_eq!(fs::read_dir(store.path("staging")).unwrap().count(), 0);
}

#[test]
fn an_image_that_did_not_arrive_is_reclaimed() {
    let (_home, store) = store();
    let base = layer(&store, "base");
    let a = record(&store, "a", "a", std::slice::from_ref(&base));
    drop(store.announce_image(&a).unwrap());
    assert!(store.sweep().unwrap().images);
    store.reclaim_images(nobody).unwrap();
    assert!(!store.has_layer(&base) && !store.has_blob(&a.manifest.digest).unwrap());
    assert_eq!(fs::read_dir(store.path("staging")).unwrap().count(), 0);
}

#[test]
fn what_an_interrupted_pull_has_brought_is_kept_for_a_day() {
    let (_home, store) = store();
    let base = layer(&store, "base");
    let a = record(&store, "a", "a", std::slice::from_ref(&base));
    let mark = store.announce_pull(&a).unwrap().unwrap();
    let b = image(&store, "b", "linux/amd64", std::slice::from_ref(&base));
    assert!(store.announce_pull(&a).unwrap().is_none());
    remove(&store, &b);
    assert!(store.has_layer(&base));
    drop(mark);
    assert!(!store.sweep().unwrap().images && store.leftovers().unwrap().is_empty());
    store.reclaim_images(nobody).unwrap();
    assert!(store.has_layer(&base));
    drop(store.announce_pull(&a).unwrap().unwrap());
    let mark = store.pull_mark(&a);
    let yesterday = std::time::SystemTime::now() - std::time::Duration::from_hours(25);
    let file = fs::File::options().write(true).open(&mark).unwrap();
    file.set_modified(yesterday).unwrap();
    drop(file);
    assert!(store.sweep().unwrap().images);
    store.reclaim_images(nobody).unwrap();
    assert!(!store.has_layer(&base) && !mark.exists());
    drop(store.announce_pull(&a).unwrap().unwrap());
    store.forget_pull(&a);
    assert_eq!(fs::read_dir(store.path("staging")).unwrap().count(), 0);
}

#[test]
fn tagging_replaces_every_platform_of_the_name() {
    let (_home, store) = store();
    let amd64 = image(&store, "a", "linux/amd64", &[]);
    let arm64 = image(&store, "a", "linux/arm64", &[]);
    let other = record(&store, "b", "other", &[]);
    store.put_image(&other).unwrap();
    let name = "a".parse().unwrap();
    let lost = store
        .tag_image(std::slice::from_ref(&other), &name)
        .unwrap();
    let lost: Vec<_> = lost.into_iter().map(|image| image.id).collect();
    assert_eq!(lost, [amd64.id.clone(), arm64.id.clone()]);
    let expected = [line("a:latest", &other), line("b:latest", &other)];
    for line in expected {
        assert!(listed(&store).contains(&line));
    }
    assert_eq!(listed(&store).len(), 4);
}

#[test]
fn blobs_of_another_manifest_of_the_same_image_go_when_it_is_replaced() {
    let (_home, store) = store();
    let gzip = record(&store, "a", "same", &[]);
    let mut zstd = gzip.clone();
    zstd.manifest.digest = blob(&store, "the same with zstd");
    store.put_image(&gzip).unwrap();
    assert_eq!(store.put_image(&zstd).unwrap(), None);
    assert!(!store.has_blob(&gzip.manifest.digest).unwrap());
    assert_eq!(listed(&store).len(), 1);
}

#[test]
fn the_index_that_an_image_came_in_is_kept_with_it() {
    let (_home, store) = store();
    let mut a = record(&store, "a", "a", &[]);
    let index = Descriptor {
        digest: blob(&store, "index"),
        ..a.manifest.clone()
    };
    a.index = Some(index.clone());
    store.put_image(&a).unwrap();
    let b = image(&store, "b", "linux/amd64", &[]);
    remove(&store, &b);
    assert!(store.has_blob(&index.digest).unwrap());
    remove(&store, &a);
    assert!(!store.has_blob(&index.digest).unwrap());
}

#[test]
fn a_record_without_a_version_is_read_and_one_of_a_newer_version_is_an_error() {
    let (_home, store) = store();
    let a = record(&store, "a", "a", &[]);
    store.put_image(&a).unwrap();
    let path = store.record_path(&a);
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    json.as_object_mut().unwrap().remove("schema");
    fs::write(&path, json.to_string()).unwrap();
    let name = a.reference.clone().unwrap();
    let read = store.image(&name, None).unwrap().unwrap();
    assert_eq!((read.schema, read.id), (0, a.id.clone()));
    json["schema"] = 7.into();
    for newer in [
        json.to_string(),
        r#"{"schema":7,"reference":{}}"#.to_owned(),
    ] {
        fs::write(&path, newer).unwrap();
        let refused = store.image(&name, None);
        assert!(matches!(refused, Err(Error::NewerRecord { schema: 7, .. })));
        assert!(store.images().is_err() && store.put_image(&a).is_err());
    }
}

/// Stops where a power cut could, and looks at what a reader finds there.
#[test]
fn an_image_is_found_at_every_step_of_losing_its_name() {
    let (_home, store) = store();
    let old = record(&store, "a", "old", &[]);
    let new = record(&store, "a", "new", &[]);
    store.put_image(&old).unwrap();
    store.keep_untagged(&old).unwrap();
    assert_eq!(listed(&store), [line("a:latest", &old)]);
    store.put_image(&new).unwrap();
    assert_eq!(
        listed(&store),
        [line("a:latest", &new), line("<none>", &old)]
    );
}

/// Leaves what a crash would: a mark that nobody locks.
fn crash(store: &Store, record: &ImageRecord) {
    let mark = store.path("staging/crashed.image");
    fs::write(mark, serde_json::to_vec(record).unwrap()).unwrap();
}

#[test]
fn what_a_crash_leaves_of_an_image_on_its_way_is_reclaimed() {
    let (_home, store) = store();
    let (shared, own, used) = (layer(&store, "s"), layer(&store, "o"), layer(&store, "u"));
    let b = image(&store, "b", "linux/amd64", std::slice::from_ref(&shared));
    let lost = record(
        &store,
        "a",
        "lost",
        &[shared.clone(), own.clone(), used.clone()],
    );
    crash(&store, &lost);
    let made = store.record_path(&lost);
    fs::create_dir(made.parent().unwrap()).unwrap();
    fs::write(made.with_file_name(".linux-amd64.json.1"), "{").unwrap();
    assert!(store.sweep().unwrap().images);
    let users = || {
        Ok(vec![ImageUser {
            name: "user".into(),
            image: lost.id.clone(),
            layers: vec![used.clone()],
        }])
    };
    assert!(!store.reclaim_images(users).unwrap());
    assert!(!store.has_layer(&own) && !store.has_blob(&lost.manifest.digest).unwrap());
    assert!(store.has_layer(&shared) && store.has_layer(&used));
    assert!(store.has_blob(&b.manifest.digest).unwrap());
    assert!(!store.sweep().unwrap().images);
    assert!(!made.parent().unwrap().exists() && store.record_path(&b).exists());
    assert_eq!(fs::read_dir(store.path("staging")).unwrap().count(), 0);
}

#[test]
fn an_image_on_its_way_is_left_alone_and_one_that_arrived_is_kept() {
    let (_home, store) = store();
    let base = layer(&store, "base");
    let a = record(&store, "a", "a", std::slice::from_ref(&base));
    let transit = store.announce_image(&a).unwrap();
    assert!(!store.sweep().unwrap().images);
    store.reclaim_images(nobody).unwrap();
    // Whoever removes an image of the same layers leaves those that come.
    let b = image(&store, "b", "linux/amd64", std::slice::from_ref(&base));
    remove(&store, &b);
    store.remove_unneeded(|| Ok(Vec::new())).unwrap();
    assert!(store.has_layer(&base) && store.has_blob(&a.manifest.digest).unwrap());
    store.put_image(&a).unwrap();
    transit.done();
    crash(&store, &a);
    store.reclaim_images(nobody).unwrap();
    assert!(store.has_layer(&base) && store.has_blob(&a.manifest.digest).unwrap());
    for half in ["", "{\"schema\"", "{\"schema\":9}"] {
        fs::write(store.path("staging/half.image"), half).unwrap();
        store.reclaim_images(nobody).unwrap();
    }
    assert_eq!(listed(&store), [line("a:latest", &a)]);
}

#[test]
fn half_a_record_of_a_crash_keeps_no_directory() {
    let (_home, store) = store();
    let a = record(&store, "a", "a", &[]);
    store.put_image(&a).unwrap();
    let path = store.record_path(&a);
    let half = path.with_file_name(".linux-amd64.json.1");
    fs::write(&half, "{").unwrap();
    store.put_image(&a).unwrap();
    assert!(!half.exists());
    fs::write(&half, "{").unwrap();
    remove(&store, &a);
    assert_eq!(fs::read_dir(store.path("images")).unwrap().count(), 0);
}

#[test]
fn half_an_index_of_a_crash_is_gone_after_the_next_repair() {
    let (_home, store) = store();
    store.put_image(&record(&store, "a", "a", &[])).unwrap();
    let half = store.path(".index.json.1");
    fs::write(&half, "{").unwrap();
    store.repair_index().unwrap();
    assert!(!half.exists());
    fs::write(&half, "{").unwrap();
    store.reclaim_images(nobody).unwrap();
    assert!(!half.exists());
}
