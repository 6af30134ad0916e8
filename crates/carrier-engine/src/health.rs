//! Whether a container is well: what is asked, how often, and what the answers mean. All of it is
//! Docker's.

mod check;
mod duration;
mod monitor;
mod probe;
mod state;

pub use check::{BadHealthOption, HealthAction, HealthCheck, HealthOptions};
pub use duration::parse_duration;
pub(crate) use duration::show_duration;
pub(crate) use monitor::HealthMonitor;
pub use state::{Health, HealthStatus, Probe};
