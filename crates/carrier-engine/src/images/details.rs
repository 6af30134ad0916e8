//! All that is known about an image.

use carrier_spec::Platform;
use carrier_store::ImageRecord;
use serde_json::{Map, Value, json};

use crate::engine::Engine;
use crate::error::Error;

/// Larger configurations are not pulled.
const MAX_CONFIG: u64 = 4 << 20;

/// An image, as `inspect` shows it.
#[derive(Clone, Debug)]
pub struct ImageDetails {
    /// What Docker's `GET /images/{name}/json` answers.
    pub json: Value,
}

impl Engine {
    /// Describes the image that `word` names.
    ///
    /// # Errors
    /// When there is no such image.
    pub fn inspect_image(
        &self,
        word: &str,
        platform: Option<&Platform>,
    ) -> Result<ImageDetails, Error> {
        let image = self.image_by_word(word, platform)?;
        let mut names = self.store.images()?;
        names.retain(|other| other.id == image.id);
        let raw = self.store.read_blob(&image.id.0, MAX_CONFIG)?;
        let raw = raw.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        // What was kept of the configuration will do where its blob is damaged.
        let raw = raw.or_else(|| serde_json::to_value(&image.config).ok());
        let layers = image.config.rootfs.diff_ids.iter().rev();
        let directories: Vec<String> = layers
            .map(|id| self.store.layer_dir(id).display().to_string())
            .collect();
        Ok(ImageDetails {
            json: details(&image, &names, &raw.unwrap_or_default(), &directories),
        })
    }
}

/// Joins record and configuration. `layers` are directories, the topmost first.
fn details(image: &ImageRecord, names: &[ImageRecord], raw: &Value, layers: &[String]) -> Value {
    let mut tags: Vec<String> = names
        .iter()
        .filter_map(|name| name.reference.as_ref())
        .filter(|reference| reference.tag().is_some())
        .map(carrier_spec::Reference::familiar)
        .collect();
    let mut digests: Vec<String> = names
        .iter()
        .filter_map(|name| name.origin.as_ref())
        .map(carrier_spec::Reference::familiar)
        .collect();
    for list in [&mut tags, &mut digests] {
        list.sort_unstable();
        list.dedup();
    }
    let text = |name: &str| raw.get(name).and_then(Value::as_str).unwrap_or_default();
    let history = raw.get("history").and_then(Value::as_array);
    let last = history.and_then(|steps| steps.last());
    let comment = last
        .and_then(|step| step.get("comment"))
        .and_then(Value::as_str);
    let mut details = json!({
        "Id": image.id,
        "RepoTags": tags,
        "RepoDigests": digests,
        "Parent": "",
        "Comment": comment.unwrap_or_default(),
        "Created": text("created"),
        "DockerVersion": text("docker_version"),
        "Author": text("author"),
        "Config": config(raw.get("config")),
        "Architecture": image.platform.architecture,
        "Os": image.platform.os,
        "Size": image.size,
        "GraphDriver": { "Name": "overlay", "Data": graph(layers) },
        "RootFS": { "Type": "layers", "Layers": image.config.rootfs.diff_ids },
        "Metadata": { "LastTagTime": "0001-01-01T00:00:00Z" },
        "Descriptor": image.manifest,
    });
    if let (Some(variant), Some(fields)) = (&image.platform.variant, details.as_object_mut()) {
        fields.insert("Variant".to_owned(), json!(variant));
    }
    details
}

fn graph(layers: &[String]) -> Value {
    match layers {
        [] => json!({}),
        [only] => json!({ "UpperDir": only }),
        [top, below @ ..] => json!({ "LowerDir": below.join(":"), "UpperDir": top }),
    }
}

/// The defaults for containers, with every key that Docker's type has.
fn config(raw: Option<&Value>) -> Value {
    let mut config = json!({
        "Hostname": "",
        "Domainname": "",
        "User": "",
        "AttachStdin": false,
        "AttachStdout": false,
        "AttachStderr": false,
        "Tty": false,
        "OpenStdin": false,
        "StdinOnce": false,
        "Env": null,
        "Cmd": null,
        "Image": "",
        "Volumes": null,
        "WorkingDir": "",
        "Entrypoint": null,
        "OnBuild": null,
        "Labels": null,
    });
    if let (Some(fields), Some(own)) = (config.as_object_mut(), raw.and_then(Value::as_object)) {
        let own: Map<String, Value> = own.clone();
        fields.extend(own);
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_has_dockers_keys_and_the_images_own() {
        let raw = json!({ "Cmd": ["sh"], "Healthcheck": { "Test": ["NONE"] } });
        let config = config(Some(&raw));
        assert_eq!(config["Cmd"], json!(["sh"]));
        assert_eq!(config["Entrypoint"], Value::Null);
        assert_eq!(config["Healthcheck"]["Test"][0], "NONE");
        assert_eq!(super::config(None)["Tty"], false);
    }
}
