//! `carrier container VERB`

use carrier_engine::Engine;

use super::system::is_confirmed;
use super::{containers, dispatch, one, print};
use crate::cli::{ContainerVerb, ExistsContainerArgs, PruneContainersArgs, Verb};
use crate::report::Failure;
use crate::table::reclaimed;

/// The verbs at the top do the work.
pub(crate) fn container(verb: ContainerVerb) -> Result<u8, Failure> {
    dispatch(match verb {
        ContainerVerb::Exists(args) => return one(exists(&args)),
        ContainerVerb::Inspect(args) => return one(containers::inspect_containers(&args)),
        ContainerVerb::Prune(args) => return one(prune(&args)),
        ContainerVerb::Attach(args) => Verb::Attach(args),
        ContainerVerb::Create(args) => Verb::Create(args),
        ContainerVerb::Commit(args) => Verb::Commit(args),
        ContainerVerb::Cp(args) => Verb::Cp(args),
        ContainerVerb::Diff(args) => Verb::Diff(args),
        ContainerVerb::Exec(args) => Verb::Exec(args),
        ContainerVerb::Export(args) => Verb::Export(args),
        ContainerVerb::Kill(args) => Verb::Kill(args),
        ContainerVerb::Logs(args) => Verb::Logs(args),
        ContainerVerb::Ls(args) => Verb::Ps(args),
        ContainerVerb::Pause(args) => Verb::Pause(args),
        ContainerVerb::Port(args) => Verb::Port(args),
        ContainerVerb::Rename(args) => Verb::Rename(args),
        ContainerVerb::Restart(args) => Verb::Restart(args),
        ContainerVerb::Rm(mut args) => {
            args.containers = true;
            Verb::Rm(args)
        }
        ContainerVerb::Run(args) => Verb::Run(args),
        ContainerVerb::Start(args) => Verb::Start(args),
        ContainerVerb::Stats(args) => Verb::Stats(args),
        ContainerVerb::Stop(args) => Verb::Stop(args),
        ContainerVerb::Top(args) => Verb::Top(args),
        ContainerVerb::Unpause(args) => Verb::Unpause(args),
        ContainerVerb::Update(args) => Verb::Update(args),
        ContainerVerb::Wait(args) => Verb::Wait(args),
    })
}

fn exists(args: &ExistsContainerArgs) -> Result<u8, Failure> {
    let exists = Engine::open()?.container_exists(&args.container)?;
    Ok(u8::from(!exists))
}

fn prune(args: &PruneContainersArgs) -> Result<u8, Failure> {
    let engine = Engine::open()?;
    let filter = engine.container_prune_filter(&args.filter)?;
    let warning = "WARNING! This will remove all stopped containers.\n";
    if !args.force && !is_confirmed(warning)? {
        return Ok(0);
    }
    engine.repair()?;
    let pruned = engine.prune_containers(&filter)?;
    if !pruned.ids.is_empty() {
        let lines = pruned.ids.join("\n");
        print(&format!("Deleted Containers:\n{lines}\n\n"))?;
    }
    print(&format!(
        "Total reclaimed space: {}\n",
        reclaimed(pruned.bytes)
    ))?;
    Ok(0)
}
