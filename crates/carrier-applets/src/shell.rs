//! A small shell: commands, pipes, redirections, variables and patterns; no functions, no loops.

mod expand;
mod parse;
mod run;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;

use crate::{Out, Outcome, complain};
pub(crate) use expand::matches;
use parse::{Parsed, parse};

/// What a shell remembers.
#[derive(Debug, Default)]
struct Shell {
    /// Those that programs do not get.
    variables: BTreeMap<String, OsString>,
    /// Those that programs get.
    exported: BTreeMap<String, OsString>,
    /// `$0` and what follows.
    arguments: Vec<OsString>,
    /// `$?`
    code: u8,
    /// The code to end with.
    ends: Option<u8>,
}

/// `sh [-c TEXT | FILE] [ARGUMENT...]`, or what comes on standard input.
pub(crate) fn sh(arguments: &[OsString], out: &mut Out) -> Outcome {
    out.flush()?;
    let mut shell = Shell {
        exported: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect(),
        ..Shell::default()
    };
    match arguments {
        [option, rest @ ..] if option == "-c" => {
            let (text, rest) = rest.split_first().ok_or("-c needs a command")?;
            shell.arguments = if rest.is_empty() {
                vec!["sh".into()]
            } else {
                rest.to_vec()
            };
            shell.script(&text.clone().into_vec());
        }
        [file, ..] if !file.as_encoded_bytes().starts_with(b"-") => {
            shell.arguments = arguments.to_vec();
            let text = fs::read(file).map_err(|error| crate::sentence(file.as_ref(), &error))?;
            shell.script(&text);
        }
        _ => {
            shell.arguments = vec!["sh".into()];
            shell.interact()?;
        }
    }
    Ok(shell.ends.unwrap_or(shell.code))
}

impl Shell {
    /// Runs a text; whether it is complete.
    fn script(&mut self, text: &[u8]) -> bool {
        match parse(text) {
            Ok(Parsed::Incomplete) => return false,
            Ok(Parsed::Lists(list)) => self.run_list(&list),
            Err(words) => {
                complain("sh", &words);
                self.code = 2;
            }
        }
        true
    }

    /// Reads line after line, so that a program that is started can read the rest.
    fn interact(&mut self) -> io::Result<()> {
        let terminal = io::stdin().is_terminal();
        if terminal {
            carrier_sys::signal::only_interrupt(&[keys::INT, keys::QUIT])?;
            say("A small shell of Carrier, for this terminal only; `help` lists its programs.\n");
        }
        let mut text = Vec::new();
        while self.ends.is_none() {
            if terminal {
                say(&self.prompt(text.is_empty()));
            }
            match read_line(&mut text) {
                Ok(true) => {
                    if self.script(&text) {
                        text.clear();
                    }
                }
                Ok(false) if text.is_empty() => break,
                Ok(false) => {
                    complain("sh", "a quote or a command is not complete");
                    self.code = 2;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    text.clear();
                    self.code = 130;
                    say("\n");
                }
                Err(error) => return Err(error),
            }
        }
        if terminal && self.ends.is_none() {
            say("\n");
        }
        Ok(())
    }

    fn prompt(&self, begins: bool) -> String {
        if !begins {
            return "> ".to_owned();
        }
        let directory = std::env::current_dir().unwrap_or_default();
        let directory: String = directory
            .to_string_lossy()
            .chars()
            .map(|c| if c.is_control() { '?' } else { c })
            .collect();
        let sign = if rustix::process::geteuid().is_root() {
            '#'
        } else {
            '$'
        };
        format!("{directory} {sign} ")
    }
}

/// Signals that a user's keys send.
mod keys {
    use rustix::process::Signal;

    pub(super) const INT: i32 = Signal::INT.as_raw();
    pub(super) const QUIT: i32 = Signal::QUIT.as_raw();
}

/// Nobody is left to tell when that fails.
fn say(text: &str) {
    let mut out = io::stderr();
    let _ = out.write_all(text.as_bytes());
}

/// Appends a line, byte by byte: what follows may be for another program. Whether there was one.
fn read_line(text: &mut Vec<u8>) -> io::Result<bool> {
    let before = text.len();
    loop {
        let mut byte = [0];
        if rustix::io::read(rustix::stdio::stdin(), &mut byte)? == 0 {
            return Ok(text.len() > before);
        }
        text.extend(byte);
        if byte == *b"\n" {
            return Ok(true);
        }
    }
}
