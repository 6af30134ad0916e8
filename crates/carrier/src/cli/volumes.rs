//! The grammar of volumes and mounts.

use clap::{Args, Subcommand, ValueEnum};

// What a container has of the host and of volumes.
#[derive(Args, Debug)]
pub(crate) struct StorageArgs {
    /// Mount a directory of the host, a volume, or an anonymous volume
    #[arg(short, long, value_name = "[SOURCE:]TARGET[:OPTIONS]")]
    pub(crate) volume: Vec<String>,
    /// Mount something: type=bind|volume|tmpfs|image,source=...,target=...
    #[arg(long, value_name = "FIELDS")]
    pub(crate) mount: Vec<String>,
    /// Mount a file system in memory
    #[arg(long, value_name = "TARGET[:OPTIONS]")]
    pub(crate) tmpfs: Vec<String>,
    /// Mount what another container mounts
    #[arg(long, value_name = "CONTAINER[:ro|rw]")]
    pub(crate) volumes_from: Vec<String>,
    /// What becomes of the image's volumes
    #[arg(long, value_enum, value_name = "FATE", default_value_t = ImageVolumeFate::Anonymous)]
    pub(crate) image_volume: ImageVolumeFate,
    /// Mount a device of the host
    #[arg(long, value_name = "HOST[:TARGET[:rwm]]")]
    pub(crate) device: Vec<String>,
    /// Which user of the container you are: host (root) or keep-id[:uid=N,gid=N]
    #[arg(long, value_name = "MODE")]
    pub(crate) userns: Option<String>,
    /// Add a group to the program's, or keep-groups: those that you have on the host
    #[arg(long, value_name = "GROUP")]
    pub(crate) group_add: Vec<String>,
    /// With --read-only: /run, /tmp and /var/tmp can be written, in memory
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, hide_possible_values = true, value_name = "BOOL", action = clap::ArgAction::Set)]
    pub(crate) read_only_tmpfs: bool,
    /// How much /dev/shm holds: 64m
    #[arg(long, value_name = "SIZE")]
    pub(crate) shm_size: Option<String>,
}

/// What becomes of the volumes of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImageVolumeFate {
    /// Anonymous volumes.
    #[value(alias = "bind")]
    Anonymous,
    /// File systems in memory.
    Tmpfs,
    /// Directories as all others.
    Ignore,
}

// `carrier volume VERB`
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct VolumeArgs {
    #[command(subcommand)]
    pub(crate) verb: VolumeVerb,
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum VolumeVerb {
    /// Make a volume
    Create(CreateVolumeArgs),
    /// List volumes
    #[command(visible_alias = "list")]
    Ls(ListVolumesArgs),
    /// Show all that is known about volumes
    Inspect(InspectVolumesArgs),
    /// Remove volumes that no container has
    #[command(visible_alias = "remove")]
    Rm(RemoveVolumesArgs),
    /// Remove anonymous volumes that no container has
    Prune(PruneVolumesArgs),
    /// Succeed when there is such a volume, else exit with 1
    Exists(ExistsVolumeArgs),
}

#[derive(Args, Debug)]
pub(crate) struct CreateVolumeArgs {
    /// The driver, which is always local
    #[arg(short, long, value_name = "DRIVER", default_value = "local")]
    pub(crate) driver: String,
    /// Label the volume
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    pub(crate) label: Vec<String>,
    /// An option of the driver: type=none,o=bind,device=/PATH or type=tmpfs,o=size=64m, one each
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(crate) opt: Vec<String>,
    /// Its name, else a random one
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The old spelling of the same
    #[arg(
        long = "name",
        value_name = "NAME",
        hide = true,
        conflicts_with = "name"
    )]
    pub(crate) old_name: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ListVolumesArgs {
    /// Show volumes that meet a condition: name, label, dangling, driver
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub(crate) filter: Vec<String>,
    /// table, json, a template, or `table TEMPLATE`
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Print only names
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
pub(crate) struct InspectVolumesArgs {
    /// A template in Go's language, or json
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Names
    #[arg(value_name = "VOLUME", required = true)]
    pub(crate) words: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct RemoveVolumesArgs {
    /// Be content when there is no such volume
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Names
    #[arg(value_name = "VOLUME", required = true)]
    pub(crate) words: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct PruneVolumesArgs {
    /// Also volumes that somebody named
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Only those that meet NAME=VALUE: label, label!
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) force: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ExistsVolumeArgs {
    /// A name
    #[arg(value_name = "VOLUME")]
    pub(crate) volume: String,
}
