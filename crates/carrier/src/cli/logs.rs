//! The grammar of `carrier logs`.

use clap::Args;

#[derive(Args, Debug)]
#[command(args_override_self = true)]
pub(crate) struct LogsArgs {
    /// Go on with what the container writes, until it ends
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Show when each line was written
    #[arg(short, long)]
    pub(crate) timestamps: bool,
    /// Show only so many lines before the end
    #[arg(
        short = 'n',
        long,
        value_name = "NUMBER|all",
        default_value = "all",
        allow_hyphen_values = true
    )]
    pub(crate) tail: String,
    /// Show nothing that is older
    #[arg(long, value_name = "TIME|DURATION")]
    pub(crate) since: Option<String>,
    /// Show nothing that is younger
    #[arg(long, value_name = "TIME|DURATION")]
    pub(crate) until: Option<String>,
    /// Show what else was noted with a line
    #[arg(long)]
    pub(crate) details: bool,
    /// Show only lines that have this in them
    #[arg(long, value_name = "TEXT", conflicts_with = "regex")]
    pub(crate) search: Option<String>,
    /// With --search: forgive case and typing errors
    #[arg(long, requires = "search")]
    pub(crate) fuzzy: bool,
    /// Show only lines that this expression matches
    #[arg(long, value_name = "EXPRESSION")]
    pub(crate) regex: Option<String>,
    /// The container
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
}
