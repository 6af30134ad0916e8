//! The grammar of the command line. Spellings and meanings are Docker's where Docker has them.

pub(crate) mod boot;
pub(crate) mod completion;
mod container;
mod containers;
#[cfg(test)]
mod docs;
pub(crate) mod doctor;
pub(crate) mod exec;
pub(crate) mod files;
pub(crate) mod global;
pub(crate) mod health;
pub(crate) mod images;
pub(crate) mod later;
mod logs;
pub(crate) mod man;
mod network;
pub(crate) mod network_noun;
pub(crate) mod observe;
mod registry;
mod resources;
mod run;
mod switches;
pub(crate) mod system;
pub(crate) mod volumes;

use clap::{Args, Parser, Subcommand};

pub(crate) use container::{
    ContainerNounArgs, ContainerVerb, ExistsContainerArgs, PruneContainersArgs,
};
pub(crate) use containers::{
    AttachCommandArgs, Condition, KillArgs, RestartArgs, StartArgs, StopArgs, TargetsArgs, WaitArgs,
};
use exec::{ExecArgs, ShellArgs, TerminalArgs};
use files::{CommitArgs, CopyArgs, DiffArgs};
use images::{
    ExportArgs, HistoryArgs, ImageArgs, ImageListOptions, ImagesArgs, ImportArgs, LoadArgs,
    RemoveImagesArgs, SaveArgs, SearchArgs, TagArgs, UntagArgs,
};
pub(crate) use logs::LogsArgs;
pub(crate) use network::NetworkArgs;
use network_noun::NetworkNounArgs;
use observe::{
    ContainerListOptions, EventsArgs, InspectArgs, PortArgs, PsArgs, RenameArgs, StatsArgs,
    TopArgs, UpdateArgs,
};
pub(crate) use registry::{
    AuthArgs, CompressionFormat, LoginArgs, LogoutArgs, PushArgs, SecretArgs, TlsArgs,
};
pub(crate) use resources::{CgroupNamespace, CgroupsMode, LimitArgs, ResourceArgs};
pub(crate) use run::{
    AttachArgs, ContainerArgs, CreateArgs, FailureAction, HealthArgs, PullPolicy, ReadyArgs,
    RunArgs, StreamName,
};
use system::{InfoArgs, SystemArgs};

/// A rootless, daemonless container engine.
#[derive(Debug, Parser)]
#[command(
    name = "carrier",
    version,
    propagate_version = false,
    arg_required_else_help = true,
    after_help = "As an OCI runtime for other engines: carrier oci --help"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: global::GlobalArgs,
    /// The same, in Docker's spelling
    #[arg(short = 'v', hide = true, action = clap::ArgAction::Version)]
    also_version: (),
    #[command(subcommand)]
    pub(crate) command: Verb,
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Verb {
    /// Run a program in a new container
    Run(Box<RunArgs>),
    /// Run a program in a container that runs
    Exec(Box<ExecArgs>),
    /// Open a shell in a container, or run a program there
    #[command(visible_alias = "shell")]
    Sh(ShellArgs),
    /// The same, always on a terminal
    #[command(visible_aliases = ["term", "t"])]
    Terminal(TerminalArgs),
    /// Make a container without starting it
    Create(Box<CreateArgs>),
    /// Start containers
    Start(StartArgs),
    /// End the programs of containers
    Stop(StopArgs),
    /// End the programs of containers, and start them again
    Restart(RestartArgs),
    /// Send a signal to the programs of containers
    Kill(KillArgs),
    /// Wait until containers do not run, and print their exit codes
    Wait(WaitArgs),
    /// Hold all processes of containers
    Pause(TargetsArgs),
    /// Let the processes of containers go on
    Unpause(TargetsArgs),
    /// Go to the standard streams of a container that runs
    Attach(AttachCommandArgs),
    /// Fetch an image from a registry
    Pull(PullArgs),
    /// Send an image to a registry
    Push(PushArgs),
    /// Prove to a registry who you are, and keep what proves it
    Login(LoginArgs),
    /// Forget what was kept for a registry
    Logout(LogoutArgs),
    /// Log in: the same as login -u USER REGISTRY
    Auth(AuthArgs),
    /// List images and running containers
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// List containers
    Ps(PsArgs),
    /// Show the processes of a container
    Top(TopArgs),
    /// Show what containers use
    Stats(StatsArgs),
    /// Show where a container's ports are published
    Port(PortArgs),
    /// Give a container another name
    Rename(RenameArgs),
    /// Change what containers shall be
    Update(Box<UpdateArgs>),
    /// The verbs of containers
    Container(ContainerNounArgs),
    /// Networks that containers share
    Network(NetworkNounArgs),
    /// Show what happens to containers, images, volumes and networks
    Events(EventsArgs),
    /// Remove containers or images
    Rm(RemoveArgs),
    /// List images
    Images(ImagesArgs),
    /// Remove images
    Rmi(RemoveImagesArgs),
    /// Give an image another name
    Tag(TagArgs),
    /// Take names from an image
    Untag(UntagArgs),
    /// Show all that is known about containers and images
    Inspect(InspectArgs),
    /// Show how an image came to be
    History(HistoryArgs),
    /// Write images to an archive
    Save(SaveArgs),
    /// Read images from an archive
    Load(LoadArgs),
    /// Make an image of a file system's archive
    Import(ImportArgs),
    /// Write a container's files to an archive
    Export(ExportArgs),
    /// Show what a container wrote
    Logs(LogsArgs),
    /// Copy files from a container or into one
    Cp(CopyArgs),
    /// Show what a container has changed of its image
    Diff(DiffArgs),
    /// Make an image of a container
    Commit(CommitArgs),
    /// The verbs of images
    Image(ImageArgs),
    /// The verbs of volumes
    Volume(volumes::VolumeArgs),
    /// Let containers come back after a reboot
    Boot(boot::BootArgs),
    /// Ask a container whether it is well
    Healthcheck(health::HealthcheckArgs),
    /// Look for what is wrong with this host, and tell what helps
    Doctor(doctor::DoctorArgs),
    /// Show facts of the engine and the host
    Info(InfoArgs),
    /// Show the versions of Carrier and of the host's kernel
    Version(system::VersionArgs),
    /// The verbs about the store as a whole
    System(SystemArgs),
    /// Print what lets a shell complete command lines
    #[command(alias = "completions")]
    Completion(completion::CompletionArgs),
    #[command(hide = true)]
    Search(SearchArgs),
    #[command(name = "__complete", hide = true)]
    Complete(completion::CompleteArgs),
    #[command(name = "__man", hide = true)]
    Man(man::ManArgs),
}

#[derive(Args, Debug)]
pub(crate) struct PullArgs {
    /// Choose the image's platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    /// Print only the image's name
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Fetch every tag of the repository
    #[arg(short, long)]
    pub(crate) all_tags: bool,
    /// Try again so often what may succeed a moment later
    #[arg(long = "pull-retry", visible_alias = "retry", value_name = "NUMBER")]
    pub(crate) retries: Option<u32>,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    /// The images
    #[arg(value_name = "IMAGE", required = true)]
    pub(crate) images: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Only images
    #[arg(short, long)]
    pub(crate) images: bool,
    /// Only containers
    #[arg(short, long)]
    pub(crate) containers: bool,
    /// Also containers that do not run
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Print only ids
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// With -i, as for `carrier images`
    #[command(flatten)]
    pub(crate) list: ImageListOptions,
    /// With -c, as for `carrier ps`
    #[command(flatten)]
    pub(crate) of_containers: ContainerListOptions,
}

#[derive(Args, Debug)]
pub(crate) struct RemoveArgs {
    /// Kill containers that run, and forget images that containers use
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Only containers: without a name, all of them
    #[arg(short, long = "all-containers", visible_alias = "containers")]
    pub(crate) containers: bool,
    /// Also anonymous volumes of the containers
    #[arg(short, long)]
    pub(crate) volumes: bool,
    #[arg(short, long, hide = true)]
    pub(crate) link: bool,
    /// Containers by name or id, images by reference or id
    #[arg(value_name = "NAME|ID|IMAGE", required_unless_present = "containers")]
    pub(crate) words: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str]) -> RunArgs {
        let words = ["carrier", "run"].iter().chain(words);
        match Cli::try_parse_from(words).unwrap().command {
            Verb::Run(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_grammar_is_consistent() {
        later::whole().debug_assert();
    }

    #[test]
    fn help_says_of_a_verb_what_the_list_of_verbs_says() {
        use clap::CommandFactory as _;
        let whole = later::whole();
        for listed in Cli::command().get_subcommands() {
            let name = listed.get_name();
            let built = whole.find_subcommand(name).unwrap();
            let about = |of: &clap::Command| of.get_about().map(ToString::to_string);
            assert_eq!(about(built), about(listed), "{name}");
        }
    }

    #[test]
    fn what_stands_behind_the_image_is_not_ours() {
        let args = run(&["-it", "--rm", "busybox", "ls", "-it", "--rm", "--", "-h"]);
        let args = args.container;
        assert!(args.interactive && args.tty && args.rm);
        assert_eq!(
            args.image_and_command,
            ["busybox", "ls", "-it", "--rm", "--", "-h"]
        );
    }

    #[test]
    fn h_is_the_host_name_as_in_docker() {
        assert_eq!(
            run(&["-h", "web", "busybox"]).container.hostname.as_deref(),
            Some("web")
        );
    }

    #[test]
    fn the_last_of_two_values_wins_as_in_docker() {
        assert_eq!(
            run(&["--name", "a", "--name", "b", "x"])
                .container
                .name
                .as_deref(),
            Some("b")
        );
        assert_eq!(
            run(&["-e", "A=1", "-e", "B=2", "x"]).container.env,
            ["A=1", "B=2"]
        );
    }

    #[test]
    fn unknown_options_are_refused() {
        assert!(later::parse(["carrier", "run", "--frobnicate", "busybox"]).is_err());
    }

    #[test]
    fn what_comes_later_is_known_and_false_is_no_wish() {
        for (words, wanted) in [
            (&["-m", "1g"][..], false),
            (&["--memory-swap", "-1"], false),
            (&["-p", "80:80", "-v/a:/b"], false),
            (&["--privileged"], true),
            (&["--privileged=false"], false),
            (&["--rm"], false),
        ] {
            let all = ["carrier", "run"].iter().chain(words).chain(&["x"]);
            let Verb::Run(args) = later::parse(all).unwrap().command else {
                panic!("{words:?}");
            };
            assert_eq!(args.container.later.check().is_err(), wanted, "{words:?}");
        }
    }
}
