//! `carrier stats`

use std::collections::HashMap;
use std::thread::sleep;
use std::time::Duration;

use carrier_engine::{ContainerStats, Engine, Sample};
use carrier_spec::ContainerId;
use rustix::termios::isatty;
use serde_json::{Value, json};

use super::super::print_live;
use crate::cli::observe::StatsArgs;
use crate::listing::{Format, Listing};
use crate::report::Failure;
use crate::table::{binary_size, size};

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// The first look of a single result needs another one soon after it.
const SHORT_PERIOD: Duration = Duration::from_millis(500);

const HEADERS: [(&str, &str); 9] = [
    ("Container", "CONTAINER"),
    ("ID", "CONTAINER ID"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
];

const COLUMNS: [&str; 8] = [
    "ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs",
];

type Earlier = HashMap<ContainerId, Sample>;

pub(crate) fn stats(args: &StatsArgs) -> Result<u8, Failure> {
    let format = Format::parse(args.format.as_deref())?;
    let engine = Engine::open()?;
    let mut earlier = samples(&engine.stats(&args.words, args.all)?);
    sleep(SHORT_PERIOD);
    let live = !args.no_stream && isatty(rustix::stdio::stdout());
    loop {
        let stats = engine.stats(&args.words, args.all)?;
        let text = text(&stats, &earlier, args, &format)?;
        let is_read = print_live(&if live { over(&text) } else { text })?;
        if args.no_stream || !is_read {
            return Ok(0);
        }
        earlier = samples(&stats);
        sleep(PERIOD);
    }
}

fn samples(stats: &[ContainerStats]) -> Earlier {
    let samples = stats.iter();
    let samples = samples.filter_map(|one| Some((one.id.clone(), one.sample?)));
    samples.collect()
}

/// The text at the top of the screen, and nothing of what was there.
fn over(text: &str) -> String {
    let lines = text.lines().map(|line| format!("{line}\u{1b}[K\n"));
    format!("\u{1b}[H{}\u{1b}[J", lines.collect::<String>())
}

fn text(
    stats: &[ContainerStats],
    earlier: &Earlier,
    args: &StatsArgs,
    format: &Format,
) -> Result<String, Failure> {
    let named = |at: usize| args.words.get(at);
    let rows = stats.iter().enumerate().map(|(at, one)| {
        let id = if args.no_trunc {
            one.id.as_str()
        } else {
            one.id.short()
        };
        row(one, earlier.get(&one.id), id, named(at))
    });
    let listing = Listing {
        headers: &HEADERS,
        columns: &COLUMNS,
        rows: rows.collect(),
    };
    listing.print(format)
}

/// What does not run uses nothing, as in Docker.
fn row(one: &ContainerStats, earlier: Option<&Sample>, id: &str, word: Option<&String>) -> Value {
    let name = one.name.as_str();
    let word = word.map_or(id, String::as_str);
    let percent = |value: f64| format!("{value:.2}%");
    let (mut processor, mut memory_percent) = (0.0, 0.0);
    let [
        mut memory,
        mut limit,
        mut received,
        mut sent,
        mut read,
        mut written,
        mut tasks,
    ] = [0; 7];
    if let Some(sample) = &one.sample {
        processor = earlier.map_or(0.0, |earlier| sample.processor_percent(earlier));
        memory_percent = sample.memory_percent();
        (memory, limit) = (sample.memory, sample.memory_limit);
        (received, sent) = (sample.received, sample.sent);
        (read, written) = (sample.read, sample.written);
        tasks = sample.tasks;
    }
    json!({
        "Container": word,
        "ID": id,
        "Name": name,
        "CPUPerc": percent(processor),
        "MemUsage": format!("{} / {}", binary_size(memory), binary_size(limit)),
        "MemPerc": percent(memory_percent),
        "NetIO": format!("{} / {}", size(received), size(sent)),
        "BlockIO": format!("{} / {}", size(read), size(written)),
        "PIDs": tasks.to_string(),
    })
}
