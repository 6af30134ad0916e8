//! `carrier ls`

use carrier_engine::Engine;

use super::{containers, images, print};
use crate::cli::ListArgs;
use crate::cli::observe::{ContainerListOptions, PsArgs};
use crate::listing::Format;
use crate::report::Failure;

pub(crate) fn ls(args: &ListArgs) -> Result<u8, Failure> {
    let with_images = args.images || !args.containers;
    let with_containers = args.containers || !args.images;
    let format = Format::parse(args.list.format.as_deref())?;
    check(args, with_images, with_containers, &format)?;
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
    let are_tables = !args.quiet && matches!(format, Format::Table(_));
    print(&parts.join(if are_tables { "\n" } else { "" }))?;
    Ok(0)
}

/// Refuses what would mean something for one of two tables only.
fn check(
    args: &ListArgs,
    with_images: bool,
    with_containers: bool,
    format: &Format,
) -> Result<(), Failure> {
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
    if !(with_images && with_containers) {
        return Ok(());
    }
    let of_one = match format {
        _ if !args.list.filter.is_empty() => "--filter is",
        Format::Table(Some(_)) | Format::Template(_) => "a template is",
        Format::Json if args.quiet => "--quiet with a format is",
        Format::Table(None) | Format::Json => return Ok(()),
    };
    Err(Failure::with_hint(
        format!("{of_one} for one of the lists"),
        "add -i for images or -c for containers",
    ))
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
