//! A client of the OCI distribution specification: pulls images from any registry, and pushes them.
//!
//! Layers are hashed and unpacked as they arrive: what comes over the network goes to the store and,
//! at the same time, into a pipe to a confined process. Nothing is visible before all of it was
//! verified. This is the only crate with an async runtime, which exists for the time of one call.

mod auth;
mod client;
mod config;
mod credentials;
mod endpoint;
mod error;
mod feed;
mod http;
mod layer;
mod login;
mod origin;
mod policy;
mod pull;
mod push;
mod request;
mod resolver;
mod retry;
mod tags;
mod transfer;
mod write_behind;

/// What the fuzz targets need.
#[cfg(feature = "fuzzing")]
pub mod fuzzing {
    /// The realms of all challenges in a header `WWW-Authenticate`.
    #[must_use]
    pub fn realms(header: &str) -> Vec<String> {
        crate::auth::Challenge::realms(header)
    }
}

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use carrier_spec::{Compression, Digest, Platform};
use carrier_store::ImageRecord;

pub use credentials::{Credentials, Kept, ParseRegistryError, RegistryName, docker_config_file};
pub use error::{Error, HostFault};
pub use login::{LoginOptions, check, known, login, logout, logout_all};
pub use pull::pull;
pub use push::{PushEvent, PushOptions, PushProgress, Pushed, Recompress, push};
pub use tags::tags;

/// What to pull, and how.
#[derive(Clone, Debug)]
pub struct PullOptions {
    /// What the image shall run on.
    pub platform: Platform,
    /// Whether the user named that platform: an image for another one is an error then.
    pub platform_requested: bool,
    /// Whether certificates are checked and plain HTTP is refused; else as configured for the registry.
    pub tls_verify: Option<bool>,
    /// How often to try again what may well succeed a moment later; else as configured.
    pub retries: Option<u32>,
}

/// What was pulled.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The image, as it is in the store now.
    pub record: ImageRecord,
    /// What the reference meant to the registry: the digest of an index or a manifest.
    pub digest: Digest,
    /// Whether anything was downloaded.
    pub downloaded: bool,
    /// What the user should know.
    pub warning: Option<String>,
}

/// Where layers are unpacked: a process that has neither network nor credentials.
pub trait LayerSink {
    /// Starts unpacking a layer into `directory`.
    ///
    /// # Errors
    /// When the process is gone.
    fn begin(
        &self,
        directory: BorrowedFd<'_>,
        compression: Compression,
    ) -> io::Result<LayerChannel>;
}

/// Where one layer goes in, and what becomes of it comes out.
#[derive(Debug)]
pub struct LayerChannel {
    /// The write end of a pipe for the compressed layer; closing it ends the layer.
    pub input: OwnedFd,
    /// A socket: one line of JSON, a `carrier_store::UnpackReport`, comes; a byte `k` goes back when
    /// the layer is to be kept.
    pub control: OwnedFd,
}

/// Whoever shows how a pull goes on.
pub trait Progress {
    /// Something happened to the layer `digest` of `size` bytes.
    fn layer(&self, digest: &Digest, size: u64, event: LayerEvent);

    /// Something to know while it goes on, such as why nothing seems to happen.
    fn note(&self, text: &str);
}

/// What happens to a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerEvent {
    /// It will be downloaded.
    Waiting,
    /// It is here from an earlier pull.
    AlreadyExists,
    /// So many bytes have come.
    Downloaded(u64),
    /// All bytes have come.
    Unpacking,
    /// It is unpacked and verified.
    Complete,
}

/// What requests run on, for the time of one call.
fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Client(error.to_string()))
}
