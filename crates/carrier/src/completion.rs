//! What a command line can go on with: `carrier __complete`, which the shells' small scripts ask.
//!
//! The grammar is the only source of verbs and options, so that none is missing. Nothing is fetched, put
//! in order, locked or written for an answer, and what cannot be read is left out without a word: whoever
//! presses a key wants no error message.

mod line;
mod values;

use clap::Command;

use crate::report::printable;
use line::{Line, Place};

/// What the shell does beside offering the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Directive {
    /// Nothing.
    None,
    /// It offers files, too.
    Files,
    /// It puts no space behind the word: more of it follows.
    NoSpace,
}

/// A word, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    word: String,
    meaning: String,
}

impl Candidate {
    fn new(word: impl Into<String>, meaning: impl Into<String>) -> Self {
        Self {
            word: word.into(),
            meaning: meaning.into(),
        }
    }
}

/// Answers a shell: a word and its meaning a line, the directive last. The last of `words` is the one
/// that is being written.
pub(crate) fn answer(grammar: &Command, words: &[String]) -> String {
    let Some((last, before)) = words.split_last() else {
        return String::new();
    };
    let line = Line::read(grammar, before);
    let (place, begun) = line.place(last);
    let (mut found, directive) = match place {
        Place::Verb => (verbs(line.verb), Directive::None),
        Place::Option => (options(line.verb, begun), Directive::None),
        Place::Value(arg) => values::of(&line, arg),
        Place::Program => (Vec::new(), Directive::Files),
        Place::Nothing => (Vec::new(), Directive::None),
    };
    found.retain(|candidate| candidate.word.starts_with(begun));
    let prefix = &last[..last.len() - begun.len()];
    let mut text = String::new();
    for Candidate { word, meaning } in found {
        // Names are harmless; what a container runs is somebody else's text.
        let meaning: String = printable(&meaning).chars().take(60).collect();
        text.push_str(&format!("{prefix}{word}\t{meaning}\n"));
    }
    text.push_str(match directive {
        Directive::None => ":\n",
        Directive::Files => ":files\n",
        Directive::NoSpace => ":nospace\n",
    });
    text
}

fn verbs(of: &Command) -> Vec<Candidate> {
    let shown = of.get_subcommands().filter(|verb| !verb.is_hide_set());
    shown
        .map(|verb| Candidate::new(verb.get_name(), about(verb.get_about())))
        .collect()
}

fn options(of: &Command, begun: &str) -> Vec<Candidate> {
    let mut found = Vec::new();
    for arg in of.get_arguments().filter(|arg| !arg.is_hide_set()) {
        let meaning = about(arg.get_help());
        for long in arg.get_long_and_visible_aliases().unwrap_or_default() {
            found.push(Candidate::new(format!("--{long}"), meaning.clone()));
        }
        // Letters only for whoever asks for them: words say more.
        if begun.len() == 2
            && let Some(short) = arg.get_short()
        {
            found.push(Candidate::new(format!("-{short}"), meaning));
        }
    }
    found
}

fn about(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::later::whole;

    fn offered(words: &str) -> (Vec<String>, String) {
        let words: Vec<String> = words.split(' ').map(ToOwned::to_owned).collect();
        let text = answer(&whole(), &words);
        let mut lines: Vec<String> = text
            .lines()
            .map(|line| line.split('\t').next().unwrap().to_owned())
            .collect();
        let directive = lines.pop().unwrap();
        (lines, directive)
    }

    #[test]
    fn verbs_options_and_choices_come_from_the_grammar() {
        for (words, expected) in [
            ("unp", &["unpause"][..]),
            ("network cr", &["create"]),
            ("run --rm", &["--rm"]),
            ("run --pull n", &["never"]),
            ("run --pull=n", &["--pull=never"]),
            ("run -it --pull n", &["never"]),
            ("run --name --pu --pull a", &["always"]),
            ("ps --form", &["--format"]),
            ("ps --format js", &["json"]),
            (
                "stop -s SIGT",
                &["SIGTERM", "SIGTRAP", "SIGTSTP", "SIGTTIN", "SIGTTOU"],
            ),
            ("run --cap-add NET_R", &["NET_RAW"]),
            ("run --restart unl", &["unless-stopped"]),
            ("completion f", &["fish"]),
            ("frobnicate x", &[]),
            ("run --name x", &[]),
            ("__comp", &[]),
        ] {
            let (mut found, _) = offered(words);
            found.sort();
            assert_eq!(found, expected, "{words}");
        }
    }

    #[test]
    fn files_are_offered_where_files_are_named_and_behind_a_program() {
        for (words, directive) in [
            ("load -i x", ":files"),
            ("run --env-file=x", ":files"),
            ("run -v ./x", ":files"),
            ("run busybox --rm", ":files"),
            ("exec web ls --f", ":files"),
            ("cp x", ":files"),
            ("run --name x", ":"),
            ("stop x", ":"),
        ] {
            assert_eq!(offered(words).1, directive, "{words}");
        }
    }
}
