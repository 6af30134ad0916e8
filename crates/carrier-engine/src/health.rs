//! Whether a container is well: what is asked, how often, and what the answers mean. All of it is
//! Docker's; nothing here reads a clock or starts a process.

mod check;
mod duration;
mod state;

pub use check::{BadHealthOption, HealthAction, HealthCheck, HealthOptions};
pub use duration::parse_duration;
#[allow(unused_imports, reason = "the monitor will ask")]
pub(crate) use duration::show_duration;
pub use state::{Health, HealthStatus, Probe};
