//! Points in time, as people read them: nothing is decided by them.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A point in time: nanoseconds since 1970 by the host's clock, which may be set at any time.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Moment(u64);

impl Moment {
    /// What the clock says.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self::from(since.unwrap_or_default())
    }

    /// Nanoseconds since 1970.
    #[must_use]
    pub fn nanoseconds(self) -> u64 {
        self.0
    }

    /// Whole seconds since 1970.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// RFC 3339 with whole seconds, in UTC.
    #[must_use]
    pub fn whole_seconds(self) -> String {
        let moment = jiff::Timestamp::from_nanosecond(self.0.into()).unwrap_or_default();
        format!("{moment:.0}")
    }

    /// How long ago it was; nothing for what is still to come.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Duration::from_nanos(Self::now().0.saturating_sub(self.0))
    }
}

/// Since 1970.
impl From<Duration> for Moment {
    fn from(since: Duration) -> Self {
        Self(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// RFC 3339 with nanoseconds, in UTC.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = jiff::Timestamp::from_nanosecond(self.0.into()).unwrap_or_default();
        write!(f, "{moment:.9}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_printed_with_nanoseconds() {
        let moment = Moment::from(Duration::new(1_764_072_000, 5));
        assert_eq!(moment.to_string(), "2025-11-25T12:00:00.000000005Z");
        assert_eq!(
            Moment::default().to_string(),
            "1970-01-01T00:00:00.000000000Z"
        );
    }
}
