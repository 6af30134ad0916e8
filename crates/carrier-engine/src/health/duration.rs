//! Durations in the form of Go.

use std::time::Duration;

/// Reads `1h30m`, `1.5s`, `300ms` or `0`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u128); 8] = [
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("μs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(end);
        let unit_end = behind.find(|c: char| c.is_ascii_digit() || c == '.');
        let (name, behind) = behind.split_at(unit_end.unwrap_or(behind.len()));
        let (_, unit) = UNITS.iter().find(|(unit, _)| *unit == name)?;
        total = total.checked_add(scaled(number, *unit)?)?;
        rest = behind;
    }
    // Go keeps them in 63 bits.
    let nanoseconds = i64::try_from(total).ok()?;
    Some(Duration::from_nanos(nanoseconds.unsigned_abs()))
}

/// `number`, which may have a point, times `unit`.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let digits = |text: &str| match text {
        "" => Some(0),
        text => text.parse::<u64>().ok().map(u128::from),
    };
    let fraction = fraction.get(..fraction.len().min(15))?;
    let divisor = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let whole = digits(whole)?.checked_mul(unit)?;
    whole.checked_add(digits(fraction)?.checked_mul(unit)? / divisor)
}

/// Writes `1h30m0s`, `1.5s` or `300ms`.
pub(crate) fn show_duration(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    let fraction = |unit: u128, name: &str| {
        let mut text = format!(
            "{}.{:0width$}",
            nanoseconds / unit,
            nanoseconds % unit,
            width = unit.ilog10() as usize
        );
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
        text + name
    };
    match nanoseconds {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanoseconds}ns"),
        1_000..1_000_000 => fraction(1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(1_000_000, "ms"),
        _ => {
            let seconds = duration.as_secs();
            let text = format!("{}.{:09}", seconds % 60, duration.subsec_nanos());
            let rest = text.trim_end_matches('0').trim_end_matches('.').to_owned() + "s";
            match (seconds / 3600, seconds / 60 % 60) {
                (0, 0) => rest,
                (0, minutes) => format!("{minutes}m{rest}"),
                (hours, minutes) => format!("{hours}h{minutes}m{rest}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        for (text, nanoseconds, shown) in [
            ("30s", 30_000_000_000, "30s"),
            ("1m30s", 90_000_000_000, "1m30s"),
            ("90s", 90_000_000_000, "1m30s"),
            ("1.5h", 5_400_000_000_000, "1h30m0s"),
            ("1h", 3_600_000_000_000, "1h0m0s"),
            ("300ms", 300_000_000, "300ms"),
            ("1.5s", 1_500_000_000, "1.5s"),
            ("60.25s", 60_250_000_000, "1m0.25s"),
            ("1us", 1_000, "1µs"),
            ("1.5ms", 1_500_000, "1.5ms"),
            ("7ns", 7, "7ns"),
            (".5s", 500_000_000, "500ms"),
            ("0", 0, "0s"),
            ("100ms1s", 1_100_000_000, "1.1s"),
        ] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(duration.as_nanos(), nanoseconds, "{text}");
            assert_eq!(show_duration(duration), shown);
        }
        for bad in ["", "1", "s", "1x", "-1s", ".s", "1.2.3s", "9999999h", "1s1"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }
}
