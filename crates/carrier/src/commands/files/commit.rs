//! `carrier commit`

use std::fs;

use carrier_engine::{CommitOptions, Engine};
use carrier_spec::Reference;
use carrier_sys::umask::with_users;

use super::super::print;
use crate::cli::files::CommitArgs;
use crate::report::Failure;

pub(crate) fn commit(args: &CommitArgs) -> Result<u8, Failure> {
    let name: Option<Reference> = match &args.name {
        Some(name) => Some(name.parse().map_err(Failure::usage)?),
        None => None,
    };
    if name.as_ref().is_some_and(|name| name.digest().is_some()) {
        return Err(Failure::with_hint(
            "cannot commit to a name with a digest",
            "name it NAME[:TAG]",
        ));
    }
    let options = CommitOptions {
        name,
        author: args.author.clone().unwrap_or_default(),
        message: args.message.clone().unwrap_or_default(),
        changes: args.change.clone(),
        pause: args.pause && !args.no_pause,
    };
    let engine = Engine::open()?;
    engine.repair()?;
    let id = engine.commit(&args.container, &options)?;
    if let Some(path) = &args.iidfile {
        with_users(|| fs::write(path, id.to_string())).map_err(|source| Failure::File {
            action: "write",
            path: path.clone(),
            source,
        })?;
    }
    print(&format!("{id}\n"))?;
    Ok(0)
}
