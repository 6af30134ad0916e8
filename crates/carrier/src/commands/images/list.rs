//! The list of images.

use carrier_engine::{Engine, ImageSummary};
use carrier_spec::Reference;
use serde_json::{Value, json};

use super::super::print;
use crate::cli::images::{ImageListOptions, ImagesArgs};
use crate::clock;
use crate::listing::{Format, Listing};
use crate::report::Failure;
use crate::table::size;

const HEADERS: [(&str, &str); 12] = [
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("Platform", "PLATFORM"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("VirtualSize", "VIRTUAL SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
    ("Containers", "CONTAINERS"),
];

const COLUMNS: [&str; 6] = [
    "Repository",
    "Tag",
    "ID",
    "Platform",
    "CreatedSince",
    "Size",
];
const COLUMNS_WITH_DIGESTS: [&str; 7] = [
    "Repository",
    "Tag",
    "Digest",
    "ID",
    "Platform",
    "CreatedSince",
    "Size",
];

pub(crate) fn images(args: &ImagesArgs) -> Result<u8, Failure> {
    let engine = Engine::open()?;
    engine.repair()?;
    let table = table(&engine, &args.list, args.name.as_deref(), args.quiet)?;
    print(&table)?;
    Ok(0)
}

/// The list as text.
pub(crate) fn table(
    engine: &Engine,
    options: &ImageListOptions,
    name: Option<&str>,
    quiet: bool,
) -> Result<String, Failure> {
    let format = Format::parse(options.format.as_deref())?;
    let mut filter = engine.image_filter(&options.filter)?;
    if let Some(name) = name {
        filter.add_reference(name);
    }
    let images = engine.images(&filter)?;
    // As in Docker, a template of one's own is stronger.
    if quiet && matches!(format, Format::Table(None)) {
        let line = |image: &ImageSummary| format!("{}\n", id(image, options.no_trunc));
        return Ok(images.iter().map(line).collect());
    }
    let columns: &[&str] = if options.digests {
        &COLUMNS_WITH_DIGESTS
    } else {
        &COLUMNS
    };
    let rows = images.iter().map(|image| {
        let mut row = row(image, options.no_trunc);
        if format != Format::Table(None) {
            let created = image.created.as_deref().and_then(clock::local);
            row["CreatedAt"] = created.unwrap_or_else(|| "N/A".to_owned()).into();
        }
        row
    });
    let listing = Listing {
        headers: &HEADERS,
        columns,
        rows: rows.collect(),
    };
    listing.print(&format)
}

fn id(image: &ImageSummary, whole: bool) -> String {
    if whole {
        image.id.to_string()
    } else {
        image.id.0.short().to_owned()
    }
}

fn row(image: &ImageSummary, whole_id: bool) -> Value {
    let none = || "<none>".to_owned();
    let name = image.reference.as_ref();
    let repository = name.or(image.origin.as_ref());
    let digest = image.origin.as_ref().and_then(Reference::digest);
    let created = image.created.as_deref();
    let size = size(image.size);
    json!({
        "ID": id(image, whole_id),
        "Repository": repository.map_or_else(none, Reference::familiar_name),
        "Tag": name.and_then(Reference::tag).map_or_else(none, str::to_owned),
        "Digest": digest.map_or_else(none, ToString::to_string),
        "Platform": image.platform.to_string(),
        "CreatedSince": created.and_then(clock::since).unwrap_or_else(|| "N/A".to_owned()),
        "Size": size,
        "VirtualSize": size,
        "SharedSize": "N/A",
        "UniqueSize": "N/A",
        "Containers": "N/A",
    })
}
