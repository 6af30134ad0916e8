//! Where a container's output is kept: `--log-driver` and `--log-opt`.

use serde::{Deserialize, Serialize};

/// How much of a log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLimits {
    /// The most bytes of a file.
    pub max_size: u64,
    /// The most files.
    pub max_file: u32,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self {
            max_size: 10_000_000,
            max_file: 3,
        }
    }
}

/// Who keeps what a container writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogDriver {
    /// Files in Docker's format.
    JsonFile(LogLimits),
    /// Nobody.
    None,
    /// The host's journal.
    Journald,
    /// The caller: the container has his streams.
    Passthrough,
}

impl Default for LogDriver {
    fn default() -> Self {
        Self::JsonFile(LogLimits::default())
    }
}

impl LogDriver {
    /// The driver's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::JsonFile(_) => "json-file",
            Self::None => "none",
            Self::Journald => "journald",
            Self::Passthrough => "passthrough",
        }
    }
}

/// The driver of a container, and its options as they were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    /// Who keeps the log.
    pub driver: LogDriver,
    /// `NAME=VALUE`, as `inspect` shows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<(String, String)>,
}

/// A driver or an option of one that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLogOption {
    /// No such driver.
    #[error("log driver {0:?} is not supported")]
    Driver(String),
    /// No `NAME=VALUE`.
    #[error("log option {0:?} is not NAME=VALUE")]
    Malformed(String),
    /// No such option.
    #[error("log option {name:?} is not supported by driver {driver}")]
    Unknown {
        /// The driver.
        driver: &'static str,
        /// The option.
        name: String,
    },
    /// The option has no such value.
    #[error("log option {name}: {value:?} is not {wanted}")]
    Value {
        /// The option.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it can be.
        wanted: &'static str,
    },
}

impl BadLogOption {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Driver(_) => "drivers are json-file, journald, passthrough and none",
            Self::Unknown {
                driver: "json-file",
                ..
            }
            | Self::Malformed(_) => {
                "options of json-file are max-size=SIZE and max-file=NUMBER, for example \
                 --log-opt max-size=10m --log-opt max-file=3"
            }
            Self::Unknown { .. } => "only json-file has options, max-size and max-file",
            Self::Value { .. } => "for example --log-opt max-size=10m --log-opt max-file=3",
        }
    }
}

impl LogConfig {
    /// Reads `--log-driver` and each `--log-opt`.
    ///
    /// # Errors
    /// For drivers, options and values that do not exist.
    pub fn parse<'a>(
        driver: Option<&str>,
        options: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, BadLogOption> {
        let mut driver = match driver.unwrap_or("json-file") {
            // Podman's default writes another format; what it is wanted for is a file.
            "" | "json-file" => LogDriver::default(),
            "none" => LogDriver::None,
            "journald" => LogDriver::Journald,
            "passthrough" => LogDriver::Passthrough,
            other => return Err(BadLogOption::Driver(other.to_owned())),
        };
        let mut read: Vec<(String, String)> = Vec::new();
        for option in options {
            let (name, value) = option
                .split_once('=')
                .ok_or_else(|| BadLogOption::Malformed(option.to_owned()))?;
            set(&mut driver, name, value)?;
            read.retain(|(earlier, _)| earlier != name);
            read.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self {
            driver,
            options: read,
        })
    }
}

fn set(driver: &mut LogDriver, name: &str, value: &str) -> Result<(), BadLogOption> {
    let wrong = |name, wanted| BadLogOption::Value {
        name,
        value: value.to_owned(),
        wanted,
    };
    match (driver, name) {
        (LogDriver::JsonFile(limits), "max-size") => {
            limits.max_size = size(value).ok_or_else(|| wrong("max-size", "a positive size"))?;
        }
        (LogDriver::JsonFile(limits), "max-file") => {
            let count = value.parse().ok().filter(|count| *count > 0);
            limits.max_file = count.ok_or_else(|| wrong("max-file", "a positive number"))?;
        }
        (driver, name) => {
            return Err(BadLogOption::Unknown {
                driver: driver.name(),
                name: name.to_owned(),
            });
        }
    }
    Ok(())
}

/// A size with a decimal unit, as Docker reads it: `10m` is ten million bytes.
fn size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let factor: f64 = match unit.as_str() {
        "" | "b" => 1.0,
        "k" | "kb" | "kib" => 1e3,
        "m" | "mb" | "mib" => 1e6,
        "g" | "gb" | "gib" => 1e9,
        "t" | "tb" | "tib" => 1e12,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok()? * factor;
    let fits = (1.0..1e15).contains(&bytes);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked; parts of bytes are left out"
    )]
    fits.then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(driver: Option<&str>, options: &[&str]) -> Result<LogConfig, String> {
        LogConfig::parse(driver, options.iter().copied()).map_err(|error| error.to_string())
    }

    #[test]
    fn sizes_are_decimal_as_in_docker() {
        for (text, bytes) in [
            ("10m", 10_000_000),
            ("1.5k", 1500),
            ("20", 20),
            ("3 GB", 3_000_000_000),
            ("1KiB", 1000),
        ] {
            let config = parse(None, &[&format!("max-size={text}"), "max-file=2"]).unwrap();
            let limits = LogLimits {
                max_size: bytes,
                max_file: 2,
            };
            assert_eq!(config.driver, LogDriver::JsonFile(limits), "{text}");
        }
    }

    #[test]
    fn what_is_not_there_is_refused_by_name() {
        for (driver, options, expected) in [
            (
                Some("fluentd"),
                &[][..],
                "log driver \"fluentd\" is not supported",
            ),
            (
                None,
                &["max-size"],
                "log option \"max-size\" is not NAME=VALUE",
            ),
            (
                None,
                &["max-size=0"],
                "log option max-size: \"0\" is not a positive size",
            ),
            (
                None,
                &["max-size=x"],
                "log option max-size: \"x\" is not a positive size",
            ),
            (
                None,
                &["max-file=0"],
                "log option max-file: \"0\" is not a positive number",
            ),
            (
                None,
                &["compress=true"],
                "log option \"compress\" is not supported by driver json-file",
            ),
            (
                Some("none"),
                &["max-file=1"],
                "log option \"max-file\" is not supported by driver none",
            ),
        ] {
            assert_eq!(parse(driver, options).unwrap_err(), expected);
        }
    }

    #[test]
    fn a_configuration_survives_its_record() {
        for driver in [None, Some("none"), Some("journald"), Some("passthrough")] {
            let config = parse(driver, &[]).unwrap();
            let text = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<LogConfig>(&text).unwrap(), config);
        }
    }
}
