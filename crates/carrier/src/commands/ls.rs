//! `carrier ls`

use std::time::{SystemTime, UNIX_EPOCH};

use carrier_engine::{ContainerStatus, ContainerSummary, Engine};

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
    match container.status {
        ContainerStatus::Created => "Created".to_owned(),
        ContainerStatus::Running => format!("Up {}", ago(now().saturating_sub(container.created))),
        ContainerStatus::Exited { code, finished } => {
            let code = code.map_or_else(|| "unknown".to_owned(), |code| code.to_string());
            match finished {
                Some(at) => format!("Exited ({code}) {}", past(now().saturating_sub(at))),
                None => format!("Exited ({code})"),
            }
        }
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
    past(now().saturating_sub(container.created))
}

fn past(seconds: u64) -> String {
    format!("{} ago", ago(seconds))
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
