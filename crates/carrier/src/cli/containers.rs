//! The grammar of the verbs of a container's life.

use clap::{Args, ValueEnum};

use super::run::AttachArgs;

// Containers by name or id.
#[derive(Args, Debug)]
pub(crate) struct TargetsArgs {
    /// All that run
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Names or ids
    #[arg(value_name = "CONTAINER", required_unless_present = "all")]
    pub(crate) containers: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct StartArgs {
    /// Go to the container's standard output and error
    #[arg(short, long)]
    pub(crate) attach: bool,
    /// Go to its standard input too
    #[arg(short, long)]
    pub(crate) interactive: bool,
    #[command(flatten)]
    pub(crate) keys: AttachArgs,
    /// Names or ids
    #[arg(value_name = "CONTAINER", required = true)]
    pub(crate) containers: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct StopArgs {
    /// Seconds until the program is killed; -1 for never
    #[arg(
        short,
        long = "timeout",
        visible_alias = "time",
        value_name = "SECONDS",
        allow_negative_numbers = true
    )]
    pub(crate) time: Option<i64>,
    /// The signal that asks the program to end
    #[arg(short, long, value_name = "SIGNAL")]
    pub(crate) signal: Option<String>,
    /// Kill at once
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Be content when there is no such container
    #[arg(long)]
    pub(crate) ignore: bool,
    #[command(flatten)]
    pub(crate) targets: TargetsArgs,
}

#[derive(Args, Debug)]
pub(crate) struct RestartArgs {
    /// Seconds until the program is killed; -1 for never
    #[arg(
        short,
        long = "timeout",
        visible_alias = "time",
        value_name = "SECONDS",
        allow_negative_numbers = true
    )]
    pub(crate) time: Option<i64>,
    /// The signal that asks the program to end
    #[arg(short, long, value_name = "SIGNAL")]
    pub(crate) signal: Option<String>,
    #[command(flatten)]
    pub(crate) targets: TargetsArgs,
}

#[derive(Args, Debug)]
pub(crate) struct KillArgs {
    /// The signal
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL")]
    pub(crate) signal: String,
    #[command(flatten)]
    pub(crate) targets: TargetsArgs,
}

#[derive(Args, Debug)]
pub(crate) struct WaitArgs {
    /// What to wait for
    #[arg(long, value_enum, default_value_t = Condition::NotRunning, value_name = "CONDITION")]
    pub(crate) condition: Condition,
    /// Names or ids
    #[arg(value_name = "CONTAINER", required = true)]
    pub(crate) containers: Vec<String>,
}

/// What `wait` waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Condition {
    /// The container does not run
    #[value(aliases = ["exited", "stopped"])]
    NotRunning,
    /// Its program ends once more
    NextExit,
    /// The container is gone
    Removed,
    /// Its health check went well
    Healthy,
}

#[derive(Args, Debug)]
pub(crate) struct AttachCommandArgs {
    /// Do not go to standard input
    #[arg(long)]
    pub(crate) no_stdin: bool,
    #[command(flatten)]
    pub(crate) keys: AttachArgs,
    /// A name or id
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
}
