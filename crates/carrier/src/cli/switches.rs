//! Switches with a value, as Go's flags take them: `--rm=true`, `--tty=false`, `-it=false`.
//!
//! The grammar knows switches without a value only. A command line that it refuses is read here, and
//! what is said of switches is put into the grammar's words: no command line that is right comes here.

use std::ffi::OsString;

use clap::builder::{ArgAction, ValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, Id};

use super::later::whole;

/// The words with plain switches: those that are true without a value, those that are false not at all.
/// None where no word has a value that could be one of a switch.
///
/// # Errors
/// When the value of a switch is no truth.
pub(super) fn plain(words: &[OsString]) -> Result<Option<Vec<OsString>>, clap::Error> {
    let has_value = |word: &OsString| {
        let bytes = word.as_encoded_bytes();
        bytes.starts_with(b"-") && bytes.contains(&b'=')
    };
    if !words.iter().any(has_value) {
        return Ok(None);
    }
    let grammar = whole();
    let mut reader = Reader::new(&grammar);
    let mut rest = words.iter();
    reader.pieces.extend(rest.next().map(Piece::word));
    for word in rest.by_ref() {
        reader.read(word)?;
        if reader.is_done {
            break;
        }
    }
    reader.pieces.extend(rest.map(Piece::word));
    Ok(Some(reader.pieces.into_iter().map(|it| it.text).collect()))
}

/// Go's truths.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A word of the new command line, and the switch that it turns on.
struct Piece {
    text: OsString,
    switch: Option<Id>,
}

impl Piece {
    fn word(text: impl Into<OsString>) -> Self {
        Self {
            text: text.into(),
            switch: None,
        }
    }
}

/// What the grammar makes of an option.
enum Kind {
    Switch,
    /// An option that is true where it has no value, and knows two of Go's truths.
    Truth,
    /// An option whose value, if there is one, stands behind a `=`.
    Optional,
    Valued,
}

fn kind(arg: &Arg) -> Kind {
    let action = arg.get_action();
    if !matches!(action, ArgAction::Set | ArgAction::Append) {
        return Kind::Switch;
    }
    match arg.is_require_equals_set() {
        true if arg.get_value_parser().type_id() == ValueParser::bool().type_id() => Kind::Truth,
        true => Kind::Optional,
        false => Kind::Valued,
    }
}

struct Reader<'a> {
    verb: &'a Command,
    pieces: Vec<Piece>,
    /// The next word is the value of an option.
    is_value: bool,
    /// What follows is none of the grammar's.
    is_done: bool,
}

impl<'a> Reader<'a> {
    fn new(grammar: &'a Command) -> Self {
        Self {
            verb: grammar,
            pieces: Vec::new(),
            is_value: false,
            is_done: false,
        }
    }

    fn read(&mut self, word: &OsString) -> Result<(), clap::Error> {
        let is_value = std::mem::take(&mut self.is_value);
        match word.to_str() {
            Some(text) if !is_value => self.read_text(text),
            _ => {
                self.pieces.push(Piece::word(word));
                Ok(())
            }
        }
    }

    fn read_text(&mut self, text: &str) -> Result<(), clap::Error> {
        if let Some(long) = text.strip_prefix("--").filter(|long| !long.is_empty()) {
            return self.read_long(text, long);
        }
        match text.strip_prefix('-') {
            Some("-") => self.is_done = true,
            Some(cluster) if !cluster.is_empty() => return self.read_cluster(cluster),
            _ => self.read_positional(text),
        }
        self.pieces.push(Piece::word(text));
        Ok(())
    }

    fn read_positional(&mut self, text: &str) {
        if let Some(verb) = self.verb.find_subcommand(text) {
            self.verb = verb;
            return;
        }
        // Behind an image or a container stands a command with options of its own.
        let mut positionals = self.verb.get_positionals();
        self.is_done = positionals.any(Arg::is_trailing_var_arg_set);
    }

    fn read_long(&mut self, text: &str, long: &str) -> Result<(), clap::Error> {
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (long, None),
        };
        let is_meant = |arg: &&Arg| {
            let aliases = arg.get_all_aliases().unwrap_or_default();
            arg.get_long() == Some(name) || aliases.contains(&name)
        };
        let arg = self.verb.get_arguments().find(is_meant);
        match arg.map(|arg| (arg, kind(arg))) {
            Some((arg, kind @ (Kind::Switch | Kind::Truth))) => {
                self.turn(arg, &kind, &format!("--{name}"), value)
            }
            Some((_, Kind::Valued)) => {
                self.is_value = value.is_none();
                self.pieces.push(Piece::word(text));
                Ok(())
            }
            Some((_, Kind::Optional)) | None => {
                self.pieces.push(Piece::word(text));
                Ok(())
            }
        }
    }

    /// Options of one letter, of which the last may have a value.
    fn read_cluster(&mut self, cluster: &str) -> Result<(), clap::Error> {
        for (at, letter) in cluster.char_indices() {
            let rest = cluster.get(at..).unwrap_or_default();
            let behind = rest.get(letter.len_utf8()..).unwrap_or_default();
            let value = behind.strip_prefix('=');
            let is_meant = |arg: &&Arg| {
                let aliases = arg.get_all_short_aliases().unwrap_or_default();
                arg.get_short() == Some(letter) || aliases.contains(&letter)
            };
            let arg = self.verb.get_arguments().find(is_meant);
            match arg.map(|arg| (arg, kind(arg))) {
                Some((arg, kind @ (Kind::Switch | Kind::Truth))) => {
                    self.turn(arg, &kind, &format!("-{letter}"), value)?;
                }
                Some((_, Kind::Optional)) if value.is_none() => {
                    self.pieces.push(Piece::word(format!("-{letter}")));
                    continue;
                }
                found => {
                    self.is_value = behind.is_empty() && found.is_some();
                    self.pieces.push(Piece::word(format!("-{rest}")));
                    return Ok(());
                }
            }
            if value.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Turns a switch on or off: of several times the last one counts.
    fn turn(
        &mut self,
        arg: &Arg,
        kind: &Kind,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), clap::Error> {
        let on = match value {
            None => true,
            Some(value) => truth(value).ok_or_else(|| no_truth(arg, name, value))?,
        };
        match (kind, value) {
            (Kind::Truth, Some(_)) => self.pieces.push(Piece::word(format!("{name}={on}"))),
            (Kind::Switch, _) if !on => {
                let id = Some(arg.get_id());
                self.pieces.retain(|piece| piece.switch.as_ref() != id);
            }
            _ => self.pieces.push(Piece {
                text: name.into(),
                switch: Some(arg.get_id().clone()),
            }),
        }
        Ok(())
    }
}

fn no_truth(arg: &Arg, name: &str, value: &str) -> clap::Error {
    let name = match arg.get_long() {
        Some(long) => format!("--{long}"),
        None => name.to_owned(),
    };
    let truths = ["true", "false"].map(ToOwned::to_owned);
    let mut error = clap::Error::new(ErrorKind::InvalidValue);
    for (kind, value) in [
        (ContextKind::InvalidArg, ContextValue::String(name)),
        (
            ContextKind::InvalidValue,
            ContextValue::String(value.to_owned()),
        ),
        (
            ContextKind::ValidValue,
            ContextValue::Strings(truths.into()),
        ),
    ] {
        error.insert(kind, value);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(line: &str) -> String {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let words = plain(&words).unwrap().unwrap_or(words);
        let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
        words.join(" ")
    }

    #[test]
    fn switches_are_there_or_not() {
        for (line, expected) in [
            ("c run --rm=true x", "c run --rm x"),
            ("c run --rm=false x", "c run x"),
            ("c run --rm --rm=false x", "c run x"),
            ("c run --rm=0 --rm x", "c run --rm x"),
            ("c run -it=false x", "c run -i x"),
            ("c run -itd=1 x", "c run -i -t -d=true x"),
            ("c run -itv=/a:/b x", "c run -i -t -v=/a:/b x"),
            ("c run -tv /a=b:/b --rm=F x", "c run -t -v /a=b:/b x"),
            ("c run --name --rm=false x", "c run --name --rm=false x"),
            ("c run -i=t x --rm=true -t=1", "c run -i x --rm=true -t=1"),
            ("c run -i=t -- --rm=true", "c run -i -- --rm=true"),
            ("c exec --tty=false c -t=1", "c exec c -t=1"),
            ("c -D=1 container ls -q=true", "c -D container ls -q"),
            ("c rm x --force=true y -v=0", "c rm x --force y"),
            ("c run --privileged=0 x", "c run --privileged=0 x"),
            ("c ps --what=true", "c ps --what=true"),
            ("c ps --all", "c ps --all"),
        ] {
            assert_eq!(rewritten(line), expected, "{line}");
        }
    }

    #[test]
    fn the_grammar_takes_them() {
        for line in [
            "c run --rm=true x",
            "c run --rm=false --tty=false x",
            "c run -it=false x",
            "c run -d=0 --detach=T x",
            "c exec --tty=false x y",
            "c ps --all=true -q=true",
            "c ps -a=1",
            "c rm --force=true x",
            "c logs --follow=false x",
            "c images --quiet=true",
            "c system prune --force=true",
        ] {
            assert!(crate::cli::later::parse(line.split(' ')).is_ok(), "{line}");
        }
        for line in ["c run --rm=maybe x", "c run -it= x", "c ps -a=2"] {
            let error = crate::cli::later::parse(line.split(' ')).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidValue, "{line}");
        }
    }
}
