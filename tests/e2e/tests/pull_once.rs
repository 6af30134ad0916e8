//! A pull among other pulls, and among kills.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test explains itself by its name"
)]

use std::collections::BTreeMap;
use std::fs;
use std::process::Child;
use std::time::{Duration, Instant};

use carrier_e2e::{BadRegistry, Cx, Image, Layer, Mischief, Registry, Rule, Target, rounds_or};
use serde_json::json;

/// Layers that differ, each with a few files, which do not compress.
fn image(layers: usize, files: usize, size: usize) -> Image {
    let mut state = 7_u32;
    let mut noise = |length| -> Vec<u8> {
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        std::iter::repeat_with(next).take(length).collect()
    };
    let layers = (0..layers).map(|layer| {
        (0..files).fold(Layer::new(), |made, file| {
            made.file(&format!("layer{layer}/file{file}"), noise(size))
        })
    });
    Image::new(layers.collect(), json!({ "Cmd": ["/f"] }))
}

/// How often each blob was asked for.
fn blob_requests(registry: &Registry) -> BTreeMap<String, usize> {
    let log = registry.log();
    let asked = log
        .lines()
        .filter(|line| line.contains("\"GET /v2/") && line.contains("/blobs/"));
    let mut counts = BTreeMap::new();
    for line in asked {
        let digest = line.split("/blobs/").nth(1).unwrap();
        let digest = digest.split([' ', '"']).next().unwrap().to_owned();
        *counts.entry(digest).or_default() += 1;
    }
    counts
}

#[test]
fn twenty_pulls_of_an_image_fetch_each_blob_once() {
    let registry = Registry::empty();
    image(4, 8, 1 << 20).push(registry.host(), "x", "latest");
    let name = registry.reference("x");

    let alone = Cx::new();
    let start = Instant::now();
    alone.carrier(["pull", "-q", &name]).succeeds();
    let one = start.elapsed();
    assert!(blob_requests(&registry).values().all(|count| *count == 1));

    let cx = Cx::new();
    let start = Instant::now();
    let pulls: Vec<Child> = (0..20).map(|_| cx.start(["pull", "-q", &name])).collect();
    for pull in pulls {
        let outcome = pull.wait_with_output().unwrap();
        assert!(outcome.status.success(), "{outcome:?}");
    }
    let twenty = start.elapsed();
    let counts = blob_requests(&registry);
    assert_eq!(counts.len(), 5);
    assert!(
        counts.values().all(|count| *count == 2),
        "once before, and once for all twenty: {counts:#?}"
    );
    println!(
        "20 pulls at once: each of {} blobs fetched once, {:.2} times the time of one",
        counts.len(),
        twenty.as_secs_f64() / one.as_secs_f64()
    );
}

#[test]
fn pulls_of_images_that_share_layers_do_not_wait_for_each_other_for_ever() {
    let registry = Registry::empty();
    let whole = image(6, 2, 100_000);
    let mut backwards = whole.clone();
    backwards.layers.reverse();
    whole.push(registry.host(), "forwards", "latest");
    backwards.push(registry.host(), "backwards", "latest");
    let cx = Cx::new();
    let names = ["forwards", "backwards"].map(|name| registry.reference(name));
    let pulls: Vec<Child> = (0..12)
        .map(|n| cx.start(["pull", "-q", &names[n % 2]]))
        .collect();
    for pull in pulls {
        assert!(pull.wait_with_output().unwrap().status.success());
    }
    assert!(blob_requests(&registry).values().all(|count| *count == 1));
}

/// What is in a part of the store.
fn names_in(cx: &Cx, place: &str) -> Vec<String> {
    let entries = fs::read_dir(cx.store().join(place)).into_iter().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Waits until nobody works on anything any more: a process that unpacks notices the end of its
/// command a moment later.
fn until_nothing_is_left(cx: &Cx) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let left = [names_in(cx, "staging"), names_in(cx, "downloads")].concat();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "left: {left:?}");
        std::thread::sleep(Duration::from_millis(20));
        cx.carrier(["ls", "-i", "-q"]).succeeds();
    }
}

#[test]
fn a_pull_that_is_killed_at_any_moment_is_repaired_by_the_next_command() {
    let kills = rounds_or(300);
    let registry = Registry::empty();
    image(3, 20, 40_000).push(registry.host(), "x", "latest");
    let name = registry.reference("x");
    let cx = Cx::new();
    let start = Instant::now();
    cx.carrier(["pull", "-q", &name]).succeeds();
    let mut whole = start.elapsed();
    let places = ["blobs/sha256", "layers"].map(|place| names_in(&cx, place));
    let digest_of_files = || {
        let files = "find layers -type f | sort | xargs sha256sum | sha256sum";
        let look = cx.script(&format!("cd {} && {files}", cx.store().display()));
        look.succeeds().text().to_owned()
    };
    let clean = digest_of_files();

    let (mut pulls, mut hits, mut seed) = (0, 0, 1_u64);
    while hits < kills {
        pulls += 1;
        cx.carrier(["rmi", &name]).succeeds();
        let mut pull = cx.start(["pull", "-q", &name]);
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let share = (seed >> 33) as u32 % 1000;
        std::thread::sleep(whole * share / 1000);
        // It may have ended.
        let _ = pull.kill();
        let was_hit = !pull.wait().unwrap().success();
        hits += u32::from(was_hit);
        // How long a pull takes changes with what else the machine does.
        whole = if was_hit {
            whole * 21 / 20
        } else {
            whole * 4 / 5
        };

        cx.carrier(["pull", "-q", &name]).succeeds();
        until_nothing_is_left(&cx);
        assert_eq!(
            ["blobs/sha256", "layers"].map(|place| names_in(&cx, place)),
            places
        );
        assert_eq!(digest_of_files(), clean);
    }
    println!("{pulls} pulls, {hits} of them killed on the way: 0 damaged, nothing left");
    cx.carrier(["rmi", &name]).succeeds();
    assert!(places.iter().all(|names| !names.is_empty()));
    assert!(
        ["blobs/sha256", "layers"]
            .iter()
            .all(|place| names_in(&cx, place).is_empty())
    );
}

#[test]
fn a_layer_that_is_cut_at_ten_places_by_kills_and_by_the_registry_is_transferred_once() {
    const SIZE: usize = 300 << 20;
    let mut large = image(1, 1, SIZE);
    large.layers = vec![large.layers.remove(0).compressed_with("")];
    let rule = |times, mischief| Rule {
        target: Target::Layer,
        times,
        mischief,
    };
    // Slow enough to be killed on its way.
    let pace = Mischief::Paced(20 << 20);
    let cut = [rule(1, Mischief::Truncated(1_000)), rule(1, pace)];
    let rules = [cut.clone(), cut.clone(), cut.clone(), cut.clone(), cut].concat();
    let registry = BadRegistry::serve(&large, rules);
    let cx = Cx::new();
    for round in 1..=5 {
        // The first connection is cut by the registry, the second by a kill.
        let mut pull = cx.start(["pull", "-q", &registry.image()]);
        while registry.requests(Target::Layer) < 2 * round {
            assert!(pull.try_wait().unwrap().is_none(), "it has ended");
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(200));
        pull.kill().unwrap();
        pull.wait().unwrap();
    }
    cx.carrier(["pull", "-q", &registry.image()]).succeeds();
    let (sent, cuts) = (
        registry.sent(Target::Layer),
        registry.requests(Target::Layer) - 1,
    );
    assert!(cuts >= 10, "only {cuts} cuts");
    assert!(
        sent as usize <= SIZE / 10 * 11,
        "{sent} bytes were sent of a layer of {SIZE}"
    );
    println!("cut {cuts} times, 5 of them by kills: {sent} bytes were sent of a layer of {SIZE}");
}
