//! The files of containers.

mod cp;
mod diff;

pub(crate) use cp::cp;
pub(crate) use diff::diff;
