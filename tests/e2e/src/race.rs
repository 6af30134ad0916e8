//! Somebody who exchanges names while Carrier looks at them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustix::fs::{CWD, RenameFlags};

/// Enough to see that a test works; `make nightly` asks for more.
const FEW: u32 = 40;

/// How often a race is run: `CARRIER_RACE_ROUNDS`, or a few times.
#[must_use]
pub fn rounds() -> u32 {
    rounds_or(FEW)
}

/// How often something is tried whose moment is left to chance: `CARRIER_RACE_ROUNDS`, or `few`.
#[must_use]
pub fn rounds_or(few: u32) -> u32 {
    std::env::var("CARRIER_RACE_ROUNDS").map_or(few, |rounds| rounds.parse().unwrap())
}

/// A thread that exchanges the names of each pair without a pause, until it is stopped.
#[derive(Debug)]
pub struct Exchange {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Exchange {
    /// Starts it. A name that is missing for a while does no harm.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "a test does not clone itself into a container"
    )]
    pub fn of(pairs: &[(&Path, &Path)]) -> Self {
        let owned = |(one, other): &(&Path, &Path)| (one.to_path_buf(), other.to_path_buf());
        let pairs: Vec<(PathBuf, PathBuf)> = pairs.iter().map(owned).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut count = 0;
            while !stopped.load(Ordering::Relaxed) {
                for (one, other) in &pairs {
                    let flags = RenameFlags::EXCHANGE;
                    let exchanged = rustix::fs::renameat_with(CWD, one, CWD, other, flags);
                    count += u64::from(exchanged.is_ok());
                }
            }
            count
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }

    /// Ends it; how often names were exchanged.
    #[must_use]
    pub fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .take()
            .map_or(0, |thread| thread.join().unwrap())
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
