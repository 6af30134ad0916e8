//! The invariants of the fuzz targets, for their seeds, for seeds that are changed, and for noise.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a test explains itself by its name"
)]

use std::path::Path;

use proptest::prelude::*;

/// The seeds of a target, each with its name.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let files = std::fs::read_dir(corpus.join(target)).unwrap();
    let seeds: Vec<_> = files
        .map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .collect();
    assert!(!seeds.is_empty());
    seeds
}

fn drive(target: &'static str, holds: fn(&[u8])) {
    let seeds = seeds(target);
    seeds.iter().for_each(|seed| holds(seed));
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    let cut = any::<prop::sample::Index>();
    let changed = (prop::sample::select(seeds), changes, cut, any::<bool>()).prop_map(
        |(mut seed, changes, cut, whole)| {
            for (place, byte) in changes {
                if !seed.is_empty() {
                    let place = place.index(seed.len());
                    seed[place] = byte;
                }
            }
            if !whole && !seed.is_empty() {
                seed.truncate(cut.index(seed.len()));
            }
            seed
        },
    );
    let noise = prop::collection::vec(any::<u8>(), 0..300);
    let input = prop_oneof![4 => changed, 1 => noise];
    let config = ProptestConfig {
        cases: 3000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(bytes in input)| holds(&bytes));
}

#[test]
fn references_mean_what_is_printed() {
    drive("reference", carrier_fuzz::reference);
}

#[test]
fn manifests_name_few_blobs_and_by_their_digests() {
    drive("manifest", carrier_fuzz::manifest);
}

#[test]
fn configurations_are_the_same_when_they_are_read_again() {
    drive("config", carrier_fuzz::config);
}

#[test]
fn archives_end() {
    drive("tar", carrier_fuzz::tar);
}

#[test]
fn challenges_are_no_longer_than_their_header() {
    drive("challenge", carrier_fuzz::challenge);
}
