//! Programs about processes.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;

use rustix::process::{Pid, Signal};

use crate::system::Accounts;
use crate::{Complaint, Out, Outcome, complain};

pub(crate) fn ps(_: &[OsString], out: &mut Out) -> Outcome {
    let accounts = Accounts::read();
    let names = fs::read_dir("/proc")?
        .flatten()
        .map(|entry| entry.file_name());
    let mut pids: Vec<u32> = names
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    writeln!(out, "{:>5} {:<8} {:<5} COMMAND", "PID", "USER", "STAT")?;
    for pid in pids {
        // One that has ended meanwhile is left out.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        let Some((head, rest)) = stat.rsplit_once(')') else {
            continue;
        };
        let state = rest.split_whitespace().next().unwrap_or("?");
        let owner = fs::metadata(format!("/proc/{pid}")).map_or(0, |found| found.uid());
        let user = accounts.user(owner).unwrap_or_else(|| owner.to_string());
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<_> = line
            .split(|byte| *byte == 0)
            .filter(|word| !word.is_empty())
            .collect();
        let command = if words.is_empty() {
            format!("[{}]", head.split_once('(').map_or("", |(_, name)| name))
        } else {
            String::from_utf8_lossy(&words.join(&b' ')).into_owned()
        };
        let command: String = command
            .chars()
            .map(|c| if c.is_control() { '?' } else { c })
            .collect();
        writeln!(out, "{pid:>5} {user:<8} {state:<5} {command}")?;
    }
    Ok(0)
}

/// Names without `SIG`, by number.
const SIGNALS: [(&str, Signal); 19] = [
    ("HUP", Signal::HUP),
    ("INT", Signal::INT),
    ("QUIT", Signal::QUIT),
    ("ILL", Signal::ILL),
    ("TRAP", Signal::TRAP),
    ("ABRT", Signal::ABORT),
    ("BUS", Signal::BUS),
    ("FPE", Signal::FPE),
    ("KILL", Signal::KILL),
    ("USR1", Signal::USR1),
    ("SEGV", Signal::SEGV),
    ("USR2", Signal::USR2),
    ("PIPE", Signal::PIPE),
    ("ALRM", Signal::ALARM),
    ("TERM", Signal::TERM),
    ("CHLD", Signal::CHILD),
    ("CONT", Signal::CONT),
    ("STOP", Signal::STOP),
    ("WINCH", Signal::WINCH),
];

/// `kill [-s SIGNAL | -SIGNAL | -l] PID...`
pub(crate) fn kill(arguments: &[OsString], out: &mut Out) -> Outcome {
    let words: Vec<String> = arguments
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let (mut signal, mut rest) = (Some(Signal::TERM), words.as_slice());
    match rest {
        [list, ..] if list == "-l" => {
            for (name, signal) in SIGNALS {
                writeln!(out, "{:>2} {name}", signal.as_raw())?;
            }
            return Ok(0);
        }
        [option, name, others @ ..] if option == "-s" => (signal, rest) = (named(name)?, others),
        [option, others @ ..] if option.starts_with('-') => {
            (signal, rest) = (named(option.trim_start_matches('-'))?, others);
        }
        _ => {}
    }
    if rest.is_empty() {
        return Err("name a process".into());
    }
    let mut code = 0;
    for word in rest {
        let pid = word.parse().ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| format!("{word:?} is not a process id"))?;
        let sent = match signal {
            Some(signal) => rustix::process::kill_process(pid, signal),
            None => rustix::process::test_kill_process(pid),
        };
        if let Err(errno) = sent {
            complain("kill", &format!("{word}: {}", crate::plain(&errno.into())));
            code = 1;
        }
    }
    Ok(code)
}

/// A signal by name or number; none for 0.
fn named(word: &str) -> Result<Option<Signal>, Complaint> {
    if word == "0" {
        return Ok(None);
    }
    let upper = word.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let number: Option<i32> = word.parse().ok();
    let mut all = SIGNALS.iter();
    let found = all.find(|(known, signal)| *known == name || Some(signal.as_raw()) == number);
    let unknown = || Complaint::Words(format!("{word:?} is not a signal"));
    found.map(|(_, signal)| Some(*signal)).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for word in ["9", "KILL", "kill", "SIGKILL"] {
            assert_eq!(named(word).unwrap(), Some(Signal::KILL), "{word}");
        }
        assert_eq!(named("0").unwrap(), None);
        assert!(named("NOTHING").is_err() && named("4711").is_err());
    }
}
