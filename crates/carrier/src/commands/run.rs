//! `carrier run` and `create`

mod network;
pub(super) mod resources;
mod volumes;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use carrier_engine::{
    ContainerRecord, Engine, EnvironmentSetting, HELLO, LogConfig, NoRestartPolicy, RemoveOptions,
    RestartPolicy, RunOptions, SeccompChoice, SecurityOptions, Streams, Wanted, signal_number,
};
use carrier_runtime::Capabilities;
use carrier_spec::Reference;
use carrier_store::ImageRecord;
use carrier_sys::umask::with_users;
use rustix::termios::isatty;

use super::containers::{attach_options, code_of};
use super::health;
use super::print;
use super::pull::{Request, fetch, platform};
use crate::cli::{ContainerArgs, PullPolicy, RunArgs, StreamName};
use crate::progress;
use crate::report::Failure;

pub(crate) fn run(args: &RunArgs) -> Result<u8, Failure> {
    let container = &args.container;
    let options = RunOptions {
        detach: args.detach,
        starts: true,
        ..options(container)?
    };
    check(args, &options)?;
    let wanted = streams(container);
    let attach = attach_options(&args.keys, wanted, container.tty && !args.detach)?;
    let ready = health::readiness(&args.ready, args.detach)?;
    let (engine, record) = make(container, &options)?;
    progress::debug(|| {
        format!(
            "container {} is {}, its network {}, its program {:?}",
            record.name,
            record.id,
            record.network.name(),
            record.arguments
        )
    });
    if !args.detach {
        let ending = engine.run(&record, &attach, &progress::warn)?;
        return Ok(code_of(ending));
    }
    engine.run_detached(&record, &progress::warn)?;
    print(&format!("{}\n", record.id))?;
    Ok(ready.map_or(0, |ready| {
        health::wait_until_ready(&engine, record.id.as_str(), ready)
    }))
}

pub(crate) fn create(args: &ContainerArgs) -> Result<u8, Failure> {
    let options = options(args)?;
    let (_, record) = make(args, &options)?;
    print(&format!("{}\n", record.id))?;
    Ok(0)
}

/// Refuses what contradicts itself.
fn check(args: &RunArgs, options: &RunOptions) -> Result<(), Failure> {
    let container = &args.container;
    if args.detach && !container.attach.is_empty() {
        return Err(Failure::with_hint(
            "conflicting options: -a and -d",
            "leave -d out to attach, or `carrier attach` later",
        ));
    }
    if !args.detach {
        require_terminal(container.interactive, container.tty)?;
    }
    if options.remove && options.restart != RestartPolicy::No {
        return Err(Failure::with_hint(
            "conflicting options: cannot specify both --restart and --rm",
            "a container that is removed cannot be started again: leave one of them out",
        ));
    }
    Ok(())
}

/// The streams that the command goes to.
fn streams(args: &ContainerArgs) -> Wanted {
    if args.attach.is_empty() {
        let mut wanted = Wanted::STDOUT | Wanted::STDERR;
        wanted.set(Wanted::STDIN, args.interactive);
        return wanted;
    }
    let one = |name: &StreamName| match name {
        StreamName::Stdin => Wanted::STDIN,
        StreamName::Stdout => Wanted::STDOUT,
        StreamName::Stderr => Wanted::STDERR,
    };
    args.attach.iter().map(one).collect()
}

/// Makes the container, and tells its id to whoever wants it in a file.
fn make(args: &ContainerArgs, options: &RunOptions) -> Result<(Engine, ContainerRecord), Failure> {
    let id_file = args.cidfile.as_deref().map(new_file).transpose()?;
    let word = args.image_and_command.first().cloned().unwrap_or_default();
    let made = || {
        let engine = Engine::open()?;
        if options.starts {
            engine.expect_start(&options.network);
        }
        engine.check_networks(options)?;
        let image = image(&engine, args, &word)?;
        if let (true, Some(name)) = (args.replace, &options.name) {
            replace(&engine, name.as_str())?;
        }
        let record = engine.create(&image, options)?;
        Ok((engine, record))
    };
    match (made(), id_file) {
        (Ok((engine, record)), Some((path, mut file))) => {
            write!(file, "{}", record.id).map_err(|source| Failure::File {
                action: "write",
                path,
                source,
            })?;
            Ok((engine, record))
        }
        (Err(failure), Some((path, _))) => {
            // The failure is what counts.
            let _ = fs::remove_file(path);
            Err(failure)
        }
        (made, None) => made,
    }
}

fn new_file(path: &str) -> Result<(String, fs::File), Failure> {
    match with_users(|| fs::File::create_new(path)) {
        Ok(file) => Ok((path.to_owned(), file)),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(Failure::with_hint(
            format!("container id file {path} exists"),
            "make sure that the other container does not run, and remove the file",
        )),
        Err(source) => Err(Failure::File {
            action: "write",
            path: path.to_owned(),
            source,
        }),
    }
}

/// Removes the container that has the name.
fn replace(engine: &Engine, name: &str) -> Result<(), Failure> {
    let options = RemoveOptions {
        force: true,
        containers_only: true,
        volumes: true,
    };
    match engine.remove(name, options) {
        Ok(_) | Err(carrier_engine::Error::NoSuchContainer(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The monitor has another working directory.
fn absolute(path: &str) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|source| Failure::File {
        action: "write",
        path: path.to_owned(),
        source,
    })
}

/// A program that reads from a terminal needs one to read from. The words are Docker's.
pub(super) fn require_terminal(interactive: bool, tty: bool) -> Result<(), Failure> {
    if interactive && tty && !isatty(rustix::stdio::stdin()) {
        return Err(Failure::with_hint(
            "the input device is not a TTY",
            "leave -t out when standard input is a pipe or a file",
        ));
    }
    Ok(())
}

/// Finds the image, or fetches it.
fn image(engine: &Engine, args: &ContainerArgs, word: &str) -> Result<ImageRecord, Failure> {
    let platform = platform(args.platform.as_deref())?;
    let reference: Reference = match word.parse() {
        Ok(reference) => reference,
        // A whole id is no reference.
        Err(_) if engine.image_exists(word)? => {
            return Ok(engine.image_by_word(word, platform.as_ref())?);
        }
        Err(error) => return Err(error.into()),
    };
    if args.pull != PullPolicy::Always {
        if word == HELLO {
            return Ok(engine.hello_image()?);
        }
        if let Some(image) = engine.image(&reference, platform.as_ref())? {
            progress::debug(|| format!("the image {} is here: {}", reference.familiar(), image.id));
            return Ok(image);
        }
        if engine.image_exists(word)? {
            match engine.image_by_word(word, platform.as_ref()) {
                // As in Docker, a name means what the registry has for the platform.
                Err(carrier_engine::Error::NoSuchPlatform { .. })
                    if args.pull != PullPolicy::Never && engine.is_name(&reference)? => {}
                found => return Ok(found?),
            }
        }
    }
    if args.pull == PullPolicy::Never {
        return Err(carrier_engine::Error::NoSuchImage(reference).into());
    }
    if !args.quiet {
        progress::note(&format!(
            "Unable to find image '{}' locally",
            reference.familiar()
        ));
    }
    let request = Request {
        reference,
        platform,
        tls_verify: args.tls.verify(),
        retries: None,
    };
    match fetch(engine, &request, args.quiet) {
        Ok(pulled) => Ok(pulled.record),
        Err(Failure::Registry(source)) => Err(Failure::Fetch {
            reference: request.reference,
            source: Box::new(source),
        }),
        Err(other) => Err(other),
    }
}

/// Turns the command line into what the engine wants.
fn options(args: &ContainerArgs) -> Result<RunOptions, Failure> {
    args.later.check()?;
    Ok(RunOptions {
        image_word: args.image_and_command.first().cloned(),
        command: args.image_and_command.iter().skip(1).cloned().collect(),
        name: args
            .name
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(Failure::usage)?,
        remove: args.rm,
        streams: Streams {
            interactive: args.interactive,
            terminal: args.tty,
        },
        environment: environment(&args.env_file, &args.env)?,
        working_directory: working_directory(args.workdir.as_deref())?,
        user: args.user.clone(),
        entrypoint: args.entrypoint.as_deref().map(entrypoint),
        hostname: args.hostname.clone(),
        read_only: args.read_only,
        storage: volumes::storage(&args.storage)?,
        userns: volumes::user_mode(&args.storage)?,
        starts: false,
        group_add: volumes::groups(&args.storage)?,
        network: network::mode(&args.networks)?,
        networking: network::options(&args.networks)?,
        security: security(args)?,
        labels: labels_of_files_and(&args.label_file, &args.label)?,
        annotations: labels(&args.annotation),
        stop_signal: args.stop_signal.as_deref().map(signal).transpose()?,
        stop_timeout: args.stop_timeout,
        timeout: args.timeout,
        restart: args.restart.parse().map_err(|error: NoRestartPolicy| {
            Failure::with_hint(
                error,
                "policies are no, always, unless-stopped and on-failure[:NUMBER]",
            )
        })?,
        init: args.init,
        log: LogConfig::parse(
            args.log_driver.as_deref(),
            args.log_opt.iter().map(String::as_str),
        )
        .map_err(|error| Failure::with_hint(&error, error.hint()))?,
        health: health::options(&args.health)?,
        pid_file: args.pidfile.as_deref().map(absolute).transpose()?,
        detach: false,
        resources: resources::options(&args.resources)?,
    })
}

fn signal(word: &str) -> Result<String, Failure> {
    let known = signal_number(word).map(|_| word.to_owned());
    known.ok_or_else(|| {
        Failure::with_hint(
            format!("{word:?} is not a signal"),
            "signal(7) lists the names; numbers are from 1 to 64",
        )
    })
}

/// An empty word clears the entry point.
fn entrypoint(word: &str) -> Vec<String> {
    if word.is_empty() {
        Vec::new()
    } else {
        vec![word.to_owned()]
    }
}

pub(super) fn working_directory(path: Option<&str>) -> Result<Option<String>, Failure> {
    match path {
        Some(path) if !path.starts_with('/') => Err(Failure::with_hint(
            format!("the working directory {path:?} is not an absolute path"),
            "begin it with a slash",
        )),
        path => Ok(path.map(str::to_owned)),
    }
}

fn labels(texts: &[String]) -> BTreeMap<String, String> {
    let pair = |text: &String| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        (key.to_owned(), value.to_owned())
    };
    texts.iter().map(pair).collect()
}

/// Files first, then options, as Docker does.
fn labels_of_files_and(
    files: &[String],
    texts: &[String],
) -> Result<BTreeMap<String, String>, Failure> {
    let mut lines = Vec::new();
    for path in files {
        lines.extend(settings_in(path)?);
    }
    lines.extend_from_slice(texts);
    Ok(labels(&lines))
}

/// The lines of a file that mean something.
fn settings_in(path: &str) -> Result<Vec<String>, Failure> {
    let text = fs::read_to_string(path).map_err(|source| Failure::File {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    let lines = text.lines().map(str::trim_start);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(str::to_owned).collect())
}

/// Files first, then options, as Docker does.
pub(super) fn environment(
    files: &[String],
    texts: &[String],
) -> Result<Vec<EnvironmentSetting>, Failure> {
    let mut settings = Vec::new();
    for path in files {
        for line in settings_in(path)? {
            settings.push(setting(&line)?);
        }
    }
    for text in texts {
        settings.push(setting(text)?);
    }
    Ok(settings)
}

fn setting(text: &str) -> Result<EnvironmentSetting, Failure> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, std::env::var(text).ok()),
    };
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(Failure::usage(format!(
            "{text:?} is not an environment setting"
        )));
    }
    Ok(match value {
        Some(value) => EnvironmentSetting::Set(name.to_owned(), value),
        None => EnvironmentSetting::Unset(name.to_owned()),
    })
}

fn security(args: &ContainerArgs) -> Result<SecurityOptions, Failure> {
    let capabilities = capabilities(&args.cap_add, &args.cap_drop)?;
    let mut security = SecurityOptions::default().with_capabilities(capabilities);
    for option in &args.security_opt {
        // Docker also takes a colon.
        let (key, value) = match option.split_once(['=', ':']) {
            Some((key, value)) => (key, Some(value)),
            None => (option.as_str(), None),
        };
        match (key, value) {
            ("no-new-privileges", None | Some("true")) => security.no_new_privileges = true,
            ("no-new-privileges", Some("false")) => security.no_new_privileges = false,
            ("seccomp", Some("unconfined")) => security.seccomp = SeccompChoice::Unconfined,
            ("seccomp", Some("default" | "builtin")) => security.seccomp = SeccompChoice::Default,
            ("seccomp", Some(path)) => {
                let text = fs::read_to_string(path).map_err(|source| Failure::File {
                    action: "read",
                    path: path.to_owned(),
                    source,
                })?;
                security.seccomp = SeccompChoice::Profile(text);
            }
            // So it is: Carrier gives containers neither a profile nor a label.
            ("apparmor", Some("unconfined")) | ("label", Some("disable")) => {}
            _ => {
                return Err(Failure::with_hint(
                    format!("security option {option:?} is not available"),
                    "available are seccomp=FILE, seccomp=unconfined, no-new-privileges[=false], \
                     apparmor=unconfined and label=disable",
                ));
            }
        }
    }
    Ok(security)
}

/// What is dropped is gone, whatever is added: except that ALL comes first on either side.
fn capabilities(add: &[String], drop: &[String]) -> Result<Capabilities, Failure> {
    let is_all = |name: &String| name.eq_ignore_ascii_case("all");
    let named = |names: &[String]| {
        names
            .iter()
            .filter(|name| !is_all(name))
            .try_fold(Capabilities::NONE, |set, name| {
                let hint = "capabilities(7) lists the names; CAP_ in front may be left out";
                let one = Capabilities::named(name);
                one.map(|one| set.with(one))
                    .map_err(|error| Failure::with_hint(error, hint))
            })
    };
    let (added, dropped) = (named(add)?, named(drop)?);
    let base = match (add.iter().any(is_all), drop.iter().any(is_all)) {
        (true, _) => Capabilities::ALL,
        (false, true) => Capabilities::NONE,
        (false, false) => Capabilities::DEFAULT,
    };
    Ok(base.without(dropped).with(added))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(add: &[&str], drop: &[&str]) -> u64 {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        capabilities(&words(add), &words(drop)).unwrap().bits()
    }

    #[test]
    fn capabilities_combine_as_in_docker() {
        assert_eq!(mask(&[], &[]), 0x8004_05fb);
        assert_eq!(mask(&[], &["all"]), 0);
        assert_eq!(mask(&["CHOWN"], &["ALL"]), 1);
        assert_eq!(mask(&["net_admin"], &[]), 0x8004_15fb);
        assert_eq!(mask(&[], &["CAP_CHOWN"]), 0x8004_05fa);
        assert_eq!(mask(&["ALL"], &["CHOWN"]) & 1, 0);
    }

    #[test]
    fn a_setting_needs_a_name() {
        assert_eq!(
            setting("A=b=c").unwrap(),
            EnvironmentSetting::Set("A".into(), "b=c".into())
        );
        assert_eq!(
            setting("A=").unwrap(),
            EnvironmentSetting::Set("A".into(), String::new())
        );
        let absent = "CARRIER_TEST_NOBODY_SETS_THIS";
        assert_eq!(
            setting(absent).unwrap(),
            EnvironmentSetting::Unset(absent.into())
        );
        assert!(setting("=x").is_err() && setting("a b=x").is_err());
    }
}
