//! `carrier cp`

use carrier_engine::{Copied, CopyOptions, Engine, HostEnd};
use rustix::termios::isatty;

use crate::cli::files::CopyArgs;
use crate::progress;
use crate::report::Failure;
use crate::table;

pub(crate) fn cp(args: &CopyArgs) -> Result<u8, Failure> {
    for (what, word) in [("source", &args.source), ("destination", &args.destination)] {
        if word.is_empty() {
            return Err(Failure::with_hint(
                format!("{what} can not be empty"),
                "name a path, CONTAINER:PATH or -",
            ));
        }
    }
    let options = CopyOptions {
        archive: args.archive,
        follow: args.follow_link,
    };
    let engine = || -> Result<Engine, Failure> { Ok(Engine::open()?) };
    let (copied, to) = match (End::new(&args.source), End::new(&args.destination)) {
        (End::Container(..), End::Container(..)) => {
            return Err(Failure::with_hint(
                "copying between containers is not supported",
                "let one copy feed the other: `carrier cp C1:SOURCE - | carrier cp - C2:DIRECTORY`",
            ));
        }
        (End::Host(_), End::Host(_)) => {
            return Err(Failure::with_hint(
                "must specify at least one container source",
                "name a file of a container as CONTAINER:PATH",
            ));
        }
        (End::Container(container, path), End::Host(to)) => {
            let end = output(to)?;
            let engine = engine()?;
            let copied = engine.copy_out(container, path, end, options)?;
            engine.emit_about("copy", container);
            (copied, to.to_owned())
        }
        (End::Host(from), End::Container(container, path)) => {
            let end = input(from)?;
            let to = format!("{container}:{path}");
            let engine = engine()?;
            let copied = engine.copy_in(end, container, path, options)?;
            engine.emit_about("copy", container);
            (copied, to)
        }
    };
    tell(&copied);
    if !args.quiet && args.destination != "-" {
        let size = table::size(copied.bytes);
        progress::note(&format!("Successfully copied {size} to {to}"));
    }
    Ok(0)
}

/// One side of a copy.
#[derive(Debug, PartialEq, Eq)]
enum End<'a> {
    Container(&'a str, &'a str),
    Host(&'a str),
}

impl<'a> End<'a> {
    /// Docker's rule: what begins with a slash or a dot is of the host, whatever else is in it.
    fn new(word: &'a str) -> Self {
        match word.split_once(':') {
            Some((container, path))
                if !word.starts_with('/')
                    && !container.starts_with('.')
                    && !container.is_empty() =>
            {
                Self::Container(container, path)
            }
            _ => Self::Host(word),
        }
    }
}

fn output(path: &str) -> Result<HostEnd<'_>, Failure> {
    if path != "-" {
        return Ok(HostEnd::Path(path));
    }
    let stdout = rustix::stdio::stdout();
    if isatty(stdout) {
        return Err(Failure::with_hint(
            "cowardly refusing to copy an archive to a terminal",
            "redirect standard output, or name a destination",
        ));
    }
    Ok(HostEnd::Stream(stdout))
}

fn input(path: &str) -> Result<HostEnd<'_>, Failure> {
    if path != "-" {
        return Ok(HostEnd::Path(path));
    }
    let stdin = rustix::stdio::stdin();
    if isatty(stdin) {
        return Err(Failure::with_hint(
            "an archive is expected on standard input, but it is a terminal",
            "redirect standard input, or name a source",
        ));
    }
    Ok(HostEnd::Stream(stdin))
}

fn tell(copied: &Copied) {
    for name in &copied.changed {
        progress::warn(&format!("{name} changed while it was read"));
    }
    if copied.skipped_devices > 0 {
        let count = copied.skipped_devices;
        progress::warn(&format!(
            "{count} device nodes were left out: only the host's root can make them"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_apart_as_docker_does() {
        for (word, end) in [
            ("web:/etc", End::Container("web", "/etc")),
            ("web:etc", End::Container("web", "etc")),
            ("web:", End::Container("web", "")),
            ("/a:b", End::Host("/a:b")),
            ("./a:b", End::Host("./a:b")),
            ("../a:b", End::Host("../a:b")),
            ("a", End::Host("a")),
            ("-", End::Host("-")),
            (":/a", End::Host(":/a")),
        ] {
            assert_eq!(End::new(word), end, "{word}");
        }
    }
}
