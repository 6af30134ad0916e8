//! `carrier start` and `attach`

use carrier_engine::{AttachOptions, Ending, Engine, Wanted};

use super::super::detach_keys::detach_keys;
use super::each;
use crate::cli::{AttachArgs, AttachCommandArgs, StartArgs};
use crate::progress;
use crate::report::Failure;

pub(crate) fn start(args: &StartArgs) -> Result<u8, Failure> {
    let engine = Engine::open()?;
    if !args.attach && !args.interactive {
        return each(&args.containers, |word| {
            Ok(engine.start(word, &progress::warn)?)
        });
    }
    let [container] = args.containers.as_slice() else {
        return Err(Failure::usage(
            "you cannot start and attach multiple containers at once",
        ));
    };
    let streams = engine.container(container)?.streams;
    let interactive = args.interactive && streams.interactive;
    let mut wanted = Wanted::STDOUT | Wanted::STDERR;
    wanted.set(Wanted::STDIN, interactive);
    let options = attach_options(&args.keys, wanted, streams.terminal)?;
    let ending = engine.start_attached(container, &options, &progress::warn)?;
    Ok(code_of(ending))
}

pub(crate) fn attach(args: &AttachCommandArgs) -> Result<u8, Failure> {
    let engine = Engine::open()?;
    let record = engine.container(&args.container)?;
    let mut wanted = Wanted::STDOUT | Wanted::STDERR;
    wanted.set(Wanted::STDIN, !args.no_stdin && record.streams.interactive);
    let options = attach_options(&args.keys, wanted, record.streams.terminal)?;
    Ok(code_of(engine.attach(&args.container, &options)?))
}

/// Turns the command line into what the engine wants.
pub(crate) fn attach_options(
    args: &AttachArgs,
    wanted: Wanted,
    terminal: bool,
) -> Result<AttachOptions, Failure> {
    Ok(AttachOptions {
        wanted,
        detach_keys: detach_keys(args.detach_keys.as_deref(), terminal)?,
        forwards_signals: args.sig_proxy,
    })
}

pub(crate) fn code_of(ending: Ending) -> u8 {
    match ending {
        Ending::Exited(code) => code,
        Ending::Detached => 0,
        Ending::Lost => {
            progress::warn("the container's monitor was killed, and the program with it");
            137
        }
    }
}
