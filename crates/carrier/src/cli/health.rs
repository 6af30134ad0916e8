//! The grammar of `carrier healthcheck`.

use clap::{Args, Subcommand};

#[derive(Args, Debug)]
pub(crate) struct HealthcheckArgs {
    #[command(subcommand)]
    pub(crate) verb: HealthcheckVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HealthcheckVerb {
    /// Make one check now: exit code 0 when it went well, else 1
    Run {
        /// The container
        #[arg(value_name = "CONTAINER")]
        container: String,
    },
}
