//! From an archive of a file system to an image of one layer.

use std::io::Read;

use carrier_spec::{DiffId, History, ImageConfig, ImageId, Platform, Reference, RootFs};
use serde_json::json;

use super::changes::Changed;
use super::new_image::NewImage;
use crate::engine::Engine;
use crate::error::Error;
use crate::unpacker::Unpacker;

/// What an imported image will be.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Its name.
    pub name: Option<Reference>,
    /// Its configuration, as instructions of a Dockerfile.
    pub changes: Vec<String>,
    /// What the history says about it.
    pub message: String,
    /// What it is for, else the host.
    pub platform: Option<Platform>,
}

impl Engine {
    /// Makes an image of a file system's archive, plain or compressed with gzip or zstd. When this
    /// returns, the image survives a power cut.
    ///
    /// # Errors
    /// When the archive or a change makes no sense, or the store cannot be written.
    pub fn import(&self, input: impl Read, options: &ImportOptions) -> Result<ImageId, Error> {
        let mut changed = Changed::default();
        for change in &options.changes {
            changed.apply(change)?;
        }
        // Before a stranger's bytes are read.
        let unpacker = Unpacker::start(self.host.own_ids()?)?;
        let layer = self.new_layer(&unpacker, input)?;
        let config = configuration(&changed, options, layer.summary.diff_id.clone())?;
        self.add_image(NewImage {
            name: options.name.clone(),
            platform: options.platform.clone().unwrap_or_else(Platform::host),
            config,
            base: Vec::new(),
            layer: Some(layer),
        })
    }
}

fn configuration(
    changed: &Changed,
    options: &ImportOptions,
    layer: DiffId,
) -> Result<Vec<u8>, Error> {
    let platform = options.platform.clone().unwrap_or_else(Platform::host);
    let created = Some(jiff::Timestamp::now().to_string());
    let config = ImageConfig {
        created: created.clone(),
        architecture: platform.architecture,
        os: platform.os,
        variant: platform.variant,
        config: changed.config.clone(),
        rootfs: RootFs {
            kind: "layers".to_owned(),
            diff_ids: vec![layer],
        },
        history: vec![History {
            created,
            comment: Some(options.message.clone()),
            ..History::default()
        }],
        ..ImageConfig::default()
    };
    let wrong = |error: serde_json::Error| Error::Configuration(error.into());
    let mut json = serde_json::to_value(&config).map_err(wrong)?;
    if !changed.on_build.is_empty()
        && let Some(fields) = json
            .get_mut("config")
            .and_then(|config| config.as_object_mut())
    {
        fields.insert("OnBuild".to_owned(), json!(changed.on_build));
    }
    serde_json::to_vec(&json).map_err(wrong)
}
