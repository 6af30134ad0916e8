//! `State`: how the container is.

use serde_json::{Value, json};

use super::go_time;
use crate::life::{Life, Status};
use crate::moment::Moment;

/// Go's time that was never set.
const NEVER: &str = "0001-01-01T00:00:00Z";

pub(super) fn describe(life: &Life) -> Value {
    let time = |moment: Option<Moment>| moment.map_or_else(|| NEVER.to_owned(), go_time);
    let is = |status: Status| life.status == status;
    // For one that runs, what it left with before is not told.
    let code = if life.status.is_up() { 0 } else { life.code };
    json!({
        "Status": life.status.word(),
        "Running": life.status.is_alive(),
        "Paused": is(Status::Paused),
        "Restarting": is(Status::Restarting),
        "OOMKilled": false,
        "Dead": false,
        "Pid": life.first_process().map_or(0, |process| process.pid),
        "ExitCode": code,
        "Error": life.error.as_deref().unwrap_or_default(),
        "StartedAt": time(life.started),
        "FinishedAt": time(life.finished),
    })
}
