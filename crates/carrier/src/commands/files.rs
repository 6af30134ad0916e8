//! The files of containers.

mod cp;

pub(crate) use cp::cp;
