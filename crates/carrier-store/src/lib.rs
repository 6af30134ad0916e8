//! Every byte of persistent state that Carrier keeps: blobs, layers, images, containers, volumes.
//!
//! Files and locks that the kernel releases are the database. What is here is absent or whole for
//! every reader: things are made in `staging/` or as nameless files, and become visible by one
//! rename or link, after their bytes have reached the disk where a command promised that.
//!
//! ```text
//! oci-layout, index.json              the store is an OCI image layout that other tools can read
//! blobs/sha256/<hex>                  manifests, configurations and layers as they came
//! downloads/<hex>                     what has come of a blob; whoever adds to it holds a lock on it
//! downloads/<hex>.pull                the record of an image whose layers an interrupted pull has brought
//! layers/<hex>/fs                     an unpacked layer in overlay's format, by diff ID
//! layers/<hex>/layer.json             its summary
//! images/<hex>/<platform>.json        what a reference means: all that `run` needs, in one file
//! images/untagged/<id>.json           the same of an image that no reference means any more
//! containers/<id>/container.json      the desired facts of a container, written by the engine
//! containers/<id>/{upper,work}        what it wrote
//! names/<name>                        a symbolic link whose text is the container's id
//! networks/<name>.json                a network of the user
//! volumes/<name>/volume.json           what a volume is
//! volumes/<name>/_data                 what containers wrote to it
//! volumes/<name>/arriving              what an image has for it, on its way there
//! staging/<random>                    things that are being made or removed
//! staging/<random>.{image,removed}    images that are on their way in or out
//! lock                                held while images change
//! ```

mod atomic;
mod blobs;
mod check;
mod container_reader;
mod containers;
mod downloads;
mod error;
mod foundation;
mod images;
mod ingest;
mod inventory;
mod layers;
mod merge;
mod merged;
mod networks;
mod put;
mod scratch;
mod shift;
mod space;
mod staging;
mod store;
pub mod tree;
mod unpack;
mod view;
mod volumes;

pub use atomic::Durability;
pub use blobs::{BlobWriter, VerifiedBlob, digest_of};
pub use check::{Checked, CheckedLayer, Depth, Finding, Remedy, Repaired, check_tree};
pub use container_reader::ContainerReader;
pub use containers::{COPIED, ContainerDir, TakenContainer};
pub use downloads::Download;
pub use error::Error;
pub use images::{ImageRecord, ImageUser, LastName, RemovedImages, Transit};
pub use ingest::Ingest;
pub use inventory::{Fingerprint, TreeSize, count, fingerprints, first_difference};
pub use layers::StagedLayer;
pub use merge::{copy_layer, dress};
pub use merged::{MergedDirectory, MergedEntry, is_opaque, is_whiteout};
pub use networks::NetworksLock;
pub use put::{Destination, Owner, PutError, PutOptions, PutSummary, RootName, put};
pub use scratch::Scratch;
pub use shift::Shift;
pub use space::{SpaceTaken, Unneeded};
pub use staging::Sweep;
pub use store::Store;
pub use unpack::{
    ArchiveEntry, ArchiveEntryKind, ArchiveError, ArchiveReader, Expansion, LayerSummary, Limits,
    Ownership, PlainLayer, Recompressed, Reserve, UnpackError, UnpackOptions, UnpackReport,
    compression_of, unpack,
};
pub use view::{LayerView, ViewError};
pub use volumes::{VolumeDir, VolumeLock, VolumeRecord, change_owner, copy_up};
