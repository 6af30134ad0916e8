//! A shell and small programs for containers whose images have none.
//!
//! They run inside a container, in a process of Carrier's own binary, and know nothing of the host or of
//! Carrier: no configuration, no store, no way out. A program is called by the name [`PROGRAM`], and the
//! first word says which one is meant. The shell starts the others through `/proc/self/exe`.

mod files;
mod listing;
mod options;
mod processes;
mod shell;
mod system;
mod text;
mod tree;

use std::ffi::OsString;
use std::io::{self, BufWriter, Stdout, Write};
use std::path::Path;
use std::process::ExitCode;

/// The name by which the programs are called.
pub const PROGRAM: &str = "carrier-applet";

/// What an applet writes to.
pub(crate) type Out = BufWriter<Stdout>;

/// What becomes of an applet: its exit code, or what it complains about before it ends with 1.
pub(crate) type Outcome = Result<u8, Complaint>;

/// Something that an applet could not do.
#[derive(Debug)]
pub(crate) enum Complaint {
    /// In words.
    Words(String),
    /// Nobody reads what it writes.
    NoReader,
}

type Applet = fn(&[OsString], &mut Out) -> Outcome;

/// The programs, by name.
const APPLETS: [(&str, Applet); 45] = [
    ("basename", text::basename),
    ("cat", text::cat),
    ("chmod", files::chmod),
    ("clear", system::clear),
    ("cp", files::cp),
    ("date", system::date),
    ("df", system::df),
    ("dirname", text::dirname),
    ("du", listing::du),
    ("echo", text::echo),
    ("env", system::env),
    ("false", system::no),
    ("find", tree::find),
    ("free", system::free),
    ("grep", text::grep),
    ("head", text::head),
    ("help", help),
    ("hostname", system::hostname),
    ("id", system::id),
    ("kill", processes::kill),
    ("ln", files::ln),
    ("ls", listing::ls),
    ("mkdir", files::mkdir),
    ("mount", system::mount),
    ("mv", files::mv),
    ("nproc", system::nproc),
    ("printenv", system::env),
    ("ps", processes::ps),
    ("pwd", system::pwd),
    ("readlink", files::readlink),
    ("rm", files::rm),
    ("rmdir", files::rmdir),
    ("sh", shell::sh),
    ("sleep", system::sleep),
    ("sort", text::sort),
    ("stat", listing::stat),
    ("tail", text::tail),
    ("tee", text::tee),
    ("touch", files::touch),
    ("true", system::yes),
    ("tty", system::tty),
    ("uname", system::uname),
    ("wc", text::wc),
    ("which", system::which),
    ("whoami", system::whoami),
];

/// Whether there is a program of this name.
#[must_use]
pub fn is_applet(name: &str) -> bool {
    find(name).is_some()
}

fn find(name: &str) -> Option<Applet> {
    let mut all = APPLETS.iter();
    all.find(|(known, _)| *known == name)
        .map(|(_, applet)| *applet)
}

/// Whether a process with these words is one of the programs.
pub fn is_asked_for(mut words: impl Iterator<Item = OsString>) -> bool {
    words.next().is_some_and(|name| name == PROGRAM)
}

/// Runs the program that the words name, the first being [`PROGRAM`].
pub fn main(words: impl Iterator<Item = OsString>) -> ExitCode {
    let words: Vec<OsString> = words.skip(1).collect();
    let Some((name, arguments)) = words.split_first() else {
        return ExitCode::from(127);
    };
    let name = name.to_string_lossy();
    let Some(applet) = find(&name) else {
        complain(&name, "there is no such applet");
        return ExitCode::from(127);
    };
    let mut out = BufWriter::new(io::stdout());
    let outcome = applet(arguments, &mut out);
    let code = match out.flush() {
        Err(_) => Err(Complaint::NoReader),
        Ok(()) => outcome,
    };
    match code {
        Ok(code) => code.into(),
        Err(Complaint::Words(words)) => {
            complain(&name, &words);
            ExitCode::FAILURE
        }
        // 128 and the number of SIGPIPE.
        Err(Complaint::NoReader) => ExitCode::from(141),
    }
}

fn help(_: &[OsString], out: &mut Out) -> Outcome {
    writeln!(out, "Programs of Carrier, for this terminal only:")?;
    let names: Vec<&str> = APPLETS.iter().map(|(name, _)| *name).collect();
    for line in names.chunks(9) {
        writeln!(out, "  {}", line.join(" "))?;
    }
    writeln!(
        out,
        "The shell knows cd exit export unset; quotes $VARIABLES * ? [ ] | && || ; > >> < 2> 2>&1"
    )?;
    Ok(0)
}

/// Tells on standard error. Nobody is left to tell when that fails.
pub(crate) fn complain(name: &str, words: &str) {
    let _ = writeln!(io::stderr(), "{name}: {words}");
}

/// Tells about one of several operands, and goes on.
pub(crate) fn complain_of(name: &str, path: &Path, error: &io::Error) {
    complain(name, &sentence(path, error));
}

pub(crate) fn sentence(path: &Path, error: &io::Error) -> String {
    format!("{}: {}", path.display(), plain(error))
}

/// The standard library's ` (os error 13)` tells users nothing.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

impl From<io::Error> for Complaint {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::NoReader,
            _ => Self::Words(plain(&error)),
        }
    }
}

impl From<rustix::io::Errno> for Complaint {
    fn from(errno: rustix::io::Errno) -> Self {
        io::Error::from(errno).into()
    }
}

impl From<String> for Complaint {
    fn from(words: String) -> Self {
        Self::Words(words)
    }
}

impl From<&str> for Complaint {
    fn from(words: &str) -> Self {
        Self::Words(words.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_are_sorted_and_found() {
        assert!(APPLETS.is_sorted_by_key(|(name, _)| *name));
        assert!(is_applet("sh") && is_applet("ls") && !is_applet("no-such"));
    }
}
