//! Writing while there is still something to fetch: what is on the disk when the last layer is complete,
//! nobody has to wait for then.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use carrier_store::Store;

/// Pulls that are done sooner have little to write.
const INTERVAL: Duration = Duration::from_millis(250);

/// Does some work, while a thread brings what it has written to the disk every now and then.
pub(crate) fn write_behind<T>(store: &Store, work: impl FnOnce() -> T) -> T {
    let (working, ended) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while ended.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                // What fails here fails again when it matters.
                let _ = store.sync();
            }
        });
        let done = work();
        drop(working);
        done
    })
}
