//! What is wrong with a command line: one line, and one with the way out, as for every other error.

use std::error::Error;
use std::ffi::OsString;
use std::num::{IntErrorKind, ParseFloatError, ParseIntError};

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::later::whole;

/// A command line that means nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) message: String,
    pub(super) hint: String,
    is_about_options: bool,
}

/// The verb that a command line names.
struct Named {
    /// `carrier network create`
    name: String,
    usage: String,
}

impl Mistake {
    /// Explains an error of the grammar; nothing where it is no error, but help that was asked for.
    pub(super) fn of(error: &clap::Error, words: impl Iterator<Item = OsString>) -> Option<Self> {
        use ErrorKind as Kind;
        if matches!(
            error.kind(),
            Kind::DisplayHelp
                | Kind::DisplayVersion
                | Kind::DisplayHelpOnMissingArgumentOrSubcommand
        ) {
            return None;
        }
        let verb = Named::by(words);
        let of = |kind| text(error, kind);
        let written = of(ContextKind::InvalidArg).unwrap_or_default();
        let arg = bare(&written).to_owned();
        let (message, hint) = match error.kind() {
            Kind::UnknownArgument if written.starts_with('-') => (
                format!("unknown option {written}"),
                of_daemon(&arg)
                    .filter(|_| verb.name == "carrier")
                    .map(ToOwned::to_owned)
                    .or_else(|| did_you_mean(of(ContextKind::SuggestedArg))),
            ),
            Kind::UnknownArgument => (
                format!("unexpected argument \"{written}\""),
                Some(verb.usage()),
            ),
            Kind::InvalidSubcommand => unknown_verb(error, &verb),
            Kind::MissingRequiredArgument => {
                (format!("{} needs {arg}", verb.name), Some(verb.usage()))
            }
            Kind::MissingSubcommand => (format!("{} needs a verb", verb.name), None),
            Kind::InvalidValue => invalid_value(error, &arg),
            Kind::ValueValidation => {
                let value = of(ContextKind::InvalidValue).unwrap_or_default();
                let why = error.source().map_or_else(String::new, why);
                (format!("{arg} \"{value}\": {why}"), None)
            }
            Kind::TooManyValues => {
                let value = of(ContextKind::InvalidValue).unwrap_or_default();
                let hint = format!("leave out the value \"{value}\"");
                (format!("{arg} takes no value"), Some(hint))
            }
            Kind::ArgumentConflict => {
                let other = of(ContextKind::PriorArg);
                let other = other.map(|other| bare(&other).to_owned());
                match other.filter(|other| *other != arg) {
                    Some(other) => (
                        format!("{arg} cannot be used with {other}"),
                        Some("leave out one of them".to_owned()),
                    ),
                    None => (format!("{arg} is there twice"), None),
                }
            }
            Kind::NoEquals => {
                let hint = format!("write {arg}=VALUE");
                (format!("{arg} needs its value behind ="), Some(hint))
            }
            Kind::TooFewValues | Kind::WrongNumberOfValues => {
                (format!("{arg} needs more values"), None)
            }
            Kind::InvalidUtf8 => ("an argument is not UTF-8".to_owned(), None),
            _ => (first_line(error), None),
        };
        Some(Self {
            message,
            hint: hint.unwrap_or_else(|| format!("`{} --help` shows what it takes", verb.name)),
            is_about_options: !matches!(
                error.kind(),
                Kind::InvalidSubcommand | Kind::MissingRequiredArgument | Kind::MissingSubcommand
            ),
        })
    }

    /// Docker's: 125 for wrong options, 1 for too few words and for verbs that do not exist.
    pub(super) fn code(&self) -> u8 {
        if self.is_about_options {
            super::ENGINE_FAILED
        } else {
            1
        }
    }
}

impl Named {
    /// Follows the words of a command line into the grammar, as far as they are verbs.
    fn by(words: impl Iterator<Item = OsString>) -> Self {
        let mut verb = whole();
        let mut is_value = false;
        for word in words.skip(1) {
            let word = word.to_string_lossy();
            if std::mem::take(&mut is_value) {
                continue;
            }
            if word.starts_with('-') {
                is_value = takes_next_word(&verb, &word);
                continue;
            }
            match verb.find_subcommand(&*word) {
                Some(next) => verb = next.clone(),
                None => break,
            }
        }
        let usage = verb.render_usage().to_string();
        let usage = usage.trim_start_matches("Usage:").trim_start();
        Self {
            name: verb.get_bin_name().unwrap_or("carrier").to_owned(),
            usage: usage.lines().next().unwrap_or_default().to_owned(),
        }
    }

    fn usage(&self) -> String {
        format!("{}; `{} --help` says more", self.usage, self.name)
    }
}

/// Whether an option stands for itself, and its value behind it.
fn takes_next_word(verb: &Command, word: &str) -> bool {
    let option = verb
        .get_arguments()
        .find(|arg| match word.strip_prefix("--") {
            Some(long) => arg.get_long() == Some(long),
            None => arg
                .get_short()
                .is_some_and(|short| word.ends_with(short) && word.len() == 2),
        });
    option.is_some_and(|arg| arg.get_action().takes_values() && !arg.is_require_equals_set())
}

fn unknown_verb(error: &clap::Error, verb: &Named) -> (String, Option<String>) {
    let word = text(error, ContextKind::InvalidSubcommand).unwrap_or_default();
    let hint = elsewhere(&verb.name, &word).map(ToOwned::to_owned);
    let hint = hint.or_else(|| did_you_mean(text(error, ContextKind::SuggestedSubcommand)));
    let hint = hint.unwrap_or_else(|| format!("`{} --help` lists the verbs", verb.name));
    (
        format!("unknown verb \"{word}\" of {}", verb.name),
        Some(hint),
    )
}

/// Docker's verbs that Carrier does not have, and what leads to the same end.
fn elsewhere(verb: &str, word: &str) -> Option<&'static str> {
    Some(match (verb, word) {
        ("carrier", "build" | "buildx" | "builder") | ("carrier image", "build") => {
            "build with buildah or podman, and bring the image: podman save IMAGE | carrier load"
        }
        ("carrier", "compose") => {
            "start the containers one by one, on a network of their own: carrier network create NAME"
        }
        ("carrier", "swarm" | "service" | "stack" | "node" | "secret" | "config") => {
            "Carrier is for one host: there are no clusters"
        }
        ("carrier", "context") => {
            "there is no daemon whose address could be chosen; `carrier --root` chooses a store"
        }
        ("carrier", "plugin") => "there are no plugins: volumes are directories of this host",
        ("carrier", "manifest" | "trust") => {
            "skopeo shows and cosign signs what a registry has; `carrier image inspect` shows what is here"
        }
        ("carrier", "checkpoint") => "a container that runs cannot be frozen to disk",
        ("carrier", "pod" | "kube" | "generate" | "play") => {
            "containers meet on a network of their own: carrier network create NAME"
        }
        _ => return None,
    })
}

/// Docker's options of a daemon that Carrier does not have.
fn of_daemon(option: &str) -> Option<&'static str> {
    Some(match option {
        "-H" | "--host" | "-c" | "--context" | "--tls" | "--tlsverify" | "--tlscacert"
        | "--tlscert" | "--tlskey" => "leave it out: there is no daemon to connect to",
        "--config" => "set DOCKER_CONFIG to the directory with config.json",
        _ => return None,
    })
}

fn invalid_value(error: &clap::Error, arg: &str) -> (String, Option<String>) {
    let value = text(error, ContextKind::InvalidValue).unwrap_or_default();
    let valid = match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) if !values.is_empty() => Some(values.join(", ")),
        _ => None,
    };
    let choice = valid.map(|values| format!("write one of {values}"));
    if value.is_empty() {
        return (format!("{arg} needs a value"), choice);
    }
    let hint = did_you_mean(text(error, ContextKind::SuggestedValue)).or(choice);
    (format!("{arg} cannot be \"{value}\""), hint)
}

fn did_you_mean(word: Option<String>) -> Option<String> {
    word.map(|word| format!("did you mean {word}?"))
}

/// What an error says about something; of several words that look like a wrong one, the best.
fn text(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(all) if kind == ContextKind::InvalidArg => {
            let all: Vec<&str> = all.iter().map(|one| bare(one)).collect();
            Some(all.join(" and "))
        }
        // The grammar lists what is most alike last.
        ContextValue::Strings(all) => all.last().cloned(),
        _ => None,
    }
}

/// An option without its value, `--pull <POLICY>`, and an argument without its brackets, `<IMAGE [COMMAND]>...`.
fn bare(arg: &str) -> &str {
    if arg.starts_with('-') {
        return arg.split([' ', '=', '[']).next().unwrap_or(arg);
    }
    let arg = arg.trim_end_matches("...");
    let arg = arg.strip_prefix('<').unwrap_or(arg);
    let arg = arg.strip_suffix('>').unwrap_or(arg);
    arg.split(" [").next().unwrap_or(arg)
}

/// Why a value is none; the standard library speaks of digits and literals.
fn why(source: &(dyn Error + 'static)) -> String {
    if let Some(error) = source.downcast_ref::<ParseIntError>() {
        return match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "that is too much",
            _ => "that is no whole number",
        }
        .to_owned();
    }
    if source.is::<ParseFloatError>() {
        return "that is no number".to_owned();
    }
    super::line(source)
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::later::parse;

    const ROWS: &[(&str, &str, &str, u8)] = &[
        (
            "run --frob x",
            "unknown option --frob",
            "`carrier run --help`",
            125,
        ),
        (
            "ps --frmat x",
            "unknown option --frmat",
            "did you mean --format?",
            125,
        ),
        (
            "pss",
            "unknown verb \"pss\" of carrier",
            "did you mean ps?",
            1,
        ),
        (
            "network creat x",
            "unknown verb \"creat\" of carrier network",
            "did you mean create?",
            1,
        ),
        (
            "container xyzzy",
            "unknown verb \"xyzzy\" of carrier container",
            "`carrier container --help`",
            1,
        ),
        (
            "build .",
            "unknown verb \"build\" of carrier",
            "carrier load",
            1,
        ),
        (
            "image build .",
            "unknown verb \"build\" of carrier image",
            "carrier load",
            1,
        ),
        (
            "stack deploy",
            "unknown verb \"stack\" of carrier",
            "no clusters",
            1,
        ),
        ("-H tcp://x ps", "unknown option -H", "no daemon", 125),
        (
            "--context default ps",
            "unknown option --context",
            "no daemon",
            125,
        ),
        ("run", "carrier run needs IMAGE", "carrier run [OPTIONS]", 1),
        (
            "rename a",
            "carrier rename needs NEW_NAME",
            "carrier rename",
            1,
        ),
        (
            "ps --format",
            "--format needs a value",
            "`carrier ps --help`",
            125,
        ),
        (
            "create --pull nev x",
            "--pull cannot be \"nev\"",
            "did you mean never?",
            125,
        ),
        (
            "run --image-volume foo x",
            "--image-volume cannot be \"foo\"",
            "write one of anonymous, tmpfs, ignore",
            125,
        ),
        (
            "stop -t x y",
            "--timeout \"x\": that is no whole number",
            "`carrier stop --help`",
            125,
        ),
        (
            "images -q=maybe",
            "--quiet cannot be \"maybe\"",
            "write one of true, false",
            125,
        ),
        (
            "system df -v --format x",
            "--verbose cannot be used with --format",
            "leave out one",
            125,
        ),
        (
            "ls -l x y",
            "unexpected argument \"x\"",
            "carrier ls [OPTIONS]",
            125,
        ),
    ];

    fn mistake(words: &str) -> Mistake {
        let words = || ["carrier"].into_iter().chain(words.split_whitespace());
        let error = parse(words()).unwrap_err();
        Mistake::of(&error, words().map(Into::into)).unwrap()
    }

    #[test]
    fn a_wrong_command_line_is_one_line_with_a_way_out() {
        for (words, message, hint, code) in ROWS {
            let found = mistake(words);
            assert_eq!(found.message, *message, "{words}");
            assert!(found.hint.contains(hint), "{words}: {}", found.hint);
            assert_eq!(found.code(), *code, "{words}");
            assert!(!found.hint.contains('\n'), "{words}");
        }
    }

    #[test]
    fn help_is_no_mistake() {
        let error = parse(["carrier", "run", "--help"]).unwrap_err();
        assert_eq!(Mistake::of(&error, std::iter::empty()), None);
    }
}
