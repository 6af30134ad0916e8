//! The harness of the end-to-end tests: an ordinary user, a store of the test's own, real registries
//! and real images.
//!
//! Started as root, the tests run Carrier as the user `carrier-test`; started by an ordinary user,
//! as that user. Each test looks at the end for anything that it left behind.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on panics"
)]

mod authority;
mod bad_registry;
mod bundle;
mod canary;
mod context;
mod document;
mod faulty;
mod fixtures;
mod host;
mod image;
mod internet;
mod issuer;
mod networks;
mod outcome;
mod race;
mod registry;
mod running;
mod shelf;
pub mod terminal;
mod upload;

pub use authority::{Authority, Certified, Validity};
pub use bad_registry::{BadRegistry, Mischief, Rule, Target};
pub use bundle::Bundle;
pub use canary::Canary;
pub use context::Cx;
pub use document::{Block, Document};
pub use faulty::{Fault, FaultyRegistry};
pub use fixtures::make_fixtures;
pub use host::{is_root, other_runtime, skip};
pub use image::{Image, Layer, digest};
pub use internet::{Internet, Reply, Request};
pub use issuer::TokenIssuer;
pub use networks::{World, until};
pub use outcome::Outcome;
pub use race::{Exchange, rounds, rounds_or};
pub use registry::Registry;
pub use running::Running;
pub use shelf::Shelf;
pub use upload::{UploadFault, UploadRegistry};
