//! The image `hello`: made of Carrier's own program, so that a first run needs no registry.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;

use carrier_spec::{
    Compression, Config, Descriptor, DiffId, ImageConfig, ImageId, Manifest, MediaType, Platform,
    Reference, RootFs,
};
use carrier_store::{
    ImageRecord, Limits, Ownership, UnpackOptions, VerifiedBlob, digest_of, unpack,
};

use crate::engine::Engine;
use crate::error::Error;

/// What users type.
pub const HELLO: &str = "hello";

/// Which program the image was made of.
const BUILD_LABEL: &str = "carrier.build";

impl Engine {
    /// The image `hello`, made anew when Carrier's program has changed since.
    ///
    /// # Errors
    /// When the program cannot be read or the store cannot be written.
    pub fn hello_image(&self) -> Result<ImageRecord, Error> {
        let program = "/proc/self/exe";
        let open = |source| Error::Open {
            path: program.into(),
            source,
        };
        let file = fs::File::open(program).map_err(open)?;
        let meta = file.metadata().map_err(open)?;
        let build = format!("{}-{}-{}", meta.len(), meta.mtime(), meta.mtime_nsec());
        let reference: Reference = HELLO.parse().map_err(|error| {
            Error::Configuration(Box::<dyn std::error::Error + Send + Sync>::from(error))
        })?;
        if let Some(image) = self.store.image(&reference, None)?
            && image.config.config.labels.get(BUILD_LABEL) == Some(&build)
        {
            return Ok(image);
        }
        let program = fs::read(program).map_err(open)?;
        self.make_hello(reference, build, &program)
    }

    fn make_hello(
        &self,
        reference: Reference,
        build: String,
        program: &[u8],
    ) -> Result<ImageRecord, Error> {
        let archive = archive(program);
        let staged = self.store.stage_layer()?;
        let options = UnpackOptions {
            ownership: Ownership::Caller,
            limits: Limits::default(),
        };
        let summary = unpack(&*archive, Compression::None, staged.directory(), &options)
            .map_err(|error| Error::Configuration(error.into()))?;
        let config = config(build, summary.diff_id.clone());
        let config_bytes = json(&config)?;
        let (layer, layer_blob) =
            self.blob(&archive, MediaType::Layer(Compression::None).name())?;
        let (config_descriptor, config_blob) =
            self.blob(&config_bytes, "application/vnd.oci.image.config.v1+json")?;
        let manifest = Manifest {
            config: config_descriptor.clone(),
            layers: vec![layer],
        };
        let (manifest, manifest_blob) =
            self.blob(&manifest_json(&manifest)?, MediaType::OciManifest.name())?;
        let mut ingest = self.store.ingest();
        for blob in [layer_blob, config_blob, manifest_blob] {
            ingest.add_blob(blob);
        }
        ingest.add_layer(staged, &summary)?;
        ingest.commit()?;
        let record = ImageRecord {
            schema: ImageRecord::SCHEMA,
            reference: Some(reference),
            origin: None,
            index: None,
            platform: Platform::host(),
            manifest,
            id: ImageId(config_descriptor.digest),
            size: summary.bytes,
            config,
        };
        // Nobody wants what an older program reported of itself, unless a container does.
        if let Some(old) = self.store.put_image(&record)? {
            let untagged = ImageRecord {
                reference: None,
                ..old
            };
            let _ = self.remove_records(&[untagged], false);
        }
        Ok(record)
    }

    fn blob(&self, bytes: &[u8], media_type: &str) -> Result<(Descriptor, VerifiedBlob), Error> {
        let digest = digest_of(bytes);
        let size = bytes.len() as u64;
        let mut writer = self.store.new_blob()?;
        writer.write_all(bytes).map_err(|source| Error::Write {
            path: self.store.root().to_owned(),
            source,
        })?;
        let blob = writer.verify(&digest, size)?;
        Ok((
            Descriptor {
                media_type: media_type.to_owned(),
                digest,
                size,
                platform: None,
            },
            blob,
        ))
    }
}

fn config(build: String, layer: DiffId) -> ImageConfig {
    let platform = Platform::host();
    ImageConfig {
        architecture: platform.architecture,
        os: platform.os,
        config: Config {
            entrypoint: Some(vec!["/hello".to_owned()]),
            labels: [(BUILD_LABEL.to_owned(), build)].into(),
            ..Config::default()
        },
        rootfs: RootFs {
            kind: "layers".to_owned(),
            diff_ids: vec![layer],
        },
        ..ImageConfig::default()
    }
}

fn json<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| Error::Configuration(error.into()))
}

fn manifest_json(manifest: &Manifest) -> Result<Vec<u8>, Error> {
    json(&serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciManifest.name(),
        "config": manifest.config,
        "layers": manifest.layers,
    }))
}

/// A layer with one file, POSIX.1-1988 `ustar`.
fn archive(program: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(program.len() as u64);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    if let Some(name) = header.as_old_mut().name.get_mut(..HELLO.len()) {
        name.copy_from_slice(HELLO.as_bytes());
    }
    header.set_cksum();
    let mut archive = header.as_bytes().to_vec();
    archive.extend_from_slice(program);
    // Whole blocks, and two empty ones at the end.
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    archive
}
