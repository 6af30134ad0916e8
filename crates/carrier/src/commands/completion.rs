//! `carrier completion`, and what its scripts ask.

use super::print;
use crate::cli::completion::{CompleteArgs, CompletionArgs, Shell};
use crate::cli::later::whole;
use crate::completion::answer;
use crate::report::Failure;

pub(crate) fn completion(args: &CompletionArgs) -> Result<u8, Failure> {
    print(match args.shell {
        Shell::Bash => include_str!("completion/carrier.bash"),
        Shell::Zsh => include_str!("completion/carrier.zsh"),
        Shell::Fish => include_str!("completion/carrier.fish"),
    })?;
    Ok(0)
}

pub(crate) fn complete(args: &CompleteArgs) -> Result<u8, Failure> {
    print(&answer(&whole(), &args.words))?;
    Ok(0)
}
