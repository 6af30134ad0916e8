//! `carrier images`, and the noun `carrier image` with its verbs.

mod archive;
mod describe;
mod list;
mod remove;

use carrier_engine::Engine;
use carrier_spec::Reference;

use super::{print, pull, push};
use crate::cli::images::{ExistsArgs, ImageArgs, ImageVerb, SearchArgs, TagArgs, UntagArgs};
use crate::report::Failure;

pub(crate) use archive::{export, import, load, save};
pub(crate) use describe::{history, inspect_images, print_descriptions};
pub(crate) use list::{images, table};
pub(crate) use remove::{print_changes, prune, rmi};

pub(crate) fn image(args: &ImageArgs) -> Result<u8, Failure> {
    match &args.verb {
        ImageVerb::Ls(args) => images(args),
        ImageVerb::Rm(args) => rmi(args),
        ImageVerb::Pull(args) => pull::pull(args),
        ImageVerb::Push(args) => push::push(args),
        ImageVerb::Tag(args) => tag(args),
        ImageVerb::Untag(args) => untag(args),
        ImageVerb::Inspect(args) => inspect_images(args),
        ImageVerb::History(args) => history(args),
        ImageVerb::Prune(args) => prune(args),
        ImageVerb::Save(args) => save(args),
        ImageVerb::Load(args) => load(args),
        ImageVerb::Import(args) => import(args),
        ImageVerb::Exists(args) => exists(args),
    }
}

pub(crate) fn tag(args: &TagArgs) -> Result<u8, Failure> {
    let name: Reference = args.name.parse()?;
    Engine::open()?.tag_image(&args.image, &name)?;
    Ok(0)
}

pub(crate) fn untag(args: &UntagArgs) -> Result<u8, Failure> {
    let names = args.names.iter().map(|name| name.parse());
    let names: Vec<Reference> = names.collect::<Result<_, _>>()?;
    for name in Engine::open()?.untag_image(&args.image, &names)? {
        print(&format!("Untagged: {}\n", name.familiar()))?;
    }
    Ok(0)
}

fn exists(args: &ExistsArgs) -> Result<u8, Failure> {
    let exists = Engine::open()?.image_exists(&args.image)?;
    Ok(u8::from(!exists))
}

/// No registry but Docker Hub can be searched, and that one only by an interface of its own.
pub(crate) fn search(args: &SearchArgs) -> Result<u8, Failure> {
    let words = args.words.join(" ");
    Err(Failure::with_hint(
        format!("cannot search for {words:?}: registries have no interface for it"),
        "look on hub.docker.com or quay.io, then `carrier pull IMAGE`",
    ))
}
