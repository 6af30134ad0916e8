//! `carrier stop`, `restart`, `kill`, `wait`, `pause` and `unpause`

use carrier_engine::{Engine, Readiness, StopOptions, WaitCondition, signal_number};

use super::{each, targets};
use crate::cli::{Condition, KillArgs, RestartArgs, StopArgs, TargetsArgs, WaitArgs};
use crate::commands::print;
use crate::progress;
use crate::report::{Failure, tell};

pub(crate) fn stop(args: &StopArgs) -> Result<u8, Failure> {
    let engine = Engine::open()?;
    let options = StopOptions {
        signal: if args.force {
            Some(number("KILL")?)
        } else {
            args.signal.as_deref().map(number).transpose()?
        },
        timeout: args.time,
    };
    each(&targets(&engine, &args.targets)?, |word| {
        match engine.stop(word, &options) {
            Err(carrier_engine::Error::NoSuchContainer(_)) if args.ignore => Ok(()),
            other => Ok(other?),
        }
    })
}

pub(crate) fn restart(args: &RestartArgs) -> Result<u8, Failure> {
    let engine = Engine::open()?;
    let options = StopOptions {
        signal: args.signal.as_deref().map(number).transpose()?,
        timeout: args.time,
    };
    each(&targets(&engine, &args.targets)?, |word| {
        Ok(engine.restart(word, &options, &progress::warn)?)
    })
}

pub(crate) fn kill(args: &KillArgs) -> Result<u8, Failure> {
    let engine = Engine::open()?;
    let signal = number(&args.signal)?;
    each(&targets(&engine, &args.targets)?, |word| {
        Ok(engine.kill(word, signal)?)
    })
}

pub(crate) fn wait(args: &WaitArgs) -> Result<u8, Failure> {
    let engine = Engine::open()?;
    let wait = |word: &str| match args.condition {
        Condition::NotRunning => engine.wait(word, WaitCondition::NotRunning).map(i32::from),
        Condition::NextExit => engine.wait(word, WaitCondition::NextExit).map(i32::from),
        Condition::Removed => engine.wait(word, WaitCondition::Removed).map(i32::from),
        // It has not ended: there is no code, as in Podman.
        Condition::Healthy => {
            let ready = engine.wait_until_ready(word, &Readiness::EventuallyHealthy, None);
            ready.map(|()| -1)
        }
    };
    let mut code = 0;
    for word in &args.containers {
        match wait(word) {
            Ok(left_with) => print(&format!("{left_with}\n"))?,
            Err(error) => {
                tell(&error.into());
                code = 1;
            }
        }
    }
    Ok(code)
}

pub(crate) fn pause(args: &TargetsArgs, pause: bool) -> Result<u8, Failure> {
    let engine = Engine::open()?;
    each(&targets(&engine, args)?, |word| {
        Ok(engine.pause(word, pause)?)
    })
}

fn number(word: &str) -> Result<i32, Failure> {
    signal_number(word).ok_or_else(|| {
        Failure::with_hint(
            format!("{word:?} is not a signal"),
            "signal(7) lists the names; numbers are from 1 to 64",
        )
    })
}
