//! Programs about the system and its users.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::listing::human;
use crate::options::Options;
use crate::{Complaint, Out, Outcome};

/// The names of users and groups.
pub(crate) struct Accounts {
    users: Vec<(u32, String)>,
    groups: Vec<(u32, String)>,
}

impl Accounts {
    pub(crate) fn read() -> Self {
        let read = |path: &str| {
            let text = fs::read(path).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let entry = |line: &str| {
                let mut fields = line.split(':');
                let name = fields.next()?.to_owned();
                Some((fields.nth(1)?.parse().ok()?, name))
            };
            text.lines().filter_map(entry).collect()
        };
        Self {
            users: read("/etc/passwd"),
            groups: read("/etc/group"),
        }
    }

    pub(crate) fn user(&self, id: u32) -> Option<String> {
        name(&self.users, id)
    }

    pub(crate) fn group(&self, id: u32) -> Option<String> {
        name(&self.groups, id)
    }
}

fn name(entries: &[(u32, String)], id: u32) -> Option<String> {
    let found = entries.iter().find(|(known, _)| *known == id);
    found.map(|(_, name)| name.clone())
}

/// Seconds since 1970 as a date and a time of UTC.
pub(crate) fn moment(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days of the proleptic Gregorian calendar, Howard Hinnant's `civil_from_days`.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

pub(crate) fn yes(_: &[OsString], _: &mut Out) -> Outcome {
    Ok(0)
}

pub(crate) fn no(_: &[OsString], _: &mut Out) -> Outcome {
    Ok(1)
}

pub(crate) fn clear(_: &[OsString], out: &mut Out) -> Outcome {
    out.write_all(b"\x1b[H\x1b[2J")?;
    Ok(0)
}

pub(crate) fn date(_: &[OsString], out: &mut Out) -> Outcome {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(0));
    writeln!(out, "{} UTC", moment(seconds))?;
    Ok(0)
}

pub(crate) fn sleep(arguments: &[OsString], _: &mut Out) -> Outcome {
    let seconds = arguments.first().ok_or("say how many seconds")?;
    let text = seconds.to_string_lossy();
    let time = text
        .parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    std::thread::sleep(time.ok_or_else(|| format!("{text:?} is not a time"))?);
    Ok(0)
}

/// `env [NAME=VALUE...]`, and `printenv [NAME...]`
pub(crate) fn env(arguments: &[OsString], out: &mut Out) -> Outcome {
    let mut code = 0;
    for name in arguments {
        match std::env::var_os(name) {
            Some(value) => writeln!(out, "{}", value.display())?,
            None => code = 1,
        }
    }
    if arguments.is_empty() {
        for (name, value) in std::env::vars_os() {
            writeln!(out, "{}={}", name.display(), value.display())?;
        }
    }
    Ok(code)
}

pub(crate) fn id(arguments: &[OsString], out: &mut Out) -> Outcome {
    let options = Options::read(arguments, "ugn", "")?;
    let accounts = Accounts::read();
    let (user, group) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let (number, known) = if options.has(b'g') {
        (group, accounts.group(group))
    } else {
        (user, accounts.user(user))
    };
    if options.has(b'u') || options.has(b'g') {
        let shown = known
            .filter(|_| options.has(b'n'))
            .unwrap_or_else(|| number.to_string());
        writeln!(out, "{shown}")?;
        return Ok(0);
    }
    let named = |id: u32, name: Option<String>| match name {
        Some(name) => format!("{id}({name})"),
        None => id.to_string(),
    };
    let mut groups: Vec<u32> = rustix::process::getgroups()?
        .iter()
        .map(|group| group.as_raw())
        .collect();
    if groups.is_empty() {
        groups.push(group);
    }
    let groups: Vec<String> = groups
        .into_iter()
        .map(|id| named(id, accounts.group(id)))
        .collect();
    let (user, group) = (
        named(user, accounts.user(user)),
        named(group, accounts.group(group)),
    );
    writeln!(out, "uid={user} gid={group} groups={}", groups.join(","))?;
    Ok(0)
}

pub(crate) fn whoami(_: &[OsString], out: &mut Out) -> Outcome {
    let user = rustix::process::geteuid().as_raw();
    let name = Accounts::read()
        .user(user)
        .ok_or_else(|| format!("user {user} has no name"))?;
    writeln!(out, "{name}")?;
    Ok(0)
}

pub(crate) fn pwd(_: &[OsString], out: &mut Out) -> Outcome {
    writeln!(out, "{}", std::env::current_dir()?.display())?;
    Ok(0)
}

pub(crate) fn tty(_: &[OsString], out: &mut Out) -> Outcome {
    if !std::io::stdin().is_terminal() {
        writeln!(out, "not a tty")?;
        return Ok(1);
    }
    writeln!(out, "{}", fs::read_link("/proc/self/fd/0")?.display())?;
    Ok(0)
}

pub(crate) fn hostname(_: &[OsString], out: &mut Out) -> Outcome {
    let name = rustix::system::uname();
    writeln!(out, "{}", name.nodename().to_string_lossy())?;
    Ok(0)
}

pub(crate) fn uname(arguments: &[OsString], out: &mut Out) -> Outcome {
    let options = Options::read(arguments, "asnrvm", "")?;
    let name = rustix::system::uname();
    let all = [
        (b's', name.sysname()),
        (b'n', name.nodename()),
        (b'r', name.release()),
        (b'v', name.version()),
        (b'm', name.machine()),
    ];
    let none = options.has(b'a') || all.iter().any(|(letter, _)| options.has(*letter));
    let wanted = all.iter().filter(|(letter, _)| {
        options.has(b'a') || options.has(*letter) || (!none && *letter == b's')
    });
    let words: Vec<_> = wanted.map(|(_, word)| word.to_string_lossy()).collect();
    writeln!(out, "{}", words.join(" "))?;
    Ok(0)
}

pub(crate) fn nproc(_: &[OsString], out: &mut Out) -> Outcome {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    writeln!(out, "{count}")?;
    Ok(0)
}

pub(crate) fn free(_: &[OsString], out: &mut Out) -> Outcome {
    let text = fs::read_to_string("/proc/meminfo")?;
    for wanted in [
        "MemTotal",
        "MemFree",
        "MemAvailable",
        "SwapTotal",
        "SwapFree",
    ] {
        let line = text
            .lines()
            .find(|line| line.split(':').next() == Some(wanted));
        if let Some(line) = line {
            writeln!(out, "{line}")?;
        }
    }
    Ok(0)
}

/// What is mounted where: device, place, kind and options of each.
fn mounts() -> Result<Vec<[String; 4]>, Complaint> {
    let text = fs::read_to_string("/proc/self/mounts")?;
    let fields = |line: &str| {
        let mut words = line.split(' ').map(|word| word.replace("\\040", " "));
        Some([words.next()?, words.next()?, words.next()?, words.next()?])
    };
    Ok(text.lines().filter_map(fields).collect())
}

pub(crate) fn mount(arguments: &[OsString], out: &mut Out) -> Outcome {
    if !arguments.is_empty() {
        return Err("this one only shows what is mounted".into());
    }
    for [device, place, kind, options] in mounts()? {
        writeln!(out, "{device} on {place} type {kind} ({options})")?;
    }
    Ok(0)
}

pub(crate) fn df(arguments: &[OsString], out: &mut Out) -> Outcome {
    let options = Options::read(arguments, "hk", "")?;
    writeln!(
        out,
        "{:<16} {:>10} {:>10} {:>10} MOUNTED ON",
        "DEVICE", "SIZE", "USED", "FREE"
    )?;
    let mut places: Vec<(String, PathBuf)> = Vec::new();
    if options.operands.is_empty() {
        places.extend(
            mounts()?
                .into_iter()
                .map(|[device, place, ..]| (device, place.into())),
        );
    } else {
        places.extend(
            options
                .operands
                .iter()
                .map(|path| ("-".to_owned(), path.into())),
        );
    }
    let shown = |bytes: u64| {
        if options.has(b'h') {
            human(bytes)
        } else {
            (bytes / 1024).to_string()
        }
    };
    for (device, place) in places {
        let found = match rustix::fs::statvfs(&place) {
            Ok(found) if found.f_blocks > 0 || !options.operands.is_empty() => found,
            _ => continue,
        };
        let size = found.f_blocks * found.f_frsize;
        let used = size - found.f_bfree * found.f_frsize;
        let (size, used, free) = (
            shown(size),
            shown(used),
            shown(found.f_bavail * found.f_frsize),
        );
        writeln!(
            out,
            "{device:<16} {size:>10} {used:>10} {free:>10} {}",
            place.display()
        )?;
    }
    Ok(0)
}

pub(crate) fn which(arguments: &[OsString], out: &mut Out) -> Outcome {
    let mut code = 0;
    let path = std::env::var_os("PATH").unwrap_or_default();
    for name in arguments {
        match find_program_in(Path::new(name), &path) {
            Some(path) => writeln!(out, "{}", path.display())?,
            None => code = 1,
        }
    }
    Ok(code)
}

/// A program of the image, found as a shell does.
pub(crate) fn find_program_in(name: &Path, path: &OsStr) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        fs::metadata(path)
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if name.components().count() > 1 || name.is_absolute() {
        return Some(name.to_owned()).filter(is_program);
    }
    let mut places = std::env::split_paths(path).map(|directory| directory.join(name));
    places.find(is_program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_dates() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_700_000_000, "2023-11-14 22:13:20"),
            (-1, "1969-12-31 23:59:59"),
        ] {
            assert_eq!(moment(seconds), text);
        }
    }
}
