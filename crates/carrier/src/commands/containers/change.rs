//! `carrier rename` and `carrier update`

use carrier_engine::{ContainerChange, Engine, RestartPolicy};
use carrier_spec::ContainerName;

use super::super::print;
use super::super::run::resources::limits;
use crate::cli::observe::{RenameArgs, UpdateArgs};
use crate::report::{Failure, tell};

pub(crate) fn rename(args: &RenameArgs) -> Result<u8, Failure> {
    let new = args.name.parse::<ContainerName>();
    let new = new.map_err(|error| Failure::with_hint(error, "choose another name"))?;
    Engine::open()?.rename(&args.container, &new)?;
    Ok(0)
}

/// Goes on after a failure, as Docker does; the exit code tells of it.
pub(crate) fn update(args: &UpdateArgs) -> Result<u8, Failure> {
    let policy = args.restart.as_deref().map(str::parse::<RestartPolicy>);
    let restart = policy.transpose().map_err(|error| {
        let known = "policies are no, always, unless-stopped and on-failure[:NUMBER]";
        Failure::with_hint(error, known)
    })?;
    let limits = limits(&args.limits)?.without_zeros();
    let change = ContainerChange { restart, limits };
    if change == ContainerChange::default() {
        return Err(Failure::with_hint(
            "you must provide one or more flags when using this command",
            "`carrier update --memory 512m CONTAINER` changes a limit, --restart when it is started again",
        ));
    }
    let engine = Engine::open()?;
    let mut code = 0;
    for word in &args.words {
        match engine.update(word, &change) {
            Ok(()) => print(&format!("{word}\n"))?,
            Err(error) => {
                tell(&error.into());
                code = 1;
            }
        }
    }
    Ok(code)
}
