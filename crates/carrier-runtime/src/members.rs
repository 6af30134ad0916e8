//! The processes of a PID namespace, read from the host's `/proc`.

use std::fs;
use std::path::PathBuf;

/// The processes in the PID namespace of `first`, or that one alone where it is the caller's.
#[must_use]
pub fn members_of(first: u32) -> Vec<u32> {
    let theirs = namespace(first);
    if theirs.is_none() || theirs == namespace(std::process::id()) {
        return vec![first];
    }
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| namespace(*pid) == theirs).collect()
}

/// Whether `pid` is in the PID namespace of `first`.
#[must_use]
pub fn is_member(pid: u32, first: u32) -> bool {
    let theirs = namespace(pid);
    theirs.is_some() && theirs == namespace(first)
}

/// Whether a process was stopped by a signal, proc_pid_stat(5).
#[must_use]
pub fn process_is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    state.starts_with(['T', 'Z', 'X'])
}

fn namespace(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}
