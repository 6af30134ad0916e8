//! The grammar of `carrier boot`.

use clap::{Args, Subcommand};

#[derive(Args, Debug)]
pub(crate) struct BootArgs {
    #[command(subcommand)]
    pub(crate) verb: BootVerb,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum BootVerb {
    /// Let containers with a restart policy come back when the host starts
    Enable,
    /// Let them stay where they are
    Disable,
    /// Tell whether they come back: exit code 0 or 1
    Status,
    /// Start them now, as the host does when it starts
    Start,
}
