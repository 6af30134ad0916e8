//! Options of Docker's and Podman's `run` and `create` that do nothing here: the ones of later
//! versions and the ones that cannot work are refused with the way out, and those that mean nothing to
//! Carrier are accepted with a warning. An option moves out of the tables when it is done.

mod tables;

use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::builder::ArgAction;
use clap::{Arg, ArgMatches, Command, error::ErrorKind};

pub(crate) use tables::{OPTIONS, REFUSED};

use super::{Cli, switches};
use crate::progress::warn;
use crate::report::Failure;

/// An option that does nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LaterOption {
    pub(crate) name: &'static str,
    pub(crate) short: Option<char>,
    /// Whether it takes a value; if not, it is on or off.
    pub(crate) valued: bool,
    pub(crate) fate: Fate,
}

/// An option of another verb than `run` and `create` that is refused.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) verb: &'static str,
    pub(crate) option: &'static str,
    pub(crate) why: &'static str,
    pub(crate) hint: &'static str,
}

/// The error for an option that is in [`REFUSED`].
pub(crate) fn refuse(verb: &str, option: &str) -> Failure {
    let is_meant = |one: &&Refused| (one.verb, one.option) == (verb, option);
    let (why, hint) = match REFUSED.iter().find(is_meant) {
        Some(refused) => (refused.why, refused.hint),
        None => ("it is not available", "leave it out"),
    };
    Failure::with_hint(format!("--{option}: {why}"), hint)
}

/// What becomes of an option.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It will be done.
    Later(&'static Area),
    /// It will not be done: why, and what to do instead.
    Refused(&'static str, &'static str),
    /// It has no effect: why.
    NoEffect(&'static str),
}

/// What an option will come with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) name: &'static str,
    /// What is said to the user, and the way out.
    pub(crate) message: &'static str,
    pub(crate) hint: &'static str,
}

/// The options of the tables that a command line of `run` or `create` has.
#[derive(Clone, Debug, Default)]
pub(crate) struct LaterArgs(Vec<&'static LaterOption>);

impl LaterArgs {
    /// Refuses what is not done, and warns of what has no effect.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if let Some((message, hint)) = self.0.iter().find_map(|option| option.refusal()) {
            return Err(Failure::with_hint(message, hint));
        }
        for option in &self.0 {
            if let Fate::NoEffect(why) = option.fate {
                warn(&format!("--{} has no effect: {why}", option.name));
            }
        }
        Ok(())
    }
}

impl LaterOption {
    /// What the user reads, and the way out; nothing where the option is accepted.
    pub(crate) fn refusal(&self) -> Option<(String, &'static str)> {
        let (why, hint) = match self.fate {
            Fate::Later(area) => (area.message, area.hint),
            Fate::Refused(why, hint) => (why, hint),
            Fate::NoEffect(_) => return None,
        };
        Some((format!("--{}: {why}", self.name), hint))
    }

    fn grammar(&self) -> Arg {
        let arg = Arg::new(self.name)
            .long(self.name)
            .hide(true)
            .action(ArgAction::Append);
        let arg = match self.short {
            Some(short) => arg.short(short),
            None => arg,
        };
        if self.valued {
            return arg.allow_hyphen_values(true);
        }
        arg.num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
    }

    /// Whether the command line has it; `--flag=false` is as good as nothing.
    fn is_given(&self, matches: &ArgMatches) -> bool {
        let values = matches.try_get_many::<String>(self.name);
        let last = values.ok().flatten().and_then(Iterator::last);
        last.is_some_and(|value| self.valued || switches::truth(value) != Some(false))
    }
}

/// Whether the grammar has the options of the tables. A command line that makes no use of them is not
/// made to wait for them.
static WANTED: AtomicBool = AtomicBool::new(false);

/// Reads a command line, with the options of the tables where it is wrong without them.
pub(crate) fn parse<I, T>(words: I) -> Result<Cli, clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    use clap::Parser as _;
    let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
    match Cli::try_parse_from(&words) {
        Err(error) if error.kind() == ErrorKind::UnknownArgument => {
            want(true);
            match Cli::try_parse_from(&words) {
                Err(error) => with_plain_switches(&words, error),
                cli => cli,
            }
        }
        Err(error) => with_plain_switches(&words, error),
        cli => cli,
    }
}

/// Reads a command line that was refused once more, without the values of its switches.
fn with_plain_switches(words: &[OsString], error: clap::Error) -> Result<Cli, clap::Error> {
    use clap::Parser as _;
    match switches::plain(words)? {
        Some(plain) if plain != words => Cli::try_parse_from(plain),
        _ => Err(error),
    }
}

/// The whole grammar, down to the last verb and with the options of the tables: for whoever explains it.
/// The way of a command that is right never comes here.
pub(crate) fn whole() -> Command {
    use clap::CommandFactory as _;
    want(true);
    let mut command = Cli::command();
    command.build();
    command
}

/// Puts the options of the tables into the grammar, or takes them out.
pub(crate) fn want(wanted: bool) {
    WANTED.store(wanted, Ordering::Relaxed);
}

impl clap::Args for LaterArgs {
    fn augment_args(command: Command) -> Command {
        if WANTED.load(Ordering::Relaxed) {
            command.args(OPTIONS.iter().map(LaterOption::grammar))
        } else {
            command
        }
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for LaterArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        if !WANTED.load(Ordering::Relaxed) {
            return Ok(Self::default());
        }
        let given = OPTIONS.iter().filter(|option| option.is_given(matches));
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_there_once_and_every_message_has_a_way_out() {
        for (at, option) in OPTIONS.iter().enumerate() {
            let again = OPTIONS.iter().skip(at + 1).any(|other| {
                other.name == option.name || (other.short.is_some() && other.short == option.short)
            });
            assert!(!again, "--{} is there twice", option.name);
            if let Some((message, hint)) = option.refusal() {
                assert!(!message.is_empty() && !hint.is_empty());
            }
        }
    }
}
