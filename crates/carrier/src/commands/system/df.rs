//! `carrier system df`

use carrier_engine::{ContainerUsage, Engine, ImageUsage, Usage, VolumeUsage};
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
        volumes(usage),
        row("Build Cache", (0, 0), (0, 0)),
    ]
}

fn volumes(usage: &Usage) -> Value {
    let used = usage
        .volumes
        .iter()
        .filter(|one| !one.summary.users.is_empty());
    let unused = usage
        .volumes
        .iter()
        .filter(|one| one.summary.users.is_empty());
    row(
        "Local Volumes",
        (usage.volumes.len(), used.count()),
        (
            usage.volumes.iter().map(|one| one.bytes).sum(),
            unused.map(|one| one.bytes).sum(),
        ),
    )
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
    let volumes: Vec<_> = usage.volumes.iter().map(volume).collect();
    let volumes = layout(["VOLUME NAME", "LINKS", "SIZE"], &volumes);
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
         Local Volumes space usage:\n\n{volumes}\nBuild cache usage: 0B\n"
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

fn volume(volume: &VolumeUsage) -> [String; 3] {
    [
        volume.summary.record.name.to_string(),
        volume.summary.users.len().to_string(),
        size(volume.bytes),
    ]
}

fn container(container: &ContainerUsage) -> [String; 8] {
    let summary = &container.summary;
    [
        summary.id.short().to_owned(),
        summary.image.clone(),
        containers::command(&summary.command),
        container.summary.volumes.to_string(),
        size(container.bytes),
        containers::created(summary),
        containers::status(summary),
        summary.name.to_string(),
    ]
}
