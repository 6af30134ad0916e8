//! Carrier's command line: grammar, printing, exit codes.

mod cli;
mod clock;
mod commands;
mod completion;
mod hello;
mod listing;
mod oci;
mod progress;
mod prompt;
mod report;
mod table;
mod template;

use std::process::ExitCode;

fn main() -> ExitCode {
    // In a container of the embedded image this program is the container's.
    if hello::is_asked_for() {
        return hello::report();
    }
    if carrier_applets::is_asked_for(std::env::args_os()) {
        return carrier_applets::main(std::env::args_os());
    }
    carrier_sys::umask::leave_users();
    if let Some(words) = oci::words_for_runtime(std::env::args_os()) {
        return oci::main(words);
    }
    match cli::later::parse(std::env::args_os()) {
        Ok(cli) => report::exit(
            cli.global
                .apply()
                .and_then(|()| commands::dispatch(cli.command)),
        ),
        Err(error) => report::usage(&error),
    }
}
