//! Unpacking layers that are in files, several at a time.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;

use carrier_spec::{Compression, DiffId, Digest};
use carrier_store::{LayerSummary, StagedLayer, Store, UnpackReport};

use super::BadArchive;
use crate::error::Error;
use crate::unpacker::Unpacker;

/// A pull does the same.
const AT_ONCE: usize = 3;

/// Summaries and reasons are short.
const MAX_REPORT: u64 = 64 * 1024;

/// One layer to unpack.
pub(super) struct LayerSource<'a> {
    pub(super) digest: &'a Digest,
    pub(super) compression: Compression,
    /// What it must unpack to, where somebody has promised that.
    pub(super) expected: Option<&'a DiffId>,
    pub(super) open: Box<dyn Fn() -> io::Result<std::fs::File> + 'a>,
}

/// Unpacks layers, in the order of `sources`.
pub(super) fn unpack(
    store: &Store,
    unpacker: &Unpacker,
    sources: &[LayerSource<'_>],
) -> Result<Vec<(StagedLayer, LayerSummary)>, Error> {
    let mut done = Vec::new();
    let mut running: VecDeque<Running<'_>> = VecDeque::new();
    for source in sources {
        if running.len() == AT_ONCE
            && let Some(first) = running.pop_front()
        {
            done.push(first.finish()?);
        }
        running.push_back(Running::start(store, unpacker, source)?);
    }
    for one in running {
        done.push(one.finish()?);
    }
    Ok(done)
}

/// A layer that is being unpacked. Dropped, it is deleted by the process that unpacks it, which is
/// waited for: the directory is ours to remove then.
struct Running<'a> {
    source: &'a LayerSource<'a>,
    layer: Option<StagedLayer>,
    control: BufReader<UnixStream>,
}

impl<'a> Running<'a> {
    fn start(
        store: &Store,
        unpacker: &Unpacker,
        source: &'a LayerSource<'a>,
    ) -> Result<Self, Error> {
        let layer = store.stage_layer()?;
        let begin = || {
            let file = (source.open)()?;
            let file: BorrowedFd<'_> = file.as_fd();
            unpacker.begin_from(layer.directory(), source.compression, file)
        };
        let control = begin().map_err(|source| Error::Unpacker {
            action: "ask",
            source,
        })?;
        Ok(Self {
            source,
            layer: Some(layer),
            control: BufReader::new(UnixStream::from(control)),
        })
    }

    fn finish(mut self) -> Result<(StagedLayer, LayerSummary), Error> {
        let refused = |reason| BadArchive::Unpack {
            digest: self.source.digest.clone(),
            reason,
        };
        let failed = |source| Error::Unpacker {
            action: "hear from",
            source,
        };
        let mut line = String::new();
        let mut control = self.control.by_ref().take(MAX_REPORT);
        control.read_line(&mut line).map_err(failed)?;
        let summary = match serde_json::from_str(&line) {
            Ok(UnpackReport::Ok(summary)) => summary,
            Ok(UnpackReport::Error(reason)) => return Err(refused(reason).into()),
            Err(_) => return Err(refused("the process has died".to_owned()).into()),
        };
        if let Some(expected) = self.source.expected
            && summary.diff_id != *expected
        {
            return Err(BadArchive::WrongLayer {
                expected: expected.0.clone(),
                actual: summary.diff_id.0,
            }
            .into());
        }
        self.control.get_mut().write_all(b"k").map_err(failed)?;
        let layer = self.layer.take();
        let layer = layer.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        Ok((layer, summary))
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.layer.is_some() && self.control.get_ref().shutdown(Shutdown::Write).is_ok() {
            // However the process ends, it has ended.
            let _ = io::copy(&mut self.control, &mut io::sink());
        }
    }
}
