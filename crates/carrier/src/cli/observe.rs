//! The grammar of the verbs that look at containers.

use clap::{Args, ValueEnum};

#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PsArgs {
    /// Also containers that do not run
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Print only ids
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) list: ContainerListOptions,
    /// Only those that meet NAME=VALUE
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub(crate) filter: Vec<String>,
    /// table, json, or a template in Go's language
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Print ids and commands as a whole
    #[arg(long)]
    pub(crate) no_trunc: bool,
}

// What a list of containers has and a list of images has not.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ContainerListOptions {
    /// Only the N that were made last, running or not
    #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) last: Option<i64>,
    /// Only the one that was made last, running or not
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// Show how much space they take
    #[arg(short, long)]
    pub(crate) size: bool,
    /// Print no line of headers
    #[arg(long, visible_alias = "no-heading")]
    pub(crate) noheading: bool,
    /// Sort by this, ascending; else the youngest comes first
    #[arg(long, value_enum, value_name = "FIELD")]
    pub(crate) sort: Option<SortBy>,
}

/// What a list of containers is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SortBy {
    /// What they run.
    Command,
    /// When they were made.
    Created,
    /// Their ids.
    Id,
    /// The images.
    Image,
    /// Their names.
    Names,
    /// How long they have been there.
    Runningfor,
    /// What they wrote.
    Size,
    /// How they are.
    Status,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct InspectArgs {
    /// A template in Go's language, or json
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Show how much space containers take
    #[arg(short, long)]
    pub(crate) size: bool,
    /// Only objects of this kind
    #[arg(long = "type", value_name = "container|image|network|volume")]
    pub(crate) kind: Option<String>,
    /// Of an image, the platform that is described
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    /// Containers by name or id, images by reference or id, networks and volumes by name
    #[arg(value_name = "NAME|ID|IMAGE", required = true)]
    pub(crate) words: Vec<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct InspectContainersArgs {
    /// A template in Go's language, or json
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Show how much space they take
    #[arg(short, long)]
    pub(crate) size: bool,
    /// Containers by name or id
    #[arg(value_name = "CONTAINER", required = true)]
    pub(crate) words: Vec<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct TopArgs {
    /// A container by name or id
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
    /// What ps knows: -ef, aux, -o FIELD,FIELD, or names of fields
    #[arg(
        value_name = "PS OPTIONS",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(crate) options: Vec<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct StatsArgs {
    /// Also containers that do not run
    #[arg(short, long)]
    pub(crate) all: bool,
    /// table, json, or a template in Go's language
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Print one result and end
    #[arg(long)]
    pub(crate) no_stream: bool,
    /// Print ids as a whole
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Containers by name or id; else those that run
    #[arg(value_name = "CONTAINER")]
    pub(crate) words: Vec<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct PortArgs {
    /// A container by name or id
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
    /// Where this port of the container is published
    #[arg(value_name = "PORT[/PROTOCOL]")]
    pub(crate) port: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct EventsArgs {
    /// Also what has happened since then: 10m, a date, or seconds since 1970
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// End at that time
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Only those that meet NAME=VALUE
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub(crate) filter: Vec<String>,
    /// json, or a template in Go's language
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RenameArgs {
    /// A container by name or id
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
    /// Its new name
    #[arg(value_name = "NEW_NAME")]
    pub(crate) name: String,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct UpdateArgs {
    /// When it is started again: no, always, unless-stopped, on-failure or on-failure:NUMBER
    #[arg(long, value_name = "POLICY")]
    pub(crate) restart: Option<String>,
    #[command(flatten)]
    pub(crate) limits: super::resources::LimitArgs,
    /// Containers by name or id
    #[arg(value_name = "CONTAINER", required = true)]
    pub(crate) words: Vec<String>,
}
