//! `carrier exec`, `carrier sh` and `carrier terminal`

use carrier_engine::{ContainerRecord, DetachKeys, Engine, ExecOptions, Leash, Streams, guarded};
use rustix::termios::isatty;

use super::detach_keys::detach_keys;
use super::run::{environment, require_terminal, working_directory};
use crate::cli::exec::{ExecArgs, ProgramArgs, ShellArgs, TerminalArgs};
use crate::report::{self, Failure};

pub(crate) fn exec(args: &ExecArgs) -> Result<u8, Failure> {
    if !args.detach {
        require_terminal(args.interactive, args.tty)?;
    }
    let mut words = args.words.as_slice();
    let container = match words.split_first() {
        Some((word, rest)) if !args.latest => {
            words = rest;
            Some(word)
        }
        _ => None,
    };
    if words.is_empty() {
        return Err(Failure::with_hint(
            "there is no command to execute",
            "name a program: `carrier exec CONTAINER PROGRAM [ARGUMENT...]`, or `carrier sh \
             CONTAINER` for a shell",
        ));
    }
    let terminal = args.tty && !args.detach;
    let detach_keys = detach_keys(args.detach_keys.as_deref(), terminal)?;
    let options = ExecOptions {
        command: words.to_vec(),
        streams: Streams {
            interactive: args.interactive && !args.detach,
            terminal: args.tty,
        },
        detach: args.detach,
        privileged: args.privileged,
        detach_keys,
        ..options(&args.how)?
    };
    let engine = Engine::open()?;
    let record = match container {
        Some(word) => engine.container(word)?,
        None => engine.latest_container()?,
    };
    run(&engine, &record, &options)
}

pub(crate) fn sh(args: &ShellArgs) -> Result<u8, Failure> {
    let on_terminal = isatty(rustix::stdio::stdin()) && isatty(rustix::stdio::stdout());
    enter(&args.how, &args.words, on_terminal, args.stopped)
}

pub(crate) fn terminal(args: &TerminalArgs) -> Result<u8, Failure> {
    enter(&args.how, &args.words, true, args.stopped)
}

/// Runs a program, or else the best shell, in the container that the first word names.
fn enter(
    how: &ProgramArgs,
    words: &[String],
    terminal: bool,
    stopped: bool,
) -> Result<u8, Failure> {
    let mut options = options(how)?;
    options.streams = Streams {
        interactive: true,
        terminal,
    };
    let engine = Engine::open()?;
    let (container, command) = words
        .split_first()
        .map_or(("", [].as_slice()), |(word, rest)| (word.as_str(), rest));
    let record = engine.container(container)?;
    options.command = command.to_vec();
    if command.is_empty() {
        let user = options.user.as_deref();
        let shell = if stopped {
            engine.shell_of_stopped(&record, user)
        } else {
            engine.shell(&record, user)
        };
        match shell {
            Ok(shell) => options.command.push(shell),
            Err(carrier_engine::Error::NoShell(_)) => options.command.push("sh".to_owned()),
            Err(error) => return Err(error.into()),
        }
    }
    let name = options.command.first().map_or("", String::as_str);
    if carrier_applets::is_applet(name) {
        let has_own = if stopped {
            engine.stopped_has_program(&record, &options)?
        } else {
            engine.has_program(&record, &options)?
        };
        if !has_own {
            options.own_program = true;
            options
                .command
                .insert(0, carrier_applets::PROGRAM.to_owned());
        }
    }
    if stopped {
        // It is the first process: nothing of it could go on.
        options.detach_keys = DetachKeys::none();
        return on_terminal_or_not(&options, |leash| {
            engine.run_in_stopped(&record, &options, leash)
        });
    }
    run(&engine, &record, &options)
}

fn options(how: &ProgramArgs) -> Result<ExecOptions, Failure> {
    Ok(ExecOptions {
        environment: environment(&how.env_file, &how.env)?,
        working_directory: working_directory(how.workdir.as_deref())?,
        user: how.user.clone(),
        ..ExecOptions::default()
    })
}

fn run(engine: &Engine, record: &ContainerRecord, options: &ExecOptions) -> Result<u8, Failure> {
    on_terminal_or_not(options, |leash| match leash {
        None => engine.exec(record, options),
        Some(leash) => engine.exec_on_terminal(record, options, leash),
    })
}

/// A program on a terminal is served by a process of its own.
fn on_terminal_or_not(
    options: &ExecOptions,
    work: impl FnOnce(Option<Leash>) -> Result<u8, carrier_engine::Error>,
) -> Result<u8, Failure> {
    if !options.streams.terminal {
        return Ok(work(None)?);
    }
    // What goes wrong behind the leash is told there: this process only waits.
    let code = guarded(|leash| report::code(work(Some(leash)).map_err(Failure::from)));
    Ok(code?)
}
