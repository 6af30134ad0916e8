//! The keeper of the shared network: one small process a user, which exists while containers are on
//! networks. It holds a user and a network namespace; in that one are a bridge for each network, the
//! cables to the containers, and one way out for all.
//!
//! Containers have user namespaces inside of the keeper's, which gives it power over their network
//! namespaces. It decides who has which address: what it knows dies with it, and is never on a disk.

mod confine;
mod departed;
mod ports;
mod serve;
mod shared;
mod wayout;

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use carrier_sys::process::ChildToken;

use super::error::BridgeError;
use super::protocol::Answer;
use crate::engine::Engine;
use serve::Keeper;

/// The name under which it is seen among the processes.
const NAME: &std::ffi::CStr = c"carrier-network";

/// Is the keeper, in a process of its own, until it is not needed any more.
pub(super) fn keep(
    engine: &Engine,
    listener: &OwnedFd,
    (lock, users): (&File, Option<&OwnedFd>),
    report: OwnedFd,
    token: &ChildToken,
) -> u8 {
    let mut report = File::from(report);
    let mut kept = vec![listener.as_fd(), lock.as_fd(), report.as_fd()];
    kept.extend(users.map(OwnedFd::as_fd));
    let made = leave(engine, &kept, token).and_then(|()| {
        let listener = listener.try_clone().map_err(failed)?;
        let keeper = Keeper::make(&engine.host.maps, users, listener)?;
        confine::enter().map_err(failed)?;
        Ok(keeper)
    });
    let answer = match &made {
        Ok(_) => Answer::Done,
        Err(error) => refusal(error),
    };
    // Whoever made it may have been killed; others may need it all the same.
    let _ = serde_json::to_writer(&report, &answer).map(|()| report.flush());
    drop(report);
    if let Ok(keeper) = made {
        // Who comes from then on finds nobody, and makes another one.
        keeper.serve(|| engine.forget_keeper());
        return 0;
    }
    engine.forget_keeper();
    1
}

/// Leaves the command that made it.
fn leave(engine: &Engine, kept: &[BorrowedFd<'_>], token: &ChildToken) -> Result<(), BridgeError> {
    let mut keep = vec![
        rustix::stdio::stdin(),
        rustix::stdio::stdout(),
        rustix::stdio::stderr(),
        engine.store.as_fd(),
    ];
    keep.extend(kept);
    carrier_sys::fd::close_all_but(&keep, token).map_err(failed)?;
    carrier_sys::signal::reset(token).map_err(failed)?;
    rustix::process::setsid().map_err(|errno| failed(errno.into()))?;
    rustix::process::chdir("/").map_err(|errno| failed(errno.into()))?;
    crate::monitor::leave_streams();
    // Where that fails, the scope of the container that made it again is there as long as the keeper.
    let _ = carrier_runtime::leave_supervisor("network");
    confine::allow_descriptors();
    // For whoever looks at the processes.
    let _ = rustix::thread::set_name(NAME);
    Ok(())
}

fn failed(source: std::io::Error) -> BridgeError {
    BridgeError::Shared {
        action: "make",
        source,
    }
}

/// An error on its way to a client.
fn refusal(error: &BridgeError) -> Answer {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    Answer::Refused {
        message,
        hint: error.hint(),
    }
}
