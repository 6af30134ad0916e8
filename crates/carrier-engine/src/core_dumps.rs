//! What a process of Carrier's own has in its memory does not come to the disk when it crashes (threat
//! P-11): a monitor has no core dumps, and gives the program the limit that it had itself.

use std::io;
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What this process had, where that was more than nothing.
static GIVEN_UP: OnceLock<Rlimit> = OnceLock::new();

/// Gives up core dumps, so that they can be given back.
///
/// # Errors
/// Where a filter forbids it.
pub(crate) fn give_up() -> io::Result<()> {
    let had = getrlimit(Resource::Core);
    if had.current == Some(0) {
        return Ok(());
    }
    GIVEN_UP.get_or_init(|| had);
    let none = Rlimit {
        current: Some(0),
        ..had
    };
    Ok(setrlimit(Resource::Core, none)?)
}

/// The limit of programs that this process starts, if it is not the process's own.
pub(crate) fn limit_of_programs() -> Option<Rlimit> {
    GIVEN_UP.get().cloned()
}
