//! `carrier rm`

use carrier_engine::{Engine, Error, RemoveOptions, Removed};

use super::images::print_changes;
use super::print;
use crate::cli::RemoveArgs;
use crate::cli::later::refuse;
use crate::report::{Failure, tell};

pub(crate) fn rm(args: &RemoveArgs) -> Result<u8, Failure> {
    if args.link {
        return Err(refuse("rm", "link"));
    }
    let engine = Engine::open()?;
    engine.repair()?;
    if args.words.is_empty() {
        for removed in engine.remove_all_containers(args.force, args.volumes)? {
            print_removed(&removed)?;
        }
        return Ok(0);
    }
    let options = RemoveOptions {
        force: args.force,
        containers_only: args.containers,
        volumes: args.volumes,
    };
    remove_each(&engine, &args.words, options)
}

/// Goes on after a failure, as Docker does; the exit code tells of it.
fn remove_each(engine: &Engine, words: &[String], options: RemoveOptions) -> Result<u8, Failure> {
    let mut code = 0;
    for word in words {
        match engine.remove(word, options) {
            Ok(removed) => print_removed(&removed)?,
            Err(error) => {
                // As in Docker: by force, what is not there is told, and no failure.
                let is_gone = matches!(error, Error::NoSuchObject(_) | Error::NoSuchContainer(_));
                code = code.max(u8::from(!(options.force && is_gone)));
                tell(&error.into());
            }
        }
    }
    Ok(code)
}

fn print_removed(removed: &Removed) -> Result<(), Failure> {
    match removed {
        Removed::Container(name) => print(&format!("{name}\n")),
        Removed::Image(changes) => print_changes(changes),
    }
}
