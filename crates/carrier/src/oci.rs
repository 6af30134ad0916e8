//! The OCI command line: Carrier called as `carrier-runtime`, or as `carrier oci`.
//!
//! Its options are those that containerd, conmon, CRI-O and Buildah pass to runc and crun.

mod grammar;
mod log;
mod print;
mod resources;
mod spec;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use carrier_engine::{Session, Streams};
use carrier_runtime::container::{
    CgroupManager, CreateOptions, ExecOptions, ProcessChange, Runtime,
};
use carrier_runtime::{Error, Started};
use carrier_sys::process::SingleThreaded;
use clap::Parser as _;

use self::grammar::{Cli, CreateArgs, EventsArgs, ExecArgs, KillArgs, RunArgs, Verb};
use self::log::Log;

/// What can go wrong on this command line.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Runtime(#[from] Error),
    #[error(transparent)]
    Engine(#[from] carrier_engine::Error),
    #[error("{0}")]
    Usage(String),
    #[error("cannot {action}")]
    System {
        action: String,
        source: std::io::Error,
    },
}

/// The words for the runtime, where that is what was called.
pub(crate) fn words_for_runtime(words: impl Iterator<Item = OsString>) -> Option<Vec<OsString>> {
    const NAME: &str = "carrier-runtime";
    let mut words = words.peekable();
    let program = words.next()?;
    if Path::new(&program).file_name()? != NAME {
        words.next_if(|word| word == "oci")?;
    }
    Some(std::iter::once(NAME.into()).chain(words).collect())
}

/// Carries a command line of the runtime out.
pub(crate) fn main(words: Vec<OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => {
            // A closed standard output or error leaves nobody to tell.
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    let log = Log::new(cli.log.clone(), cli.log_format);
    match dispatch(cli) {
        Ok(code) => code.into(),
        Err(failure) => {
            log.error(&failure);
            1.into()
        }
    }
}

fn dispatch(cli: Cli) -> Result<u8, Failure> {
    let root = cli.root.unwrap_or_else(Runtime::default_root);
    let cgroups = match cli.cgroup_manager {
        _ if cli.systemd_cgroup => CgroupManager::Systemd,
        grammar::CgroupManager::Cgroupfs => CgroupManager::Files,
        grammar::CgroupManager::Systemd => CgroupManager::Systemd,
        grammar::CgroupManager::Disabled => CgroupManager::Disabled,
    };
    let root = std::path::absolute(&root).map_err(|source| Failure::System {
        action: format!("find {}", root.display()),
        source,
    })?;
    let runtime = Runtime::new(root, cgroups);
    let proof = SingleThreaded::check().map_err(|source| Failure::System {
        action: "start without threads".to_owned(),
        source,
    })?;
    match cli.verb {
        Verb::Create(args) => {
            let options = create_options(&args)?;
            runtime.create(&args.id, &options, &proof)?;
        }
        Verb::Run(args) => return run(&runtime, &args, &proof),
        Verb::Start { id } => runtime.start(&id, &proof)?,
        Verb::State { id } => print::json(&runtime.record(&id)?.state())?,
        Verb::Kill(args) => kill(&runtime, &args)?,
        Verb::Delete { force, id } => runtime.delete(&id, force, &proof)?,
        Verb::Exec(args) => return exec(&runtime, &args, &proof),
        Verb::Ps { format, id, .. } => print::processes(&runtime.processes(&id)?, format)?,
        Verb::List { format, quiet } => print::records(&runtime.list()?, format, quiet)?,
        Verb::Pause { id } => runtime.pause(&id)?,
        Verb::Resume { id } => runtime.resume(&id)?,
        Verb::Update(args) => runtime.update(&args.id, &args.resources()?)?,
        Verb::Events(args) => events(&runtime, &args)?,
        Verb::Checkpoint(_) => return Err(unsupported("checkpoint")),
        Verb::Restore(_) => return Err(unsupported("restore")),
        Verb::Features => print::json(&carrier_runtime::features())?,
        Verb::Spec { bundle, rootless } => spec::write(&bundle, rootless)?,
    }
    Ok(0)
}

fn unsupported(verb: &str) -> Failure {
    Failure::Usage(format!("{verb} is not supported"))
}

fn create_options(args: &CreateArgs) -> Result<CreateOptions, Failure> {
    let listen_fds = listen_fds(std::process::id(), |name| std::env::var(name).ok());
    check_open("LISTEN_FDS", listen_fds)?;
    check_open(
        "--preserve-fds",
        listen_fds.saturating_add(args.preserve_fds),
    )?;
    Ok(CreateOptions {
        bundle: args.bundle.clone(),
        config: args.config.clone(),
        console_socket: absolute(args.console_socket.as_deref())?,
        pid_file: absolute(args.pid_file.as_deref())?,
        listen_fds,
        preserve_fds: args.preserve_fds,
        new_keyring: !args.no_new_keyring,
    })
}

/// Paths on the command line start where the caller is, not in the bundle.
fn absolute(path: Option<&Path>) -> Result<Option<std::path::PathBuf>, Failure> {
    let absolute = path.map(std::path::absolute).transpose();
    absolute.map_err(|source| Failure::System {
        action: "find the current directory".to_owned(),
        source,
    })
}

/// How many sockets the service manager has handed to this process, sd_listen_fds(3).
fn listen_fds(pid: u32, variable: impl Fn(&str) -> Option<String>) -> u32 {
    let number = |name: &str| variable(name)?.parse::<u32>().ok();
    // What was for a process further up is not for this one.
    if number("LISTEN_PID") == Some(pid) {
        number("LISTEN_FDS").unwrap_or(0)
    } else {
        0
    }
}

/// Descriptors that are promised to the program must be there: one that is not would become one of
/// the runtime's own.
fn check_open(promise: &str, count: u32) -> Result<(), Failure> {
    let mut numbers = (3..).take(count as usize);
    match numbers.find(|number| !carrier_sys::fd::is_open(*number)) {
        Some(missing) => Err(Failure::Usage(format!(
            "{promise}: descriptor {missing} is not open"
        ))),
        None => Ok(()),
    }
}

fn run(runtime: &Runtime, args: &RunArgs, proof: &SingleThreaded) -> Result<u8, Failure> {
    let options = create_options(&args.create)?;
    if args.detach {
        runtime
            .run(&args.create.id, &options, true, proof)?
            .release();
        return Ok(0);
    }
    let session = open_session()?;
    let started = runtime.run(&args.create.id, &options, false, proof)?;
    let code = serve(session, started)?;
    if !args.keep {
        runtime.delete(&args.create.id, true, proof)?;
    }
    Ok(code)
}

fn exec(runtime: &Runtime, args: &ExecArgs, proof: &SingleThreaded) -> Result<u8, Failure> {
    let options = ExecOptions {
        process_file: args.process.clone(),
        change: ProcessChange {
            arguments: args.command.clone(),
            environment: args.env.clone(),
            working_directory: args.cwd.clone(),
            user: args.user.as_deref().map(user).transpose()?,
            additional_groups: args.additional_gids.clone(),
            terminal: args.tty,
            capabilities: args.cap.clone(),
            no_new_privileges: args.no_new_privs.then_some(true),
            apparmor_profile: args.apparmor.clone(),
            selinux_label: args.process_label.clone(),
        },
        console_socket: args.console_socket.clone(),
        pid_file: args.pid_file.clone(),
        preserve_fds: args.preserve_fds,
        ignore_paused: args.ignore_paused,
        cgroup: args.cgroup.clone(),
    };
    check_open("--preserve-fds", args.preserve_fds)?;
    if args.process.is_none() && args.command.is_empty() {
        return Err(Failure::Usage(
            "exec needs a command or --process".to_owned(),
        ));
    }
    if args.detach {
        runtime.exec(&args.id, &options, true, proof)?.release();
        return Ok(0);
    }
    let session = open_session()?;
    let started = runtime.exec(&args.id, &options, false, proof)?;
    serve(session, started)
}

fn open_session() -> Result<Session, Failure> {
    let streams = Streams {
        interactive: true,
        terminal: true,
    };
    Ok(Session::open(streams)?)
}

fn serve(session: Session, started: Started) -> Result<u8, Failure> {
    let status = session.serve(started).map_err(|source| Failure::System {
        action: "wait for the program".to_owned(),
        source,
    })?;
    Ok(status.code())
}

/// `UID[:GID]`: names are the engine's to look up.
fn user(text: &str) -> Result<(u32, Option<u32>), Failure> {
    let (uid, gid) = match text.split_once(':') {
        Some((uid, gid)) => (uid, Some(gid)),
        None => (text, None),
    };
    let number = |text: &str| {
        let number = text.parse::<u32>();
        number.map_err(|_| Failure::Usage(format!("{text:?} is no user or group number")))
    };
    Ok((number(uid)?, gid.map(number).transpose()?))
}

fn kill(runtime: &Runtime, args: &KillArgs) -> Result<(), Failure> {
    let word = args.signal.as_deref().unwrap_or("TERM");
    let signal = carrier_engine::signal_number(word)
        .ok_or_else(|| Failure::Usage(format!("{word:?} is not a signal")))?;
    Ok(runtime.kill(&args.id, signal, args.all)?)
}

fn events(runtime: &Runtime, args: &EventsArgs) -> Result<(), Failure> {
    loop {
        print::json_line(&runtime.statistics(&args.id)?)?;
        if args.stats {
            return Ok(());
        }
        std::thread::sleep(args.interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<OsString>> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        words_for_runtime(words.into_iter())
    }

    #[test]
    fn the_runtime_is_called_by_either_name() {
        let expected: Vec<OsString> = vec!["carrier-runtime".into(), "state".into(), "x".into()];
        assert_eq!(words("carrier oci state x").unwrap(), expected);
        assert!(words("/usr/bin/carrier-runtime state x").is_some());
        assert!(words("carrier run oci").is_none());
    }

    #[test]
    fn sockets_are_for_the_process_that_is_named() {
        let of = |pid: &'static str, count: &'static str| {
            listen_fds(7, move |name| {
                let value = if name == "LISTEN_PID" { pid } else { count };
                (!value.is_empty()).then(|| value.to_owned())
            })
        };
        assert_eq!(of("7", "2"), 2);
        for (pid, count) in [("8", "2"), ("", "2"), ("7", ""), ("7", "x")] {
            assert_eq!(of(pid, count), 0, "{pid} {count}");
        }
    }

    #[test]
    fn users_are_numbers() {
        assert_eq!(user("5:6").unwrap(), (5, Some(6)));
        assert_eq!(user("5").unwrap(), (5, None));
        assert!(user("root").is_err());
    }
}
