//! What a container writes, kept in the format of Docker's `json-file`, and read again.
//!
//! containers/ID/log.json     the newest records, one JSON object a line
//! containers/ID/log.json.1   older ones, and so on: a higher number is older
//!
//! The monitor is the only writer. It never waits for a reader: files are rotated by rename, and a
//! reader keeps the file that it has open.

mod driver;
mod escape;
mod files;
mod follow;
mod input;
mod journald;
mod reader;
mod record;
mod search;
mod select;
mod sink;
mod stamp;
mod tail;
mod watch;
mod writer;

pub use driver::{BadLogOption, LogConfig, LogDriver, LogLimits};
pub use follow::LogSink;
pub(crate) use journald::{Origin, SOCKET as JOURNAL};
pub use record::{LogRecord, Stream};
pub use search::{BadSearch, LogFilter};
pub use select::LogOptions;
pub(crate) use sink::Log;
