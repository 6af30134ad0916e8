//! `carrier rm` and `carrier rmi`

use carrier_engine::{Engine, RemoveOptions, Removed};

use super::print;
use crate::cli::{RemoveArgs, RemoveImagesArgs};
use crate::report::{Failure, tell};

pub(crate) fn rm(args: &RemoveArgs) -> Result<u8, Failure> {
    let engine = Engine::open()?;
    engine.repair()?;
    if args.words.is_empty() {
        for removed in engine.remove_all_containers(args.force)? {
            print_removed(&removed)?;
        }
        return Ok(0);
    }
    let options = RemoveOptions {
        force: args.force,
        containers_only: args.containers,
        images_only: false,
    };
    remove_each(&engine, &args.words, options)
}

pub(crate) fn rmi(args: &RemoveImagesArgs) -> Result<u8, Failure> {
    let engine = Engine::open()?;
    let options = RemoveOptions {
        force: args.force,
        images_only: true,
        containers_only: false,
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
                tell(&error.into());
                code = 1;
            }
        }
    }
    Ok(code)
}

fn print_removed(removed: &Removed) -> Result<(), Failure> {
    match removed {
        Removed::Container(name) => print(&format!("{name}\n")),
        Removed::Image(name) => print(&format!("Untagged: {name}\n")),
    }
}
