//! What the answers mean.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::check::HealthCheck;
use crate::moment::Moment;

/// So many answers are kept.
const KEPT: usize = 5;

/// The health of a container that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// What is known.
    pub status: HealthStatus,
    /// Failures in a row.
    pub failing_streak: u32,
    /// The last answers, the oldest first.
    pub log: Vec<Probe>,
}

/// How a container is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// It was not well yet, and has not failed often.
    #[default]
    Starting,
    /// The last check went well, or few failed since.
    Healthy,
    /// As many checks failed as may not.
    Unhealthy,
}

impl HealthStatus {
    /// Docker's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// One check that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// When it began.
    pub start: Moment,
    /// When the answer came.
    pub end: Moment,
    /// 0 for well, -1 where there was no answer.
    pub exit_code: i32,
    /// What the program wrote, or why there was no answer.
    pub output: String,
}

impl Health {
    /// Takes an answer in that came for a check which began `age` after the container's start.
    pub fn take(&mut self, probe: Probe, age: Duration, check: &HealthCheck) {
        if probe.exit_code == 0 {
            self.failing_streak = 0;
            self.status = HealthStatus::Healthy;
        } else if self.status != HealthStatus::Starting || age >= check.start_period() {
            self.failing_streak = self.failing_streak.saturating_add(1);
            if self.failing_streak >= check.retries() {
                self.status = HealthStatus::Unhealthy;
            }
        }
        let excess = (self.log.len() + 1).saturating_sub(KEPT);
        self.log.drain(..excess);
        self.log.push(probe);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::HealthOptions;

    fn check() -> HealthCheck {
        let options = HealthOptions {
            command: Some("true".to_owned()),
            start_period: Some(Duration::from_secs(10)),
            retries: Some(2),
            ..Default::default()
        };
        HealthCheck::resolve(None, None, &options).unwrap().unwrap()
    }

    fn probe(exit_code: i32) -> Probe {
        Probe {
            start: Moment::default(),
            end: Moment::default(),
            exit_code,
            output: String::new(),
        }
    }

    #[test]
    fn answers_mean_what_they_mean_to_docker() {
        use HealthStatus::{Healthy, Starting, Unhealthy};
        let check = check();
        let mut health = Health::default();
        for (age, code, status, streak) in [
            (1, 1, Starting, 0),
            (9, -1, Starting, 0),
            (10, 1, Starting, 1),
            (11, 2, Unhealthy, 2),
            (12, 1, Unhealthy, 3),
            (13, 0, Healthy, 0),
            (14, 1, Healthy, 1),
            (15, 0, Healthy, 0),
            (16, 1, Healthy, 1),
            (17, 1, Unhealthy, 2),
        ] {
            health.take(probe(code), Duration::from_secs(age), &check);
            assert_eq!(
                (health.status, health.failing_streak),
                (status, streak),
                "at {age}"
            );
        }
        let codes: Vec<_> = health.log.iter().map(|probe| probe.exit_code).collect();
        assert_eq!(codes, [0, 1, 0, 1, 1]);
    }

    #[test]
    fn failures_count_at_once_after_the_first_success() {
        let check = check();
        let mut health = Health::default();
        for code in [0, 1, 1] {
            health.take(probe(code), Duration::ZERO, &check);
        }
        assert_eq!(health.status, HealthStatus::Unhealthy);
    }
}
