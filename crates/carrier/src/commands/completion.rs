//! `carrier completion`, and what its scripts ask.

use std::path::PathBuf;

use super::print;
use crate::cli::completion::{CompleteArgs, CompletionArgs, Shell};
use crate::cli::global::choose;
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
    let (root, runroot) = (
        before_verb(&args.words, "root"),
        before_verb(&args.words, "runroot"),
    );
    if root.is_some() || runroot.is_some() {
        choose(root, runroot)?;
    }
    print(&answer(&whole(), &args.words))?;
    Ok(0)
}

/// The value of an option that stands before the verb: `--root DIRECTORY` or `--root=DIRECTORY`.
fn before_verb(words: &[String], option: &str) -> Option<PathBuf> {
    let mut words = words.iter();
    while let Some(word) = words.next().filter(|word| word.starts_with('-')) {
        match word.strip_prefix("--") {
            Some(name) if name == option => return words.next().map(PathBuf::from),
            Some("root" | "runroot" | "log-level") => drop(words.next()),
            Some(word) => match word.split_once('=') {
                Some((name, value)) if name == option => return Some(PathBuf::from(value)),
                _ => {}
            },
            None if word == "-l" => drop(words.next()),
            None => {}
        }
    }
    None
}
