//! The grammar of what completes command lines.

use clap::{Args, ValueEnum};

// `carrier completion SHELL`
#[derive(Args, Debug)]
pub(crate) struct CompletionArgs {
    /// The shell that reads it
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: Shell,
}

/// A shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// Bash 4 and later.
    Bash,
    /// Zsh.
    Zsh,
    /// Fish 3 and later.
    Fish,
}

// What the shells ask: `carrier __complete -- WORD...`, where the last word is not yet written to its end.
#[derive(Args, Debug)]
pub(crate) struct CompleteArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<String>,
}
