//! `carrier inspect`, `carrier container inspect`

use carrier_engine::{Engine, Error, ErrorKind};
use carrier_spec::Platform;
use serde_json::Value;

use super::super::images::print_descriptions;
use super::super::pull::platform;
use crate::cli::observe::{InspectArgs, InspectContainersArgs};
use crate::cli::system::InfoArgs;
use crate::report::Failure;

/// What a word may name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Any,
    Container,
    Image,
    Volume,
    Network,
}

pub(crate) fn inspect(args: &InspectArgs) -> Result<u8, Failure> {
    let kind = match args.kind.as_deref() {
        None | Some("") => Kind::Any,
        Some("container") => Kind::Container,
        Some("image") => Kind::Image,
        Some("volume") => Kind::Volume,
        Some("network") => Kind::Network,
        Some(other) => {
            return Err(Failure::with_hint(
                format!("{other:?} is not a valid value for --type"),
                "types are container, image, volume and network",
            ));
        }
    };
    let platform = platform(args.platform.as_deref())?;
    let engine = Engine::open()?;
    let find = |word: &str| object(&engine, word, kind, args.size, platform.as_ref());
    print_descriptions(&args.words, args.format.as_deref(), &find)
}

pub(crate) fn inspect_containers(args: &InspectContainersArgs) -> Result<u8, Failure> {
    let engine = Engine::open()?;
    let find = |word: &str| engine.inspect_container(word, args.size);
    print_descriptions(&args.words, args.format.as_deref(), &find)
}

/// As in Docker, a word that names a container means that; then come images, networks and volumes.
fn object(
    engine: &Engine,
    word: &str,
    kind: Kind,
    size: bool,
    platform: Option<&Platform>,
) -> Result<Value, Error> {
    let of = |kind| match kind {
        Kind::Container => engine.inspect_container(word, size),
        Kind::Image => engine.inspect_image(word, platform).map(|image| image.json),
        Kind::Network => engine.inspect_network(word),
        Kind::Volume => engine.inspect_volume(word),
        Kind::Any => Err(Error::NoSuchObject(word.to_owned())),
    };
    if kind != Kind::Any {
        return of(kind);
    }
    for kind in [Kind::Container, Kind::Image, Kind::Network, Kind::Volume] {
        match of(kind) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            found => return found,
        }
    }
    of(Kind::Any)
}

/// `carrier info WORD` is short for `carrier inspect WORD`.
pub(crate) fn info(args: &InfoArgs) -> Result<u8, Failure> {
    inspect(&InspectArgs {
        format: args.format.clone(),
        size: false,
        kind: None,
        platform: None,
        words: args.words.clone(),
    })
}
