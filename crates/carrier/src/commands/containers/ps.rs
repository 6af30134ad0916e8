//! `carrier ps`

use std::cmp::Ordering;

use carrier_engine::{ContainerSize, ContainerSummary, Engine, Moment, Status};
use carrier_spec::ContainerId;
use serde_json::{Value, json};

use super::super::print;
use super::ports;
use crate::cli::observe::{PsArgs, SortBy};
use crate::clock;
use crate::listing::{Format, Listing};
use crate::progress::note;
use crate::report::Failure;
use crate::table::{ago, size};

/// Longer texts are cut, as Docker does.
const COMMAND_WIDTH: usize = 20;
const MOUNT_WIDTH: usize = 15;

const HEADERS: [(&str, &str); 16] = [
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Ports", "PORTS"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Size", "SIZE"),
    ("Names", "NAMES"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
    ("HealthStatus", "HEALTH STATUS"),
    ("Platform", "PLATFORM"),
];

const COLUMNS: [&str; 8] = [
    "ID",
    "Image",
    "Command",
    "RunningFor",
    "Status",
    "Ports",
    "Names",
    "Size",
];

pub(crate) fn ps(args: &PsArgs) -> Result<u8, Failure> {
    let engine = Engine::open()?;
    print(&table(&engine, args)?)?;
    Ok(0)
}

/// The list as text.
pub(crate) fn table(engine: &Engine, args: &PsArgs) -> Result<String, Failure> {
    let format = Format::parse(args.format.as_deref())?;
    if args.quiet {
        if args.format.is_some() {
            note("WARNING: Ignoring custom format, because both --format and --quiet are set.");
        }
        let line = |id: &ContainerId| format!("{}\n", shown(id, args.no_trunc));
        return Ok(ids(engine, args)?.iter().map(line).collect());
    }
    let mut containers = chosen(engine, args)?;
    let with_size = args.list.size || format.names("Size") || args.list.sort == Some(SortBy::Size);
    let sizes = if with_size {
        engine.container_sizes(&containers)?
    } else {
        Vec::new()
    };
    sort(&mut containers, &sizes, args.list.sort);
    let row = |one: &ContainerSummary| {
        let taken = sizes.iter().find(|taken| taken.id == one.id);
        let taken = taken.map_or((0, 0), |taken| (taken.written, taken.image));
        let mut row = row(one, args.no_trunc, taken);
        if format != Format::Table(None) {
            // To find the time zone takes a walk through all of them.
            row["CreatedAt"] = clock::local_seconds(one.created).unwrap_or_default().into();
        }
        row
    };
    let columns = COLUMNS.len() - usize::from(!args.list.size);
    let listing = Listing {
        headers: &HEADERS,
        columns: COLUMNS.get(..columns).unwrap_or(&COLUMNS),
        rows: containers.iter().map(row).collect(),
    };
    let text = listing.print(&format)?;
    Ok(match (args.list.noheading, &format) {
        (true, Format::Table(_)) => text.split_once('\n').unwrap_or_default().1.to_owned(),
        _ => text,
    })
}

/// The ids of the containers that were asked for: no more is read of them where no more counts.
fn ids(engine: &Engine, args: &PsArgs) -> Result<Vec<ContainerId>, Failure> {
    let list = &args.list;
    if args.filter.is_empty() && list.sort.is_none() && list.last.is_none() && !list.latest {
        return Ok(engine.container_ids(args.all)?);
    }
    let mut containers = chosen(engine, args)?;
    sort(&mut containers, &[], list.sort);
    Ok(containers.into_iter().map(|one| one.id).collect())
}

/// The containers that were asked for, the youngest first.
fn chosen(engine: &Engine, args: &PsArgs) -> Result<Vec<ContainerSummary>, Failure> {
    let filter = engine.container_filter(&args.filter)?;
    // As in Docker: a number of containers, or a status, means those that do not run too.
    let last = args.list.last.filter(|last| *last > 0);
    let last = last.or_else(|| args.list.latest.then_some(1));
    let all = args.all || last.is_some() || filter.asks_for_status();
    let mut containers = engine.containers(all)?;
    containers.retain(|container| filter.accepts(container));
    if let Some(last) = last {
        containers.truncate(usize::try_from(last).unwrap_or(usize::MAX));
    }
    Ok(containers)
}

fn sort(containers: &mut [ContainerSummary], sizes: &[ContainerSize], by: Option<SortBy>) {
    let Some(by) = by else { return };
    let written = |one: &ContainerSummary| {
        let taken = sizes.iter().find(|taken| taken.id == one.id);
        taken.map(|taken| taken.written)
    };
    let order = |a: &ContainerSummary, b: &ContainerSummary| -> Ordering {
        match by {
            SortBy::Command => a.command.cmp(&b.command),
            SortBy::Created => a.created.cmp(&b.created),
            SortBy::Id => a.id.cmp(&b.id),
            SortBy::Image => a.image.cmp(&b.image),
            SortBy::Names => a.name.cmp(&b.name),
            SortBy::Runningfor => b.created.cmp(&a.created),
            SortBy::Size => written(a).cmp(&written(b)),
            SortBy::Status => a.life.status.word().cmp(b.life.status.word()),
        }
    };
    containers.sort_by(order);
}

fn shown(id: &ContainerId, whole: bool) -> &str {
    if whole { id.as_str() } else { id.short() }
}

fn row(one: &ContainerSummary, whole: bool, (written, image): (u64, u64)) -> Value {
    let cut = |text: &str, width: usize| {
        if whole {
            text.to_owned()
        } else {
            ellipsis(text, width)
        }
    };
    let labels: Vec<String> = one
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let mounts: Vec<String> = one
        .mounts
        .iter()
        .map(|mount| cut(mount, MOUNT_WIDTH))
        .collect();
    let size = if image > 0 {
        format!("{} (virtual {})", size(written), size(image + written))
    } else {
        size(written)
    };
    json!({
        "ID": shown(&one.id, whole),
        "Image": one.image,
        "Command": quoted(&cut(&joined(&one.command), COMMAND_WIDTH)),
        "RunningFor": created(one),
        "Ports": ports::column(one),
        "State": one.life.status.word(),
        "Status": status(one),
        "Size": size,
        "Names": one.name.as_str(),
        "Labels": labels.join(","),
        "Label": one.labels,
        "Mounts": mounts.join(","),
        "LocalVolumes": one.volumes.to_string(),
        "Networks": one.network,
        "HealthStatus": one.health().unwrap_or_default(),
        "Platform": one.platform.to_string(),
    })
}

/// How long ago it was made.
pub(crate) fn created(container: &ContainerSummary) -> String {
    format!("{} ago", ago(container.created.elapsed().as_secs()))
}

/// Docker's words for how a container is.
pub(crate) fn status(container: &ContainerSummary) -> String {
    let life = &container.life;
    let since = |moment: Option<Moment>| ago(moment.unwrap_or_default().elapsed().as_secs());
    match life.status {
        Status::Created => "Created".to_owned(),
        Status::Running => match container.health() {
            Some("starting") => format!("Up {} (health: starting)", since(life.started)),
            Some(health) => format!("Up {} ({health})", since(life.started)),
            None => format!("Up {}", since(life.started)),
        },
        Status::Paused => format!("Up {} (Paused)", since(life.started)),
        Status::Restarting => format!("Restarting ({}) {} ago", life.code, since(life.finished)),
        Status::Exited => match life.finished {
            Some(_) => format!("Exited ({}) {} ago", life.code, since(life.finished)),
            None => format!("Exited ({})", life.code),
        },
    }
}

/// The command as tables show it.
pub(crate) fn command(words: &[String]) -> String {
    quoted(&ellipsis(&joined(words), COMMAND_WIDTH))
}

/// One text; an argument with a space is told from several, as in Docker.
fn joined(words: &[String]) -> String {
    let shown = |(at, word): (usize, &String)| {
        if at > 0 && word.contains(' ') {
            format!("'{word}'")
        } else {
            word.clone()
        }
    };
    let shown: Vec<String> = words.iter().enumerate().map(shown).collect();
    shown.join(" ")
}

/// A text of at most so many characters, of which the last one tells of more.
fn ellipsis(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let cut: String = text.chars().take(width - 1).collect();
    format!("{cut}…")
}

/// A text as Go quotes it.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
