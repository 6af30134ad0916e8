//! The configuration of an image that is made of a container.

use carrier_spec::{Config, DiffId};
use carrier_store::ImageRecord;
use serde_json::{Map, Value, json};

use super::CommitOptions;
use crate::archive::changes::Changed;
use crate::error::Error;
use crate::record::ContainerRecord;

/// The names that [`Config`] has in a document, and one that is for builders.
const NAMES: [&str; 12] = [
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "Healthcheck",
    "Shell",
    "OnBuild",
];

/// What a container is run with, as an image says it, and then changed.
pub(super) fn changed(
    image: &ImageRecord,
    record: &ContainerRecord,
    changes: &[String],
) -> Result<Changed, Error> {
    let mut changed = Changed {
        config: of_container(&image.config.config, record),
        on_build: Vec::new(),
    };
    for change in changes {
        changed.apply(change)?;
    }
    Ok(changed)
}

fn of_container(image: &Config, record: &ContainerRecord) -> Config {
    let words = record.arguments.split_at_checked(record.entrypoint_words);
    let (entrypoint, command) = words.unwrap_or((&[], &record.arguments));
    let some = |words: &[String]| (!words.is_empty()).then(|| words.to_vec());
    let hostname = format!("HOSTNAME={}", record.hostname);
    // The engine's own, for this container.
    let own =
        |line: &&String| **line != hostname && (**line != "TERM=xterm" || image.env.contains(line));
    let is_default = record.stop_signal == "SIGTERM" && image.stop_signal.is_none();
    Config {
        user: record.user.clone(),
        env: record.environment.iter().filter(own).cloned().collect(),
        entrypoint: some(entrypoint),
        cmd: some(command),
        working_dir: match record.working_directory.as_str() {
            "/" => image.working_dir.clone(),
            directory => directory.to_owned(),
        },
        labels: record.labels.clone(),
        stop_signal: (!is_default).then(|| record.stop_signal.clone()),
        ..image.clone()
    }
}

/// The document: that of the container's image, with what has changed.
pub(super) fn document(
    image: Value,
    changed: &Changed,
    record: &ContainerRecord,
    options: &CommitOptions,
    layer: Option<&DiffId>,
) -> Result<Vec<u8>, Error> {
    let wrong = |error: serde_json::Error| Error::Configuration(error.into());
    let Value::Object(mut document) = image else {
        return Err(Error::Configuration("it is no object".into()));
    };
    let created = json!(jiff::Timestamp::now().to_string());
    document.insert("created".to_owned(), created.clone());
    // Docker's notes about the container that the image was built in.
    for name in ["container", "container_config", "author"] {
        document.remove(name);
    }
    if !options.author.is_empty() {
        document.insert("author".to_owned(), json!(options.author));
    }
    let config = object(&mut document, "config");
    for name in NAMES {
        config.remove(name);
    }
    if let Value::Object(fields) = serde_json::to_value(&changed.config).map_err(wrong)? {
        config.extend(fields);
    }
    if !changed.on_build.is_empty() {
        config.insert("OnBuild".to_owned(), json!(changed.on_build));
    }
    if let Some(layer) = layer {
        list(object(&mut document, "rootfs"), "diff_ids").push(json!(layer));
    }
    let mut step = Map::new();
    step.insert("created".to_owned(), created);
    step.insert("created_by".to_owned(), json!(record.arguments.join(" ")));
    for (name, text) in [("author", &options.author), ("comment", &options.message)] {
        if !text.is_empty() {
            step.insert(name.to_owned(), json!(text));
        }
    }
    if layer.is_none() {
        step.insert("empty_layer".to_owned(), json!(true));
    }
    list(&mut document, "history").push(Value::Object(step));
    serde_json::to_vec(&document).map_err(wrong)
}

fn object<'a>(parent: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let value = parent.entry(name).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(object) => object,
        _ => unreachable!("it was just made an object"),
    }
}

fn list<'a>(parent: &'a mut Map<String, Value>, name: &str) -> &'a mut Vec<Value> {
    let value = parent.entry(name).or_insert_with(|| json!([]));
    if !value.is_array() {
        *value = json!([]);
    }
    match value {
        Value::Array(list) => list,
        _ => unreachable!("it was just made a list"),
    }
}
