//! When a container is started again without anybody asking.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Docker's restart policies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// Whatever its program left with, also after a boot.
    Always,
    /// The same, unless the user has stopped it.
    UnlessStopped,
    /// When its program failed, at most so often in a row; without a number, for ever.
    OnFailure(Option<u32>),
}

/// A text that is no restart policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a restart policy")]
pub struct NoRestartPolicy(String);

impl FromStr for RestartPolicy {
    type Err = NoRestartPolicy;

    fn from_str(text: &str) -> Result<Self, NoRestartPolicy> {
        match text {
            "" | "no" | "never" => Ok(Self::No),
            "always" => Ok(Self::Always),
            "unless-stopped" => Ok(Self::UnlessStopped),
            "on-failure" => Ok(Self::OnFailure(None)),
            other => other
                .strip_prefix("on-failure:")
                .and_then(|count| count.parse().ok())
                // Docker's zero is no limit.
                .map(|count: u32| Self::OnFailure(Some(count).filter(|count| *count > 0)))
                .ok_or_else(|| NoRestartPolicy(other.to_owned())),
        }
    }
}

impl RestartPolicy {
    /// Docker's name, without the count.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
            Self::OnFailure(_) => "on-failure",
        }
    }

    /// How often in a row `on-failure` tries; zero without a limit, as in Docker.
    #[must_use]
    pub fn maximum(self) -> u32 {
        match self {
            Self::OnFailure(count) => count.unwrap_or(0),
            _ => 0,
        }
    }

    /// Whether a program that left with `code` is started again, after so many restarts in a row.
    pub(crate) fn wants(self, code: u8, restarts: u32) -> bool {
        match self {
            Self::No => false,
            Self::Always | Self::UnlessStopped => true,
            Self::OnFailure(limit) => code != 0 && limit.is_none_or(|limit| restarts < limit),
        }
    }
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::OnFailure(Some(count)) => write!(f, ":{count}"),
            _ => Ok(()),
        }
    }
}

/// How long to wait before the next start: twice as long each time, Docker's numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BackOff(Option<Duration>);

impl BackOff {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_mins(1);
    /// A program that ran so long has recovered.
    const RECOVERED: Duration = Duration::from_secs(10);

    /// The wait after a program that ran for `lifetime`.
    pub(crate) fn next(&mut self, lifetime: Duration) -> Duration {
        let wait = match self.0 {
            Some(last) if lifetime < Self::RECOVERED => (last * 2).min(Self::LONGEST),
            _ => Self::FIRST,
        };
        self.0 = Some(wait);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_dockers() {
        for (text, policy) in [
            ("no", RestartPolicy::No),
            ("always", RestartPolicy::Always),
            ("unless-stopped", RestartPolicy::UnlessStopped),
            ("on-failure", RestartPolicy::OnFailure(None)),
            ("on-failure:0", RestartPolicy::OnFailure(None)),
            ("on-failure:3", RestartPolicy::OnFailure(Some(3))),
        ] {
            assert_eq!(text.parse(), Ok(policy));
        }
        for bad in ["Always", "on-failure:", "on-failure:-1", "always:3"] {
            assert!(bad.parse::<RestartPolicy>().is_err(), "{bad}");
        }
    }

    #[test]
    fn failures_are_counted_and_success_ends_it() {
        let policy = RestartPolicy::OnFailure(Some(2));
        assert!(policy.wants(1, 0) && policy.wants(1, 1) && !policy.wants(1, 2));
        assert!(!policy.wants(0, 0));
        assert!(RestartPolicy::Always.wants(0, 1000));
    }

    #[test]
    fn the_wait_doubles_until_the_program_recovers() {
        let mut wait = BackOff::default();
        let short = Duration::from_secs(1);
        let millis: Vec<_> = (0..4).map(|_| wait.next(short).as_millis()).collect();
        assert_eq!(millis, [100, 200, 400, 800]);
        assert_eq!(
            (0..20).map(|_| wait.next(short)).last(),
            Some(Duration::from_mins(1))
        );
        assert_eq!(wait.next(Duration::from_secs(10)).as_millis(), 100);
    }
}
