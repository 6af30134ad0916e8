//! Manifests, indexes and image configurations, OCI image-spec 1.1 and Docker's schema 2.
//!
//! The types keep what Carrier uses. Digests are always taken of the bytes that came over the wire,
//! never of these types written out again.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{Compression, DiffId, Digest, Healthcheck, MediaType, ParseDigestError, Platform};

/// No real image comes near; a hostile one may.
const MAX_LAYERS: usize = 512;
const MAX_INDEX_ENTRIES: usize = 1000;

/// What the configuration of an image is called; anything else belongs to an artifact.
const CONFIGURATIONS: [&str; 2] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
];

/// A pointer to a blob, image-spec `descriptor.md`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is.
    pub media_type: String,
    /// What its bytes hash to.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: u64,
    /// For entries of an index: what the image runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

impl Descriptor {
    fn is_manifest(&self) -> bool {
        let kind = MediaType::from_name(&self.media_type);
        kind.is_some_and(|kind| !matches!(kind, MediaType::Layer(_)))
    }

    /// How the layer behind this descriptor is compressed.
    ///
    /// # Errors
    /// When it is no layer that Carrier can unpack: foreign, encrypted, or an unknown type.
    pub fn layer_compression(&self) -> Result<Compression, ImageError> {
        match MediaType::from_name(&self.media_type) {
            Some(MediaType::Layer(compression)) => Ok(compression),
            _ => Err(ImageError::UnsupportedLayer(self.media_type.clone())),
        }
    }
}

/// An image manifest: one image for one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The image configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
}

/// An image index or manifest list: one image for several platforms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// The manifests, in order of preference.
    pub manifests: Vec<Descriptor>,
}

impl Index {
    /// The image that is nearest to `platform`, the first of those that are as near.
    #[must_use]
    pub fn select(&self, platform: &Platform) -> Option<&Descriptor> {
        let distance = |entry: &Descriptor| platform.distance(entry.platform.as_ref()?);
        let entries = self.manifests.iter();
        let running = entries.filter_map(|entry| Some((distance(entry)?, entry)));
        let nearest = running.min_by_key(|(distance, _)| *distance);
        nearest.map(|(_, entry)| entry)
    }

    /// Those that do not say what they are for: their configurations do.
    pub fn silent(&self) -> impl Iterator<Item = &Descriptor> {
        let is_silent = |entry: &&Descriptor| entry.platform.is_none() && entry.is_manifest();
        self.manifests.iter().filter(is_silent)
    }

    /// The platforms on offer, for an error message; attestations (`unknown/unknown`) left out.
    #[must_use]
    pub fn platforms(&self) -> Vec<String> {
        let offered = self
            .manifests
            .iter()
            .filter_map(|entry| entry.platform.as_ref());
        offered
            .filter(|platform| platform.os != "unknown")
            .map(ToString::to_string)
            .collect()
    }
}

/// What a registry may answer when it is asked for a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestOrIndex {
    /// An image for one platform.
    Manifest(Manifest),
    /// A choice of platforms.
    Index(Index),
}

/// Why a document is not an image that Carrier can use.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Not JSON, or a field of the wrong shape.
    #[error("the {document} is malformed")]
    Malformed {
        /// `manifest`, `index` or `image configuration`.
        document: &'static str,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// Could be read as more than one kind of document (CVE-2021-41190).
    #[error("the manifest is ambiguous: {0}")]
    Ambiguous(&'static str),
    /// The document says one media type, the registry another.
    #[error("the registry calls the manifest {header}, the manifest calls itself {field}")]
    MediaTypeMismatch {
        /// The `Content-Type` header.
        header: String,
        /// The `mediaType` field.
        field: String,
    },
    /// Docker's first format, which has no configuration and cannot be verified.
    #[error("the manifest is of Docker's schema 1, which clients stopped to accept in 2023")]
    Schema1,
    /// Something else that is no image.
    #[error("media type {0:?} is not an image manifest")]
    UnsupportedManifest(String),
    /// An artifact: it has a manifest, and is no image all the same.
    #[error("it is not an image: its configuration is of type {0:?}")]
    Artifact(String),
    /// A foreign, encrypted or unknown layer.
    #[error("layer type {0:?} is not supported")]
    UnsupportedLayer(String),
    /// More entries than any real image has.
    #[error("the manifest lists {count} {what}: at most {max} are allowed")]
    TooMany {
        /// `layers` or `manifests`.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// A configuration names another number of layers than its manifest.
    #[error("the image configuration lists {config} layers, the manifest {manifest}")]
    LayerCount {
        /// Diff IDs in the configuration.
        config: usize,
        /// Layers in the manifest.
        manifest: usize,
    },
    /// A digest that is none.
    #[error(transparent)]
    Digest(#[from] ParseDigestError),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    media_type: Option<String>,
    #[serde(default)]
    schema_version: Option<u32>,
    manifests: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    config: Option<serde::de::IgnoredAny>,
    fs_layers: Option<serde::de::IgnoredAny>,
}

impl ManifestOrIndex {
    /// Reads a document whose `Content-Type` was `content_type`.
    ///
    /// # Errors
    /// [`ImageError`] when it is not exactly one kind of manifest, or breaks a limit.
    pub fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Self, ImageError> {
        let malformed = |document| move |source| ImageError::Malformed { document, source };
        let outline: Outline = serde_json::from_slice(bytes).map_err(malformed("manifest"))?;
        match document_type(&outline, content_type)? {
            kind if kind.is_index() => {
                let index: Index = serde_json::from_slice(bytes).map_err(malformed("index"))?;
                limit("manifests", index.manifests.len(), MAX_INDEX_ENTRIES)?;
                Ok(Self::Index(index))
            }
            _ => {
                let manifest: Manifest =
                    serde_json::from_slice(bytes).map_err(malformed("manifest"))?;
                limit("layers", manifest.layers.len(), MAX_LAYERS)?;
                if !CONFIGURATIONS.contains(&manifest.config.media_type.as_str()) {
                    return Err(ImageError::Artifact(manifest.config.media_type));
                }
                Ok(Self::Manifest(manifest))
            }
        }
    }
}

fn limit(what: &'static str, count: usize, max: usize) -> Result<(), ImageError> {
    if count <= max {
        Ok(())
    } else {
        Err(ImageError::TooMany { what, count, max })
    }
}

fn document_type(outline: &Outline, content_type: Option<&str>) -> Result<MediaType, ImageError> {
    if outline.schema_version == Some(1) || outline.fs_layers.is_some() {
        return Err(ImageError::Schema1);
    }
    let image = outline.layers.is_some() || outline.config.is_some();
    if image && outline.manifests.is_some() {
        return Err(ImageError::Ambiguous("it has both layers and manifests"));
    }
    let header = content_type.and_then(MediaType::from_name);
    let field = match &outline.media_type {
        Some(name) => Some(
            MediaType::from_name(name)
                .ok_or_else(|| ImageError::UnsupportedManifest(name.clone()))?,
        ),
        None => None,
    };
    if let (Some(header), Some(field)) = (header, field)
        && header != field
    {
        return Err(ImageError::MediaTypeMismatch {
            header: header.to_string(),
            field: field.to_string(),
        });
    }
    // An OCI document may leave its type to the header, and a careless server may leave it out too.
    let by_shape = if outline.manifests.is_some() {
        MediaType::OciIndex
    } else {
        MediaType::OciManifest
    };
    let kind = field.or(header).unwrap_or(by_shape);
    match (kind.is_index(), image, outline.manifests.is_some()) {
        (true, true, _) | (false, _, true) => Err(ImageError::Ambiguous(
            "its media type and its fields disagree",
        )),
        _ if matches!(kind, MediaType::Layer(_)) => {
            Err(ImageError::UnsupportedManifest(kind.to_string()))
        }
        _ => Ok(kind),
    }
}

/// An image configuration, image-spec `config.md`, with the fields that only Docker writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When the image was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Processor architecture, Go's spelling.
    #[serde(default)]
    pub architecture: String,
    /// Operating system.
    #[serde(default)]
    pub os: String,
    /// Variant of the architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Defaults for containers made of the image.
    #[serde(default, deserialize_with = "null_is_default")]
    pub config: Config,
    /// The layers' content.
    pub rootfs: RootFs,
    /// How the image came to be.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub history: Vec<History>,
}

/// The content of an image: its layers' diff IDs, lowest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Digests of the uncompressed layers.
    pub diff_ids: Vec<DiffId>,
}

/// One step of an image's making.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// By which command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Anything else that the author wrote down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether the step made no layer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

/// Defaults that an image brings for its containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Config {
    /// User and group of the process, names or numbers.
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub user: String,
    /// Ports that the software listens on, `80/tcp`.
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub exposed_ports: BTreeMap<String, Empty>,
    /// Environment, `NAME=VALUE`.
    #[serde(deserialize_with = "null_is_default")]
    pub env: Vec<String>,
    /// What is run; the command's words follow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Default words behind the entry point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Directories that hold data.
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub volumes: BTreeMap<String, Empty>,
    /// Where the process starts.
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub working_dir: String,
    /// What the author says about the image.
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks the process to end, a name or a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// How a container is asked whether it is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// What runs texts that are commands; else `/bin/sh -c`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
}

/// The empty object that JSON sets are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

impl ImageConfig {
    /// Reads the configuration of an image whose manifest lists `layers` layers.
    ///
    /// # Errors
    /// [`ImageError`] when it is malformed or speaks of another number of layers.
    pub fn parse(bytes: &[u8], layers: usize) -> Result<Self, ImageError> {
        let config: Self =
            serde_json::from_slice(bytes).map_err(|source| ImageError::Malformed {
                document: "image configuration",
                source,
            })?;
        let described = config.rootfs.diff_ids.len();
        if described != layers {
            return Err(ImageError::LayerCount {
                config: described,
                manifest: layers,
            });
        }
        Ok(config)
    }

    /// What the image runs on, or nothing where the configuration does not say.
    #[must_use]
    pub fn platform(&self) -> Option<Platform> {
        let named = !self.os.is_empty() && !self.architecture.is_empty();
        named.then(|| Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone().filter(|variant| !variant.is_empty()),
        })
    }
}

/// Go writes `null` for empty lists and maps.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(digit: char) -> String {
        format!("sha256:{}", digit.to_string().repeat(64))
    }

    fn manifest(media_type: &str) -> String {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{media_type}",
                "config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":2}},
                "layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{}","size":3}}]}}"#,
            hex('a'),
            hex('b')
        )
    }

    #[test]
    fn both_families_of_manifests_are_read() {
        for kind in [MediaType::OciManifest, MediaType::DockerManifest] {
            let text = manifest(kind.name());
            let parsed = ManifestOrIndex::parse(text.as_bytes(), Some(kind.name())).unwrap();
            let ManifestOrIndex::Manifest(manifest) = parsed else {
                panic!("not a manifest")
            };
            assert_eq!(
                manifest.layers[0].layer_compression().unwrap(),
                Compression::Gzip
            );
        }
    }

    #[test]
    fn an_ambiguous_document_is_refused() {
        let oci = MediaType::OciManifest.name();
        let both = manifest(oci).replacen("\"layers\"", "\"manifests\":[],\"layers\"", 1);
        let twice = manifest(oci).replacen("\"layers\"", "\"layers\":[],\"layers\"", 1);
        let index_in_disguise = format!(r#"{{"mediaType":"{oci}","manifests":[]}}"#);
        let schema_1 = r#"{"schemaVersion":1,"fsLayers":[]}"#.to_owned();
        for bad in [both, twice, index_in_disguise, schema_1] {
            assert!(
                ManifestOrIndex::parse(bad.as_bytes(), None).is_err(),
                "{bad} was accepted"
            );
        }
        let other = MediaType::DockerManifest.name();
        assert!(matches!(
            ManifestOrIndex::parse(manifest(oci).as_bytes(), Some(other)),
            Err(ImageError::MediaTypeMismatch { .. })
        ));
    }

    #[test]
    fn sizes_and_digests_that_lie_are_refused() {
        let good = manifest(MediaType::OciManifest.name());
        for bad in [
            good.replace("\"size\":3", "\"size\":-3"),
            good.replace("\"size\":3", "\"size\":9e18"),
            good.replace(&hex('b'), "sha256:../../etc/passwd"),
            good.replace(&hex('b'), &hex('B')),
        ] {
            assert!(
                ManifestOrIndex::parse(bad.as_bytes(), None).is_err(),
                "{bad} was accepted"
            );
        }
    }

    #[test]
    fn an_index_offers_platforms() {
        let entry = |arch: &str, digit| {
            format!(
                r#"{{"mediaType":"{}","digest":"{}","size":1,"platform":{{"os":"linux","architecture":"{arch}"}}}}"#,
                MediaType::OciManifest,
                hex(digit)
            )
        };
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[{},{}]}}"#,
            entry("amd64", '1'),
            entry("arm64", '2')
        );
        let parsed = ManifestOrIndex::parse(text.as_bytes(), None).unwrap();
        let ManifestOrIndex::Index(index) = parsed else {
            panic!("not an index")
        };
        let chosen = index.select(&"linux/arm64".parse().unwrap()).unwrap();
        assert_eq!(chosen.digest.as_str(), hex('2'));
        assert!(index.select(&"linux/s390x".parse().unwrap()).is_none());
        assert_eq!(index.platforms(), ["linux/amd64", "linux/arm64"]);
    }

    /// An index of these platforms, in the spelling of JSON; and which of them is chosen.
    fn chosen(platforms: &[&str], wanted: &str) -> Option<usize> {
        let entries = platforms.iter().zip('0'..='9').map(|(platform, digit)| {
            let platform: Option<Platform> = serde_json::from_str(platform).unwrap();
            Descriptor {
                media_type: MediaType::OciManifest.to_string(),
                digest: hex(digit).parse().unwrap(),
                size: 1,
                platform,
            }
        });
        let index = Index {
            manifests: entries.collect(),
        };
        let entry = index.select(&wanted.parse().unwrap())?;
        index.manifests.iter().position(|known| known == entry)
    }

    #[test]
    fn an_index_gives_what_is_nearest_to_the_platform() {
        let amd64 = r#"{"os":"linux","architecture":"amd64"}"#;
        let v2 = r#"{"os":"linux","architecture":"amd64","variant":"v2"}"#;
        let v3 = r#"{"os":"linux","architecture":"amd64","variant":"v3"}"#;
        let x86 = r#"{"os":"linux","architecture":"386"}"#;
        let v5 = r#"{"os":"linux","architecture":"arm","variant":"v5"}"#;
        let v6 = r#"{"os":"linux","architecture":"arm","variant":"v6"}"#;
        let other = r#"{"os":"unknown","architecture":"unknown"}"#;
        for (platforms, wanted, expected) in [
            (&[v3, amd64][..], "linux/amd64", Some(1)),
            (&[amd64, v2, v3], "linux/amd64/v3", Some(2)),
            (&[amd64, v2], "linux/amd64/v3", Some(1)),
            (&[v3], "linux/amd64", None),
            (&["null", x86, amd64, amd64], "linux/amd64", Some(2)),
            (&["null", x86], "linux/amd64", Some(1)),
            (&[v5, v6], "linux/arm/v7", Some(1)),
            (&[v6], "linux/arm/v5", None),
            (&[other, "null"], "linux/amd64", None),
        ] {
            let found = chosen(platforms, wanted);
            assert_eq!(found, expected, "{wanted} of {platforms:?}");
        }
    }

    #[test]
    fn gos_nulls_are_empty() {
        let text = r#"{"architecture":"amd64","os":"linux","history":null,
            "config":{"Env":null,"Cmd":["sh"],"Labels":null,"Entrypoint":null,"Volumes":null,"User":""},
            "rootfs":{"type":"layers","diff_ids":[]}}"#;
        let config = ImageConfig::parse(text.as_bytes(), 0).unwrap();
        assert_eq!(config.config.cmd.as_deref(), Some(&["sh".to_owned()][..]));
        assert_eq!(config.config.entrypoint, None);
        assert!(config.config.env.is_empty());
        assert!(matches!(
            ImageConfig::parse(text.as_bytes(), 1),
            Err(ImageError::LayerCount {
                config: 0,
                manifest: 1
            })
        ));
    }
}
