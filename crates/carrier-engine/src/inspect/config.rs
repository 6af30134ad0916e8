//! `Config`: what the program is, wherever it runs.

use serde_json::{Map, Value, json};

use super::network;
use crate::record::ContainerRecord;

pub(super) fn describe(record: &ContainerRecord) -> Value {
    let count = record.entrypoint_words.min(record.arguments.len());
    let (entrypoint, command) = record.arguments.split_at(count);
    let words = |words: &[String]| (!words.is_empty()).then(|| words.to_vec());
    let attached = !record.detached;
    let volumes: Map<String, Value> = crate::volumes::declared(record)
        .map(|place| (place.to_owned(), json!({})))
        .collect();
    let mut config = json!({
        "Hostname": record.hostname,
        "Domainname": record.networking.domainname,
        "User": record.user,
        "AttachStdin": attached && record.streams.interactive,
        "AttachStdout": attached,
        "AttachStderr": attached,
        "Tty": record.streams.terminal,
        "OpenStdin": record.streams.interactive,
        "StdinOnce": attached && record.streams.interactive,
        "Env": record.environment,
        "Cmd": words(command),
        "Image": record.image_name(),
        "Volumes": (!volumes.is_empty()).then_some(volumes),
        "WorkingDir": record.working_directory,
        "Entrypoint": words(entrypoint),
        "OnBuild": null,
        "Labels": record.labels,
        "StopSignal": record.stop_signal,
    });
    if let Some(fields) = config.as_object_mut() {
        if let Some(seconds) = record.stop_timeout {
            fields.insert("StopTimeout".to_owned(), seconds.into());
        }
        if let Some(ports) = network::exposed(record) {
            fields.insert("ExposedPorts".to_owned(), ports);
        }
        if let Some(check) = &record.health {
            fields.insert("Healthcheck".to_owned(), json!(check.config));
        }
    }
    config
}
