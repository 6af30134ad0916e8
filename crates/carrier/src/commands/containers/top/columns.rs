//! The columns of `ps`, without `ps`.

use std::fs;
use std::time::Duration;

use carrier_engine::{ContainerProcess, ContainerProcesses, boot_time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ZonedDateTime};

use crate::report::Failure;

/// One fact about each process.
pub(super) struct Column {
    /// The names by which `-o` knows it, Podman's too.
    names: &'static [&'static str],
    pub(super) header: &'static str,
    pub(super) show: fn(&View, &ContainerProcess) -> String,
}

/// What facts depend on, beside the process.
pub(super) struct View {
    pub(super) processes: ContainerProcesses,
    passwd: String,
    group: String,
    boot: Timestamp,
    now: ZonedDateTime,
    /// Since the boot.
    uptime: Duration,
    memory: u64,
}

/// What `ps -ef` shows, `ps aux`, and `ps` alone.
/// Names with a space in front are no names for `-o`.
const FULL: [&str; 8] = [" uid", "pid", "ppid", "c", "stime", "tname", "time", "cmd"];
const BSD: [&str; 11] = [
    "user", "pid", "%cpu", "%mem", "vsz", "rss", "tname", "stat", " start", "time", "args",
];
const SHORT: [&str; 4] = ["pid", "tname", "time", "ucmd"];

const COLUMNS: &[Column] = &[
    column(&[" uid"], "UID", View::user),
    column(&["uid"], "UID", |view, it| {
        view.processes.user(it).to_string()
    }),
    column(&["user", "euser", "uname"], "USER", |view, it| {
        view.user(it)
    }),
    column(&["euid"], "EUID", |view, it| {
        view.processes.user(it).to_string()
    }),
    column(&["group", "egroup"], "GROUP", View::group),
    column(&["gid", "egid"], "GID", |view, it| {
        view.processes.group(it).to_string()
    }),
    column(&["huser"], "HUSER", |_, it| it.uid.to_string()),
    column(&["hgroup"], "HGROUP", |_, it| it.gid.to_string()),
    column(&["pid", "tgid"], "PID", |_, it| it.pid.to_string()),
    column(&["hpid"], "HPID", |_, it| it.pid.to_string()),
    column(&["ipid", "nspid"], "NSPID", |_, it| {
        it.inner_pid.to_string()
    }),
    column(&["ppid"], "PPID", |_, it| it.parent.to_string()),
    column(&["pgid", "pgrp"], "PGID", |_, it| it.group.to_string()),
    column(&["sid", "sess", "session"], "SID", |_, it| {
        it.session.to_string()
    }),
    column(&["c"], "C", |view, it| {
        format!("{:.0}", view.processor(it).floor())
    }),
    column(&["%cpu", "pcpu", "%c"], "%CPU", |view, it| {
        format!("{:.1}", view.processor(it))
    }),
    column(&["%mem", "pmem"], "%MEM", |view, it| {
        format!("{:.1}", view.memory(it))
    }),
    column(&["vsz", "vsize"], "VSZ", |_, it| {
        (it.virtual_memory / 1024).to_string()
    }),
    column(&["rss", "rssize", "rsz"], "RSS", |_, it| {
        (it.resident_memory / 1024).to_string()
    }),
    column(&["tname"], "TTY", |_, it| terminal(it)),
    column(&["tty", "tt"], "TT", |_, it| terminal(it)),
    column(&["stat"], "STAT", |_, it| it.state.to_string()),
    column(&["s", "state"], "S", |_, it| it.state.to_string()),
    column(&["ni", "nice"], "NI", |_, it| it.nice.to_string()),
    column(&["pri", "priority"], "PRI", |_, it| it.priority.to_string()),
    column(&["nlwp", "thcount"], "NLWP", |_, it| it.threads.to_string()),
    column(&["stime"], "STIME", View::start),
    column(&[" start", "start_time"], "START", |view, it| {
        view.start(it)
    }),
    column(&["start"], "STARTED", View::start),
    column(&["etime", "elapsed"], "ELAPSED", |view, it| {
        elapsed(view.age(it))
    }),
    column(&["time", "cputime", "bsdtime"], "TIME", |_, it| {
        clock(it.processor)
    }),
    column(&["ucmd"], "CMD", |_, it| it.name.clone()),
    column(&["comm", "ucomm"], "COMMAND", |_, it| it.name.clone()),
    column(&["cmd"], "CMD", |_, it| command(it)),
    column(&["args", "command"], "COMMAND", |_, it| command(it)),
];

const fn column(
    names: &'static [&'static str],
    header: &'static str,
    show: fn(&View, &ContainerProcess) -> String,
) -> Column {
    Column {
        names,
        header,
        show,
    }
}

/// Reads options as `ps` does, as far as they choose columns.
pub(super) fn chosen(options: &[String]) -> Result<Vec<&'static Column>, Failure> {
    let mut named: Vec<String> = Vec::new();
    let mut base: &[&str] = if options.is_empty() { &FULL } else { &SHORT };
    let mut words = options.iter();
    while let Some(word) = words.next() {
        let Some(letters) = word.strip_prefix('-') else {
            match word.as_str() {
                "aux" | "ax" | "axu" | "u" => base = &BSD,
                // Podman's way: names of columns.
                names => named.extend(names.split(',').map(str::to_owned)),
            }
            continue;
        };
        let (flags, behind) = match letters.find('o') {
            Some(at) => (&letters[..at], Some(&letters[at + 1..])),
            None => (letters, None),
        };
        match flags {
            "" | "e" | "A" | "a" | "x" | "ax" => {}
            "ef" | "fe" | "f" | "eF" | "F" | "Af" => base = &FULL,
            "aux" | "axu" | "u" => base = &BSD,
            _ => return Err(unknown(word)),
        }
        match behind {
            None if letters.is_empty() => return Err(unknown(word)),
            None => {}
            Some("") => {
                let list = words.next().ok_or_else(|| unknown(word))?;
                named.extend(list.split([',', ' ']).map(str::to_owned));
            }
            Some(list) => named.extend(list.split(',').map(str::to_owned)),
        }
    }
    let find = |name: &str| {
        let name = name.to_lowercase();
        let mut all = COLUMNS.iter();
        all.find(|column| column.names.contains(&name.as_str()))
    };
    if named.is_empty() {
        return Ok(base.iter().filter_map(|name| find(name)).collect());
    }
    let columns = named
        .iter()
        .map(|name| find(name).ok_or_else(|| unknown(name)));
    columns.collect()
}

fn unknown(word: &str) -> Failure {
    Failure::with_hint(
        format!("unknown option or field {word:?} of ps"),
        "known are -ef, aux, and -o with user, pid, ppid, %cpu, %mem, rss, tty, stat, stime, etime, time, \
         comm, args and others",
    )
}

impl View {
    pub(super) fn of(processes: ContainerProcesses) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let seconds = i64::try_from(boot_time()).unwrap_or(0);
        let uptime = read("/proc/uptime");
        let uptime = uptime.split(' ').next().and_then(|text| text.parse().ok());
        let meminfo = read("/proc/meminfo");
        let total = meminfo
            .lines()
            .next()
            .and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        Self {
            processes,
            passwd: read("/etc/passwd"),
            group: read("/etc/group"),
            boot: Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH),
            now: ZonedDateTime::new(Timestamp::now(), TimeZone::system()),
            uptime: Duration::try_from_secs_f64(uptime.unwrap_or(0.0)).unwrap_or_default(),
            memory: total.unwrap_or(0) * 1024,
        }
    }

    fn user(&self, process: &ContainerProcess) -> String {
        name(&self.passwd, self.processes.user(process))
    }

    fn group(&self, process: &ContainerProcess) -> String {
        name(&self.group, self.processes.group(process))
    }

    fn age(&self, process: &ContainerProcess) -> Duration {
        self.uptime.saturating_sub(process.started)
    }

    /// Percents of a processor over its whole life.
    fn processor(&self, process: &ContainerProcess) -> f64 {
        let age = self.age(process).as_secs_f64();
        if age > 0.0 {
            process.processor.as_secs_f64() / age * 100.0
        } else {
            0.0
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "one digit is shown")]
    fn memory(&self, process: &ContainerProcess) -> f64 {
        if self.memory == 0 {
            return 0.0;
        }
        process.resident_memory as f64 / self.memory as f64 * 100.0
    }

    /// The time of day, or the day when that was another one.
    fn start(&self, process: &ContainerProcess) -> String {
        let after = SignedDuration::try_from(process.started).unwrap_or_default();
        let started = self.boot.checked_add(after).unwrap_or(self.boot);
        let started = ZonedDateTime::new(started, TimeZone::system());
        let format = if started.date() == self.now.date() {
            "%H:%M"
        } else if started.year() == self.now.year() {
            "%b%d"
        } else {
            "%Y"
        };
        started.strftime(format).to_string()
    }
}

/// The name of an id in a file like `/etc/passwd`.
fn name(file: &str, id: u32) -> String {
    let number = id.to_string();
    let of_line = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    };
    file.lines().find_map(of_line).unwrap_or(number.clone())
}

fn terminal(process: &ContainerProcess) -> String {
    process.terminal.clone().unwrap_or_else(|| "?".to_owned())
}

fn command(process: &ContainerProcess) -> String {
    if process.arguments.is_empty() {
        format!("[{}]", process.name)
    } else {
        process.arguments.join(" ")
    }
}

/// `HH:MM:SS`, with days in front.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let rest = format!("{hours:02}:{:02}:{:02}", seconds / 60 % 60, seconds % 60);
    if days > 0 {
        format!("{days}-{rest}")
    } else {
        rest
    }
}

/// `[[DD-]HH:]MM:SS`
fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds >= 3600 {
        return clock(time);
    }
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(options: &[&str]) -> Option<String> {
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        let columns = chosen(&options).ok()?;
        let headers: Vec<&str> = columns.iter().map(|column| column.header).collect();
        Some(headers.join(" "))
    }

    #[test]
    fn options_are_those_of_ps() {
        for (options, expected) in [
            (&[][..], "UID PID PPID C STIME TTY TIME CMD"),
            (&["-ef"], "UID PID PPID C STIME TTY TIME CMD"),
            (
                &["aux"],
                "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND",
            ),
            (&["-e"], "PID TTY TIME CMD"),
            (&["-o", "pid,cmd"], "PID CMD"),
            (&["-eo", "pid,comm"], "PID COMMAND"),
            (&["-opid,args"], "PID COMMAND"),
            (&["pid", "user", "args"], "PID USER COMMAND"),
        ] {
            assert_eq!(headers(options).as_deref(), Some(expected), "{options:?}");
        }
        for bad in [&["-o"][..], &["-q"], &["nonsense"], &["-o", "pid,nonsense"]] {
            assert_eq!(headers(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn times_look_like_those_of_ps() {
        assert_eq!(clock(Duration::from_secs(3725)), "01:02:05");
        assert_eq!(clock(Duration::from_secs(90_000)), "1-01:00:00");
        assert_eq!(elapsed(Duration::from_secs(65)), "01:05");
    }

    #[test]
    fn ids_without_a_name_are_numbers() {
        let passwd = "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/:/bin/false\n";
        assert_eq!(name(passwd, 33), "web");
        assert_eq!(name(passwd, 7), "7");
    }
}
