//! What can go wrong in a store.

use std::io;
use std::path::{Path, PathBuf};

use carrier_spec::{ContainerId, ContainerName, DiffId, Digest};

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// `open`, `write`, `remove`, …
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The store belongs to somebody else, or others can write it.
    #[error("store {0} is not private to the caller")]
    NotPrivate(PathBuf),
    /// A file of the store does not say what it should.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A blob's bytes are not what its name says.
    #[error("content has digest {actual}, not {expected} as promised")]
    WrongDigest {
        /// What was promised.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// A blob has another size than its descriptor says.
    #[error("{digest} has {actual} bytes, not {expected} as promised")]
    WrongSize {
        /// The blob.
        digest: Digest,
        /// What was promised.
        expected: u64,
        /// What came.
        actual: u64,
    },
    /// A digest that this store cannot check.
    #[error("digest {0} is not supported: blobs are stored by SHA-256")]
    UnsupportedDigest(Digest),
    /// The name belongs to another container.
    #[error("the name {name} is in use by container {}", .by.short())]
    NameTaken {
        /// The name.
        name: ContainerName,
        /// The container.
        by: ContainerId,
    },
    /// A newer version of this program wrote a file of the store.
    #[error("{path} was written by a newer version (its schema is {schema})")]
    NewerRecord {
        /// The file.
        path: PathBuf,
        /// The version of its content.
        schema: u32,
    },
    /// Containers were made of the image.
    #[error("image {image} is used by {}", .users.join(", "))]
    ImageInUse {
        /// The image, as the user names it.
        image: String,
        /// Names of the containers.
        users: Vec<String>,
    },
    /// A blob of an image is not there, or was removed meanwhile.
    #[error("blob {0} is missing")]
    BlobMissing(Digest),
    /// A layer of an image is not there, or was removed meanwhile.
    #[error("layer {0} is missing")]
    LayerMissing(DiffId),
}

impl Error {
    /// Puts the circumstances around an error of the file system.
    pub(crate) fn io(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.as_ref().to_owned(),
            source,
        }
    }

    /// Whether the disk, or the user's part of it, is full.
    pub(crate) fn is_no_space(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }

    /// [`Error::io`], for rustix.
    pub(crate) fn errno(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(rustix::io::Errno) -> Self {
        let wrap = Self::io(action, path);
        move |errno| wrap(errno.into())
    }
}
