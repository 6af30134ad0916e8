//! What has to hold for whatever strangers send: one function for each kind of input. `fuzz/` hands
//! them to cargo-fuzz, and the tests beside this crate to proptest.
//!
//! Each returns when all is well, whether the input is accepted or not, and panics when it is not.
#![allow(clippy::unwrap_used, reason = "a broken invariant panics")]

use carrier_spec::{ImageConfig, ManifestOrIndex, Reference};
use carrier_store::{ArchiveReader, Limits};

/// The name of an image. What is accepted is printed as something that means the same, is safe for a
/// terminal, and has no part that leads to another directory.
pub fn reference(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let Ok(reference) = text.parse::<Reference>() else {
        return;
    };
    for printed in [reference.to_string(), reference.familiar()] {
        let again: Reference = printed.parse().unwrap();
        assert_eq!(again, reference, "{printed}");
        assert!(printed.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    let mut parts = reference.repository().split('/');
    assert!(parts.all(|part| !matches!(part, "" | "." | "..")));
    assert!(
        reference
            .tag()
            .is_none_or(|tag| !tag.contains('/') && tag.len() <= 128)
    );
}

/// A manifest or an index. What is accepted has few entries, and digests of which files can be named.
pub fn manifest(input: &[u8]) {
    let Ok(document) = ManifestOrIndex::parse(input, None) else {
        return;
    };
    let descriptors = match document {
        ManifestOrIndex::Manifest(manifest) => {
            assert!(manifest.layers.len() <= 512);
            [vec![manifest.config], manifest.layers].concat()
        }
        ManifestOrIndex::Index(index) => {
            assert!(index.manifests.len() <= 1000);
            index.manifests
        }
    };
    for descriptor in descriptors {
        let digest = descriptor.digest.as_str();
        let safe = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b':';
        assert!(digest.bytes().all(safe), "{digest}");
    }
}

/// An image's configuration. What is accepted has as many layers as the manifest, and is the same when
/// it is written and read again.
pub fn config(input: &[u8]) {
    for layers in 0..3 {
        let Ok(config) = ImageConfig::parse(input, layers) else {
            continue;
        };
        assert_eq!(config.rootfs.diff_ids.len(), layers);
        let written = serde_json::to_vec(&config).unwrap();
        assert_eq!(ImageConfig::parse(&written, layers).unwrap(), config);
    }
}

/// A layer's archive. Reading ends, gives no more than there is, and gives the same again.
pub fn tar(input: &[u8]) {
    let first = read(input);
    let total: usize = first.iter().map(|(_, content)| content.len()).sum();
    assert!(total + 512 * first.len() <= input.len().max(1) * EXPANSION);
    assert!(first.iter().all(|(path, _)| !path.contains(&0)));
    assert_eq!(first, read(input));
}

/// How much longer what is in an archive may be than the archive: it may be compressed.
const EXPANSION: usize = 100_000;

type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// The entries up to the first fault.
fn read(input: &[u8]) -> Entries {
    let limits = Limits {
        bytes: 1 << 20,
        entries: 1000,
        ..Limits::default()
    };
    let mut entries = Entries::new();
    let Ok(mut reader) = ArchiveReader::new(input, limits) else {
        return entries;
    };
    let mut buffer = [0; 4096];
    while let Ok(Some(entry)) = reader.next_entry() {
        let mut content = Vec::new();
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            content.extend_from_slice(&buffer[..count]);
        }
        entries.push((entry.path, content));
    }
    entries
}

/// The header `WWW-Authenticate`. What is understood of it is no longer than it.
pub fn challenge(input: &[u8]) {
    let Ok(header) = std::str::from_utf8(input) else {
        return;
    };
    let realms = carrier_registry::fuzzing::realms(header);
    let total: usize = realms.iter().map(String::len).sum();
    assert!(total <= header.len());
}
