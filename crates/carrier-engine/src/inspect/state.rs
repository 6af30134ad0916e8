//! `State`: how the container is.

use serde_json::{Value, json};

use super::go_time;
use crate::health::{Health, Probe};
use crate::life::{Life, Status};
use crate::moment::Moment;

/// Go's time that was never set.
const NEVER: &str = "0001-01-01T00:00:00Z";

pub(super) fn describe(life: &Life) -> Value {
    let time = |moment: Option<Moment>| moment.map_or_else(|| NEVER.to_owned(), go_time);
    let is = |status: Status| life.status == status;
    // For one that runs, what it left with before is not told.
    let code = if life.status.is_up() { 0 } else { life.code };
    let mut state = json!({
        "Status": life.status.word(),
        "Running": life.status.is_alive(),
        "Paused": is(Status::Paused),
        "Restarting": is(Status::Restarting),
        "OOMKilled": life.oom_killed,
        "Dead": false,
        "Pid": life.first_process().map_or(0, |process| process.pid),
        "ExitCode": code,
        "Error": life.error.as_deref().unwrap_or_default(),
        "StartedAt": time(life.started),
        "FinishedAt": time(life.finished),
    });
    if let (Some(health), Some(fields)) = (&life.health, state.as_object_mut()) {
        fields.insert("Health".to_owned(), describe_health(health));
    }
    state
}

fn describe_health(health: &Health) -> Value {
    let probe = |probe: &Probe| {
        json!({
            "Start": go_time(probe.start),
            "End": go_time(probe.end),
            "ExitCode": probe.exit_code,
            "Output": probe.output,
        })
    };
    json!({
        "Status": health.status.as_str(),
        "FailingStreak": health.failing_streak,
        "Log": health.log.iter().map(probe).collect::<Vec<_>>(),
    })
}
