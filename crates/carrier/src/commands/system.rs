//! `carrier system`

mod check;
mod df;
mod info;
mod version;

use std::io::Write as _;

use carrier_engine::{Engine, ImageChange, PruneOptions, PrunedSystem};

use super::events::events;
use super::print;
pub(super) use info::info;
pub(super) use version::version;

use crate::cli::system::{PruneArgs, ResetArgs, SystemArgs, SystemVerb};
use crate::report::{Failure, printable};
use crate::table::reclaimed;

pub(crate) fn system(args: &SystemArgs) -> Result<u8, Failure> {
    match &args.verb {
        SystemVerb::Info(args) => info(args),
        SystemVerb::Df(args) => df::df(args),
        SystemVerb::Prune(args) => prune(args),
        SystemVerb::Events(args) => events(args),
        SystemVerb::Check(args) => check::check(args),
        SystemVerb::Reset(args) => reset(args),
    }
}

fn prune(args: &PruneArgs) -> Result<u8, Failure> {
    let is_until = |filter: &String| filter.trim_start().to_lowercase().starts_with("until=");
    if args.volumes && args.filter.iter().any(is_until) {
        return Err(Failure::with_hint(
            "the \"until\" filter is not supported with \"--volumes\"",
            "prune twice: with --filter until=TIME, and with --volumes",
        ));
    }
    let engine = Engine::open()?;
    let chosen = engine.system_prune(&PruneOptions {
        all: args.all,
        volumes: args.volumes,
        filters: args.filter.clone(),
    })?;
    if !args.force && !is_confirmed(&prune_warning(args))? {
        return Ok(0);
    }
    engine.repair()?;
    print_pruned(&engine.prune_system(&chosen)?)
}

fn prune_warning(args: &PruneArgs) -> String {
    let images = if args.all {
        "all images without at least one container associated to them"
    } else {
        "all dangling images"
    };
    let volumes = if args.volumes {
        "  - all anonymous volumes not used by at least one container\n"
    } else {
        ""
    };
    let rest = if args.filter.is_empty() {
        "  - what no image needs\n".to_owned()
    } else {
        let filters = args.filter.iter();
        let lines = filters.map(|filter| format!("  - {}\n", printable(filter)));
        format!(
            "\n  Items to be pruned will be filtered with:\n{}",
            lines.collect::<String>()
        )
    };
    format!(
        "WARNING! This will remove:\n  - all stopped containers\n{volumes}  - {images}\n{rest}\n"
    )
}

fn print_pruned(pruned: &PrunedSystem) -> Result<u8, Failure> {
    if !pruned.containers.is_empty() {
        let lines = pruned.containers.join("\n");
        print(&format!("Deleted Containers:\n{lines}\n\n"))?;
    }
    if !pruned.volumes.is_empty() {
        let lines = pruned.volumes.iter().map(|name| format!("{name}\n"));
        print(&format!(
            "Deleted Volumes:\n{}\n",
            lines.collect::<String>()
        ))?;
    }
    if !pruned.images.is_empty() {
        let lines = pruned.images.iter().map(|change| match change {
            ImageChange::Untagged(name) => format!("untagged: {name}\n"),
            ImageChange::Deleted(id) => format!("deleted: {id}\n"),
        });
        print(&format!("Deleted Images:\n{}\n", lines.collect::<String>()))?;
    }
    print(&format!(
        "Total reclaimed space: {}\n",
        reclaimed(pruned.bytes)
    ))?;
    Ok(0)
}

fn reset(args: &ResetArgs) -> Result<u8, Failure> {
    let warning = "WARNING! This will remove:\n  - all containers\n  - all images\n  - all volumes and what is in them\n  \
                   - everything else that Carrier keeps for you\n\n";
    if !args.force && !is_confirmed(warning)? {
        return Ok(0);
    }
    for path in carrier_engine::reset(args.force)? {
        print(&format!("Removed everything in {}\n", path.display()))?;
    }
    Ok(0)
}

/// Asks as Docker does.
pub(super) fn is_confirmed(warning: &str) -> Result<bool, Failure> {
    print(&format!(
        "{warning}Are you sure you want to continue? [y/N] "
    ))?;
    let stream = |source| Failure::File {
        action: "read",
        path: "standard input".to_owned(),
        source,
    };
    std::io::stdout().flush().map_err(stream)?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(stream)?;
    Ok(matches!(answer.trim(), "y" | "Y"))
}
