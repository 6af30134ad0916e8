//! Errors, for people and for engines.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

use carrier_sys::umask::with_users;

use super::grammar::LogFormat;

/// Where errors go beside standard error.
pub(super) struct Log {
    file: Option<PathBuf>,
    format: LogFormat,
}

impl Log {
    pub(super) fn new(file: Option<PathBuf>, format: LogFormat) -> Self {
        Self { file, format }
    }

    /// Tells about an error: engines read the file, conmon standard error.
    #[allow(clippy::print_stderr, reason = "the place where errors are printed")]
    pub(super) fn error(&self, error: &dyn Error) {
        let line = crate::report::line(error);
        let record = serde_json::json!({
            "level": "error",
            "msg": line,
            "time": jiff::Timestamp::now().to_string(),
        });
        let text = match self.format {
            LogFormat::Text => format!("carrier-runtime: error: {line}"),
            LogFormat::Json => record.to_string(),
        };
        if let Some(file) = &self.file {
            let mut options = OpenOptions::new();
            options.create(true).append(true);
            let opened = with_users(|| options.open(file));
            // An engine that cannot be told still sees the exit code and standard error.
            let _ = opened.and_then(|mut file| writeln!(file, "{text}"));
        }
        eprintln!("{text}");
    }
}
