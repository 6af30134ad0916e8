//! Points in time as Docker's filters spell them.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Reads a duration before `now` (`1h30m`), seconds since 1970, or a date with or without time and
/// zone; without a zone it is the local one.
#[must_use]
pub fn parse(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Some(ago) = duration(text) {
        return now.checked_sub(ago).ok();
    }
    if let Some(seconds) = seconds(text) {
        return Some(seconds);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let local: DateTime = text.parse().ok()?;
    TimeZone::system().to_timestamp(local).ok()
}

/// `1700000000` or `1700000000.5`
fn seconds(text: &str) -> Option<Timestamp> {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    if text.len() < 5 || !text.chars().all(is_number) {
        return None;
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let nanoseconds = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Timestamp::new(whole.parse().ok()?, nanoseconds).ok()
}

/// Go's durations: numbers with units, `1h30m`, `1.5h`.
fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 7] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    // The only number that Go takes without a unit.
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(digits);
        let (unit, seconds) = UNITS.iter().find(|(unit, _)| behind.starts_with(unit))?;
        total += number.parse::<f64>().ok()? * seconds;
        rest = behind.get(unit.len()..)?;
    }
    if text.is_empty() {
        return None;
    }
    Duration::try_from_secs_f64(total).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_dockers_is_read() {
        let now: Timestamp = "2026-01-02T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("10m", "2026-01-02T11:50:00Z"),
            ("1h30m", "2026-01-02T10:30:00Z"),
            ("1.5h", "2026-01-02T10:30:00Z"),
            ("0s", "2026-01-02T12:00:00Z"),
            ("0", "2026-01-02T12:00:00Z"),
            ("24h", "2026-01-01T12:00:00Z"),
            ("1700000000", "2023-11-14T22:13:20Z"),
            ("1700000000.5", "2023-11-14T22:13:20.5Z"),
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            ("2026-01-01T00:00:00+02:00", "2025-12-31T22:00:00Z"),
        ] {
            let expected: Timestamp = expected.parse().unwrap();
            assert_eq!(parse(text, now), Some(expected), "{text}");
        }
        assert!(parse("2026-01-01T10:00:00", now).is_some() && parse("2026-01-01", now).is_some());
        for bad in [
            "",
            "h",
            "10",
            "10x",
            "yesterday",
            "1h30",
            "-5m",
            "99999999999999h",
        ] {
            assert_eq!(parse(bad, now), None, "{bad}");
        }
    }
}
