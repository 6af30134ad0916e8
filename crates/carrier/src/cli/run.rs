//! The grammar of `run` and `create`.

use clap::{ArgAction, Args, ValueEnum};

use super::later::LaterArgs;
use super::network::NetworkArgs;
use super::registry::TlsArgs;
use super::resources::ResourceArgs;
use super::volumes::StorageArgs;

#[derive(Args, Debug)]
#[command(
    disable_help_flag = true,
    args_override_self = true,
    override_usage = "carrier run [OPTIONS] IMAGE [COMMAND [ARGUMENT]...]"
)]
pub(crate) struct RunArgs {
    /// Go on in the background, and print the container's id
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, hide_possible_values = true, value_name = "BOOL", action = ArgAction::Set)]
    pub(crate) detach: bool,
    #[command(flatten)]
    pub(crate) ready: ReadyArgs,
    #[command(flatten)]
    pub(crate) keys: AttachArgs,
    #[command(flatten)]
    pub(crate) container: ContainerArgs,
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

#[derive(Args, Debug)]
#[command(
    disable_help_flag = true,
    args_override_self = true,
    override_usage = "carrier create [OPTIONS] IMAGE [COMMAND [ARGUMENT]...]"
)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    pub(crate) container: ContainerArgs,
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

// When `run -d` has done its work.
#[derive(Args, Debug)]
pub(crate) struct ReadyArgs {
    /// With -d: wait until the container is ready: healthy, port:NUMBER or log:TEXT
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "", value_name = "WHEN")]
    pub(crate) wait: Option<String>,
    /// Wait no longer than so many seconds, or a duration
    #[arg(long, value_name = "SECONDS", requires = "wait")]
    pub(crate) wait_timeout: Option<String>,
}

// How a container is asked whether it is well.
#[derive(Args, Debug)]
pub(crate) struct HealthArgs {
    /// Ask by this command, a text for the shell
    #[arg(long, value_name = "COMMAND")]
    pub(crate) health_cmd: Option<String>,
    /// How long to wait between two checks: 30s
    #[arg(long, value_name = "DURATION")]
    pub(crate) health_interval: Option<String>,
    /// How long a check may take: 30s
    #[arg(long, value_name = "DURATION")]
    pub(crate) health_timeout: Option<String>,
    /// How many failures in a row make it unhealthy: 3
    #[arg(long, value_name = "NUMBER")]
    pub(crate) health_retries: Option<u32>,
    /// How long failures do not count: 0s
    #[arg(long, value_name = "DURATION")]
    pub(crate) health_start_period: Option<String>,
    /// How long to wait between two checks meanwhile: 5s
    #[arg(long, value_name = "DURATION")]
    pub(crate) health_start_interval: Option<String>,
    /// What is done when it is unhealthy
    #[arg(long, value_enum, value_name = "ACTION")]
    pub(crate) health_on_failure: Option<FailureAction>,
    /// Do not ask, also when the image brings a check
    #[arg(long)]
    pub(crate) no_healthcheck: bool,
}

/// What is done when a container is unhealthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailureAction {
    /// Nothing.
    None,
    /// It gets SIGKILL.
    Kill,
    /// It is stopped and started again.
    Restart,
    /// It is stopped.
    Stop,
}

// How a command is at the streams of a container.
#[derive(Args, Debug)]
pub(crate) struct AttachArgs {
    /// Keys that detach: ctrl-p,ctrl-q; "" for none
    #[arg(long, value_name = "KEYS")]
    pub(crate) detach_keys: Option<String>,
    /// Pass signals on to the program
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", value_name = "BOOL", action = ArgAction::Set)]
    pub(crate) sig_proxy: bool,
}

// What a container shall be.
#[derive(Args, Debug)]
pub(crate) struct ContainerArgs {
    /// Remove the container when its program has ended
    #[arg(long)]
    pub(crate) rm: bool,
    /// Let the program read standard input
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give the program a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Name the container
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Set NAME=VALUE in the environment; NAME alone takes the caller's value
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Read environment settings from a file, a line each
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<String>,
    /// Start in this directory, which is made when it does not exist
    #[arg(short, long, value_name = "DIRECTORY")]
    pub(crate) workdir: Option<String>,
    /// Run as this user and group, names or numbers
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
    /// Run this instead of the image's entry point; "" clears it
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) entrypoint: Option<String>,
    /// Set the host name
    #[arg(short = 'h', long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Choose the image's platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    /// When to pull the image
    #[arg(long, value_enum, default_value_t = PullPolicy::Missing, value_name = "POLICY")]
    pub(crate) pull: PullPolicy,
    /// Print nothing about the pull
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Make the root file system read-only
    #[arg(long)]
    pub(crate) read_only: bool,
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    /// Add a capability, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) cap_add: Vec<String>,
    /// Drop a capability, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) cap_drop: Vec<String>,
    /// seccomp=FILE, seccomp=unconfined, no-new-privileges[=false], apparmor=unconfined, label=disable
    #[arg(long, value_name = "OPTION")]
    pub(crate) security_opt: Vec<String>,
    #[command(flatten)]
    pub(crate) networks: NetworkArgs,
    /// Label the container
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    pub(crate) label: Vec<String>,
    /// Read labels from a file, a line each
    #[arg(long, value_name = "FILE")]
    pub(crate) label_file: Vec<String>,
    /// The signal that asks the program to end
    #[arg(long, value_name = "SIGNAL")]
    pub(crate) stop_signal: Option<String>,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    /// Attach to these streams only: stdin, stdout, stderr
    #[arg(short, long, value_enum, ignore_case = true, value_name = "STREAM")]
    pub(crate) attach: Vec<StreamName>,
    /// Where output is kept: json-file, journald, none, passthrough
    #[arg(long, value_name = "DRIVER")]
    pub(crate) log_driver: Option<String>,
    /// How it is kept: max-size=10m, max-file=3
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) log_opt: Vec<String>,
    #[command(flatten)]
    pub(crate) health: HealthArgs,
    /// Annotate the container
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) annotation: Vec<String>,
    /// Let a small first process pass signals on and bury orphans
    #[arg(long)]
    pub(crate) init: bool,
    /// Seconds that the program then has; -1 for ever
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub(crate) stop_timeout: Option<i64>,
    /// Kill the program after so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// Start it again when it ends: no, always, unless-stopped, on-failure or on-failure:NUMBER
    #[arg(long, value_name = "POLICY", default_value = "no")]
    pub(crate) restart: String,
    /// Write the container's id to a new file
    #[arg(long, value_name = "FILE")]
    pub(crate) cidfile: Option<String>,
    /// Write the program's process id to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) pidfile: Option<String>,
    /// Remove a container of the same name first
    #[arg(long)]
    pub(crate) replace: bool,
    #[command(flatten)]
    pub(crate) resources: ResourceArgs,
    /// What is not done yet
    #[command(flatten)]
    pub(crate) later: LaterArgs,
    /// The image, then the program and its arguments: nothing behind the image is ours
    #[arg(
        required = true,
        trailing_var_arg = true,
        value_name = "IMAGE [COMMAND]"
    )]
    pub(crate) image_and_command: Vec<String>,
}

/// A standard stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StreamName {
    Stdin,
    Stdout,
    Stderr,
}

/// When `run` pulls the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PullPolicy {
    /// Each time.
    Always,
    /// When it is not here.
    Missing,
    /// Never: an image that is not here is an error.
    Never,
}
