//! The values of options and arguments, by the names that the grammar has for them.

use carrier_engine::{Engine, ImageFilter, Status};
use carrier_spec::Reference;
use clap::Arg;

use super::line::Line;
use super::{Candidate, Directive};

/// Which containers a verb is for.
type Fits = fn(Status) -> bool;

/// What an argument may be, and what else the shell offers.
pub(super) fn of(line: &Line<'_>, arg: &Arg) -> (Vec<Candidate>, Directive) {
    let choices = arg.get_possible_values();
    if !choices.is_empty() {
        let shown = choices.iter().filter(|choice| !choice.is_hide_set());
        let candidate = |choice: &clap::builder::PossibleValue| {
            let meaning = choice.get_help().map(ToString::to_string);
            Candidate::new(choice.get_name(), meaning.unwrap_or_default())
        };
        return (shown.map(candidate).collect(), Directive::None);
    }
    if let Some(words) = words_of(arg, line) {
        let found = words.iter().map(|word| Candidate::new(*word, ""));
        let directive = match words.iter().any(|word| word.ends_with(['=', ':'])) {
            true => Directive::NoSpace,
            false => Directive::None,
        };
        let mut found: Vec<Candidate> = found.collect();
        if is_network(arg) {
            found.extend(stored(networks));
        }
        return (found, directive);
    }
    let name = arg.get_value_names().and_then(|names| names.first());
    let name = name.map_or("", |name| name.as_str());
    let containers = || of_containers(line, "");
    match name {
        "CONTAINER" | "CONTAINER COMMAND" | "CONTAINER [COMMAND]" | "CONTAINER[:ro|rw]" => {
            (containers(), Directive::None)
        }
        "IMAGE" | "IMAGE [COMMAND]" | "IMAGE[:TAG]" | "NAME[:TAG]" | "REPOSITORY[:TAG]" => {
            (others(stored(images), line), Directive::None)
        }
        "NAME|ID|IMAGE" => {
            let mut all = containers();
            all.extend(others(stored(images), line));
            (all, Directive::None)
        }
        "VOLUME" => (others(stored(volumes), line), Directive::None),
        "NETWORK" => (others(stored(networks), line), Directive::None),
        "[SOURCE:]TARGET[:OPTIONS]" => {
            let mut volumes = stored(volumes);
            for volume in &mut volumes {
                volume.word.push(':');
            }
            (volumes, Directive::Files)
        }
        "SOURCE" | "DESTINATION" if line.verb.get_name() == "cp" => {
            (of_containers(line, ":"), Directive::Files)
        }
        "DESTINATION" => (stored(images), Directive::None),
        "SIGNAL" => {
            let signals = carrier_engine::signal_names().map(|name| format!("SIG{name}"));
            (
                signals.map(|name| Candidate::new(name, "")).collect(),
                Directive::None,
            )
        }
        "NAME" if line.verb.get_name() == "untag" => (stored(images), Directive::None),
        _ if name.contains("FILE")
            || name.contains("DIRECTORY")
            || name == "HOST[:TARGET[:rwm]]" =>
        {
            (Vec::new(), Directive::Files)
        }
        _ => (Vec::new(), Directive::None),
    }
}

fn is_network(arg: &Arg) -> bool {
    arg.get_long() == Some("network")
}

/// Values that are known beforehand, though others are possible.
fn words_of(arg: &Arg, line: &Line<'_>) -> Option<&'static [&'static str]> {
    Some(match arg.get_long()? {
        "network" => &["host", "none", "private", "slirp4netns", "pasta"],
        "restart" => &["no", "always", "unless-stopped", "on-failure"],
        "log-driver" => &["json-file", "journald", "none", "passthrough"],
        "userns" => &["host", "keep-id"],
        "security-opt" => &["no-new-privileges", "seccomp=unconfined"],
        "cap-add" | "cap-drop" => CAPABILITIES,
        "platform" => &[
            "linux/amd64",
            "linux/arm64",
            "linux/arm/v7",
            "linux/386",
            "linux/riscv64",
            "linux/ppc64le",
            "linux/s390x",
        ],
        "format" if has_words(arg) => &["json", "table"],
        "type" if has_words(arg) => &["container", "image", "network", "volume"],
        "driver" if line.noun == "network" => &["bridge"],
        "driver" => &["local"],
        "filter" => filters(line),
        _ => return None,
    })
}

/// `--format docker-archive` is a choice of its own.
fn has_words(arg: &Arg) -> bool {
    let name = arg.get_value_names().and_then(|names| names.first());
    name.is_some_and(|name| matches!(name.as_str(), "FORMAT" | "container|image|network|volume"))
}

/// Docker's, of each list.
fn filters(line: &Line<'_>) -> &'static [&'static str] {
    match (line.noun, line.verb.get_name()) {
        ("volume", "ls") => &["name=", "label=", "dangling=", "driver="],
        ("network", "ls") => &["name=", "id=", "driver=", "label=", "dangling="],
        ("image", "ls") | (_, "images") => {
            &["before=", "since=", "dangling=", "label=", "reference="]
        }
        (_, "ps") | ("container", "ls") => &[
            "ancestor=",
            "before=",
            "exited=",
            "health=",
            "id=",
            "label=",
            "name=",
            "network=",
            "since=",
            "status=",
            "volume=",
        ],
        (_, "events") => &["container=", "event=", "image=", "label=", "type="],
        (_, "prune") => &["label=", "until="],
        _ => &[],
    }
}

const CAPABILITIES: &[&str] = &[
    "ALL",
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// Which containers the verb can do something with.
fn fits(verb: &str) -> Fits {
    match verb {
        "start" => |status| !status.is_alive(),
        "stop" | "kill" | "wait" => Status::is_alive,
        "exec" | "terminal" | "attach" | "top" | "pause" => |status| status == Status::Running,
        "sh" | "port" | "stats" => Status::is_up,
        "unpause" => |status| status == Status::Paused,
        _ => |_| true,
    }
}

fn of_containers(line: &Line<'_>, end: &str) -> Vec<Candidate> {
    let fits = fits(line.verb.get_name());
    let containers = stored(|engine| {
        let found = engine.seen_containers().unwrap_or_default();
        let found = found.into_iter().filter(|one| fits(one.life.status));
        found
            .map(|one| {
                let meaning = format!("{}, {}", one.life.status.word(), one.image);
                Candidate::new(one.name.to_string(), meaning)
            })
            .collect()
    });
    let mut containers = others(containers, line);
    for container in &mut containers {
        container.word.push_str(end);
    }
    containers
}

fn images(engine: &Engine) -> Vec<Candidate> {
    let found = engine.images(&ImageFilter::default()).unwrap_or_default();
    let names = found.into_iter().filter_map(|image| image.reference);
    names
        .map(|name| Candidate::new(Reference::familiar(&name), ""))
        .collect()
}

fn volumes(engine: &Engine) -> Vec<Candidate> {
    let names = engine.store().volume_names().unwrap_or_default();
    names
        .iter()
        .map(|name| Candidate::new(name.to_string(), ""))
        .collect()
}

fn networks(engine: &Engine) -> Vec<Candidate> {
    let found = engine.networks().unwrap_or_default();
    found
        .into_iter()
        .map(|one| Candidate::new(one.name.to_string(), ""))
        .collect()
}

/// What a store has, if it can be read.
fn stored(of: impl Fn(&Engine) -> Vec<Candidate>) -> Vec<Candidate> {
    match Engine::look() {
        Ok(Some(engine)) => of(&engine),
        _ => Vec::new(),
    }
}

/// Without those that the command line has already.
fn others(mut found: Vec<Candidate>, line: &Line<'_>) -> Vec<Candidate> {
    found.retain(|candidate| !line.given.contains(&candidate.word.as_str()));
    found
}
