//! The grammar of programs in containers that run.

use clap::{ArgAction, Args};

#[derive(Args, Debug)]
#[command(
    args_override_self = true,
    override_usage = "carrier exec [OPTIONS] CONTAINER COMMAND [ARGUMENT]..."
)]
pub(crate) struct ExecArgs {
    /// Leave the program to itself: nothing is printed
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Let the program read standard input
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give the program a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Give root every capability of the container's user namespace
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", action = ArgAction::Set)]
    pub(crate) privileged: bool,
    /// The keys that part the terminal from the program: ctrl-p,ctrl-q; "" for none
    #[arg(long, value_name = "KEYS")]
    pub(crate) detach_keys: Option<String>,
    /// In the container that was made last; no container is named
    #[arg(short, long)]
    pub(crate) latest: bool,
    #[command(flatten)]
    pub(crate) how: ProgramArgs,
    /// The container, then the program and its arguments: nothing behind the container is ours
    #[arg(
        required = true,
        trailing_var_arg = true,
        value_name = "CONTAINER COMMAND"
    )]
    pub(crate) words: Vec<String>,
}

// What `exec`, `sh` and `terminal` say of a program.
#[derive(Args, Debug)]
pub(crate) struct ProgramArgs {
    /// Set NAME=VALUE in the environment; NAME alone takes the caller's value
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Read environment settings from a file, a line each
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<String>,
    /// Run as this user and group of the container, names or numbers
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
    /// Start in this directory, which must exist
    #[arg(short, long, value_name = "DIRECTORY")]
    pub(crate) workdir: Option<String>,
}

#[derive(Args, Debug)]
#[command(
    args_override_self = true,
    override_usage = "carrier sh [OPTIONS] CONTAINER [COMMAND [ARGUMENT]...]"
)]
pub(crate) struct ShellArgs {
    /// Among the files of a container that does not run; what is written is thrown away
    #[arg(long)]
    pub(crate) stopped: bool,
    #[command(flatten)]
    pub(crate) how: ProgramArgs,
    /// The container, then a program instead of a shell: nothing behind the container is ours
    #[arg(
        required = true,
        trailing_var_arg = true,
        value_name = "CONTAINER [COMMAND]"
    )]
    pub(crate) words: Vec<String>,
}

#[derive(Args, Debug)]
#[command(
    args_override_self = true,
    override_usage = "carrier terminal [OPTIONS] CONTAINER [COMMAND [ARGUMENT]...]"
)]
pub(crate) struct TerminalArgs {
    /// Among the files of a container that does not run; what is written is thrown away
    #[arg(long)]
    pub(crate) stopped: bool,
    #[command(flatten)]
    pub(crate) how: ProgramArgs,
    /// The container, then a program instead of a shell: nothing behind the container is ours
    #[arg(
        required = true,
        trailing_var_arg = true,
        value_name = "CONTAINER [COMMAND]"
    )]
    pub(crate) words: Vec<String>,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::cli::{Cli, Verb};

    fn exec(words: &[&str]) -> super::ExecArgs {
        let words = ["carrier", "exec"].iter().chain(words);
        match Cli::try_parse_from(words).unwrap().command {
            Verb::Exec(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_stands_behind_the_container_is_not_ours() {
        let args = exec(&["-it", "-u", "app", "web", "ls", "-it", "--", "-u"]);
        assert!(args.interactive && args.tty && !args.detach);
        assert_eq!(args.how.user.as_deref(), Some("app"));
        assert_eq!(args.words, ["web", "ls", "-it", "--", "-u"]);
    }

    #[test]
    fn options_may_be_switched_off_as_in_docker() {
        assert!(exec(&["--privileged", "web", "id"]).privileged);
        assert!(!exec(&["--privileged=false", "web", "id"]).privileged);
        assert!(exec(&["-d", "web", "id"]).detach);
        assert!(Cli::try_parse_from(["carrier", "exec", "--frobnicate", "web", "id"]).is_err());
    }

    #[test]
    fn a_terminal_has_three_names() {
        for name in ["terminal", "term", "t"] {
            let parsed = Cli::try_parse_from(["carrier", name, "web", "bash"]).unwrap();
            assert!(
                matches!(parsed.command, Verb::Terminal(args) if args.words == ["web", "bash"])
            );
        }
        for name in ["sh", "shell"] {
            let parsed = Cli::try_parse_from(["carrier", name, "web"]).unwrap();
            assert!(matches!(parsed.command, Verb::Sh(args) if args.words == ["web"]));
        }
    }
}
