//! Carrier's command line: grammar, printing, exit codes.

mod cli;
mod commands;
mod hello;
mod progress;
mod report;
mod table;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    // In a container of the embedded image this program is the container's.
    if hello::is_asked_for() {
        return hello::report();
    }
    match cli::Cli::try_parse() {
        Ok(cli) => report::exit(commands::dispatch(cli.command)),
        Err(error) => report::usage(&error),
    }
}
