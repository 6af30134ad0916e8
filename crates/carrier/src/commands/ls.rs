//! `carrier ls`

use carrier_engine::Engine;

use super::{containers, images, print};
use crate::cli::ListArgs;
use crate::cli::observe::{ContainerListOptions, PsArgs};
use crate::report::Failure;

pub(crate) fn ls(args: &ListArgs) -> Result<u8, Failure> {
    let with_images = args.images || !args.containers;
    let with_containers = args.containers || !args.images;
    check(args, with_images, with_containers)?;
    let engine = Engine::open()?;
    let mut parts = Vec::new();
    // Whoever lists containers has put in order what a crash has left; so they come first.
    if with_containers {
        parts.push(containers::table(&engine, &of_containers(args))?);
    } else {
        engine.repair()?;
    }
    if with_images {
        parts.insert(0, images::table(&engine, &args.list, None, args.quiet)?);
    }
    print(&parts.join(if args.quiet { "" } else { "\n" }))?;
    Ok(0)
}

/// Refuses what would mean something for one of two tables only.
fn check(args: &ListArgs, with_images: bool, with_containers: bool) -> Result<(), Failure> {
    let ContainerListOptions {
        last,
        latest,
        size,
        noheading,
        sort,
    } = &args.of_containers;
    let of_containers = last.is_some() || *latest || *size || *noheading || sort.is_some();
    if with_images && of_containers {
        return Err(Failure::with_hint(
            "--last, --latest, --size, --noheading and --sort are for containers",
            "add -c, or use `carrier ps`",
        ));
    }
    if with_containers && args.list.digests {
        return Err(Failure::with_hint(
            "--digests is for images",
            "add -i, or use `carrier images`",
        ));
    }
    let of_one = !args.list.filter.is_empty() || args.list.format.is_some();
    if with_images && with_containers && of_one {
        return Err(Failure::with_hint(
            "--filter and --format are for one table",
            "add -i for images or -c for containers",
        ));
    }
    Ok(())
}

fn of_containers(args: &ListArgs) -> PsArgs {
    PsArgs {
        all: args.all,
        quiet: args.quiet,
        list: args.of_containers.clone(),
        filter: args.list.filter.clone(),
        format: args.list.format.clone(),
        no_trunc: args.list.no_trunc,
    }
}
