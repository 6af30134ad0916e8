//! How a container is asked whether it is well: `HEALTHCHECK` of an image.

use serde::{Deserialize, Serialize};

/// A check as images and Docker's interface write it: times in nanoseconds, 0 for the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// `NONE`, or `CMD` with words, or `CMD-SHELL` with a text for the shell; nothing inherits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<Vec<String>>,
    /// Between two checks.
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// The longest that a check may take.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// While the container starts, failures do not count.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Between two checks while the container starts.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// So many failures in a row make it unhealthy.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: i64,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands references over"
)]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_of_an_image_is_read_and_written_as_it_is() {
        let text =
            r#"{"Test":["CMD-SHELL","curl -f localhost"],"Interval":30000000000,"Retries":3}"#;
        let check: Healthcheck = serde_json::from_str(text).unwrap();
        assert_eq!(check.interval, 30_000_000_000);
        assert_eq!(serde_json::to_string(&check).unwrap(), text);
    }
}
