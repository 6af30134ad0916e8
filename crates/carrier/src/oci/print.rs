//! What the runtime prints.

use std::io::Write as _;

use carrier_runtime::container::{ContainerProcess, Record};
use carrier_runtime::state::Status;
use serde_json::Value;

use super::Failure;
use super::grammar::Format;

pub(super) fn json(value: &Value) -> Result<(), Failure> {
    out(&format!("{value:#}\n"))
}

pub(super) fn json_line(value: &Value) -> Result<(), Failure> {
    out(&format!("{value}\n"))
}

pub(super) fn processes(processes: &[ContainerProcess], format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => {
            let pids: Vec<u32> = processes.iter().map(|process| process.pid).collect();
            json_line(&pids.into())
        }
        Format::Table => {
            let mut text = format!("{:<8} {:>8} {:>8} CMD\n", "UID", "PID", "PPID");
            for process in processes {
                let ContainerProcess {
                    pid,
                    parent,
                    user,
                    command,
                } = process;
                let command = crate::report::printable(command);
                text.push_str(&format!("{user:<8} {pid:>8} {parent:>8} {command}\n"));
            }
            out(&text)
        }
    }
}

pub(super) fn records(records: &[Record], format: Format, quiet: bool) -> Result<(), Failure> {
    if quiet {
        let lines: String = records
            .iter()
            .map(|record| format!("{}\n", record.id))
            .collect();
        return out(&lines);
    }
    if format == Format::Json {
        return json_line(&records.iter().map(Record::state).collect());
    }
    let mut text = row(["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    for record in records {
        let status = record.status();
        let pid = if status == Status::Stopped {
            0
        } else {
            record.process.pid
        };
        text.push_str(&row([
            &record.id,
            &pid.to_string(),
            word(status),
            &record.bundle.display().to_string(),
            &record.created,
            &record.owner.to_string(),
        ]));
    }
    out(&text)
}

fn row([id, pid, status, bundle, created, owner]: [&str; 6]) -> String {
    format!("{id:<24} {pid:<8} {status:<8} {bundle:<32} {created:<32} {owner}\n")
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Created => "created",
        Status::Running => "running",
        Status::Paused => "paused",
        Status::Stopped => "stopped",
    }
}

fn out(text: &str) -> Result<(), Failure> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|source| Failure::System {
            action: "write to standard output".to_owned(),
            source,
        })
}
