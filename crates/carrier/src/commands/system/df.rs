//! `carrier system df`

use carrier_engine::{ContainerUsage, Engine, ImageUsage, Usage};
use carrier_spec::Reference;
use serde_json::{Value, json};

use super::super::{containers, print};
use crate::cli::system::DiskArgs;
use crate::clock;
use crate::listing::{Format, Listing};
use crate::report::Failure;
use crate::table::{layout, size};

const HEADERS: [(&str, &str); 5] = [
    ("Type", "TYPE"),
    ("TotalCount", "TOTAL"),
    ("Active", "ACTIVE"),
    ("Size", "SIZE"),
    ("Reclaimable", "RECLAIMABLE"),
];

pub(crate) fn df(args: &DiskArgs) -> Result<u8, Failure> {
    let format = Format::parse(args.format.as_deref())?;
    let engine = Engine::open()?;
    engine.repair()?;
    let usage = engine.usage()?;
    if args.verbose {
        print(&verbose(&usage))?;
        return Ok(0);
    }
    let listing = Listing {
        headers: &HEADERS,
        columns: &["Type", "TotalCount", "Active", "Size", "Reclaimable"],
        rows: rows(&usage),
    };
    print(&listing.print(&format)?)?;
    Ok(0)
}

fn rows(usage: &Usage) -> Vec<Value> {
    let active = usage.images.iter().filter(|image| image.containers > 0);
    let running = usage.containers.iter().filter(|one| one.running);
    let written: u64 = usage.containers.iter().map(|one| one.bytes).sum();
    let stopped = usage.containers.iter().filter(|one| !one.running);
    let stopped: u64 = stopped.map(|one| one.bytes).sum();
    vec![
        row(
            "Images",
            (usage.images.len(), active.count()),
            (usage.image_bytes, usage.reclaimable_image_bytes),
        ),
        row(
            "Containers",
            (usage.containers.len(), running.count()),
            (written, stopped),
        ),
        row("Local Volumes", (0, 0), (0, 0)),
        row("Build Cache", (0, 0), (0, 0)),
    ]
}

fn row(kind: &str, (total, active): (usize, usize), (bytes, free): (u64, u64)) -> Value {
    let share = (free * 100).checked_div(bytes);
    let reclaimable = match share {
        Some(share) => format!("{} ({share}%)", size(free)),
        None => size(free),
    };
    json!({
        "Type": kind,
        "TotalCount": total.to_string(),
        "Active": active.to_string(),
        "Size": size(bytes),
        "Reclaimable": reclaimable,
    })
}

fn verbose(usage: &Usage) -> String {
    let images: Vec<_> = usage.images.iter().map(image).collect();
    let images = layout(
        [
            "REPOSITORY",
            "TAG",
            "IMAGE ID",
            "CREATED",
            "SIZE",
            "SHARED SIZE",
            "UNIQUE SIZE",
            "CONTAINERS",
        ],
        &images,
    );
    let containers: Vec<_> = usage.containers.iter().map(container).collect();
    let containers = layout(
        [
            "CONTAINER ID",
            "IMAGE",
            "COMMAND",
            "LOCAL VOLUMES",
            "SIZE",
            "CREATED",
            "STATUS",
            "NAMES",
        ],
        &containers,
    );
    format!(
        "Images space usage:\n\n{images}\nContainers space usage:\n\n{containers}\n\
         Local Volumes space usage:\n\nVOLUME NAME   LINKS   SIZE\n\nBuild cache usage: 0B\n"
    )
}

fn image(image: &ImageUsage) -> [String; 8] {
    let record = &image.record;
    let none = || "<none>".to_owned();
    let name = record.reference.as_ref();
    let created = record.config.created.as_deref().and_then(clock::since);
    [
        name.or(record.origin.as_ref())
            .map_or_else(none, Reference::familiar_name),
        name.and_then(Reference::tag)
            .map_or_else(none, str::to_owned),
        record.id.0.short().to_owned(),
        created.unwrap_or_else(|| "N/A".to_owned()),
        size(image.bytes),
        size(image.shared),
        size(image.bytes - image.shared),
        image.containers.to_string(),
    ]
}

fn container(container: &ContainerUsage) -> [String; 8] {
    let summary = &container.summary;
    [
        summary.id.short().to_owned(),
        summary.image.clone(),
        containers::command(&summary.command),
        "0".to_owned(),
        size(container.bytes),
        containers::created(summary),
        containers::status(summary),
        summary.name.to_string(),
    ]
}
