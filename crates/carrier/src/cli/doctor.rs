//! The grammar of `carrier doctor`.

use clap::Args;

#[derive(Args, Debug)]
#[command(
    after_help = "Exit code: 0 when nothing has failed, also where there are warnings; 1 when something has."
)]
pub(crate) struct DoctorArgs {
    /// Set right what needs no root, and print one script for what does; the findings go to standard error
    #[arg(long)]
    pub(crate) fix: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
