//! The processes of a container, read from the host's `/proc`: no program of the container has a say
//! in it.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// A process of a container, as the host sees it: proc_pid_stat(5), proc_pid_status(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerProcess {
    /// Its id in the caller's namespace.
    pub pid: u32,
    /// Its id in the container.
    pub inner_pid: u32,
    /// Its parent's id in the caller's namespace.
    pub parent: u32,
    /// Process group and session, in the caller's namespace.
    pub group: u32,
    /// See `group`.
    pub session: u32,
    /// The user id outside of the container.
    pub uid: u32,
    /// The group id outside of the container.
    pub gid: u32,
    /// `R`, `S`, …
    pub state: char,
    /// `pts/0`; none without a terminal.
    pub terminal: Option<String>,
    /// The name of the program.
    pub name: String,
    /// The words of the command line.
    pub arguments: Vec<String>,
    /// What it has used of the processor.
    pub processor: Duration,
    /// The same of children that have ended.
    pub of_children: Duration,
    /// How long after the boot it was started.
    pub started: Duration,
    /// Bytes of address space.
    pub virtual_memory: u64,
    /// Bytes in memory.
    pub resident_memory: u64,
    /// 19 yields to all others.
    pub nice: i32,
    /// The kernel's priority.
    pub priority: i32,
    /// How many threads it has.
    pub threads: u32,
}

/// The ids of all processes in the PID namespace of `init`, lowest first. Where the container shares
/// the namespace of its caller, those that descend from `init`.
pub(crate) fn members(init: u32) -> Vec<u32> {
    let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let Some(theirs) = namespace(init) else {
        return Vec::new();
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut members: Vec<u32> = if Some(&theirs) == namespace(std::process::id()).as_ref() {
        descendants(init, pids)
    } else {
        pids.filter(|pid| namespace(*pid).as_ref() == Some(&theirs))
            .collect()
    };
    members.sort_unstable();
    members
}

fn descendants(init: u32, pids: impl Iterator<Item = u32>) -> Vec<u32> {
    let parents: HashMap<u32, u32> = pids
        .filter_map(|pid| Some((pid, read(pid)?.parent)))
        .collect();
    let descends = |pid: u32| {
        let mut at = Some(pid);
        // A process cannot descend from more processes than there are.
        for _ in 0..=parents.len() {
            match at {
                Some(pid) if pid == init => return true,
                Some(pid) => at = parents.get(&pid).copied(),
                None => return false,
            }
        }
        false
    };
    parents
        .keys()
        .copied()
        .filter(|pid| descends(*pid))
        .collect()
}

/// Reads what is known about a process; nothing where it has ended.
pub(crate) fn read(pid: u32) -> Option<ContainerProcess> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    parse(pid, &stat, &status, &words)
}

fn parse(pid: u32, stat: &str, status: &str, words: &[u8]) -> Option<ContainerProcess> {
    // The name may hold spaces and parentheses; what follows the last one does not.
    let (front, fields) = stat.rsplit_once(')')?;
    let (_, name) = front.split_once('(')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    // Numbers as in proc_pid_stat(5), where the state is field 3.
    let field = |number: usize| fields.get(number - 3).copied();
    let number = |at: usize| field(at)?.parse::<i64>().ok();
    let natural = |at: usize| u32::try_from(number(at)?).ok();
    let ticks = |at: usize| Some(of_ticks(u64::try_from(number(at)?).ok()?));
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_whitespace())
    };
    let arguments = words.strip_suffix(b"\0").unwrap_or(words);
    let arguments = arguments.split(|byte| *byte == 0);
    let arguments = arguments.map(|word| String::from_utf8_lossy(word).into_owned());
    Some(ContainerProcess {
        pid,
        inner_pid: line("NSpid:")?.next_back()?.parse().ok()?,
        parent: natural(4)?,
        group: natural(5)?,
        session: natural(6)?,
        uid: line("Uid:")?.nth(1)?.parse().ok()?,
        gid: line("Gid:")?.nth(1)?.parse().ok()?,
        state: field(3)?.chars().next()?,
        terminal: terminal(number(7)?),
        name: name.to_owned(),
        arguments: if words.is_empty() {
            Vec::new()
        } else {
            arguments.collect()
        },
        processor: ticks(14)? + ticks(15)?,
        of_children: ticks(16)? + ticks(17)?,
        started: ticks(22)?,
        virtual_memory: u64::try_from(number(23)?).ok()?,
        resident_memory: u64::try_from(number(24)?).ok()? * page(),
        nice: i32::try_from(number(19)?).ok()?,
        priority: i32::try_from(number(18)?).ok()?,
        threads: natural(20)?,
    })
}

/// tty_nr: the minor number is in bits 31 to 20 and 7 to 0, the major one in 15 to 8.
fn terminal(number: i64) -> Option<String> {
    const PTS: i64 = 136;
    let (major, minor) = (number >> 8 & 0xff, number >> 12 & 0xfff00 | number & 0xff);
    match (number, major) {
        (0, _) => None,
        (_, PTS..=143) => Some(format!("pts/{}", (major - PTS) * 256 + minor)),
        _ => Some(format!("{major}:{minor}")),
    }
}

fn of_ticks(ticks: u64) -> Duration {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_nanos(ticks.saturating_mul(1_000_000_000 / per_second))
}

fn page() -> u64 {
    rustix::param::page_size() as u64
}

/// When the host was booted, in seconds since 1970.
#[must_use]
pub fn boot_time() -> u64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "));
    line.and_then(|seconds| seconds.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_hides_nothing() {
        let stat =
            "42 (a) b (c) S 1 42 42 34816 42 4194304 1 0 0 0 150 50 7 3 20 0 2 0 1000 4096 3 0";
        let status = "Name:\tx\nNSpid:\t42\t7\nUid:\t0\t1000\t0\t0\nGid:\t0\t1001\t0\t0\n";
        let process = parse(42, stat, status, b"sleep\x00600\x00").unwrap();
        assert_eq!(process.name, "a) b (c");
        assert_eq!(process.arguments, ["sleep", "600"]);
        assert_eq!((process.pid, process.inner_pid, process.parent), (42, 7, 1));
        assert_eq!((process.uid, process.gid), (1000, 1001));
        assert_eq!(process.terminal.as_deref(), Some("pts/0"));
        assert_eq!(process.processor, of_ticks(200));
        assert_eq!(process.of_children, of_ticks(10));
        assert_eq!((process.threads, process.virtual_memory), (2, 4096));
        assert!(parse(42, "42 (x) S 1", status, b"").is_none());
    }

    #[test]
    fn this_process_is_found_among_the_descendants_of_its_parent() {
        let me = std::process::id();
        let parent = read(me).unwrap().parent;
        assert!(members(parent).contains(&me));
        assert!(read(me).unwrap().started.as_secs() > 0 && boot_time() > 0);
    }
}
