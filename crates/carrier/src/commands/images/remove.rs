//! `carrier rmi`, `carrier image prune`

use carrier_engine::{Engine, ErrorKind, ImageChange, RemoveImageOptions};

use super::super::print;
use super::super::pull::platform;
use super::super::system::is_confirmed;
use crate::cli::images::{PruneImagesArgs, RemoveImagesArgs};
use crate::report::{Failure, tell};
use crate::table::reclaimed;

/// Goes on after a failure, as Docker does; the exit code tells of it.
pub(crate) fn rmi(args: &RemoveImagesArgs) -> Result<u8, Failure> {
    let engine = Engine::open()?;
    let options = RemoveImageOptions {
        force: args.force,
        platform: platform(args.platform.as_deref())?,
    };
    let mut code = 0;
    for word in &args.words {
        match engine.remove_image(word, &options) {
            Ok(changes) => print_changes(&changes)?,
            Err(error) => {
                // As in Docker: by force, what does not exist is as good as removed.
                if !args.force || error.kind() != ErrorKind::NotFound {
                    code = 1;
                }
                tell(&error.into());
            }
        }
    }
    Ok(code)
}

pub(crate) fn print_changes(changes: &[ImageChange]) -> Result<(), Failure> {
    let line = |change: &ImageChange| match change {
        ImageChange::Untagged(name) => format!("Untagged: {name}\n"),
        ImageChange::Deleted(id) => format!("Deleted: {id}\n"),
    };
    print(&changes.iter().map(line).collect::<String>())
}

pub(crate) fn prune(args: &PruneImagesArgs) -> Result<u8, Failure> {
    let engine = Engine::open()?;
    let filter = engine.prune_filter(&args.filter)?;
    if !args.force && !is_confirmed(prune_warning(args.all))? {
        return Ok(0);
    }
    engine.repair()?;
    // `--filter dangling=false` is Docker's other spelling of --all.
    let all = args.all || filter.dangling() == Some(false);
    let pruned = engine.prune_images(all, &filter)?;
    let line = |change: &ImageChange| match change {
        ImageChange::Untagged(name) => format!("untagged: {name}\n"),
        ImageChange::Deleted(id) => format!("deleted: {id}\n"),
    };
    if !pruned.changes.is_empty() {
        let lines: String = pruned.changes.iter().map(line).collect();
        print(&format!("Deleted Images:\n{lines}\n"))?;
    }
    print(&format!(
        "Total reclaimed space: {}\n",
        reclaimed(pruned.bytes)
    ))?;
    Ok(0)
}

fn prune_warning(all: bool) -> &'static str {
    if all {
        "WARNING! This will remove all images without at least one container associated to them.\n"
    } else {
        "WARNING! This will remove all dangling images.\n"
    }
}
