//! `carrier events`

use std::io;
use std::time::Duration;

use carrier_engine::{Engine, Event, EventFilter, EventKind, Moment, parse_time};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::print_live;
use crate::cli::observe::EventsArgs;
use crate::clock;
use crate::listing::{harmless, template_failure};
use crate::report::{Failure, printable};
use crate::template::Template;

enum Format {
    Plain,
    Json,
    Template(Template),
}

pub(crate) fn events(args: &EventsArgs) -> Result<u8, Failure> {
    let format = match args.format.as_deref() {
        None | Some("") => Format::Plain,
        Some("json" | "{{json .}}") => Format::Json,
        Some(text) => Format::Template(Template::parse(text).map_err(template_failure)?),
    };
    if let Format::Template(template) = &format {
        // A field that does not exist is said at once, and not when something happens.
        let example = fields(&Event::image("", "", ""));
        template.render(&example).map_err(template_failure)?;
    }
    let filter = EventFilter::parse(&args.filter).map_err(carrier_engine::Error::from)?;
    let since = time("since", args.since.as_deref())?;
    let until = time("until", args.until.as_deref())?;
    // Who asks for an end in the past wants to know what was before.
    let since = since.or_else(|| {
        until
            .filter(|until| *until < Moment::now().nanoseconds())
            .map(|_| 0)
    });
    let engine = Engine::open()?;
    let mut reader = engine.events(since).map_err(failed)?;
    loop {
        for event in reader.read().map_err(failed)? {
            let is_late = until.is_some_and(|until| event.nanoseconds > until);
            if !is_late && filter.accepts(&event) && !show(&event, &format)? {
                return Ok(0);
            }
        }
        let left = until
            .map(|until| Duration::from_nanos(until.saturating_sub(Moment::now().nanoseconds())));
        if left == Some(Duration::ZERO) {
            return Ok(0);
        }
        let is_read = reader.wait(left, rustix::stdio::stdout()).map_err(failed)?;
        if !is_read {
            return Ok(0);
        }
    }
}

fn failed(source: io::Error) -> Failure {
    Failure::File {
        action: "read",
        path: "what has happened".to_owned(),
        source,
    }
}

fn time(name: &str, text: Option<&str>) -> Result<Option<u64>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let time = parse_time(text, Timestamp::now());
    let time = time.and_then(|time| u64::try_from(time.as_nanosecond()).ok());
    let hint = "times look like 10m, 2026-01-02T15:04:05 or 1700000000";
    let unknown = || Failure::with_hint(format!("--{name} {text:?} is not a time"), hint);
    time.ok_or_else(unknown).map(Some)
}

/// Shows an event at once; false where nobody listens any more.
fn show(event: &Event, format: &Format) -> Result<bool, Failure> {
    let line = match format {
        Format::Plain => plain(event),
        Format::Json => as_json(event).to_string(),
        Format::Template(template) => {
            let fields = harmless(fields(event));
            template.render(&fields).map_err(template_failure)?
        }
    };
    print_live(&format!("{line}\n"))
}

fn plain(event: &Event) -> String {
    let attributes = event.actor.attributes.iter();
    let attributes: Vec<String> = attributes
        .map(|(key, value)| printable(&format!("{key}={value}")))
        .collect();
    let attributes = if attributes.is_empty() {
        String::new()
    } else {
        format!(" ({})", attributes.join(", "))
    };
    format!(
        "{} {} {} {}{attributes}",
        clock::fixed(event.nanoseconds),
        event.kind.word(),
        printable(&event.action),
        printable(&event.actor.id),
    )
}

/// The fields that Docker's API had before the others are there as well.
fn as_json(event: &Event) -> Value {
    let mut value = json!({
        "status": event.action,
        "id": event.actor.id,
        "Type": event.kind.word(),
        "Action": event.action,
        "Actor": { "ID": event.actor.id, "Attributes": event.actor.attributes },
        "scope": event.scope,
        "time": event.time,
        "timeNano": event.nanoseconds,
    });
    if event.kind == EventKind::Container
        && let Some(fields) = value.as_object_mut()
        && let Some(image) = event.actor.attributes.get("image")
    {
        fields.insert("from".to_owned(), image.as_str().into());
    }
    value
}

/// What templates may name: the fields of Docker's type, and Podman's names for them.
fn fields(event: &Event) -> Value {
    let attribute = |name: &str| {
        event
            .actor
            .attributes
            .get(name)
            .cloned()
            .unwrap_or_default()
    };
    json!({
        "Type": event.kind.word(),
        "Action": event.action,
        "Status": event.action,
        "Actor": { "ID": event.actor.id, "Attributes": event.actor.attributes },
        "ID": event.actor.id,
        "From": attribute("image"),
        "Image": attribute("image"),
        "Name": attribute("name"),
        "Attributes": event.actor.attributes,
        "Scope": event.scope,
        "Time": event.time,
        "TimeNano": event.nanoseconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        let mut event = Event::image("pull", "sha256:12", "busybox").with("evil", "\u{1b}[2J\n");
        event.nanoseconds = 1_700_000_000_000_000_001;
        event
    }

    #[test]
    fn a_line_is_dockers_and_no_attribute_makes_another() {
        let line = plain(&event());
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(
            time.starts_with("2023-11-1") && time.contains(".000000001"),
            "{time}"
        );
        assert_eq!(
            rest,
            "image pull sha256:12 (evil=\\u{1b}[2J\\u{a}, name=busybox)"
        );
    }

    #[test]
    fn json_has_dockers_keys() {
        let value = as_json(&event());
        assert_eq!(value["Type"], "image");
        assert_eq!(value["status"], "pull");
        assert_eq!(value["Actor"]["Attributes"]["name"], "busybox");
        assert_eq!(value["timeNano"], 1_700_000_000_000_000_001_u64);
        assert!(value.get("from").is_none());
    }
}
