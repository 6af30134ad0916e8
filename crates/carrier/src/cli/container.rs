//! The noun `container`: its verbs are the verbs at the top, for containers only.

use clap::{Args, Subcommand};

use super::exec::ExecArgs;
use super::images::ExportArgs;
use super::observe::{
    InspectContainersArgs, PortArgs, PsArgs, RenameArgs, StatsArgs, TopArgs, UpdateArgs,
};
use super::{
    AttachCommandArgs, CommitArgs, CopyArgs, CreateArgs, DiffArgs, KillArgs, LogsArgs, RemoveArgs,
    RestartArgs, RunArgs, StartArgs, StopArgs, TargetsArgs, WaitArgs,
};

// `carrier container VERB`
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct ContainerNounArgs {
    #[command(subcommand)]
    pub(crate) verb: ContainerVerb,
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum ContainerVerb {
    /// Go to the standard streams of a container that runs
    Attach(AttachCommandArgs),
    /// Make a container without starting it
    Create(Box<CreateArgs>),
    /// Make an image of what a container has become
    Commit(CommitArgs),
    /// Copy files from a container or into one
    Cp(CopyArgs),
    /// Show what a container has changed of its image
    Diff(DiffArgs),
    /// Run a program in a container that runs
    Exec(Box<ExecArgs>),
    /// Succeed when there is such a container, else exit with 1
    Exists(ExistsContainerArgs),
    /// Write a container's files to an archive
    Export(ExportArgs),
    /// Show all that is known about containers
    Inspect(InspectContainersArgs),
    /// Send a signal to the programs of containers
    Kill(KillArgs),
    /// List containers
    #[command(visible_aliases = ["list", "ps"])]
    Ls(PsArgs),
    /// Show what a container wrote
    Logs(LogsArgs),
    /// Hold all processes of containers
    Pause(TargetsArgs),
    /// Show where a container's ports are published
    Port(PortArgs),
    /// Remove containers that do not run
    Prune(PruneContainersArgs),
    /// Give a container another name
    Rename(RenameArgs),
    /// End the programs of containers, and start them again
    Restart(RestartArgs),
    /// Remove containers
    #[command(visible_alias = "remove")]
    Rm(RemoveArgs),
    /// Run a program in a new container
    Run(Box<RunArgs>),
    /// Start containers
    Start(StartArgs),
    /// Show what containers use
    Stats(StatsArgs),
    /// End the programs of containers
    Stop(StopArgs),
    /// Show the processes of a container
    Top(TopArgs),
    /// Let the processes of containers go on
    Unpause(TargetsArgs),
    /// Change what containers shall be
    Update(Box<UpdateArgs>),
    /// Wait until containers do not run, and print their exit codes
    Wait(WaitArgs),
}

#[derive(Args, Debug)]
pub(crate) struct ExistsContainerArgs {
    /// A container by name or id
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
}

#[derive(Args, Debug)]
pub(crate) struct PruneContainersArgs {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Only those that meet NAME=VALUE: until, label, label!
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) filter: Vec<String>,
}
