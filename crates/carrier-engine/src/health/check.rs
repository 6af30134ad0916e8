//! What is asked: the image's `HEALTHCHECK`, and what the user says about it.

use std::time::Duration;

use carrier_spec::Healthcheck;
use serde::{Deserialize, Serialize};

const SECOND: i64 = 1_000_000_000;
/// Docker's defaults.
const INTERVAL: i64 = 30 * SECOND;
const TIMEOUT: i64 = 30 * SECOND;
const START_INTERVAL: i64 = 5 * SECOND;
const RETRIES: u32 = 3;
const SHORTEST: Duration = Duration::from_millis(1);

/// What a user asks for with `--health-*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthOptions {
    /// `--no-healthcheck`
    pub none: bool,
    /// `--health-cmd`, a text for the shell.
    pub command: Option<String>,
    /// `--health-interval`
    pub interval: Option<Duration>,
    /// `--health-timeout`
    pub timeout: Option<Duration>,
    /// `--health-start-period`
    pub start_period: Option<Duration>,
    /// `--health-start-interval`
    pub start_interval: Option<Duration>,
    /// `--health-retries`
    pub retries: Option<u32>,
    /// `--health-on-failure`
    pub on_failure: HealthAction,
}

/// What happens to a container that is unhealthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthAction {
    /// It is shown.
    #[default]
    None,
    /// It gets SIGKILL.
    Kill,
    /// It is stopped and started again.
    Restart,
    /// It is stopped.
    Stop,
}

/// The check of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// As it is shown: the image's, with what the user changed.
    pub config: Healthcheck,
    /// The words that are run; none where nothing is to be checked.
    pub command: Vec<String>,
    /// What happens to the container when it is unhealthy.
    #[serde(default)]
    pub on_failure: HealthAction,
}

/// Options that make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHealthOption {
    /// No check, and how it is done.
    #[error("--no-healthcheck conflicts with --health-* options")]
    Conflict,
    /// Nobody can check so often.
    #[error("{0} cannot be less than 1ms")]
    TooShort(&'static str),
    /// The image has none, and the user named none.
    #[error("--health-on-failure needs a health check, and there is none")]
    NothingToFail,
}

impl HealthCheck {
    /// Joins what the image says and what the user says, who wins. `shell` is the image's.
    ///
    /// # Errors
    /// For options that make no sense.
    pub fn resolve(
        image: Option<&Healthcheck>,
        shell: Option<&[String]>,
        options: &HealthOptions,
    ) -> Result<Option<Self>, BadHealthOption> {
        options.validate()?;
        let none = || Healthcheck {
            test: Some(vec!["NONE".to_owned()]),
            ..Default::default()
        };
        let mut config = match image {
            _ if options.none => none(),
            Some(image) => image.clone(),
            None => Healthcheck::default(),
        };
        if let Some(command) = &options.command {
            config.test = Some(vec!["CMD-SHELL".to_owned(), command.clone()]);
        }
        for (field, asked) in [
            (&mut config.interval, options.interval),
            (&mut config.timeout, options.timeout),
            (&mut config.start_period, options.start_period),
            (&mut config.start_interval, options.start_interval),
        ] {
            if let Some(asked) = asked.filter(|asked| !asked.is_zero()) {
                *field = i64::try_from(asked.as_nanos()).unwrap_or(i64::MAX);
            }
        }
        if let Some(retries) = options.retries.filter(|retries| *retries > 0) {
            config.retries = retries.into();
        }
        let command = command(&config, shell);
        if command.is_empty() && options.on_failure != HealthAction::None {
            return Err(BadHealthOption::NothingToFail);
        }
        Ok((config != Healthcheck::default()).then_some(Self {
            config,
            command,
            on_failure: options.on_failure,
        }))
    }

    /// Whether there is something to run.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.command.is_empty()
    }

    /// Between two checks, `age` after the start of a container that was never well until now, or
    /// of any other.
    #[must_use]
    pub fn interval(&self, age: Duration, is_starting: bool) -> Duration {
        if is_starting && age < self.start_period() {
            nanoseconds(self.config.start_interval, START_INTERVAL)
        } else {
            nanoseconds(self.config.interval, INTERVAL)
        }
    }

    /// The longest that a check may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        nanoseconds(self.config.timeout, TIMEOUT)
    }

    /// How long failures do not count.
    #[must_use]
    pub fn start_period(&self) -> Duration {
        nanoseconds(self.config.start_period, 0)
    }

    /// So many failures in a row make a container unhealthy.
    #[must_use]
    pub fn retries(&self) -> u32 {
        let asked = u32::try_from(self.config.retries).ok();
        asked.filter(|retries| *retries > 0).unwrap_or(RETRIES)
    }
}

impl HealthOptions {
    fn validate(&self) -> Result<(), BadHealthOption> {
        let changes_check = Self {
            none: false,
            on_failure: HealthAction::None,
            ..self.clone()
        };
        if self.none && changes_check != Self::default() {
            return Err(BadHealthOption::Conflict);
        }
        for (name, value) in [
            ("--health-interval", self.interval),
            ("--health-timeout", self.timeout),
            ("--health-start-period", self.start_period),
            ("--health-start-interval", self.start_interval),
        ] {
            if value.is_some_and(|value| !value.is_zero() && value < SHORTEST) {
                return Err(BadHealthOption::TooShort(name));
            }
        }
        Ok(())
    }
}

/// What is not positive is the default: no image makes us check without a pause.
fn nanoseconds(value: i64, default: i64) -> Duration {
    let value = if value > 0 { value } else { default };
    Duration::from_nanos(value.unsigned_abs())
}

fn command(config: &Healthcheck, shell: Option<&[String]>) -> Vec<String> {
    let words = config.test.as_deref().unwrap_or_default();
    match words.split_first() {
        Some((kind, words)) if kind == "CMD" => words.to_vec(),
        Some((kind, words)) if kind == "CMD-SHELL" && !words.is_empty() => {
            let mut command = match shell {
                Some(shell) if !shell.is_empty() => shell.to_vec(),
                _ => vec!["/bin/sh".to_owned(), "-c".to_owned()],
            };
            command.push(words.join(" "));
            command
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(test: &[&str]) -> Healthcheck {
        Healthcheck {
            test: Some(test.iter().map(ToString::to_string).collect()),
            interval: 5 * SECOND,
            ..Default::default()
        }
    }

    fn command_of(check: Option<HealthCheck>) -> String {
        check.map_or_else(|| "-".to_owned(), |check| check.command.join(" "))
    }

    #[test]
    fn the_users_words_win_over_the_images() {
        let asked = HealthOptions {
            command: Some("test -e /ok".to_owned()),
            retries: Some(1),
            ..Default::default()
        };
        let none = HealthOptions {
            none: true,
            ..Default::default()
        };
        for (image, options, expected) in [
            (None, &HealthOptions::default(), "-"),
            (None, &asked, "/bin/sh -c test -e /ok"),
            (
                Some(image(&["CMD", "a", "b"])),
                &HealthOptions::default(),
                "a b",
            ),
            (
                Some(image(&["CMD-SHELL", "a | b"])),
                &HealthOptions::default(),
                "/bin/sh -c a | b",
            ),
            (
                Some(image(&["CMD", "a", "b"])),
                &asked,
                "/bin/sh -c test -e /ok",
            ),
            (Some(image(&["CMD", "a", "b"])), &none, ""),
            (Some(image(&["NONE"])), &HealthOptions::default(), ""),
            (Some(image(&[])), &HealthOptions::default(), ""),
        ] {
            let check = HealthCheck::resolve(image.as_ref(), None, options).unwrap();
            assert_eq!(command_of(check), expected);
        }
        let check = HealthCheck::resolve(Some(&image(&["CMD", "a"])), None, &asked).unwrap();
        let check = check.unwrap();
        assert_eq!((check.config.interval, check.retries()), (5 * SECOND, 1));
    }

    #[test]
    fn the_images_shell_runs_the_text() {
        let shell = ["/bin/bash".to_owned(), "-ec".to_owned()];
        let image = image(&["CMD-SHELL", "true"]);
        let check = HealthCheck::resolve(Some(&image), Some(&shell), &HealthOptions::default());
        assert_eq!(command_of(check.unwrap()), "/bin/bash -ec true");
    }

    #[test]
    fn hostile_numbers_are_dockers_defaults() {
        let check = HealthCheck {
            config: Healthcheck {
                interval: -1,
                timeout: i64::MIN,
                start_period: -5,
                retries: i64::MAX,
                ..Default::default()
            },
            command: vec!["true".to_owned()],
            on_failure: HealthAction::None,
        };
        assert_eq!(
            check.interval(Duration::ZERO, true),
            Duration::from_secs(30)
        );
        assert_eq!(check.timeout(), Duration::from_secs(30));
        assert_eq!(check.start_period(), Duration::ZERO);
        assert_eq!(check.retries(), 3);
    }

    #[test]
    fn a_container_that_starts_is_asked_more_often() {
        let options = HealthOptions {
            command: Some("true".to_owned()),
            interval: Some(Duration::from_secs(60)),
            start_period: Some(Duration::from_secs(10)),
            start_interval: Some(Duration::from_secs(1)),
            ..Default::default()
        };
        let check = HealthCheck::resolve(None, None, &options).unwrap().unwrap();
        for (age, is_starting, seconds) in [(9, true, 1), (9, false, 60), (10, true, 60)] {
            let interval = check.interval(Duration::from_secs(age), is_starting);
            assert_eq!(interval.as_secs(), seconds);
        }
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        let second = Some(Duration::from_secs(1));
        for (options, expected) in [
            (
                HealthOptions {
                    none: true,
                    interval: second,
                    ..Default::default()
                },
                BadHealthOption::Conflict,
            ),
            (
                HealthOptions {
                    timeout: Some(Duration::from_micros(10)),
                    ..Default::default()
                },
                BadHealthOption::TooShort("--health-timeout"),
            ),
            (
                HealthOptions {
                    on_failure: HealthAction::Kill,
                    ..Default::default()
                },
                BadHealthOption::NothingToFail,
            ),
        ] {
            assert_eq!(HealthCheck::resolve(None, None, &options), Err(expected));
        }
    }
}
