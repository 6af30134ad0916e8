//! Images as archives: Docker's and OCI's, in and out.
//!
//! An archive comes from a stranger. Its names are keys of a map and never paths of this host; its
//! bytes are kept in files without a name until every digest is right and every layer is unpacked;
//! and documents are bounded before they are read.

pub(crate) mod changes;
mod docker;
mod import;
mod layers;
mod load;
pub(crate) mod new_image;
mod oci;
mod save;
mod spool;
mod words;
pub(crate) mod write;

use std::io;

use carrier_spec::{
    Compression, Descriptor, Digest, ImageConfig, Manifest, MediaType, Platform, Reference,
};

use crate::error::Error;
use spool::Content;

pub use changes::BadChange;
pub use import::ImportOptions;
pub use load::{LoadOptions, Loaded};
pub use save::{ArchiveFormat, SaveOptions};

/// Registries refuse larger documents.
const MAX_DOCUMENT: u64 = 4 << 20;

/// Why an archive holds no image that Carrier can use.
#[derive(Debug, thiserror::Error)]
pub enum BadArchive {
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(#[from] carrier_store::ArchiveError),
    /// It holds something else.
    #[error("the archive holds no images: it has neither manifest.json nor index.json")]
    NoImages,
    /// Before Docker 1.10, images had no identity.
    #[error("the archive was made by Docker before 1.10")]
    TooOld,
    /// A part that another part names is not there.
    #[error("the archive has no file {0:?}")]
    Missing(String),
    /// A part is not what an image archive may have.
    #[error("the archive has a bad entry {path:?}: {reason}")]
    BadEntry {
        /// Its name.
        path: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A blob is not what its name says.
    #[error("the archive's {expected} has digest {actual}")]
    WrongDigest {
        /// The name.
        expected: Digest,
        /// The truth.
        actual: Digest,
    },
    /// A layer is not what the configuration says.
    #[error("a layer unpacks to {actual}, not to {expected} as its image says")]
    WrongLayer {
        /// What the image says.
        expected: Digest,
        /// The truth.
        actual: Digest,
    },
    /// A document makes no sense.
    #[error("{path} of the archive is malformed")]
    Malformed {
        /// Which.
        path: String,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// An image cannot be used.
    #[error("{path} of the archive cannot be used")]
    Image {
        /// The document.
        path: String,
        /// Why.
        source: carrier_spec::ImageError,
    },
    /// A name is none.
    #[error("the archive names an image badly")]
    Name(#[from] carrier_spec::ParseReferenceError),
    /// Nothing in it is for the platform.
    #[error("the archive has no image for {wanted}, only for {}", .offered.join(", "))]
    NoPlatform {
        /// What was asked for.
        wanted: Platform,
        /// What there is.
        offered: Vec<String>,
    },
    /// Nothing came.
    #[error("the archive is empty")]
    Empty,
    /// The layer cannot be unpacked.
    #[error("layer {digest} of the archive cannot be unpacked: {reason}")]
    Unpack {
        /// The layer.
        digest: Digest,
        /// What the unpacking process said.
        reason: String,
    },
}

impl BadArchive {
    /// What the user can do about it.
    pub(crate) fn hint(&self) -> String {
        use carrier_store::ArchiveError;
        match self {
            Self::Archive(ArchiveError::Compression(how)) => {
                format!("decompress it first: `{how} -dc FILE | carrier load`")
            }
            Self::NoImages => "`carrier import` makes an image of a plain file system".to_owned(),
            Self::TooOld => "load and save it again with a newer Docker".to_owned(),
            Self::Unpack { reason, .. } if reason.contains("No space left") => {
                "free some space: `carrier rm` removes containers and images".to_owned()
            }
            Self::NoPlatform { .. } => "leave --platform out, or name one of those".to_owned(),
            _ => "nothing was loaded; make the archive again".to_owned(),
        }
    }
}

/// One image of an archive, for one platform.
struct ArchivedImage<'a> {
    names: Vec<Reference>,
    config: &'a Content,
    parsed: ImageConfig,
    manifest: Vec<u8>,
    manifest_type: String,
    index: Option<(Descriptor, &'a Content)>,
    layers: Vec<ArchivedLayer<'a>>,
}

/// One layer of an image in an archive.
#[derive(Clone)]
struct ArchivedLayer<'a> {
    compression: Compression,
    content: &'a Content,
}

impl ArchivedImage<'_> {
    /// What the image runs on, in the spelling of the store.
    fn platform(&self) -> Platform {
        let named = self.parsed.platform();
        let normal = named.and_then(|platform| platform.to_string().parse().ok());
        normal.unwrap_or_else(Platform::host)
    }
}

/// A manifest as image-spec `manifest.md` has it.
fn manifest_json(manifest: &Manifest) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciManifest.name(),
        "config": manifest.config,
        "layers": manifest.layers,
    }))
    .map_err(|error| Error::Configuration(error.into()))
}

fn descriptor(media_type: &str, digest: Digest, size: u64) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest,
        size,
        platform: None,
    }
}

/// An error of the stream that goes in or out.
fn stream(action: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Terminal { action, source }
}
