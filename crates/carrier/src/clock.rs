//! Times for people.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::table::ago;

/// `3 days ago`, for an RFC 3339 time.
pub(crate) fn since(text: &str) -> Option<String> {
    let then = text.parse::<Timestamp>().ok()?.as_second();
    let seconds = Timestamp::now().as_second().saturating_sub(then);
    Some(format!("{} ago", ago(u64::try_from(seconds).unwrap_or(0))))
}

/// A time as Go prints it, `2026-01-02 15:04:05 +0100 CET`.
pub(crate) fn local(text: &str) -> Option<String> {
    let then = text.parse::<Timestamp>().ok()?;
    let local = jiff::ZonedDateTime::new(then, TimeZone::system());
    Some(local.strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string())
}
