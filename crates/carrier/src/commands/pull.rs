//! `carrier pull`

use std::os::fd::BorrowedFd;

use carrier_engine::{Engine, Event, Unpacker};
use carrier_registry::{LayerChannel, LayerSink, PullOptions, Pulled};
use carrier_spec::{Compression, Platform, Reference};

use super::print;
use crate::cli::PullArgs;
use crate::progress;
use crate::report::Failure;

pub(crate) fn pull(args: &PullArgs) -> Result<u8, Failure> {
    let platform = platform(args.platform.as_deref())?;
    let engine = Engine::open()?;
    engine.repair()?;
    for image in &args.images {
        let reference: Reference = image.parse()?;
        let request = Request {
            reference,
            platform: platform.clone(),
            tls_verify: args.tls.verify(),
            retries: args.retries,
        };
        if args.all_tags {
            refuse_tag(image)?;
            for reference in tags(&request, args.quiet)? {
                let request = Request {
                    reference,
                    ..request.clone()
                };
                pull_one(&engine, &request, args.quiet)?;
            }
        } else {
            pull_one(&engine, &request, args.quiet)?;
        }
    }
    Ok(0)
}

fn pull_one(engine: &Engine, request: &Request, quiet: bool) -> Result<(), Failure> {
    if let Some(image) = engine.image(&request.reference, request.platform.as_ref())? {
        engine.drop_damaged_layers(&image)?;
    }
    let pulled = fetch(engine, request, quiet)?;
    let name = request.reference.to_string();
    if quiet {
        return print(&format!("{name}\n"));
    }
    let status = if pulled.downloaded {
        "Downloaded newer image for"
    } else {
        "Image is up to date for"
    };
    let shown = request.reference.familiar();
    print(&format!(
        "Digest: {}\nStatus: {status} {shown}\n{name}\n",
        pulled.digest
    ))
}

/// `--all-tags` is about a repository; as in Docker, a tag beside it is a mistake.
pub(super) fn refuse_tag(image: &str) -> Result<(), Failure> {
    if format!("{image}:latest").parse::<Reference>().is_ok() {
        return Ok(());
    }
    let hint = "name the repository only";
    Err(Failure::with_hint(
        "a tag cannot be used with --all-tags",
        hint,
    ))
}

fn tags(request: &Request, quiet: bool) -> Result<Vec<Reference>, Failure> {
    let progress = progress::new(quiet);
    let options = options(request);
    let tags = carrier_registry::tags(&request.reference, &options, &*progress)?;
    Ok(tags)
}

/// What to fetch.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) reference: Reference,
    pub(super) platform: Option<Platform>,
    pub(super) tls_verify: Option<bool>,
    pub(super) retries: Option<u32>,
}

fn options(request: &Request) -> PullOptions {
    PullOptions {
        platform: request.platform.clone().unwrap_or_else(Platform::host),
        platform_requested: request.platform.is_some(),
        tls_verify: request.tls_verify,
        retries: request.retries,
    }
}

/// Fetches an image, with progress on standard error.
pub(super) fn fetch(engine: &Engine, request: &Request, quiet: bool) -> Result<Pulled, Failure> {
    // Before the client has threads: see the type.
    progress::debug(|| format!("{} is fetched", request.reference));
    let sink = Sink(Unpacker::start(engine.host().own_ids()?)?);
    let progress = progress::new(quiet);
    let options = options(request);
    let pulled = carrier_registry::pull(
        engine.store(),
        &request.reference,
        &options,
        &sink,
        &*progress,
    )?;
    let name = request.reference.familiar();
    engine.emit(&Event::image("pull", &name, &name));
    if let Some(warning) = &pulled.warning {
        progress::warn(warning);
    }
    Ok(pulled)
}

pub(super) fn platform(text: Option<&str>) -> Result<Option<Platform>, Failure> {
    let hint = "platforms look like linux/amd64 or linux/arm/v7";
    text.map(|text| {
        text.parse()
            .map_err(|error| Failure::with_hint(error, hint))
    })
    .transpose()
}

/// Joins the registry's client to the engine's unpacking process.
struct Sink(Unpacker);

impl LayerSink for Sink {
    fn begin(
        &self,
        directory: BorrowedFd<'_>,
        compression: Compression,
    ) -> std::io::Result<LayerChannel> {
        let channel = self.0.begin(directory, compression)?;
        Ok(LayerChannel {
            input: channel.input,
            control: channel.control,
        })
    }
}
