//! Whether containers are well and ready: the options of `run`, and `carrier healthcheck`.

use std::time::Duration;

use carrier_engine::{
    Engine, HealthAction, HealthOptions, ParseReadinessError, Readiness, parse_duration,
};

use super::print;
use crate::cli::health::{HealthcheckArgs, HealthcheckVerb};
use crate::cli::{FailureAction, HealthArgs, ReadyArgs};
use crate::report::{Failure, tell};

pub(crate) fn healthcheck(args: &HealthcheckArgs) -> Result<u8, Failure> {
    let HealthcheckVerb::Run { container } = &args.verb;
    let engine = Engine::open()?;
    let record = engine.container(container)?;
    if engine.check_health(&record)? {
        return Ok(0);
    }
    print("unhealthy\n")?;
    Ok(1)
}

/// What `--health-*` asks for.
pub(super) fn options(args: &HealthArgs) -> Result<HealthOptions, Failure> {
    let time = |name, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => duration(name, text).map(Some),
    };
    Ok(HealthOptions {
        none: args.no_healthcheck,
        command: args
            .health_cmd
            .clone()
            .filter(|command| !command.is_empty()),
        interval: time("--health-interval", &args.health_interval)?,
        timeout: time("--health-timeout", &args.health_timeout)?,
        start_period: time("--health-start-period", &args.health_start_period)?,
        start_interval: time("--health-start-interval", &args.health_start_interval)?,
        retries: args.health_retries,
        on_failure: match args.health_on_failure {
            None | Some(FailureAction::None) => HealthAction::None,
            Some(FailureAction::Kill) => HealthAction::Kill,
            Some(FailureAction::Restart) => HealthAction::Restart,
            Some(FailureAction::Stop) => HealthAction::Stop,
        },
    })
}

fn duration(name: &str, text: &str) -> Result<Duration, Failure> {
    parse_duration(text).ok_or_else(|| {
        Failure::with_hint(
            format!("invalid value for {name}: {text:?} is no duration"),
            "durations are numbers with units, like 30s, 1m30s or 500ms",
        )
    })
}

/// What `--wait` waits for, and how long.
pub(super) fn readiness(
    args: &ReadyArgs,
    detach: bool,
) -> Result<Option<(Readiness, Option<Duration>)>, Failure> {
    let Some(text) = &args.wait else {
        return Ok(None);
    };
    if !detach {
        return Err(Failure::with_hint(
            "--wait is for containers in the background",
            "add -d",
        ));
    }
    let readiness = text.parse().map_err(|error: ParseReadinessError| {
        let hint = "write --wait, --wait=healthy, --wait=port:8080 or --wait=log:TEXT";
        Failure::with_hint(error, hint)
    })?;
    let limit = match &args.wait_timeout {
        None => None,
        Some(text) => Some(match text.parse() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => duration("--wait-timeout", text)?,
        }),
    };
    Ok(Some((readiness, limit)))
}

/// Waits for a container that runs; one that does not get ready is left as it is.
pub(super) fn wait_until_ready(
    engine: &Engine,
    container: &str,
    (readiness, limit): (Readiness, Option<Duration>),
) -> u8 {
    match engine.wait_until_ready(container, &readiness, limit) {
        Ok(()) => 0,
        Err(error) => {
            tell(&error.into());
            1
        }
    }
}
