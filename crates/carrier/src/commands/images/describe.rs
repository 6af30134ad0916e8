//! `carrier image inspect`, `carrier history`

use carrier_engine::{Engine, HistoryStep};
use serde::Serialize as _;
use serde_json::{Value, json};

use super::super::print;
use super::super::pull::platform;
use crate::cli::images::{HistoryArgs, InspectImagesArgs};
use crate::clock;
use crate::listing::{Format, Listing, template_failure};
use crate::report::{Failure, on_terminal, tell};
use crate::table::size;
use crate::template::Template;

/// Longer commands are cut, as Docker does.
const COMMAND_WIDTH: usize = 45;

const HEADERS: [(&str, &str); 6] = [
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];

pub(crate) fn inspect_images(args: &InspectImagesArgs) -> Result<u8, Failure> {
    let platform = platform(args.platform.as_deref())?;
    let engine = Engine::open()?;
    let find = |word: &str| Ok(engine.inspect_image(word, platform.as_ref())?.json);
    print_descriptions(&args.words, args.format.as_deref(), &find)
}

/// A template may ask whether there is a check, `{{if .State.Health}}`, as in Docker; JSON leaves it out.
fn name_health(description: &mut Value) {
    if let Some(state) = description.get_mut("State").and_then(Value::as_object_mut) {
        state.entry("Health").or_insert(Value::Null);
    }
}

/// Prints what `find` knows about each word. Goes on after a failure, as Docker does; the exit code
/// tells of it.
pub(crate) fn print_descriptions(
    words: &[String],
    format: Option<&str>,
    find: &dyn Fn(&str) -> Result<Value, carrier_engine::Error>,
) -> Result<u8, Failure> {
    let template = match format {
        None | Some("") => None,
        Some("json") => Some("{{json .}}"),
        other => other,
    };
    let template = template.map(Template::parse).transpose();
    let template = template.map_err(template_failure)?;
    let (mut found, mut code) = (Vec::new(), 0);
    let mut failures = Vec::new();
    for word in words {
        match find(word) {
            Ok(description) => found.push(description),
            Err(error) => {
                failures.push(error);
                code = 1;
            }
        }
    }
    match template {
        Some(template) => {
            for description in &mut found {
                if template.names("Health") {
                    name_health(description);
                }
                let line = template.render(description).map_err(template_failure)?;
                print(&on_terminal(&format!("{line}\n")))?;
            }
        }
        None => print(&on_terminal(&pretty(&found.into())))?,
    }
    for error in failures {
        tell(&error.into());
    }
    Ok(code)
}

/// JSON with Docker's indentation.
fn pretty(value: &Value) -> String {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    // Memory takes every byte.
    let _ = value.serialize(&mut serializer);
    bytes.push(b'\n');
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(crate) fn history(args: &HistoryArgs) -> Result<u8, Failure> {
    let format = Format::parse(args.format.as_deref())?;
    let steps = Engine::open()?.image_history(&args.image)?;
    if args.quiet && matches!(format, Format::Table(None)) {
        let line = |step: &HistoryStep| format!("{}\n", id(step, args.no_trunc));
        print(&steps.iter().map(line).collect::<String>())?;
        return Ok(0);
    }
    let created = if args.human {
        "CreatedSince"
    } else {
        "CreatedAt"
    };
    let listing = Listing {
        headers: &HEADERS,
        columns: &["ID", created, "CreatedBy", "Size", "Comment"],
        rows: steps.iter().map(|step| row(step, args)).collect(),
    };
    print(&listing.print(&format)?)?;
    Ok(0)
}

fn id(step: &HistoryStep, whole: bool) -> String {
    match &step.id {
        None => "<missing>".to_owned(),
        Some(id) if whole => id.to_string(),
        Some(id) => id.0.short().to_owned(),
    }
}

fn row(step: &HistoryStep, args: &HistoryArgs) -> Value {
    let created = step.created.as_deref();
    let command = step.created_by.replace('\t', " ");
    let command = if args.no_trunc {
        command
    } else {
        cut(&command)
    };
    let bytes = |bytes: u64| {
        if args.human {
            size(bytes)
        } else {
            bytes.to_string()
        }
    };
    json!({
        "ID": id(step, args.no_trunc),
        "CreatedSince": created.and_then(clock::since).unwrap_or_else(|| "N/A".to_owned()),
        "CreatedAt": created.unwrap_or("N/A"),
        "CreatedBy": command,
        "Size": step.size.map_or_else(|| "N/A".to_owned(), bytes),
        "Comment": step.comment,
    })
}

fn cut(text: &str) -> String {
    if text.chars().count() <= COMMAND_WIDTH {
        return text.to_owned();
    }
    let cut: String = text.chars().take(COMMAND_WIDTH - 1).collect();
    format!("{cut}…")
}
