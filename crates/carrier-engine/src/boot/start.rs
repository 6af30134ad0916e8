//! Which containers come back.

use carrier_spec::ContainerName;

use crate::engine::Engine;
use crate::error::Error;
use crate::life::Life;
use crate::restart::RestartPolicy;

/// A container that was to come back.
pub type Returned = (ContainerName, Result<(), Error>);

impl Engine {
    /// Starts the containers that Docker's daemon would start when it starts, the oldest first. One
    /// that cannot be started keeps none of the others from it.
    ///
    /// # Errors
    /// When the containers cannot be listed.
    pub fn start_after_boot(&self, warn: &dyn Fn(&str)) -> Result<Vec<Returned>, Error> {
        let mut returned = Vec::new();
        for record in self.records()?.into_iter().rev() {
            if comes_back(record.restart, &self.life(&record)?) {
                let started = self.start(record.id.as_str(), warn);
                returned.push((record.name, started));
            }
        }
        Ok(returned)
    }
}

/// Docker's rule: a policy is for containers that were started once. `always` means also those that
/// the user has stopped, and what a boot has ended has failed.
fn comes_back(policy: RestartPolicy, life: &Life) -> bool {
    if life.started.is_none() || life.status.is_alive() {
        return false;
    }
    match policy {
        RestartPolicy::UnlessStopped if life.stopped => false,
        RestartPolicy::OnFailure(_) if life.stopped => false,
        policy => policy.wants(life.code, life.restarts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::life::Status;
    use crate::moment::Moment;

    #[test]
    fn containers_come_back_as_with_dockers_daemon() {
        use RestartPolicy::{Always, No, OnFailure, UnlessStopped};
        let life = |status, code, stopped, restarts| Life {
            status,
            code,
            stopped,
            restarts,
            started: Some(Moment::default()),
            ..Life::default()
        };
        let ended = |code, stopped| life(Status::Exited, code, stopped, 0);
        for (policy, life, expected) in [
            (No, ended(255, false), false),
            (Always, ended(0, false), true),
            (Always, ended(0, true), true),
            (Always, life(Status::Running, 0, false, 0), false),
            (Always, Life::default(), false),
            (UnlessStopped, ended(0, false), true),
            (UnlessStopped, ended(0, true), false),
            (OnFailure(None), ended(0, false), false),
            (OnFailure(None), ended(255, false), true),
            (OnFailure(Some(2)), life(Status::Exited, 1, false, 2), false),
            (OnFailure(None), ended(143, true), false),
        ] {
            assert_eq!(comes_back(policy, &life), expected, "{policy} {life:?}");
        }
    }
}
