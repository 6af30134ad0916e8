//! The tables of `docs/commands.md` that are made from the grammar: `make docs` writes them, and this
//! test fails where they say something else than the grammar does.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Arg, Command};

use super::later::{Fate, OPTIONS, REFUSED, whole};

const BEGIN: &str = "<!-- From here on made by `make docs`. -->\n";

/// Docker 28's options of the verbs that scripts use most.
const DOCKER: [(&str, &[&str]); 6] = [
    (
        "run",
        &[
            "add-host",
            "annotation",
            "attach",
            "blkio-weight",
            "blkio-weight-device",
            "cap-add",
            "cap-drop",
            "cgroup-parent",
            "cgroupns",
            "cidfile",
            "cpu-count",
            "cpu-percent",
            "cpu-period",
            "cpu-quota",
            "cpu-rt-period",
            "cpu-rt-runtime",
            "cpu-shares",
            "cpus",
            "cpuset-cpus",
            "cpuset-mems",
            "detach",
            "detach-keys",
            "device",
            "device-cgroup-rule",
            "device-read-bps",
            "device-read-iops",
            "device-write-bps",
            "device-write-iops",
            "disable-content-trust",
            "dns",
            "dns-opt",
            "dns-option",
            "dns-search",
            "domainname",
            "entrypoint",
            "env",
            "env-file",
            "expose",
            "gpus",
            "group-add",
            "health-cmd",
            "health-interval",
            "health-retries",
            "health-start-interval",
            "health-start-period",
            "health-timeout",
            "help",
            "hostname",
            "init",
            "interactive",
            "io-maxbandwidth",
            "io-maxiops",
            "ip",
            "ip6",
            "ipc",
            "isolation",
            "kernel-memory",
            "label",
            "label-file",
            "link",
            "link-local-ip",
            "log-driver",
            "log-opt",
            "mac-address",
            "memory",
            "memory-reservation",
            "memory-swap",
            "memory-swappiness",
            "mount",
            "name",
            "net",
            "net-alias",
            "network",
            "network-alias",
            "no-healthcheck",
            "oom-kill-disable",
            "oom-score-adj",
            "pid",
            "pids-limit",
            "platform",
            "privileged",
            "publish",
            "publish-all",
            "pull",
            "quiet",
            "read-only",
            "restart",
            "rm",
            "runtime",
            "security-opt",
            "shm-size",
            "sig-proxy",
            "stop-signal",
            "stop-timeout",
            "storage-opt",
            "sysctl",
            "tmpfs",
            "tty",
            "ulimit",
            "use-api-socket",
            "user",
            "userns",
            "uts",
            "volume",
            "volume-driver",
            "volumes-from",
            "workdir",
        ],
    ),
    (
        "exec",
        &[
            "detach",
            "detach-keys",
            "env",
            "env-file",
            "help",
            "interactive",
            "privileged",
            "tty",
            "user",
            "workdir",
        ],
    ),
    (
        "logs",
        &[
            "details",
            "follow",
            "help",
            "since",
            "tail",
            "timestamps",
            "until",
        ],
    ),
    (
        "ps",
        &[
            "all", "filter", "format", "help", "last", "latest", "no-trunc", "quiet", "size",
        ],
    ),
    ("stop", &["help", "signal", "time", "timeout"]),
    ("rm", &["force", "help", "link", "volumes"]),
];

fn tables() -> String {
    let command = whole();
    let mut text = String::from(
        "\n## Every verb and option\n\nAll verbs know `--help`. The options of `carrier` itself stand before the verb.\n\n\
         | verb | option or argument | meaning |\n|---|---|---|\n",
    );
    options("carrier", &command, &mut text);
    verbs(&command, &mut text);
    text.push_str(
        "\n## Docker's options\n\nWhat becomes of each option of Docker 28. *Later* names what it will \
         come with, and the text is what the user reads.\n\n| option | here |\n|---|---|\n",
    );
    for (verb, options) in DOCKER {
        let found = command.find_subcommand(verb);
        let found = found.unwrap_or_else(|| panic!("there is no verb {verb}"));
        for option in options {
            let _ = writeln!(text, "| `{verb} --{option}` | {} |", fate(found, option));
        }
    }
    text.push_str(
        "\nOf Podman's options of `run` and `create` these are known, too.\n\n\
         | option | here |\n|---|---|\n",
    );
    let (_, of_docker) = DOCKER[0];
    for option in OPTIONS
        .iter()
        .filter(|option| !of_docker.contains(&option.name))
    {
        let _ = writeln!(
            text,
            "| `run --{}` | {} |",
            option.name,
            words(&option.fate)
        );
    }
    text
}

fn verbs(command: &Command, text: &mut String) {
    let shown = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    for verb in shown.filter(|verb| verb.get_name() != "help") {
        let name = verb.get_bin_name().unwrap_or_default();
        let also: Vec<String> = verb
            .get_visible_aliases()
            .map(|alias| format!(", `{alias}`"))
            .collect();
        let about = verb
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        let _ = writeln!(text, "| `{name}`{} | | {} |", also.concat(), cell(&about));
        options(name, verb, text);
        verbs(verb, text);
    }
}

fn options(name: &str, verb: &Command, text: &mut String) {
    for arg in verb.get_arguments().filter(|arg| is_listed(arg)) {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(text, "| `{name}` | {} | {} |", spelling(arg), cell(&help));
    }
}

fn is_listed(arg: &Arg) -> bool {
    !arg.is_hide_set() && arg.get_long() != Some("help")
}

fn spelling(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    let value = names
        .iter()
        .map(clap::builder::Str::as_str)
        .collect::<Vec<_>>()
        .join(" ");
    if arg.is_positional() {
        return format!("`{}`", cell(&value));
    }
    let shorts = arg.get_short().into_iter().map(|short| format!("-{short}"));
    let longs = arg.get_long_and_visible_aliases().unwrap_or_default();
    let longs = longs.into_iter().map(|long| format!("--{long}"));
    let mut all: Vec<String> = shorts.chain(longs).collect();
    if let Some(last) = all.last_mut().filter(|_| arg.get_action().takes_values()) {
        let _ = write!(last, " {}", cell(&value));
    }
    let all: Vec<String> = all.iter().map(|one| format!("`{one}`")).collect();
    all.join(", ")
}

/// Text that does not end a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn fate(verb: &Command, option: &str) -> String {
    if verb.get_name() == "run"
        && let Some(known) = OPTIONS.iter().find(|one| one.name == option)
    {
        return words(&known.fate);
    }
    let has = |arg: &&Arg| {
        arg.get_long() == Some(option)
            || arg.get_all_aliases().unwrap_or_default().contains(&option)
    };
    let found = verb.get_arguments().find(has);
    let found = found.unwrap_or_else(|| panic!("{} does not know --{option}", verb.get_name()));
    let refused = REFUSED
        .iter()
        .find(|one| (one.verb, one.option) == (verb.get_name(), option));
    match refused {
        Some(refused) => format!("refused: {}; {}", cell(refused.why), cell(refused.hint)),
        None => {
            assert!(
                !found.is_hide_set(),
                "{} --{option} is hidden",
                verb.get_name()
            );
            "done".to_owned()
        }
    }
}

fn words(fate: &Fate) -> String {
    match fate {
        Fate::Later(area) => format!(
            "later ({}): {}; {}",
            area.name,
            cell(area.message),
            cell(area.hint)
        ),
        Fate::Refused(why, hint) => format!("refused: {}; {}", cell(why), cell(hint)),
        Fate::NoEffect(why) => format!("accepted with a warning: {}", cell(why)),
    }
}

#[test]
fn the_manual_says_what_the_grammar_says() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/commands.md");
    let manual = std::fs::read_to_string(&path).unwrap();
    let (written, _) = manual.split_once(BEGIN).unwrap_or((&manual, ""));
    let expected = format!("{written}{BEGIN}{}", tables());
    if std::env::var_os("CARRIER_WRITE_DOCS").is_some() {
        std::fs::write(&path, expected).unwrap();
    } else {
        assert!(
            manual == expected,
            "docs/commands.md is stale: run `make docs`"
        );
    }
}
