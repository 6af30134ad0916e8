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

#[derive(Args, Debug)]
pub(crate) struct CommitArgs {
    /// Who made the image: "Hannibal Smith <hannibal@a-team.com>"
    #[arg(short, long, value_name = "AUTHOR")]
    pub(crate) author: Option<String>,
    /// Change the configuration by an instruction of a Dockerfile: CMD, ENV, USER and others
    #[arg(short, long, value_name = "INSTRUCTION")]
    pub(crate) change: Vec<String>,
    /// What the image's history says
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// Hold the container's processes meanwhile
    #[arg(
        short,
        long,
        default_value_t = true,
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = clap::ArgAction::Set,
        value_name = "BOOL"
    )]
    pub(crate) pause: bool,
    /// The same as --pause=false
    #[arg(long)]
    pub(crate) no_pause: bool,
    /// Accepted as in Podman; only the image's id is printed anyway
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Write the image's id to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) iidfile: Option<String>,
    /// A container by name or id
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
    /// What the image shall be called
    #[arg(value_name = "NAME[:TAG]")]
    pub(crate) name: Option<String>,
}
