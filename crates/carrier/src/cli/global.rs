//! The options before the verb, which hold for all verbs.

use std::path::PathBuf;

use carrier_engine::Places;
use clap::{Args, ValueEnum};

use crate::progress;
use crate::report::Failure;

#[derive(Args, Debug)]
pub(crate) struct GlobalArgs {
    /// What is said beside results and errors
    #[arg(short, long, value_enum, value_name = "LEVEL", default_value_t = Level::Info)]
    pub(crate) log_level: Level,
    /// The same as --log-level debug
    #[arg(short = 'D', long)]
    pub(crate) debug: bool,
    /// The store, instead of $XDG_DATA_HOME/carrier
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) root: Option<PathBuf>,
    /// For what dies with a boot, instead of $XDG_RUNTIME_DIR
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) runroot: Option<PathBuf>,
}

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Level {
    /// Also what is decided and done
    Debug,
    /// Warnings
    Info,
    /// Warnings
    #[value(alias = "warning")]
    Warn,
    /// Errors only
    #[value(alias = "fatal")]
    Error,
}

impl GlobalArgs {
    /// Lets them hold.
    pub(crate) fn apply(&self) -> Result<(), Failure> {
        progress::set_level(if self.debug {
            Level::Debug
        } else {
            self.log_level
        });
        if self.root.is_some() || self.runroot.is_some() {
            choose(self.root.clone(), self.runroot.clone())?;
        }
        progress::debug(|| match carrier_engine::places() {
            Ok((root, runtime)) => {
                format!(
                    "the store is {}, {} dies with the boot",
                    root.display(),
                    runtime.display()
                )
            }
            Err(error) => error.to_string(),
        });
        Ok(())
    }
}

/// Chooses where things are; relative paths are relative to the working directory.
pub(crate) fn choose(root: Option<PathBuf>, runroot: Option<PathBuf>) -> Result<(), Failure> {
    let absolute = |path: PathBuf| {
        std::path::absolute(&path)
            .map_err(|error| Failure::usage(format!("{:?}: {error}", path.display())))
    };
    let root = root.map(absolute).transpose()?;
    let runroot = runroot.map(absolute).transpose()?;
    if let Some(root) = root.as_deref().filter(|root| !Places::is_fit(root)) {
        return Err(Failure::with_hint(
            format!("--root: {} has other things in it", root.display()),
            "name a store of Carrier, or a directory that is empty or not yet there",
        ));
    }
    Places { root, runroot }.choose();
    Ok(())
}
