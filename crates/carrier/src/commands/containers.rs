//! The verbs of a container's life, each for several containers: one that fails does not keep the
//! others from their turn.

mod change;
mod describe;
mod life;
mod ports;
mod ps;
mod stats;
mod streams;
mod top;

use carrier_engine::Engine;

use super::print;
use crate::cli::TargetsArgs;
use crate::report::{Failure, tell};

pub(crate) use change::{rename, update};
pub(crate) use describe::{info, inspect, inspect_containers};
pub(crate) use life::{kill, pause, restart, stop, wait};
pub(crate) use ports::port;
pub(crate) use ps::{command, created, ps, status, table};
pub(crate) use stats::stats;
pub(crate) use streams::{attach, attach_options, code_of, start};
pub(crate) use top::top;

/// Does something with each container and prints its name; the exit code tells of failures.
fn each(words: &[String], mut act: impl FnMut(&str) -> Result<(), Failure>) -> Result<u8, Failure> {
    let mut code = 0;
    for word in words {
        match act(word) {
            Ok(()) => print(&format!("{word}\n"))?,
            Err(failure) => {
                tell(&failure);
                code = 1;
            }
        }
    }
    Ok(code)
}

/// The containers that are meant: those that were named, or all that run.
fn targets(engine: &Engine, args: &TargetsArgs) -> Result<Vec<String>, Failure> {
    if !args.all {
        return Ok(args.containers.clone());
    }
    let running = engine.container_ids(false)?;
    Ok(running.iter().map(ToString::to_string).collect())
}
