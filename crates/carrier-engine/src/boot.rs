//! Containers that come back after a reboot: a unit of the user's systemd, or a line for cron.
//!
//! Both run `carrier boot start`. Nothing of Carrier's runs between.

mod cron;
mod start;
mod unit;

use std::io;
use std::path::{Path, PathBuf};

use crate::engine::absolute;
pub use start::Returned;

/// What starts programs when the host does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootStarter {
    /// The user's systemd, by this unit.
    Systemd(PathBuf),
    /// cron, by a line of the user's table.
    Cron,
}

/// The way from the boot of the host to the user's containers.
#[derive(Debug)]
pub struct Boot {
    starter: BootStarter,
    /// What is started: this program, and where it has its store.
    words: Vec<String>,
    data: Option<PathBuf>,
}

/// Why containers cannot be brought back.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// Neither systemd nor cron.
    #[error("nothing here starts programs of users at boot: neither systemd nor crontab")]
    NoStarter,
    /// The path of this program is not known.
    #[error("cannot find the path of carrier itself")]
    Program(#[source] io::Error),
    /// No directory for units.
    #[error("neither XDG_CONFIG_HOME nor HOME is set to an absolute path")]
    NoHome,
    /// A file of the user's systemd.
    #[error("cannot {action} {path}")]
    File {
        /// What was to be done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// crontab(1) failed.
    #[error("crontab failed: {0}")]
    Crontab(String),
}

impl BootError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoStarter => {
                "install cron, or let whatever starts programs at boot run `carrier boot start` as \
                 your user"
            }
            Self::NoHome => "set HOME to a directory of your own",
            Self::Crontab(_) => "`crontab -e` must work for your user",
            Self::Program(_) | Self::File { .. } => {
                "look at the permissions of ~/.config/systemd/user"
            }
        }
    }
}

impl Boot {
    /// Finds what starts programs on this host.
    ///
    /// # Errors
    /// When nothing does.
    pub fn detect() -> Result<Self, BootError> {
        let starter = if Path::new("/run/systemd/system").is_dir() {
            BootStarter::Systemd(unit::path()?)
        } else if cron::is_there() {
            BootStarter::Cron
        } else {
            return Err(BootError::NoStarter);
        };
        let program = std::env::current_exe().map_err(BootError::Program)?;
        Ok(Self {
            starter,
            words: [program.display().to_string()]
                .into_iter()
                .chain(crate::places::options())
                .collect(),
            data: absolute("XDG_DATA_HOME"),
        })
    }

    /// What starts programs here.
    #[must_use]
    pub fn starter(&self) -> &BootStarter {
        &self.starter
    }

    /// Whether containers come back.
    ///
    /// # Errors
    /// When crontab(1) cannot be asked.
    pub fn is_enabled(&self) -> Result<bool, BootError> {
        match &self.starter {
            BootStarter::Systemd(path) => Ok(unit::is_enabled(path)),
            BootStarter::Cron => cron::is_enabled(),
        }
    }

    /// Lets containers come back.
    ///
    /// # Errors
    /// When a file cannot be written, or crontab(1) fails.
    pub fn enable(&self) -> Result<(), BootError> {
        let data = self.data.as_deref();
        match &self.starter {
            BootStarter::Systemd(path) => unit::enable(path, &self.words, data),
            BootStarter::Cron => cron::enable(&self.words, data),
        }
    }

    /// Lets them stay where they are. It is no error when nothing was enabled.
    ///
    /// # Errors
    /// When a file cannot be removed, or crontab(1) fails.
    pub fn disable(&self) -> Result<(), BootError> {
        match &self.starter {
            BootStarter::Systemd(path) => unit::disable(path),
            BootStarter::Cron => cron::disable(),
        }
    }
}
