//! What a user may have of the kernel.

use super::finding::{Check, Finding};
use super::remedy::{Remedy, quoted, sysctl};
use super::view::View;

/// What systemd gives to every login.
const ENOUGH: u64 = 1024;

pub(super) fn open_files(view: &View) -> Finding {
    let consequence =
        "containers with many published ports, and many containers on networks, do not start";
    let found = resource(
        view,
        Check::OpenFiles,
        ("Max open files", "nofile"),
        consequence,
    );
    found.unwrap_or_else(|| Finding::ok(Check::OpenFiles, format!("{ENOUGH} or more")))
}

pub(super) fn processes(view: &View) -> Finding {
    let check = Check::Processes;
    let consequence = "containers, or programs in them, cannot start long before the host is full";
    resource(view, check, ("Max processes", "nproc"), consequence)
        .or_else(|| {
            parameter(
                view,
                check,
                ("kernel.pid_max", 32_768),
                "4194304",
                consequence,
            )
        })
        .unwrap_or_else(|| Finding::ok(check, format!("{ENOUGH} or more")))
}

pub(super) fn inotify(view: &View) -> Finding {
    let check = Check::Inotify;
    let consequence = "`logs -f` and `events` are late, and containers with limits do not tell of memory \
                       that ran out";
    parameter(
        view,
        check,
        ("fs.inotify.max_user_instances", 128),
        "1024",
        consequence,
    )
    .or_else(|| {
        parameter(
            view,
            check,
            ("fs.inotify.max_user_watches", 1024),
            "65536",
            consequence,
        )
    })
    .unwrap_or_else(|| Finding::ok(check, "files can be watched"))
}

pub(super) fn memory(view: &View) -> Finding {
    if view.number("vm.overcommit_memory") == Some(2) {
        return Finding::warning(
            Check::Memory,
            "the sysctl vm.overcommit_memory is 2",
            "programs that reserve more than they use, such as databases and Java, may not start",
            sysctl("vm.overcommit_memory", "0"),
        );
    }
    Finding::ok(Check::Memory, "programs may reserve more than they use")
}

/// A limit of this process, proc_pid_limits(5).
fn resource(
    view: &View,
    check: Check,
    (label, name): (&str, &str),
    consequence: &str,
) -> Option<Finding> {
    let limits = view.read("proc/self/limits");
    let line = limits.lines().find_map(|line| line.strip_prefix(label))?;
    let mut words = line.split_whitespace();
    // "unlimited" is no number.
    let soft: u64 = words.next()?.parse().ok()?;
    let hard: Option<u64> = words.next().and_then(|word| word.parse().ok());
    if soft >= ENOUGH {
        return None;
    }
    let option = if name == "nofile" { 'n' } else { 'u' };
    let remedy = if hard.is_none_or(|hard| hard >= ENOUGH) {
        Remedy::Advice(format!(
            "`ulimit -S{option} {}`",
            hard.unwrap_or(65_536).min(65_536)
        ))
    } else {
        let line = format!("{} - {name} 65536", view.user());
        Remedy::Root(format!(
            "echo {} >>/etc/security/limits.d/60-carrier.conf",
            quoted(line.as_ref())
        ))
    };
    let what = label.trim_start_matches("Max ");
    Some(Finding::warning(
        check,
        format!("this shell may have {soft} {what} (`ulimit -{option}`)"),
        consequence,
        remedy,
    ))
}

/// A kernel parameter that is to be large.
fn parameter(
    view: &View,
    check: Check,
    (name, enough): (&str, u64),
    better: &str,
    consequence: &str,
) -> Option<Finding> {
    let value = view.number(name).filter(|value| *value < enough)?;
    Some(Finding::warning(
        check,
        format!("the sysctl {name} is {value}"),
        consequence,
        sysctl(name, better),
    ))
}

/// All containers of a user share one session keyring, which is one key: keyrings(7).
pub(super) fn keys(view: &View) -> Finding {
    let check = Check::Keys;
    let table = view.read("proc/key-users");
    let own = format!("{}:", view.caller.uid);
    let line = table
        .lines()
        .find(|line| line.split_whitespace().next() == Some(&own));
    // UID: usage keys/instantiated used/allowed bytes/allowed
    let quota = line.and_then(|line| {
        let (used, allowed) = line.split_whitespace().nth(3)?.split_once('/')?;
        Some((used.parse::<u64>().ok()?, allowed.parse::<u64>().ok()?))
    });
    let (used, allowed) = match (quota, view.number("kernel.keys.maxkeys")) {
        (Some(quota), _) => quota,
        (None, Some(allowed)) => (0, allowed),
        (None, None) => return Finding::skipped(check, "the kernel does not count them"),
    };
    if used < allowed {
        return Finding::ok(check, format!("the user has {used} of {allowed}"));
    }
    Finding::failed(
        check,
        format!("the user has {used} of {allowed} (sysctl kernel.keys.maxkeys)"),
        "containers get no keyring of their own, and do not start without one",
        sysctl("kernel.keys.maxkeys", "20000"),
    )
}
