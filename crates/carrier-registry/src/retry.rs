//! When to try again, and how long to wait before.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::Response;
use reqwest::header::RETRY_AFTER;

use crate::error::Error;

pub(crate) const ATTEMPTS: u32 = 5;

/// The longest that a registry may make us wait at once.
const MAX_DELAY: Duration = Duration::from_secs(60);

/// The longest that we wait for one answer, all in all.
const MAX_WAIT: Duration = Duration::from_secs(180);

/// A name that does not resolve or a port that nobody listens on is tried again only twice: most
/// often it is a typing error.
const CONNECT_ATTEMPTS: u32 = 3;

/// What is left of one request's attempts.
#[derive(Debug)]
pub(crate) struct Patience {
    attempts: u32,
    attempt: u32,
    waited: Duration,
}

impl Patience {
    pub(crate) fn new(attempts: u32) -> Self {
        Self {
            attempts,
            attempt: 1,
            waited: Duration::ZERO,
        }
    }

    /// How long to wait before the next attempt after `error`, if there is to be one. The server
    /// may have asked for a time.
    pub(crate) fn next(&mut self, error: &Error, asked: Option<Duration>) -> Option<Duration> {
        let attempts = match error {
            Error::Unreachable { .. } => self.attempts.min(CONNECT_ATTEMPTS),
            error if error.is_transient() => self.attempts,
            _ => return None,
        };
        let own = match error {
            Error::Unreachable { .. } => backoff(self.attempt) / 4,
            _ => backoff(self.attempt),
        };
        let delay = asked.unwrap_or(own);
        if self.attempt >= attempts || self.waited + delay > MAX_WAIT {
            return None;
        }
        self.attempt += 1;
        self.waited += delay;
        Some(delay)
    }
}

/// Half a second, doubled each time, and up to as much again, so that clients that failed together
/// do not come back together.
pub(crate) fn backoff(attempt: u32) -> Duration {
    let base = Duration::from_millis(500) * 2_u32.saturating_pow(attempt - 1);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let jitter = now.map_or(0, |since| since.subsec_nanos()) % 1000;
    base + base * jitter / 1000
}

/// The time that a server asks for, RFC 9110 section 10.2.3.
pub(crate) fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let asked = asked_delay(value.trim(), now.as_secs())?;
    Some(asked.min(MAX_DELAY))
}

/// Seconds, or a date; one that has passed means now.
fn asked_delay(value: &str, now: u64) -> Option<Duration> {
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let seconds = seconds_of_date(value)?.saturating_sub(now);
    Some(Duration::from_secs(seconds))
}

/// Seconds since 1970 of `Sun, 06 Nov 1994 08:49:37 GMT`.
fn seconds_of_date(text: &str) -> Option<u64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let (_, text) = text.split_once(", ")?;
    let mut words = text.split(' ');
    let day: u64 = words.next()?.parse().ok()?;
    let month = words.next().filter(|month| month.len() == 3)?;
    let month = MONTHS.find(month).filter(|place| place % 3 == 0)? as u64 / 3 + 1;
    let year: u64 = words.next()?.parse().ok()?;
    let mut time = words.next()?.split(':');
    let mut number = || time.next()?.parse::<u64>().ok();
    let (hour, minute, second) = (number()?, number()?, number()?);
    let zone = words.next()?;
    let sane = zone == "GMT" && (1970..=9999).contains(&year) && (1..=31).contains(&day);
    if !sane || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days of years that begin in March, so that the leap day comes last.
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year;
    let days = days.checked_sub(719_468)?;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_asks_for_seconds_or_names_a_date() {
        let now = 784_111_777;
        let asked = |value| asked_delay(value, now).map(|delay| delay.as_secs());
        assert_eq!(asked("7"), Some(7));
        assert_eq!(asked("99999999999999999999"), Some(u64::MAX));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:30 GMT"), Some(0));
        assert_eq!(
            seconds_of_date("Thu, 29 Feb 2024 00:00:00 GMT"),
            Some(1_709_164_800)
        );
        assert_eq!(seconds_of_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        for bad in [
            "",
            "soon",
            "-1",
            "Sun, 06 Nov 1994",
            "Sun, 06 Nox 1994 08:49:37 GMT",
        ] {
            assert_eq!(asked(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn patience_ends() {
        let busy = Error::Status {
            host: String::new(),
            status: 429,
            message: String::new(),
        };
        let mut patience = Patience::new(ATTEMPTS);
        let delays: Vec<u64> = std::iter::from_fn(|| patience.next(&busy, Some(MAX_DELAY)))
            .map(|delay| delay.as_secs())
            .collect();
        assert_eq!(delays, [60, 60, 60]);
        let mut patience = Patience::new(ATTEMPTS);
        let attempts = std::iter::from_fn(|| patience.next(&busy, None)).count();
        assert_eq!(attempts, 4);
        let fatal = Error::Client(String::new());
        assert_eq!(Patience::new(ATTEMPTS).next(&fatal, None), None);
    }
}
