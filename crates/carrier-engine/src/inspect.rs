//! All that is known about a container, in the shape of Docker's `GET /containers/{id}/json`: a pure
//! function of what it shall be and how it is.

mod config;
mod host_config;
mod network;
mod resources;
mod state;

use std::path::Path;

use serde_json::{Value, json};

use crate::engine::Engine;
use crate::error::Error;
use crate::life::Life;
use crate::list::ContainerSize;
use crate::log::LogDriver;
use crate::moment::Moment;
use crate::record::ContainerRecord;

pub(crate) use network::exposed_ports;

/// What the description is made of.
pub(crate) struct Facts<'a> {
    pub(crate) record: &'a ContainerRecord,
    pub(crate) life: &'a Life,
    /// The container's directory in the store.
    pub(crate) directory: &'a Path,
    /// Where its files of `/etc` are while it runs.
    pub(crate) etc: &'a Path,
    /// Where volumes are.
    pub(crate) volumes: &'a Path,
    /// Directories of the image's layers, the topmost first.
    pub(crate) layers: &'a [String],
    pub(crate) size: Option<ContainerSize>,
}

impl Engine {
    /// Describes the container that `word` names, and how much space it takes where that is wanted.
    ///
    /// # Errors
    /// When there is no such container.
    pub fn inspect_container(&self, word: &str, with_size: bool) -> Result<Value, Error> {
        let record = self.container(word)?;
        let life = self.life(&record)?;
        let layers = record.layers.iter().rev();
        let layers: Vec<String> = layers
            .map(|id| self.store.layer_dir(id).display().to_string())
            .collect();
        let size = if with_size {
            self.sizes_of(std::slice::from_ref(&record))?.pop()
        } else {
            None
        };
        Ok(describe(&Facts {
            record: &record,
            life: &life,
            directory: self.store.container(&record.id).path(),
            etc: &self.etc_dir(&record.id),
            volumes: &self.store.root().join("volumes"),
            layers: &layers,
            size,
        }))
    }
}

fn describe(facts: &Facts<'_>) -> Value {
    let Facts { record, life, .. } = facts;
    let etc = |name: &str| facts.etc.join(name).display().to_string();
    let path = |name: &str| facts.directory.join(name).display().to_string();
    let (program, arguments) = match record.arguments.split_first() {
        Some((program, arguments)) => (program.as_str(), arguments),
        None => ("", &[][..]),
    };
    let mut description = json!({
        "Id": record.id,
        "Created": go_time(record.created),
        "Path": program,
        "Args": arguments,
        "State": state::describe(life),
        "Image": record.image_id,
        "ResolvConfPath": etc("resolv.conf"),
        "HostnamePath": etc("hostname"),
        "HostsPath": etc("hosts"),
        "LogPath": match record.log.driver {
            LogDriver::JsonFile(_) => path("log.json"),
            _ => String::new(),
        },
        "Name": format!("/{}", record.name),
        "RestartCount": life.restarts,
        "Driver": "overlay",
        "Platform": record.platform.os,
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": null,
        "HostConfig": host_config::describe(record),
        "GraphDriver": {
            "Name": "overlay",
            "Data": {
                "LowerDir": facts.layers.join(":"),
                "UpperDir": path("upper"),
                "WorkDir": path("work"),
            },
        },
        "Mounts": crate::volumes::mounts(record, facts.volumes),
        "Config": config::describe(record),
        "NetworkSettings": network::describe(record, life),
    });
    if let (Some(size), Some(fields)) = (&facts.size, description.as_object_mut()) {
        fields.insert("SizeRw".to_owned(), size.written.into());
        fields.insert("SizeRootFs".to_owned(), (size.written + size.image).into());
    }
    description
}

/// A moment as Go prints it: parts of a second without zeros at the end.
fn go_time(moment: Moment) -> String {
    let text = moment.to_string();
    let digits = text.trim_end_matches('Z').trim_end_matches('0');
    format!("{}Z", digits.trim_end_matches('.'))
}

#[cfg(test)]
mod tests;
