//! Media types of manifests, indexes and layers, OCI's and Docker's.

use std::fmt;

/// What a blob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaType {
    /// `application/vnd.oci.image.manifest.v1+json`
    OciManifest,
    /// `application/vnd.oci.image.index.v1+json`
    OciIndex,
    /// `application/vnd.docker.distribution.manifest.v2+json`
    DockerManifest,
    /// `application/vnd.docker.distribution.manifest.list.v2+json`
    DockerManifestList,
    /// A layer: a tar stream, perhaps compressed.
    Layer(Compression),
}

/// How a layer's tar stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952, possibly of several members.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl MediaType {
    /// What a registry client accepts when it asks for a manifest, best first.
    pub const MANIFESTS: [Self; 4] = [
        Self::OciIndex,
        Self::OciManifest,
        Self::DockerManifestList,
        Self::DockerManifest,
    ];

    /// Recognises a media type; parameters such as `; charset=utf-8` are ignored.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.split(';').next().unwrap_or(name).trim();
        Some(match name {
            "application/vnd.oci.image.manifest.v1+json" => Self::OciManifest,
            "application/vnd.oci.image.index.v1+json" => Self::OciIndex,
            "application/vnd.docker.distribution.manifest.v2+json" => Self::DockerManifest,
            "application/vnd.docker.distribution.manifest.list.v2+json" => Self::DockerManifestList,
            "application/vnd.oci.image.layer.v1.tar"
            | "application/vnd.docker.image.rootfs.diff.tar" => Self::Layer(Compression::None),
            "application/vnd.oci.image.layer.v1.tar+gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip" => Self::Layer(Compression::Gzip),
            "application/vnd.oci.image.layer.v1.tar+zstd"
            | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Self::Layer(Compression::Zstd),
            _ => return None,
        })
    }

    /// The registered name; OCI's for a layer.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OciManifest => "application/vnd.oci.image.manifest.v1+json",
            Self::OciIndex => "application/vnd.oci.image.index.v1+json",
            Self::DockerManifest => "application/vnd.docker.distribution.manifest.v2+json",
            Self::DockerManifestList => "application/vnd.docker.distribution.manifest.list.v2+json",
            Self::Layer(Compression::None) => "application/vnd.oci.image.layer.v1.tar",
            Self::Layer(Compression::Gzip) => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Layer(Compression::Zstd) => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    /// Whether a document of this type lists manifests of several platforms.
    #[must_use]
    pub fn is_index(self) -> bool {
        matches!(self, Self::OciIndex | Self::DockerManifestList)
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
