//! `run -d --wait`: when a container that was started is ready for its users.

use std::fs;
use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::error::Error;
use crate::health::HealthStatus;
use crate::record::ContainerRecord;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// What makes a container ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Its health check went well; where it has none, its program runs.
    Default,
    /// Its health check went well.
    Healthy,
    /// The same, and one that is unhealthy may still get well.
    EventuallyHealthy,
    /// Something in it listens on this port.
    Port(u16),
    /// It has written a line with this text.
    Log(String),
}

/// A text that names nothing to wait for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is nothing to wait for")]
pub struct ParseReadinessError(String);

impl FromStr for Readiness {
    type Err = ParseReadinessError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || ParseReadinessError(text.to_owned());
        match text.split_once(':') {
            None if text.is_empty() || text == "true" => Ok(Self::Default),
            None if text == "healthy" => Ok(Self::Healthy),
            Some(("port", port)) => match port.parse() {
                Ok(port) if port > 0 => Ok(Self::Port(port)),
                _ => Err(unknown()),
            },
            Some(("log", wanted)) if !wanted.is_empty() => Ok(Self::Log(wanted.to_owned())),
            _ => Err(unknown()),
        }
    }
}

/// Why a container did not get ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// Its program has ended.
    #[error("it has ended")]
    Ended,
    /// Its health check failed.
    #[error("it is unhealthy")]
    Unhealthy,
    /// It has no health check.
    #[error("it has no health check")]
    NoCheck,
    /// It took too long.
    #[error("it took too long")]
    Timeout,
}

impl Engine {
    /// Waits until a container is ready, at most for `limit`.
    ///
    /// # Errors
    /// [`Error::NotReady`] as soon as it is known that it will not be.
    pub fn wait_until_ready(
        &self,
        word: &str,
        readiness: &Readiness,
        limit: Option<Duration>,
    ) -> Result<(), Error> {
        let record = self.container(word)?;
        let failed = |reason| Error::NotReady {
            container: record.name.clone(),
            reason,
        };
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut log = match readiness {
            Readiness::Log(text) => Some(self.watch_log(&record, text)?),
            _ => None,
        };
        loop {
            // Asked before the looks: what happened before the end is seen.
            let ended = !self.life(&record)?.status.is_alive();
            let ready = match (&mut log, readiness) {
                (Some(log), _) => log.has_found().map_err(|source| Error::ReadLog {
                    container: record.name.clone(),
                    source,
                })?,
                (None, Readiness::Port(port)) => self.listens(&record, *port)?,
                (None, _) => self.is_well(&record, readiness)?,
            };
            if ready {
                return Ok(());
            }
            if ended {
                return Err(failed(NotReady::Ended));
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Err(failed(NotReady::Timeout));
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn is_well(&self, record: &ContainerRecord, readiness: &Readiness) -> Result<bool, Error> {
        let life = self.life(record)?;
        let failed = |reason| Error::NotReady {
            container: record.name.clone(),
            reason,
        };
        match (&life.health, readiness) {
            _ if !life.status.is_alive() => Ok(false),
            (None, Readiness::Default) => Ok(life.is_running()),
            (None, _) if life.is_running() => Err(failed(NotReady::NoCheck)),
            (None, _) => Ok(false),
            (Some(health), _) => match health.status {
                HealthStatus::Healthy => Ok(true),
                HealthStatus::Unhealthy if *readiness == Readiness::EventuallyHealthy => Ok(false),
                HealthStatus::Unhealthy => Err(failed(NotReady::Unhealthy)),
                HealthStatus::Starting => Ok(false),
            },
        }
    }

    fn listens(&self, record: &ContainerRecord, port: u16) -> Result<bool, Error> {
        let life = self.life(record)?;
        let Some(process) = life.first_process() else {
            return Ok(false);
        };
        let read = |name| fs::read_to_string(format!("/proc/{}/net/{name}", process.pid));
        let tables = [read("tcp"), read("tcp6")];
        // Read first: it may have become another process's number.
        let is_it = process.is_alive();
        Ok(is_it
            && tables
                .iter()
                .flatten()
                .any(|table| has_listener(table, port)))
    }
}

/// Whether the table of a network namespace, `/proc/PID/net/tcp` or `tcp6`, has a listener on `port`.
fn has_listener(table: &str, port: u16) -> bool {
    const LISTEN: &str = "0A";
    let wanted = format!(":{port:04X}");
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next().unwrap_or_default();
        local.ends_with(&wanted) && fields.nth(1) == Some(LISTEN)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_read() {
        for (text, expected) in [
            ("", Some(Readiness::Default)),
            ("healthy", Some(Readiness::Healthy)),
            ("port:8080", Some(Readiness::Port(8080))),
            (
                "log:ready: yes",
                Some(Readiness::Log("ready: yes".to_owned())),
            ),
            ("port:0", None),
            ("port:x", None),
            ("log:", None),
            ("sick", None),
        ] {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
    }

    #[test]
    fn listeners_are_found_in_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue\n\
                     \x20  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n\
                     \x20  1: 0100007F:0050 0100007F:1F91 01 00000000:00000000\n";
        assert!(has_listener(table, 8080));
        assert!(!has_listener(table, 80) && !has_listener(table, 8081));
    }
}
