//! What differs from the container's own program: pure.

use carrier_runtime::Capabilities;
use oci_spec::runtime::{BoxBuilder, Process, Spec};

use super::ExecOptions;
use crate::error::Error;
use crate::net::NetworkMode;
use crate::record::{ContainerRecord, EnvironmentSetting};
use crate::terminal;

/// The record of a container whose program is the other one.
pub(super) fn record(record: &ContainerRecord, options: &ExecOptions) -> ContainerRecord {
    let mut record = record.clone();
    record.environment = environment(
        &record.environment,
        options.streams.terminal,
        &options.environment,
    );
    if let NetworkMode::Container(_) = record.network {
        // The namespaces are those of the container's first process; whose they were first may be gone.
        record.network = NetworkMode::None;
    }
    record.arguments.clone_from(&options.command);
    record.streams = options.streams;
    if let Some(directory) = &options.working_directory {
        record.working_directory.clone_from(directory);
    }
    if options.privileged {
        record.security = record.security.with_capabilities(Capabilities::ALL);
    }
    record
}

/// Where a program of this name may be.
pub(super) fn places(record: &ContainerRecord, options: &ExecOptions, name: &str) -> Vec<String> {
    if name.contains('/') {
        return vec![name.to_owned()];
    }
    let environment = self::record(record, options).environment;
    let path = environment
        .iter()
        .find_map(|line| line.strip_prefix("PATH="));
    let directories = path.unwrap_or_default().split(':');
    directories
        .filter(|directory| directory.starts_with('/'))
        .map(|directory| format!("{directory}/{name}"))
        .collect()
}

/// The process of a configuration that was made of such a record.
pub(super) fn process(spec: &Spec, options: &ExecOptions) -> Result<Process, Error> {
    let missing = || Error::Configuration("there is no process".into());
    let mut process = spec.process().clone().ok_or_else(missing)?;
    if options.streams.terminal
        && !options.detach
        && let Some(size) = terminal::size()
    {
        // The first thing that a program asks for.
        let size = BoxBuilder::default()
            .height(size.ws_row)
            .width(size.ws_col)
            .build();
        process.set_console_size(Some(
            size.map_err(|error| Error::Configuration(error.into()))?,
        ));
    }
    Ok(process)
}

/// The container's environment with the settings over it; a terminal is an `xterm` unless somebody
/// says otherwise.
fn environment(
    container: &[String],
    terminal: bool,
    settings: &[EnvironmentSetting],
) -> Vec<String> {
    let mut lines = container.to_vec();
    let name = |line: &str| line.split('=').next().unwrap_or_default().to_owned();
    if terminal && !lines.iter().any(|line| name(line) == "TERM") {
        lines.push("TERM=xterm".to_owned());
    }
    for setting in settings {
        match setting {
            EnvironmentSetting::Unset(unset) => lines.retain(|line| name(line) != *unset),
            EnvironmentSetting::Set(set, value) => {
                let new = format!("{set}={value}");
                match lines.iter_mut().find(|line| name(line) == *set) {
                    Some(line) => *line = new,
                    None => lines.push(new),
                }
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str) -> EnvironmentSetting {
        EnvironmentSetting::Set(name.to_owned(), value.to_owned())
    }

    #[test]
    fn settings_are_over_the_containers_environment() {
        let container = ["PATH=/bin", "A=1", "B=2=3"].map(str::to_owned);
        let unset = EnvironmentSetting::Unset("B".to_owned());
        let lines = environment(&container, false, &[set("A", "x"), unset, set("C", "")]);
        assert_eq!(lines, ["PATH=/bin", "A=x", "C="]);
    }

    #[test]
    fn a_terminal_has_a_name() {
        let of = |container: &[&str], settings: &[EnvironmentSetting]| {
            let container: Vec<String> = container.iter().map(ToString::to_string).collect();
            environment(&container, true, settings)
        };
        assert_eq!(of(&[], &[]), ["TERM=xterm"]);
        assert_eq!(of(&["TERM=vt100"], &[]), ["TERM=vt100"]);
        assert_eq!(of(&["TERM=vt100"], &[set("TERM", "linux")]), ["TERM=linux"]);
    }
}
