//! The grammar of the OCI command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(super) use super::resources::UpdateArgs;

/// Carrier's OCI runtime.
#[derive(Debug, Parser)]
#[command(name = "carrier-runtime", version, disable_version_flag = true)]
pub(super) struct Cli {
    /// Keep the state of containers in this directory
    #[arg(long, value_name = "DIRECTORY", global = true)]
    pub(super) root: Option<PathBuf>,
    /// Write errors to this file too
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) log: Option<PathBuf>,
    /// How to write them there
    #[arg(long, value_enum, default_value_t = LogFormat::Text, global = true)]
    pub(super) log_format: LogFormat,
    /// Accepted; there is nothing more to tell
    #[arg(long = "debug", global = true)]
    _debug: bool,
    /// Let systemd make the cgroups
    #[arg(long, global = true)]
    pub(super) systemd_cgroup: bool,
    /// Who makes the cgroups
    #[arg(long, value_enum, default_value_t = CgroupManager::Cgroupfs, global = true)]
    pub(super) cgroup_manager: CgroupManager,
    /// Accepted: whether root is missing is seen, not told
    #[arg(long = "rootless", value_name = "BOOLEAN", num_args = 0..=1, require_equals = true)]
    _rootless: Option<Option<String>>,
    /// Print the version
    #[arg(short, long = "version", action = clap::ArgAction::Version)]
    _version: Option<bool>,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum CgroupManager {
    Cgroupfs,
    Systemd,
    Disabled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a container; its program waits for `start`
    Create(CreateArgs),
    /// Make a container and start it
    Run(RunArgs),
    /// Start the program of a container
    Start { id: String },
    /// Print the state of a container
    State { id: String },
    /// Send a signal to a container
    Kill(KillArgs),
    /// Remove a container
    Delete {
        /// Kill it when it runs; one that does not exist is no error
        #[arg(short, long)]
        force: bool,
        id: String,
    },
    /// Run one more program in a container
    Exec(ExecArgs),
    /// List the processes of a container
    Ps {
        #[arg(short, long, value_enum, default_value_t = Format::Table)]
        format: Format,
        id: String,
        /// Options for ps(1), which is not used
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        _options: Vec<String>,
    },
    /// List containers
    List {
        #[arg(short, long, value_enum, default_value_t = Format::Table)]
        format: Format,
        /// Only ids
        #[arg(short, long)]
        quiet: bool,
    },
    /// Hold the processes of a container
    Pause { id: String },
    /// Let the processes of a container go on
    Resume { id: String },
    /// Change limits of a container
    Update(Box<UpdateArgs>),
    /// Print what a container uses
    Events(EventsArgs),
    /// Not there yet
    #[command(hide = true)]
    Checkpoint(Unsupported),
    /// Not there yet
    #[command(hide = true)]
    Restore(Unsupported),
    /// Print what this runtime can do
    Features,
    /// Write a configuration to begin with
    Spec {
        /// The directory of the bundle
        #[arg(short, long, default_value = ".")]
        bundle: PathBuf,
        /// For a user who is not root
        #[arg(long)]
        rootless: bool,
    },
}

/// Whatever engines pass to verbs that are refused.
#[derive(Args, Debug)]
pub(super) struct Unsupported {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    _words: Vec<String>,
}

#[derive(Args, Debug)]
pub(super) struct CreateArgs {
    /// The directory of the bundle
    #[arg(short, long, default_value = ".", value_name = "DIRECTORY")]
    pub(super) bundle: PathBuf,
    /// The configuration, where it is not config.json in the bundle
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Send the controlling side of the terminal there
    #[arg(long, value_name = "SOCKET")]
    pub(super) console_socket: Option<PathBuf>,
    /// Write the process id there
    #[arg(long, value_name = "FILE")]
    pub(super) pid_file: Option<PathBuf>,
    /// Give the program this many descriptors beside the standard streams
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    pub(super) preserve_fds: u32,
    /// Accepted: the root is always changed by pivot_root(2), which works on every filesystem
    #[arg(long = "no-pivot")]
    _no_pivot: bool,
    /// Stay in the session keyring of the caller
    #[arg(long)]
    pub(super) no_new_keyring: bool,
    pub(super) id: String,
}

#[derive(Args, Debug)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) create: CreateArgs,
    /// Return when the program runs
    #[arg(short, long)]
    pub(super) detach: bool,
    /// Do not remove the container when its program has ended
    #[arg(long)]
    pub(super) keep: bool,
    /// Accepted: what outlives this command is its caller's to wait for
    #[arg(long = "no-subreaper")]
    _no_subreaper: bool,
}

#[derive(Args, Debug)]
pub(super) struct KillArgs {
    /// Each process of the container
    #[arg(short, long)]
    pub(super) all: bool,
    pub(super) id: String,
    /// A name or a number
    pub(super) signal: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct ExecArgs {
    /// Read the whole process from a file
    #[arg(short, long, value_name = "FILE")]
    pub(super) process: Option<PathBuf>,
    /// Set NAME=VALUE in the environment
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub(super) env: Vec<String>,
    /// Run as this user
    #[arg(short, long, value_name = "UID[:GID]")]
    pub(super) user: Option<String>,
    /// Be a member of this group too
    #[arg(short = 'g', long, value_name = "GID")]
    pub(super) additional_gids: Vec<u32>,
    /// Start in this directory
    #[arg(long, value_name = "DIRECTORY")]
    pub(super) cwd: Option<PathBuf>,
    /// Give the program a terminal
    #[arg(short, long)]
    pub(super) tty: bool,
    /// Return when the program runs
    #[arg(short, long)]
    pub(super) detach: bool,
    /// Send the controlling side of the terminal there
    #[arg(long, value_name = "SOCKET")]
    pub(super) console_socket: Option<PathBuf>,
    /// Write the process id there
    #[arg(long, value_name = "FILE")]
    pub(super) pid_file: Option<PathBuf>,
    /// Add a capability
    #[arg(short, long, value_name = "CAPABILITY")]
    pub(super) cap: Vec<String>,
    /// Forbid new privileges
    #[arg(long)]
    pub(super) no_new_privs: bool,
    /// Give the program this many descriptors beside the standard streams
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    pub(super) preserve_fds: u32,
    /// Run in a cgroup below the container's
    #[arg(long, value_name = "PATH")]
    pub(super) cgroup: Option<String>,
    /// Also in a paused container
    #[arg(long)]
    pub(super) ignore_paused: bool,
    /// The AppArmor profile
    #[arg(long, value_name = "PROFILE")]
    pub(super) apparmor: Option<String>,
    /// The SELinux label
    #[arg(long, value_name = "LABEL")]
    pub(super) process_label: Option<String>,
    /// Accepted: what outlives this command is its caller's to wait for
    #[arg(long = "no-subreaper")]
    _no_subreaper: bool,
    pub(super) id: String,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) command: Vec<String>,
}

#[derive(Args, Debug)]
pub(super) struct EventsArgs {
    /// Once
    #[arg(long)]
    pub(super) stats: bool,
    /// How often
    #[arg(long, default_value = "5s", value_parser = interval)]
    pub(super) interval: Duration,
    pub(super) id: String,
}

fn interval(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no number of seconds");
    let digits = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    match text.get(digits.len()..) {
        Some("" | "s") if number > 0 => Ok(Duration::from_secs(number)),
        Some("ms") if number > 0 => Ok(Duration::from_millis(number)),
        Some("m") if number > 0 => Ok(Duration::from_secs(number * 60)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(line: &str) -> Cli {
        Cli::try_parse_from(line.split(' ')).unwrap()
    }

    #[test]
    fn the_grammar_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn conmon_is_understood() {
        let cli = parse(
            "r --systemd-cgroup --root=/r --log-format=json --log l create --bundle b \
             --pid-file p --console-socket s --no-new-keyring --preserve-fds 2 x",
        );
        assert!(cli.systemd_cgroup && cli.log_format == LogFormat::Json);
        let Verb::Create(args) = cli.verb else {
            panic!("{cli:?}")
        };
        assert_eq!((args.id.as_str(), args.preserve_fds), ("x", 2));
        assert!(args.no_new_keyring);
    }

    #[test]
    fn options_may_follow_the_id() {
        let Verb::Delete { force, id } = parse("r delete x --force").verb else {
            panic!()
        };
        assert!(force && id == "x");
        let Verb::Create(args) = parse("r create x --bundle b").verb else {
            panic!()
        };
        assert_eq!(args.bundle, PathBuf::from("b"));
    }

    #[test]
    fn what_follows_the_id_of_exec_is_the_programs() {
        let Verb::Exec(args) = parse("r exec -t -u 1:2 x sh -c -t").verb else {
            panic!()
        };
        assert!(args.tty);
        assert_eq!(args.command, ["sh", "-c", "-t"]);
    }

    #[test]
    fn an_interval_is_a_number_of_seconds() {
        assert_eq!(interval("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(interval("100ms"), Ok(Duration::from_millis(100)));
        assert!(interval("0s").is_err() && interval("x").is_err());
    }
}
