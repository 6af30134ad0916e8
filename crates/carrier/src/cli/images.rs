//! The verbs of images.

use clap::{Args, Subcommand, ValueEnum};

use super::{PullArgs, PushArgs};

// `carrier image VERB`
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct ImageArgs {
    #[command(subcommand)]
    pub(crate) verb: ImageVerb,
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum ImageVerb {
    /// List images
    #[command(visible_alias = "list")]
    Ls(ImagesArgs),
    /// Remove images
    #[command(visible_alias = "remove")]
    Rm(RemoveImagesArgs),
    /// Fetch an image from a registry
    Pull(PullArgs),
    /// Send an image to a registry
    Push(PushArgs),
    /// Give an image another name
    Tag(TagArgs),
    /// Take names from an image
    Untag(UntagArgs),
    /// Show all that is known about images
    Inspect(InspectImagesArgs),
    /// Show how an image came to be
    History(HistoryArgs),
    /// Remove images that nobody needs
    Prune(PruneImagesArgs),
    /// Write images to an archive
    Save(SaveArgs),
    /// Read images from an archive
    Load(LoadArgs),
    /// Make an image of a file system's archive
    Import(ImportArgs),
    /// Succeed when there is such an image, else exit with 1
    Exists(ExistsArgs),
}

// Which images are listed, and how.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ImageListOptions {
    /// Show digests
    #[arg(long)]
    pub(crate) digests: bool,
    /// Do not shorten ids
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Show images that meet a condition: dangling, label, before, since, until, reference
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub(crate) filter: Vec<String>,
    /// table, json, a template, or `table TEMPLATE`
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ImagesArgs {
    /// Accepted as in Docker; there are no intermediate images to show
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Print only ids
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) list: ImageListOptions,
    /// Only names that fit, with wildcards
    #[arg(value_name = "REPOSITORY[:TAG]")]
    pub(crate) name: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct RemoveImagesArgs {
    /// Take all names of an id, and forget images that containers were made of
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Accepted as in Docker; images have no parents that could be removed with them
    #[arg(long)]
    pub(crate) no_prune: bool,
    /// Only the image for this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    /// Images by reference or id
    #[arg(value_name = "IMAGE", required = true)]
    pub(crate) words: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct TagArgs {
    /// An image by reference or id
    #[arg(value_name = "IMAGE[:TAG]")]
    pub(crate) image: String,
    /// What it shall be called too
    #[arg(value_name = "NAME[:TAG]")]
    pub(crate) name: String,
}

#[derive(Args, Debug)]
pub(crate) struct UntagArgs {
    /// An image by reference or id
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    /// The names to take; without any, all
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct InspectImagesArgs {
    /// A template, or json
    #[arg(short, long, value_name = "TEMPLATE")]
    pub(crate) format: Option<String>,
    /// The image for this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    /// Images by reference or id
    #[arg(value_name = "IMAGE", required = true)]
    pub(crate) words: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct HistoryArgs {
    /// Do not shorten commands and ids
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Print only ids
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Sizes and times for people; --human=false prints bytes and dates
    #[arg(
        short = 'H',
        long,
        default_value_t = true,
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = clap::ArgAction::Set,
        value_name = "BOOL"
    )]
    pub(crate) human: bool,
    /// table, json, a template, or `table TEMPLATE`
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// An image by reference or id
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
}

#[derive(Args, Debug)]
pub(crate) struct PruneImagesArgs {
    /// All images that no container was made of, not only those without a name
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Remove images that meet a condition: until, label, label!
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) filter: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct SaveArgs {
    /// Write to a file, which appears when it is whole, instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<String>,
    /// What Docker and Podman load, or an OCI image layout
    #[arg(long, value_enum, default_value_t = SaveFormat::DockerArchive, value_name = "FORMAT")]
    pub(crate) format: SaveFormat,
    /// Save the images for this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    /// Images by reference or id
    #[arg(value_name = "IMAGE", required = true)]
    pub(crate) words: Vec<String>,
}

/// How images are archived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SaveFormat {
    /// `manifest.json` and layers that are not compressed.
    DockerArchive,
    /// An OCI image layout.
    OciArchive,
}

#[derive(Args, Debug)]
pub(crate) struct LoadArgs {
    /// Read from a file instead of standard input
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: Option<String>,
    /// Accepted as in Docker; only names and ids are printed anyway
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Load only images for this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    /// Change the configuration by an instruction of a Dockerfile: CMD, ENV, USER and others
    #[arg(short, long, value_name = "INSTRUCTION")]
    pub(crate) change: Vec<String>,
    /// What the image's history says
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// What the image is for
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    /// An archive, plain or compressed with gzip or zstd; - is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
    /// What the image shall be called
    #[arg(value_name = "NAME[:TAG]")]
    pub(crate) name: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// Write to a file, which appears when it is whole, instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<String>,
    /// A container by name or id
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
}

#[derive(Args, Debug)]
pub(crate) struct ExistsArgs {
    /// An image by reference or id
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
}

#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
pub(crate) struct SearchArgs {
    /// What to look for
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "TERM"
    )]
    pub(crate) words: Vec<String>,
}
