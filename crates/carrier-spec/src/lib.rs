//! The names and wire formats of Carrier: references, digests, platforms, identifiers and the image
//! types of the OCI and Docker specifications.
//!
//! Everything here is pure. Strings become types at the edge of the program and are checked just
//! once, by the parsers of this crate: code that holds a [`Digest`] may use it as a file name, code
//! that holds a [`Reference`] may put it in a URL.

mod container;
mod digest;
mod healthcheck;
mod image;
mod media_type;
mod platform;
mod reference;
mod volume;

pub use container::{
    ContainerId, ContainerName, NetworkName, ParseContainerIdError, ParseContainerNameError,
    ParseNetworkNameError,
};
pub use digest::{Algorithm, ChainId, DiffId, Digest, ImageId, ParseDigestError};
pub use healthcheck::Healthcheck;
pub use image::{
    Config, Descriptor, Empty, History, ImageConfig, ImageError, Index, Manifest, ManifestOrIndex,
    RootFs,
};
pub use media_type::{Compression, MediaType};
pub use platform::{ParsePlatformError, Platform};
pub use reference::{ParseReferenceError, Reference};
pub use volume::{ParseVolumeNameError, VolumeName};
