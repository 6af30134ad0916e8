//! `carrier volume`

use std::collections::BTreeMap;

use carrier_engine::{CreateVolumeOptions, Engine, VolumeFilter, VolumeSummary, shown_labels};
use serde_json::{Value, json};

use super::images::print_descriptions;
use super::print;
use super::system::is_confirmed;
use crate::cli::volumes::{
    CreateVolumeArgs, ListVolumesArgs, PruneVolumesArgs, RemoveVolumesArgs, VolumeArgs, VolumeVerb,
};
use crate::listing::{Format, Listing};
use crate::report::{Failure, tell};
use crate::table::reclaimed;

const HEADERS: [(&str, &str); 10] = [
    ("Driver", "DRIVER"),
    ("Name", "VOLUME NAME"),
    ("Scope", "SCOPE"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Labels", "LABELS"),
    ("Links", "LINKS"),
    ("Size", "SIZE"),
    ("Availability", "AVAILABILITY"),
    ("Group", "GROUP"),
    ("Status", "STATUS"),
];

pub(crate) fn volume(args: VolumeArgs) -> Result<u8, Failure> {
    match args.verb {
        VolumeVerb::Create(args) => create(&args),
        VolumeVerb::Ls(args) => list(&args),
        VolumeVerb::Inspect(args) => {
            let engine = Engine::open()?;
            let find = |word: &str| engine.inspect_volume(word);
            print_descriptions(&args.words, args.format.as_deref(), &find)
        }
        VolumeVerb::Rm(args) => remove(&args),
        VolumeVerb::Prune(args) => prune(&args),
        VolumeVerb::Exists(args) => Ok(u8::from(Engine::open()?.volume(&args.volume).is_err())),
    }
}

fn create(args: &CreateVolumeArgs) -> Result<u8, Failure> {
    if args.driver != "local" {
        return Err(Failure::with_hint(
            format!("volume driver {:?} is not available", args.driver),
            "volumes are directories of this host: leave --driver out",
        ));
    }
    let name = args.name.as_deref().or(args.old_name.as_deref());
    let name = name.filter(|name| !name.is_empty());
    let options = CreateVolumeOptions {
        name: name.map(str::parse).transpose().map_err(Failure::usage)?,
        labels: pairs(&args.label),
        options: pairs(&args.opt),
    };
    let name = Engine::open()?.create_volume(&options)?;
    print(&format!("{name}\n"))?;
    Ok(0)
}

fn pairs(texts: &[String]) -> BTreeMap<String, String> {
    let pair = |text: &String| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        (key.to_owned(), value.to_owned())
    };
    texts.iter().map(pair).collect()
}

fn list(args: &ListVolumesArgs) -> Result<u8, Failure> {
    let format = Format::parse(args.format.as_deref())?;
    let engine = Engine::open()?;
    engine.repair()?;
    let volumes = engine.volumes(&VolumeFilter::parse(&args.filter)?)?;
    if args.quiet && matches!(format, Format::Table(None)) {
        let lines = volumes
            .iter()
            .map(|volume| format!("{}\n", volume.record.name));
        print(&lines.collect::<String>())?;
        return Ok(0);
    }
    let listing = Listing {
        headers: &HEADERS,
        columns: &["Driver", "Name"],
        rows: volumes.iter().map(row).collect(),
    };
    print(&listing.print(&format)?)?;
    Ok(0)
}

fn row(volume: &VolumeSummary) -> Value {
    let shown = shown_labels(&volume.record);
    let labels: Vec<String> = shown
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    json!({
        "Driver": "local",
        "Name": volume.record.name,
        "Scope": "local",
        "Mountpoint": volume.mountpoint,
        "Labels": labels.join(","),
        "Label": shown,
        "Links": "N/A",
        "Size": "N/A",
        "Availability": "N/A",
        "Group": "N/A",
        "Status": "N/A",
    })
}

fn remove(args: &RemoveVolumesArgs) -> Result<u8, Failure> {
    let engine = Engine::open()?;
    engine.repair()?;
    let mut code = 0;
    for word in &args.words {
        match engine.remove_volume(word, args.force) {
            Ok(()) => print(&format!("{word}\n"))?,
            Err(error) => {
                tell(&error.into());
                code = 1;
            }
        }
    }
    Ok(code)
}

fn prune(args: &PruneVolumesArgs) -> Result<u8, Failure> {
    let filter = VolumeFilter::parse_for_prune(&args.filter)?;
    let all = args.all || filter.all;
    let which = if all { "all" } else { "anonymous" };
    let warning = format!(
        "WARNING! This will remove {which} local volumes not used by at least one container.\n"
    );
    if !args.force && !is_confirmed(&warning)? {
        return Ok(0);
    }
    let engine = Engine::open()?;
    engine.repair()?;
    let pruned = engine.prune_volumes(all, &filter)?;
    if !pruned.names.is_empty() {
        let lines = pruned.names.iter().map(|name| format!("{name}\n"));
        print(&format!(
            "Deleted Volumes:\n{}\n",
            lines.collect::<String>()
        ))?;
    }
    print(&format!(
        "Total reclaimed space: {}\n",
        reclaimed(pruned.bytes)
    ))?;
    Ok(0)
}
