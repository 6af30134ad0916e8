//! What the tests are told about this run, and what they tell.

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Ends a test that cannot run here: `return skip("name", "reason")`.
pub fn skip(test: &str, reason: &str) {
    println!("skipped {test}: {reason}");
    if let Some(path) = env::var_os("CARRIER_SKIP_LOG") {
        let log = fs::File::options().create(true).append(true).open(path);
        log.unwrap()
            .write_all(format!("{test}\t{reason}\n").as_bytes())
            .unwrap();
    }
}

/// Whether the tests may arrange what only root can.
#[must_use]
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// The runtime that `CARRIER_TEST_RUNTIME` names.
#[must_use]
pub fn other_runtime() -> Option<String> {
    let path = env::var("CARRIER_TEST_RUNTIME").ok()?;
    (!path.is_empty()).then_some(path)
}

/// The binary under test.
pub(crate) fn binary() -> PathBuf {
    if let Some(path) = env::var_os("CARRIER_BIN") {
        return path.into();
    }
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    target.join(format!(
        "{}-unknown-linux-gnu/release/carrier",
        env::consts::ARCH
    ))
}
