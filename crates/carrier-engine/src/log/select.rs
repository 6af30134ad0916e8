//! Which records `logs` shows.

use std::ops::ControlFlow;

use jiff::Timestamp;

use super::record::LogRecord;
use super::search::LogFilter;
use super::stamp;

/// What a user asks for with `logs`.
#[derive(Debug, Default)]
pub struct LogOptions {
    /// Go on until the container ends.
    pub follow: bool,
    /// So many lines before the end; else all.
    pub tail: Option<u64>,
    /// Nothing that is older.
    pub since: Option<Timestamp>,
    /// Nothing that is younger.
    pub until: Option<Timestamp>,
    /// Only such lines.
    pub filter: Option<LogFilter>,
}

/// A point in time, in the form of our records too: most of them need no parser.
#[derive(Debug)]
struct Bound {
    time: Timestamp,
    text: String,
}

impl Bound {
    fn new(time: Timestamp) -> Self {
        let text = format!("{time:.9}");
        Self { time, text }
    }

    /// Whether `time`, in the form of a record, is later; a time that is none is not.
    fn is_before(&self, time: &str) -> bool {
        if time.len() == stamp::LENGTH && self.text.len() == stamp::LENGTH {
            return self.text.as_str() < time;
        }
        time.parse::<Timestamp>().is_ok_and(|time| self.time < time)
    }

    fn is_after(&self, time: &str) -> bool {
        if time.len() == stamp::LENGTH && self.text.len() == stamp::LENGTH {
            return self.text.as_str() > time;
        }
        time.parse::<Timestamp>().is_ok_and(|time| self.time > time)
    }
}

/// Decides record by record.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    since: Option<Bound>,
    until: Option<Bound>,
    filter: Option<&'a LogFilter>,
    /// A record after the end means that there will be no other.
    ends: bool,
}

impl<'a> Selection<'a> {
    pub(super) fn new(options: &'a LogOptions) -> Self {
        Self {
            since: options.since.map(Bound::new),
            until: options.until.map(Bound::new),
            filter: options.filter.as_ref(),
            ends: options.follow,
        }
    }

    /// Whether the record is shown; a break where nothing more is.
    pub(super) fn shows(&self, record: &LogRecord<'_>) -> ControlFlow<(), bool> {
        let too_late = |until: &Bound| until.is_before(record.time);
        if self.until.as_ref().is_some_and(too_late) {
            return if self.ends {
                ControlFlow::Break(())
            } else {
                // The clock may have been set back.
                ControlFlow::Continue(false)
            };
        }
        let too_early = |since: &Bound| since.is_after(record.time);
        ControlFlow::Continue(
            !self.since.as_ref().is_some_and(too_early)
                && self.filter.is_none_or(|filter| filter.matches(record.text)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Stream;
    use std::collections::BTreeMap;

    #[test]
    fn bounds_are_compared_in_every_form_of_a_time() {
        let options = LogOptions {
            since: Some("2026-01-01T00:00:00.5Z".parse().unwrap()),
            until: Some("2026-01-01T00:00:01Z".parse().unwrap()),
            ..Default::default()
        };
        let selection = Selection::new(&options);
        for (time, shown) in [
            ("2026-01-01T00:00:00.499999999Z", false),
            ("2026-01-01T00:00:00.500000000Z", true),
            ("2026-01-01T00:00:00.5Z", true),
            ("2026-01-01T01:00:00.6+01:00", true),
            ("2026-01-01T00:00:01.000000000Z", true),
            ("2026-01-01T00:00:01.000000001Z", false),
            ("2026-01-01T00:00:01.1Z", false),
        ] {
            let record = LogRecord {
                stream: Stream::Stdout,
                time,
                text: b"",
                attributes: BTreeMap::new(),
            };
            assert_eq!(
                selection.shows(&record),
                ControlFlow::Continue(shown),
                "{time}"
            );
        }
    }
}
