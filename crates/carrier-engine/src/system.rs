//! The store as a whole: what it takes, what may go, what is damaged, and the end of it.

mod check;
mod heal;
mod prune;
mod reset;
mod usage;

pub use check::{CheckOptions, CheckReport};
pub use prune::{PruneOptions, PrunedContainers, PrunedSystem, SystemPrune};
pub use reset::reset;
pub use usage::{ContainerUsage, ImageUsage, Usage, VolumeUsage};

use std::fs::File;
use std::io::{self, Read as _, Write as _};

use carrier_runtime::IdMaps;
use carrier_sys::process::{ExitStatus, Namespaces};
use rustix::pipe::{PipeFlags, pipe_with};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::unpacker::spawn;

/// Has something looked at or done by a process that may touch files of the caller's other ids.
pub(crate) fn in_namespace<T: Serialize + DeserializeOwned>(
    maps: &IdMaps,
    work: impl FnOnce() -> T,
) -> Result<T, Error> {
    let failed = |source: io::Error| Error::Unpacker {
        action: "talk to",
        source,
    };
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| failed(errno.into()))?;
    let child = spawn(maps, Namespaces::USER, |_token| {
        let told = serde_json::to_vec(&work()).map_err(io::Error::from);
        let told = told.and_then(|bytes| File::from(writer).write_all(&bytes));
        u8::from(told.is_err())
    })?;
    let mut answer = Vec::new();
    let read = File::from(reader).read_to_end(&mut answer);
    let status = child.wait().map_err(failed)?;
    read.map_err(failed)?;
    if status != ExitStatus::Exited(0) {
        return Err(failed(io::Error::other("it has died")));
    }
    serde_json::from_slice(&answer).map_err(|error| failed(error.into()))
}
