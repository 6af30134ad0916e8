//! The verbs, one file each.

mod boot;
mod completion;
mod container;
mod containers;
mod detach_keys;
mod doctor;
mod events;
mod exec;
mod files;
mod health;
mod images;
mod login;
mod logs;
mod ls;
mod man;
mod network;
mod pull;
mod push;
mod rm;
mod run;
mod system;
mod volume;

use std::io::Write as _;

use crate::cli::Verb;
use crate::report::Failure;

/// Carries a verb out and returns the exit code.
pub(crate) fn dispatch(verb: Verb) -> Result<u8, Failure> {
    match verb {
        Verb::Run(args) => run::run(&args),
        Verb::Exec(args) => exec::exec(&args),
        Verb::Sh(args) => exec::sh(&args),
        Verb::Terminal(args) => exec::terminal(&args),
        Verb::Create(args) => run::create(&args.container),
        Verb::Start(args) => containers::start(&args),
        Verb::Stop(args) => containers::stop(&args),
        Verb::Restart(args) => containers::restart(&args),
        Verb::Kill(args) => containers::kill(&args),
        Verb::Wait(args) => containers::wait(&args),
        Verb::Pause(args) => containers::pause(&args, true),
        Verb::Unpause(args) => containers::pause(&args, false),
        Verb::Attach(args) => containers::attach(&args),
        Verb::Pull(args) => pull::pull(&args),
        Verb::Push(args) => push::push(&args),
        Verb::Login(args) => login::login(&args),
        Verb::Logout(args) => login::logout(&args),
        Verb::Auth(args) => login::auth(&args),
        Verb::Ls(args) => ls::ls(&args),
        Verb::Ps(args) => one(containers::ps(&args)),
        Verb::Top(args) => one(containers::top(&args)),
        Verb::Stats(args) => one(containers::stats(&args)),
        Verb::Port(args) => one(containers::port(&args)),
        Verb::Rename(args) => one(containers::rename(&args)),
        Verb::Update(args) => one(containers::update(&args)),
        Verb::Events(args) => one(events::events(&args)),
        Verb::Container(args) => container::container(args.verb),
        Verb::Network(args) => network::network(args.verb),
        Verb::Rm(args) => rm::rm(&args),
        Verb::Rmi(args) => images::rmi(&args),
        Verb::Images(args) => images::images(&args),
        Verb::Tag(args) => images::tag(&args),
        Verb::Untag(args) => images::untag(&args),
        Verb::Inspect(args) => one(containers::inspect(&args)),
        Verb::History(args) => images::history(&args),
        Verb::Logs(args) => logs::logs(&args),
        Verb::Image(args) => images::image(&args),
        Verb::Save(args) => images::save(&args),
        Verb::Load(args) => images::load(&args),
        Verb::Import(args) => images::import(&args),
        Verb::Export(args) => images::export(&args),
        Verb::Cp(args) => files::cp(&args),
        Verb::Diff(args) => files::diff(&args),
        Verb::Volume(args) => one(volume::volume(args)),
        Verb::Boot(args) => boot::boot(&args),
        Verb::Doctor(args) => doctor::doctor(&args),
        Verb::Info(args) if !args.words.is_empty() => one(containers::info(&args)),
        Verb::Healthcheck(args) => health::healthcheck(&args),
        Verb::Commit(args) => files::commit(&args),
        Verb::Info(args) => system::info(&args),
        Verb::Version(args) => one(system::version(&args)),
        Verb::System(args) => system::system(&args),
        Verb::Search(args) => images::search(&args),
        Verb::Completion(args) => one(completion::completion(&args)),
        Verb::Complete(args) => completion::complete(&args),
        Verb::Man(args) => man::man(&args),
    }
}

/// As in Docker, a verb that looks or changes one thing fails with 1: 125 is for those that run.
fn one(outcome: Result<u8, Failure>) -> Result<u8, Failure> {
    outcome.or_else(|failure| {
        crate::report::tell(&failure);
        Ok(1)
    })
}

/// Prints results; a reader that has gone away is told nothing more, and is no error of ours.
fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::File {
            action: "write",
            path: "standard output".to_owned(),
            source: error,
        }),
        _ => Ok(()),
    }
}

/// Prints one of many results at once; false when the reader has gone away.
fn print_live(text: &str) -> Result<bool, Failure> {
    let mut out = std::io::stdout();
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match printed {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(source) => Err(Failure::File {
            action: "write",
            path: "standard output".to_owned(),
            source,
        }),
    }
}
