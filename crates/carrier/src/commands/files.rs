//! The files of containers.

mod commit;
mod cp;
mod diff;

pub(crate) use commit::commit;
pub(crate) use cp::cp;
pub(crate) use diff::diff;
