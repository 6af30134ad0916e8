//! The grammar of the verbs about the store as a whole.

use clap::{Args, Subcommand};

use super::observe::EventsArgs;

#[derive(Args, Debug)]
pub(crate) struct SystemArgs {
    #[command(subcommand)]
    pub(crate) verb: SystemVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SystemVerb {
    /// Show facts of the engine and the host
    Info(InfoArgs),
    /// Show what takes how much of the disk
    Df(DiskArgs),
    /// Remove what nothing needs at the moment
    Prune(PruneArgs),
    /// Show what happens to containers, images, volumes and networks
    Events(EventsArgs),
    /// Look for damage in the store
    Check(CheckArgs),
    /// Remove everything
    Reset(ResetArgs),
}

#[derive(Args, Debug)]
pub(crate) struct InfoArgs {
    /// "json" or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Show all that is known about these containers and images instead, as `inspect` does
    #[arg(value_name = "NAME|ID|IMAGE")]
    pub(crate) words: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct VersionArgs {
    /// "json" or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct DiskArgs {
    /// List every image and container
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// "table", "table TEMPLATE", "json" or a Go template
    #[arg(long, value_name = "FORMAT", conflicts_with = "verbose")]
    pub(crate) format: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct PruneArgs {
    /// Also images that have a name, where no container was made of them
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Also anonymous volumes that no container has; with --all, not those that somebody named
    #[arg(long)]
    pub(crate) volumes: bool,
    /// Only what meets NAME=VALUE: label, label! and, without --volumes, until
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) filter: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Look at names, modes, sizes and records: the default
    #[arg(long, conflicts_with = "deep")]
    pub(crate) quick: bool,
    /// Read every blob, and compare every layer with its blob
    #[arg(long)]
    pub(crate) deep: bool,
    /// Remove what is damaged, so that the next pull fetches it anew
    #[arg(long)]
    pub(crate) repair: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ResetArgs {
    /// Do not ask, and kill containers that run
    #[arg(short, long)]
    pub(crate) force: bool,
}
