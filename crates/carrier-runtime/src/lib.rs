//! The OCI runtime of Carrier: from a bundle to a process and back.
//!
//! It knows nothing of images, names or networks. A start goes through stages, each consumed by the
//! next: [`Prepared`] compiled the configuration into a plan, [`Spawned`] has a child at work on it,
//! [`Ready`] waits with everything done but the last step, [`Started`] runs the program.

mod capability;
mod cgroup;
mod channel;
mod compile;
mod config;
pub mod container;
mod error;
mod explain;
mod features;
mod idmap;
mod init;
mod join;
mod launch;
mod mapped;
mod members;
mod oom;
mod outer;
mod plan;
mod running;
pub mod seccomp;
pub mod state;

pub use capability::{Capabilities, UnknownCapability};
pub use cgroup::{
    Cgroup, Place, Subtree, cgroup_driver, controllers, has_controller, leave_supervisor,
};
pub use channel::with_short_path;
pub use compile::{
    Bundle, Directory, Launch, MountedRoot, Nesting, Output, Overlay, RootSource, Stdin,
};
pub use config::OCI_VERSION;
pub use error::{Error, IdMapError};
pub use features::features;
pub use idmap::{HELPER_DIRECTORIES, IdMaps, IdRange};
pub use launch::{Prepared, Ready, Spawned, Started};
pub use members::{is_member, members_of, process_is_stopped};
pub use outer::{OuterIds, enclosing};
pub use running::{Entry, Running};
