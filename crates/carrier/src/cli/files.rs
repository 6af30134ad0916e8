//! The verbs about the files of containers.

use clap::{Args, ValueEnum};

#[derive(Args, Debug)]
#[command(
    override_usage = "carrier cp [OPTIONS] CONTAINER:SOURCE DESTINATION|-\n       \
                      carrier cp [OPTIONS] SOURCE|- CONTAINER:DESTINATION"
)]
pub(crate) struct CopyArgs {
    /// Keep users and groups; otherwise copies are root's in the container, and yours outside
    #[arg(short, long)]
    pub(crate) archive: bool,
    /// Copy what a link in SOURCE leads to
    #[arg(short = 'L', long)]
    pub(crate) follow_link: bool,
    /// Do not say how much was copied
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// CONTAINER:PATH, a path of this host, or - for an archive on standard input
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,
    /// CONTAINER:PATH, a path of this host, or - for an archive on standard output
    #[arg(value_name = "DESTINATION")]
    pub(crate) destination: String,
}

#[derive(Args, Debug)]
pub(crate) struct DiffArgs {
    /// json instead of lines
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<DiffFormat>,
    /// A container by name or id
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
}

/// How changes are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DiffFormat {
    /// Lists of paths.
    Json,
}
