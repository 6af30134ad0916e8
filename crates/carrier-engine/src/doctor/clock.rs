//! The time of day.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::finding::{Check, Finding};
use super::remedy::Remedy;
use super::view::View;
use crate::moment::Moment;

/// When the oldest compiler was released that builds this program, Rust 1.95: no clock was right before.
const COMPILER: Duration = Duration::from_secs(1_776_297_600);

/// How much the clock of who built or copied the program may have been ahead.
const SLACK: Duration = Duration::from_secs(24 * 60 * 60);

/// A clock that was never set, or lost its battery, is behind; one that is ahead cannot be told from a
/// right one.
pub(super) fn clock(view: &View) -> Finding {
    let check = Check::Clock;
    let installed = view.program.as_ref().map(|(_, time)| *time);
    let earliest = installed.map_or(UNIX_EPOCH + COMPILER, |time| {
        (time - SLACK).max(UNIX_EPOCH + COMPILER)
    });
    let now = shown(view.now);
    if view.now >= earliest {
        return Finding::ok(check, now);
    }
    Finding::failed(
        check,
        format!("it says {now}, before this program was made or installed"),
        "no registry's certificate is valid yet, so that nothing can be pulled",
        Remedy::Root("timedatectl set-ntp true || hwclock --hctosys".to_owned()),
    )
}

fn shown(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH);
    Moment::from(since.unwrap_or_default()).whole_seconds()
}
