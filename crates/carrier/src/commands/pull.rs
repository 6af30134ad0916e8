//! `carrier pull`

use std::os::fd::BorrowedFd;

use carrier_engine::{Engine, Unpacker};
use carrier_registry::{LayerChannel, LayerSink, PullOptions, Pulled};
use carrier_spec::{Compression, Platform, Reference};

use super::print;
use crate::cli::PullArgs;
use crate::progress;
use crate::report::Failure;

pub(crate) fn pull(args: &PullArgs) -> Result<u8, Failure> {
    let reference: Reference = args.image.parse()?;
    let platform = platform(args.platform.as_deref())?;
    let engine = Engine::open()?;
    engine.repair()?;
    let request = Request {
        reference,
        platform,
        tls_verify: args.tls.verify(),
    };
    let pulled = fetch(&engine, &request, args.quiet)?;
    let name = request.reference.to_string();
    if args.quiet {
        print(&format!("{name}\n"))?;
    } else {
        let status = if pulled.downloaded {
            "Downloaded newer image for"
        } else {
            "Image is up to date for"
        };
        let shown = request.reference.familiar();
        print(&format!(
            "Digest: {}\nStatus: {status} {shown}\n{name}\n",
            pulled.digest
        ))?;
    }
    Ok(0)
}

/// What to fetch.
pub(super) struct Request {
    pub(super) reference: Reference,
    pub(super) platform: Option<Platform>,
    pub(super) tls_verify: Option<bool>,
}

/// Fetches an image, with progress on standard error.
pub(super) fn fetch(engine: &Engine, request: &Request, quiet: bool) -> Result<Pulled, Failure> {
    // Before the client has threads: see the type.
    let sink = Sink(Unpacker::start(engine.host().own_ids()?)?);
    let progress = progress::new(quiet);
    let options = PullOptions {
        platform: request.platform.clone().unwrap_or_else(Platform::host),
        platform_requested: request.platform.is_some(),
        tls_verify: request.tls_verify,
    };
    let pulled = carrier_registry::pull(
        engine.store(),
        &request.reference,
        &options,
        &sink,
        &*progress,
    )?;
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
