//! Where in the grammar a command line is that has not been written to its end.

use clap::{Arg, Command};

/// What stands before the word that is being written.
pub(super) struct Line<'a> {
    pub(super) verb: &'a Command,
    /// The noun that the verb belongs to, or `carrier`.
    pub(super) noun: &'a str,
    /// The words that are neither verbs nor options.
    pub(super) given: Vec<&'a str>,
    /// The option whose value comes next.
    pending: Option<&'a Arg>,
    /// `--` was there.
    is_behind_dashes: bool,
}

/// What the word that is being written is.
#[derive(Debug)]
pub(super) enum Place<'a> {
    Verb,
    Option,
    /// Of an option, or a word of its own.
    Value(&'a Arg),
    /// Of a program in a container.
    Program,
    /// There is nothing to know about it.
    Nothing,
}

impl<'a> Line<'a> {
    pub(super) fn read(grammar: &'a Command, words: &'a [String]) -> Self {
        let mut line = Self {
            verb: grammar,
            noun: grammar.get_name(),
            given: Vec::new(),
            pending: None,
            is_behind_dashes: false,
        };
        for word in words {
            line.add(word);
        }
        line
    }

    fn add(&mut self, word: &'a str) {
        if self.pending.take().is_some() {
            return;
        }
        if self.has_options() && word.len() > 1 && word.starts_with('-') {
            self.is_behind_dashes = word == "--";
            self.pending = match word.strip_prefix("--") {
                Some(long) => self.option(long).filter(|arg| wants_next_word(arg)),
                None => self.of_letters(&word[1..]),
            };
            return;
        }
        match self.verb.find_subcommand(word) {
            Some(verb) if self.given.is_empty() => {
                self.noun = self.verb.get_name();
                self.verb = verb;
            }
            _ => self.given.push(word),
        }
    }

    /// Behind the first word of a program, nothing is an option of Carrier.
    fn has_options(&self) -> bool {
        !self.is_behind_dashes && !self.is_in_program()
    }

    fn is_in_program(&self) -> bool {
        let last = self.verb.get_positionals().last();
        let begins = self.verb.get_positionals().count().max(1);
        last.is_some_and(Arg::is_trailing_var_arg_set) && self.given.len() >= begins
    }

    /// `name`, not `name=value`.
    fn option(&self, name: &str) -> Option<&'a Arg> {
        self.verb.get_arguments().find(|arg| {
            arg.get_long() == Some(name)
                || arg.get_all_aliases().unwrap_or_default().contains(&name)
        })
    }

    /// The option of `-itv` whose value comes next.
    fn of_letters(&self, letters: &str) -> Option<&'a Arg> {
        for (at, letter) in letters.char_indices() {
            let arg = self
                .verb
                .get_arguments()
                .find(|arg| arg.get_short() == Some(letter))?;
            if arg.get_action().takes_values() {
                let is_last = at + letter.len_utf8() == letters.len();
                return (is_last && wants_next_word(arg)).then_some(arg);
            }
        }
        None
    }

    /// What `last` is, and the part of it that has been written so far.
    pub(super) fn place<'w>(&self, last: &'w str) -> (Place<'a>, &'w str) {
        if let Some(arg) = self.pending {
            return (Place::Value(arg), last);
        }
        if self.has_options() && last.starts_with('-') {
            let value = last
                .strip_prefix("--")
                .and_then(|last| last.split_once('='));
            return match value {
                Some((name, value)) => {
                    let arg = self
                        .option(name)
                        .filter(|arg| arg.get_action().takes_values());
                    (arg.map_or(Place::Nothing, Place::Value), value)
                }
                None => (Place::Option, last),
            };
        }
        if self.verb.has_subcommands() && self.given.is_empty() {
            return (Place::Verb, last);
        }
        if self.is_in_program() {
            return (Place::Program, last);
        }
        let positionals: Vec<&Arg> = self.verb.get_positionals().collect();
        let arg = positionals.get(self.given.len()).copied();
        let many = |arg: &&Arg| {
            arg.get_num_args()
                .is_some_and(|range| range.max_values() > 1)
                || matches!(arg.get_action(), clap::ArgAction::Append)
        };
        let arg = arg.or_else(|| positionals.last().copied().filter(many));
        (arg.map_or(Place::Nothing, Place::Value), last)
    }
}

/// Whether an option's value may be a word of its own.
fn wants_next_word(arg: &Arg) -> bool {
    arg.get_action().takes_values() && !arg.is_require_equals_set()
}
