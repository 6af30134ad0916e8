//! `carrier ls`

use carrier_engine::{ContainerSummary, Engine, Moment, Status};

use super::{images, print};
use crate::cli::ListArgs;
use crate::report::Failure;
use crate::table::{ago, layout};

/// Longer commands are cut, as Docker does.
const COMMAND_WIDTH: usize = 20;

pub(crate) fn ls(args: &ListArgs) -> Result<u8, Failure> {
    let engine = Engine::open()?;
    engine.repair()?;
    let both = !args.images && !args.containers;
    let is_for_images =
        args.list.digests || !args.list.filter.is_empty() || args.list.format.is_some();
    if is_for_images && (!args.images || args.containers) {
        return Err(Failure::with_hint(
            "--digests, --filter and --format are for images",
            "add -i, or use `carrier images`",
        ));
    }
    let mut parts = Vec::new();
    if args.images || both {
        parts.push(images::table(&engine, &args.list, None, args.quiet)?);
    }
    if args.containers || both {
        parts.push(containers(&engine.containers(args.all)?, args.quiet));
    }
    print(&parts.join(if args.quiet { "" } else { "\n" }))?;
    Ok(0)
}

fn containers(containers: &[ContainerSummary], quiet: bool) -> String {
    if quiet {
        return containers
            .iter()
            .map(|one| format!("{}\n", one.id.short()))
            .collect();
    }
    let row = |one: &ContainerSummary| {
        [
            one.id.short().to_owned(),
            one.image.clone(),
            command(&one.command),
            created(one),
            status(one),
            one.name.to_string(),
        ]
    };
    let rows: Vec<_> = containers.iter().map(row).collect();
    layout(
        [
            "CONTAINER ID",
            "IMAGE",
            "COMMAND",
            "CREATED",
            "STATUS",
            "NAMES",
        ],
        &rows,
    )
}

pub(super) fn status(container: &ContainerSummary) -> String {
    let life = &container.life;
    let since = |moment: Option<Moment>| ago(moment.unwrap_or_default().elapsed().as_secs());
    match life.status {
        Status::Created => "Created".to_owned(),
        Status::Running => format!("Up {}", since(life.started)),
        Status::Paused => format!("Up {} (Paused)", since(life.started)),
        Status::Restarting => {
            format!("Restarting ({}) {} ago", life.code, since(life.finished))
        }
        Status::Exited => match life.finished {
            Some(finished) => format!("Exited ({}) {} ago", life.code, since(Some(finished))),
            None => format!("Exited ({})", life.code),
        },
    }
}

pub(super) fn command(words: &[String]) -> String {
    let whole = words.join(" ");
    if whole.chars().count() <= COMMAND_WIDTH {
        return format!("\"{whole}\"");
    }
    let cut: String = whole.chars().take(COMMAND_WIDTH - 1).collect();
    format!("\"{cut}…\"")
}

pub(super) fn created(container: &ContainerSummary) -> String {
    format!("{} ago", ago(container.created.elapsed().as_secs()))
}
