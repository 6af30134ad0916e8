//! Times for people.

use carrier_engine::Moment;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::table;

/// `3 days ago`, for an RFC 3339 time.
pub(crate) fn since(text: &str) -> Option<String> {
    let then = text.parse::<Timestamp>().ok()?.as_second();
    let seconds = Timestamp::now().as_second().saturating_sub(then);
    Some(format!(
        "{} ago",
        table::ago(u64::try_from(seconds).unwrap_or(0))
    ))
}

/// A moment as Go prints it, without parts of a second.
pub(crate) fn local_seconds(moment: Moment) -> Option<String> {
    let seconds = i64::try_from(moment.seconds()).ok()?;
    let then = Timestamp::from_second(seconds).ok()?;
    let local = jiff::ZonedDateTime::new(then, TimeZone::system());
    Some(local.strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string())
}

/// A time in nanoseconds since 1970 as Docker's events have it, `2026-01-02T15:04:05.000000000Z`.
pub(crate) fn fixed(nanoseconds: u64) -> String {
    let then = Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or(Timestamp::UNIX_EPOCH);
    let local = jiff::ZonedDateTime::new(then, TimeZone::system());
    let zone = if local.offset().is_zero() { "Z" } else { "%:z" };
    local
        .strftime(&format!("%Y-%m-%dT%H:%M:%S.%9f{zone}"))
        .to_string()
}

/// A time as Go prints it, `2026-01-02 15:04:05 +0100 CET`.
pub(crate) fn local(text: &str) -> Option<String> {
    let then = text.parse::<Timestamp>().ok()?;
    let local = jiff::ZonedDateTime::new(then, TimeZone::system());
    Some(local.strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string())
}
