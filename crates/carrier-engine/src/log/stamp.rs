//! The time of a record, formatted without formatting most of it anew.

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// The length of every time that is written: nine digits behind the point.
pub(super) const LENGTH: usize = 30;

/// A clock that shows `2026-01-02T03:04:05.123456789Z`.
#[derive(Debug)]
pub(super) struct Stamp {
    second: i64,
    text: [u8; LENGTH],
}

impl Stamp {
    pub(super) fn new() -> Self {
        Self {
            second: i64::MIN,
            text: *b"1970-01-01T00:00:00.000000000Z",
        }
    }

    /// Shows the present time from now on.
    pub(super) fn update(&mut self) {
        let now = clock_gettime(ClockId::Realtime);
        self.set(now.tv_sec, now.tv_nsec);
    }

    fn set(&mut self, second: i64, nanosecond: i64) {
        if second != self.second {
            self.second = second;
            let text = Timestamp::from_second(second)
                .unwrap_or_default()
                .to_string();
            // Years of more than four digits are no times of ours.
            if let Some(text) = text.as_bytes().first_chunk::<19>() {
                self.text[..19].copy_from_slice(text);
            }
        }
        let mut rest = nanosecond.unsigned_abs();
        for digit in self.text[20..29].iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
    }

    pub(super) fn text(&self) -> &[u8; LENGTH] {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_nine_digits_and_follow_the_clock() {
        let mut stamp = Stamp::new();
        for (second, nanosecond, expected) in [
            (0, 0, "1970-01-01T00:00:00.000000000Z"),
            (1_700_000_000, 5, "2023-11-14T22:13:20.000000005Z"),
            (1_700_000_000, 999_999_999, "2023-11-14T22:13:20.999999999Z"),
            (1_700_000_001, 120_000_000, "2023-11-14T22:13:21.120000000Z"),
        ] {
            stamp.set(second, nanosecond);
            assert_eq!(stamp.text(), expected.as_bytes());
        }
    }
}
