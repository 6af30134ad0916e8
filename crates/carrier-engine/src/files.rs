//! The files of containers: copied in and out, exported, compared and made into images.

mod commit;
mod copy;
mod diff;
mod export;
mod inside;
mod marks;
mod mounted;
mod pack;
mod path;
mod resolve;

pub use commit::CommitOptions;
pub use copy::{Copied, CopyError, CopyOptions, HostEnd};
pub use diff::{FileChange, FileChangeKind};
