//! `carrier push`

use std::collections::BTreeSet;
use std::fs;

use carrier_engine::{Engine, Event};
use carrier_registry::{PushOptions, Pushed, Recompress};
use carrier_spec::{Compression, Platform, Reference};
use carrier_store::ImageRecord;
use carrier_sys::umask::with_users;

use super::print;
use super::pull::{platform, refuse_tag};
use crate::cli::{CompressionFormat, PushArgs};
use crate::progress;
use crate::report::Failure;

pub(crate) fn push(args: &PushArgs) -> Result<u8, Failure> {
    let options = options(args)?;
    let source: Reference = args.image.parse()?;
    let platform = platform(args.platform.as_deref())?;
    let engine = Engine::open()?;
    if args.all_tags {
        return push_all_tags(&engine, args, &source, &options);
    }
    let destination = match &args.destination {
        Some(text) => text.parse()?,
        None => source.clone(),
    };
    if destination.digest().is_some() {
        let hint = "push it under a tag: carrier push IMAGE REPOSITORY:TAG";
        return Err(Failure::with_hint("cannot push a digest reference", hint));
    }
    let image = find(&engine, &source, platform.as_ref())?;
    announce(args, &destination)?;
    let pushed = push_one(args, &engine, &image, &destination, &options)?;
    if let Some(path) = &args.digestfile {
        with_users(|| fs::write(path, pushed.digest.as_str())).map_err(|source| Failure::File {
            action: "write",
            path: path.clone(),
            source,
        })?;
    }
    Ok(0)
}

/// Pushes every tag of a repository that is here, for the platform of this host where there is a
/// choice.
fn push_all_tags(
    engine: &Engine,
    args: &PushArgs,
    repository: &Reference,
    options: &PushOptions,
) -> Result<u8, Failure> {
    refuse_tag(&args.image)?;
    let images = engine
        .store()
        .images()
        .map_err(carrier_engine::Error::from)?;
    let same = |reference: &Reference| reference.familiar_name() == repository.familiar_name();
    let references = images.into_iter().filter_map(|image| image.reference);
    let tagged = references.filter(|found| same(found) && found.digest().is_none());
    let tags: BTreeSet<String> = tagged.map(|reference| reference.to_string()).collect();
    if tags.is_empty() {
        return Err(missing(&repository.familiar_name()));
    }
    announce(args, repository)?;
    for tag in tags {
        let destination: Reference = tag.parse()?;
        let image = find(engine, &destination, None)?;
        push_one(args, engine, &image, &destination, options)?;
    }
    Ok(0)
}

fn push_one(
    args: &PushArgs,
    engine: &Engine,
    image: &ImageRecord,
    destination: &Reference,
    options: &PushOptions,
) -> Result<Pushed, Failure> {
    let progress = progress::of_push(args.quiet);
    let pushed = carrier_registry::push(engine.store(), image, destination, options, &*progress)?;
    let name = destination.familiar();
    engine.emit(&Event::image("push", &name, &name));
    if args.quiet {
        print(&format!("{destination}\n"))?;
    } else {
        let tag = destination.tag().unwrap_or_default();
        if let Some(index) = &pushed.left_out {
            progress::note(&format!(
                "note: not all platforms of the image are here, so that only the one for {} was \
                 pushed: {index} -> {}",
                image.platform, pushed.digest
            ));
        }
        print(&format!(
            "{tag}: digest: {} size: {}\n",
            pushed.digest, pushed.size
        ))?;
    }
    Ok(pushed)
}

fn announce(args: &PushArgs, destination: &Reference) -> Result<(), Failure> {
    if args.quiet {
        return Ok(());
    }
    let repository = format!("{}/{}", destination.registry(), destination.repository());
    print(&format!("The push refers to repository [{repository}]\n"))
}

fn find(
    engine: &Engine,
    reference: &Reference,
    platform: Option<&Platform>,
) -> Result<ImageRecord, Failure> {
    let found = engine.image(reference, platform)?;
    found.ok_or_else(|| match platform {
        Some(platform) => missing(&format!("{} for {platform}", reference.familiar())),
        None => missing(&reference.familiar()),
    })
}

fn missing(what: &str) -> Failure {
    Failure::with_hint(
        format!("an image does not exist locally with the name {what}"),
        "`carrier ls -i` shows the images that are here",
    )
}

fn options(args: &PushArgs) -> Result<PushOptions, Failure> {
    let recompress = args.compression.map(|format| match format {
        CompressionFormat::Gzip => (Compression::Gzip, 1..=9),
        CompressionFormat::Zstd => (Compression::Zstd, 1..=22),
    });
    let recompress = match (recompress, args.compression_level) {
        (Some((_, levels)), Some(level)) if !levels.contains(&level) => {
            return Err(Failure::usage(format!(
                "compression level {level} is not between {} and {}",
                levels.start(),
                levels.end()
            )));
        }
        (recompress, level) => recompress.map(|(format, _)| Recompress { format, level }),
    };
    Ok(PushOptions {
        tls_verify: args.tls.verify(),
        recompress,
        one_platform: args.platform.is_some(),
    })
}
