//! The program of the embedded image: tells the facts of its own sandbox.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

const NAMESPACES: [&str; 7] = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];

/// Whether this process is the program of a container of the image `hello`.
pub(crate) fn is_asked_for() -> bool {
    let first = std::env::args_os().next();
    first.is_some_and(|name| Path::new(&name).file_name() == Some(carrier_engine::HELLO.as_ref()))
}

/// Prints the report.
pub(crate) fn report() -> ExitCode {
    match std::io::stdout().write_all(text().as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn text() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let status = read("/proc/self/status");
    let field = |name: &str| {
        let found = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found
            .map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "))
            .unwrap_or_default()
    };
    let namespaces: Vec<String> = NAMESPACES
        .iter()
        .filter_map(|name| fs::read_link(format!("/proc/self/ns/{name}")).ok())
        .map(|link| link.display().to_string())
        .collect();
    let one_line = |text: String| {
        text.lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let facts = [
        (
            "host name",
            read("/proc/sys/kernel/hostname").trim().to_owned(),
        ),
        (
            "process",
            format!("pid {}, parent {}", std::process::id(), field("PPid")),
        ),
        ("user ids", field("Uid")),
        (
            "group ids",
            format!("{}; groups {}", field("Gid"), field("Groups")),
        ),
        ("user map", one_line(read("/proc/self/uid_map"))),
        ("group map", one_line(read("/proc/self/gid_map"))),
        ("namespaces", namespaces.join(" ")),
        (
            "capabilities",
            format!(
                "effective {}, bounding {}",
                field("CapEff"),
                field("CapBnd")
            ),
        ),
        ("no new privileges", field("NoNewPrivs")),
        (
            "seccomp",
            format!(
                "mode {}, {} filter(s)",
                field("Seccomp"),
                field("Seccomp_filters")
            ),
        ),
        ("cgroup", one_line(read("/proc/self/cgroup"))),
        ("devices", devices()),
    ];
    let mut text = "Hello from a container of Carrier: no root, no daemon.\n\n".to_owned();
    for (name, value) in facts {
        text.push_str(&format!("{name:<18} {value}\n"));
    }
    text.push_str("\nmounts\n");
    for line in read("/proc/self/mounts").lines() {
        let mut words = line.split(' ').skip(1);
        let mut next = || words.next().unwrap_or_default();
        let (target, kind, options) = (next(), next(), next());
        let read_only = if options.split(',').any(|word| word == "ro") {
            "read-only"
        } else {
            ""
        };
        text.push_str(format!("  {target:<34} {kind:<8} {read_only}").trim_end());
        text.push('\n');
    }
    text
}

fn devices() -> String {
    let entries = fs::read_dir("/dev")
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names.join(" ")
}
