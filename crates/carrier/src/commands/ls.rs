//! `carrier ls`

use std::time::{SystemTime, UNIX_EPOCH};

use carrier_engine::{ContainerStatus, ContainerSummary, Engine, ImageSummary};
use carrier_spec::Reference;

use super::print;
use crate::cli::ListArgs;
use crate::report::Failure;
use crate::table::{ago, layout, size};

/// Longer commands are cut, as Docker does.
const COMMAND_WIDTH: usize = 20;

pub(crate) fn ls(args: &ListArgs) -> Result<u8, Failure> {
    let engine = Engine::open()?;
    engine.repair()?;
    let both = !args.images && !args.containers;
    let mut parts = Vec::new();
    if args.images || both {
        parts.push(images(&engine.images()?, args.quiet));
    }
    if args.containers || both {
        parts.push(containers(&engine.containers(args.all)?, args.quiet));
    }
    print(&parts.join(if args.quiet { "" } else { "\n" }))?;
    Ok(0)
}

fn images(images: &[ImageSummary], quiet: bool) -> String {
    if quiet {
        return images
            .iter()
            .map(|image| format!("{}\n", image.id.0.short()))
            .collect();
    }
    let none = || "<none>".to_owned();
    let row = |image: &ImageSummary| {
        let name = image.reference.as_ref();
        [
            name.map_or_else(none, Reference::familiar_name),
            name.and_then(Reference::tag)
                .map_or_else(none, str::to_owned),
            image.id.0.short().to_owned(),
            image.platform.to_string(),
            image
                .created
                .as_deref()
                .and_then(since)
                .map_or_else(|| "N/A".to_owned(), past),
            size(image.size),
        ]
    };
    let rows: Vec<_> = images.iter().map(row).collect();
    layout(
        [
            "REPOSITORY",
            "TAG",
            "IMAGE ID",
            "PLATFORM",
            "CREATED",
            "SIZE",
        ],
        &rows,
    )
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
            past(now().saturating_sub(one.created)),
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

fn status(container: &ContainerSummary) -> String {
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

fn command(words: &[String]) -> String {
    let whole = words.join(" ");
    if whole.chars().count() <= COMMAND_WIDTH {
        return format!("\"{whole}\"");
    }
    let cut: String = whole.chars().take(COMMAND_WIDTH - 1).collect();
    format!("\"{cut}…\"")
}

fn past(seconds: u64) -> String {
    format!("{} ago", ago(seconds))
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Seconds since an RFC 3339 time.
fn since(text: &str) -> Option<u64> {
    let then = text.parse::<jiff::Timestamp>().ok()?.as_second();
    u64::try_from(then)
        .ok()
        .map(|then| now().saturating_sub(then))
}
