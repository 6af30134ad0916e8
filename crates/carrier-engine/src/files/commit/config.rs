//! The configuration of an image that is made of a container.

use std::collections::BTreeMap;
use std::path::Path;

use carrier_spec::{Config, DiffId, Empty};
use carrier_store::ImageRecord;
use serde_json::{Map, Value, json};

use super::CommitOptions;
use crate::archive::changes::Changed;
use crate::error::Error;
use crate::inspect::exposed_ports;
use crate::record::ContainerRecord;
use crate::spec;
use crate::volumes::declared;

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
    let mut changed = Changed::from(of_container(&image.config.config, record));
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
        exposed_ports: named(&image.exposed_ports, exposed_ports(record)),
        volumes: named(&image.volumes, declared(record)),
        working_dir: match spec::working_directory(None, &image.working_dir) {
            path if path == Path::new(&record.working_directory) => image.working_dir.clone(),
            _ => record.working_directory.clone(),
        },
        labels: record.labels.clone(),
        stop_signal: (!is_default).then(|| record.stop_signal.clone()),
        healthcheck: record.health.as_ref().map(|check| check.config.clone()),
        shell: image.shell.clone(),
    }
}

/// What the image names, and what the container does.
fn named(
    image: &BTreeMap<String, Empty>,
    container: impl Iterator<Item = impl ToString>,
) -> BTreeMap<String, Empty> {
    let mut all = image.clone();
    all.extend(container.map(|name| (name.to_string(), Empty::default())));
    all
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
