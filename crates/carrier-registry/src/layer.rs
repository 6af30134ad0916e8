//! One layer: from the network, or the store, through the hash and the unpacking process.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream as StdUnixStream;

use carrier_spec::{Descriptor, DiffId};
use carrier_store::{LayerSummary, StagedLayer, Store, UnpackReport, VerifiedBlob};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Sender;

use crate::client::{ATTEMPTS, Client, backoff};
use crate::{Error, LayerEvent, LayerSink, Progress};

/// How much of a blob of the store is fed at once.
const CHUNK: usize = 256 * 1024;

/// What a layer needs on its way.
pub(crate) struct Context<'a> {
    pub(crate) store: &'a Store,
    pub(crate) client: &'a Client,
    pub(crate) sink: &'a dyn LayerSink,
    pub(crate) progress: &'a dyn Progress,
}

/// A layer that is complete and verified, and not visible yet.
pub(crate) struct Fetched {
    /// Absent when the store had it.
    pub(crate) blob: Option<VerifiedBlob>,
    pub(crate) layer: StagedLayer,
    pub(crate) summary: LayerSummary,
}

impl Context<'_> {
    /// Fetches a layer, again from its beginning when the connection breaks.
    pub(crate) async fn fetch(
        &self,
        descriptor: &Descriptor,
        expected: &DiffId,
    ) -> Result<Fetched, Error> {
        let mut attempt = 1;
        loop {
            match self.fetch_once(descriptor, expected).await {
                Err(error) if error.is_transient() && attempt < ATTEMPTS => {
                    tokio::time::sleep(backoff(attempt)).await;
                    attempt += 1;
                }
                other => return other,
            }
        }
    }

    async fn fetch_once(
        &self,
        descriptor: &Descriptor,
        expected: &DiffId,
    ) -> Result<Fetched, Error> {
        let compression = descriptor
            .layer_compression()
            .map_err(|error| Error::Unpack {
                digest: descriptor.digest.clone(),
                reason: error.to_string(),
            })?;
        let layer = self.store.stage_layer()?;
        let channel = self
            .sink
            .begin(layer.directory(), compression)
            .map_err(Error::Unpacker)?;
        let mut feed = Feed::new(channel, descriptor)?;
        match self.feed(&mut feed, descriptor, expected).await {
            Ok((blob, summary)) => Ok(Fetched {
                blob,
                layer,
                summary,
            }),
            Err(error) => {
                feed.abandon().await;
                Err(error)
            }
        }
    }

    async fn feed(
        &self,
        feed: &mut Feed<'_>,
        descriptor: &Descriptor,
        expected: &DiffId,
    ) -> Result<(Option<VerifiedBlob>, LayerSummary), Error> {
        let blob = if self.store.has_blob(&descriptor.digest)? {
            self.feed_from_store(feed, descriptor).await?;
            None
        } else {
            Some(self.feed_from_network(feed, descriptor).await?)
        };
        self.report(descriptor, LayerEvent::Unpacking);
        let summary = feed.finish(expected).await?;
        self.report(descriptor, LayerEvent::Complete);
        Ok((blob, summary))
    }

    async fn feed_from_store(
        &self,
        feed: &mut Feed<'_>,
        descriptor: &Descriptor,
    ) -> Result<(), Error> {
        let Some(mut file) = self.store.open_blob(&descriptor.digest)? else {
            return Err(Error::Truncated {
                digest: descriptor.digest.clone(),
                expected: descriptor.size,
                actual: 0,
            });
        };
        let mut buffer = vec![0; CHUNK];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => feed.write(buffer.get(..count).unwrap_or_default()).await?,
                Err(error) => return Err(Error::Unpacker(error)),
            }
        }
    }

    async fn feed_from_network(
        &self,
        feed: &mut Feed<'_>,
        descriptor: &Descriptor,
    ) -> Result<VerifiedBlob, Error> {
        let mut response = self.client.blob(descriptor.digest.as_str()).await?;
        let mut blob = self.store.new_blob()?;
        loop {
            let chunk = response
                .chunk()
                .await
                .map_err(|error| self.client.transport(&error))?;
            let Some(chunk) = chunk else { break };
            if blob.written() + chunk.len() as u64 > descriptor.size {
                let what = format!("layer {}", descriptor.digest);
                return Err(Error::TooLarge {
                    what,
                    max: descriptor.size,
                });
            }
            blob.write_all(&chunk)
                .map_err(|source| self.write_error(source))?;
            feed.write(&chunk).await?;
            self.report(descriptor, LayerEvent::Downloaded(blob.written()));
        }
        if blob.written() < descriptor.size {
            return Err(Error::Truncated {
                digest: descriptor.digest.clone(),
                expected: descriptor.size,
                actual: blob.written(),
            });
        }
        match blob.verify(&descriptor.digest, descriptor.size) {
            Err(carrier_store::Error::WrongDigest { expected, actual }) => {
                Err(Error::WrongDigest {
                    what: "a layer",
                    expected,
                    actual,
                })
            }
            other => Ok(other?),
        }
    }

    fn write_error(&self, source: io::Error) -> Error {
        let path = self.store.root().to_owned();
        carrier_store::Error::Io {
            action: "write in",
            path,
            source,
        }
        .into()
    }

    fn report(&self, descriptor: &Descriptor, event: LayerEvent) {
        self.progress
            .layer(&descriptor.digest, descriptor.size, event);
    }
}

/// The way into the unpacking process, and its answer.
struct Feed<'a> {
    descriptor: &'a Descriptor,
    input: Option<Sender>,
    control: BufReader<UnixStream>,
}

impl<'a> Feed<'a> {
    fn new(channel: crate::LayerChannel, descriptor: &'a Descriptor) -> Result<Self, Error> {
        let open = || {
            let control = StdUnixStream::from(channel.control);
            control.set_nonblocking(true)?;
            let input = Sender::from_owned_fd(channel.input)?;
            Ok((input, UnixStream::from_std(control)?))
        };
        let (input, control) = open().map_err(Error::Unpacker)?;
        Ok(Self {
            descriptor,
            input: Some(input),
            control: BufReader::new(control),
        })
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Some(input) = &mut self.input else {
            return Ok(());
        };
        match input.write_all(bytes).await {
            // It has refused the layer, and tells why.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                let reason = match self.report().await? {
                    UnpackReport::Error(reason) => reason,
                    // Nothing is wrong with bytes that it does not need, such as those behind the
                    // last member of a gzip file: only the diff ID decides.
                    UnpackReport::Ok(_) => "there is data behind the end of the layer".to_owned(),
                };
                Err(self.refused(reason))
            }
            other => other.map_err(Error::Unpacker),
        }
    }

    /// Ends the layer; has it kept when it is what it should be.
    async fn finish(&mut self, expected: &DiffId) -> Result<LayerSummary, Error> {
        self.input = None;
        let summary = match self.report().await? {
            UnpackReport::Ok(summary) => summary,
            UnpackReport::Error(reason) => return Err(self.refused(reason)),
        };
        if summary.diff_id != *expected {
            return Err(Error::WrongDigest {
                what: "an unpacked layer",
                expected: expected.0.clone(),
                actual: summary.diff_id.0,
            });
        }
        self.control
            .write_all(b"k")
            .await
            .map_err(Error::Unpacker)?;
        Ok(summary)
    }

    /// Has what was unpacked deleted, and waits for that: the directory is ours to remove then.
    async fn abandon(mut self) {
        self.input = None;
        let control = self.control.get_mut();
        if control.shutdown().await.is_ok() {
            let mut rest = Vec::new();
            // However the process ends, it has ended.
            let _ = self.control.read_to_end(&mut rest).await;
        }
    }

    async fn report(&mut self) -> Result<UnpackReport, Error> {
        let mut line = String::new();
        self.control
            .read_line(&mut line)
            .await
            .map_err(Error::Unpacker)?;
        if line.is_empty() {
            return Err(self.refused("the process that unpacks layers has died".to_owned()));
        }
        serde_json::from_str(&line).map_err(|error| Error::Unpacker(error.into()))
    }

    fn refused(&self, reason: String) -> Error {
        Error::Unpack {
            digest: self.descriptor.digest.clone(),
            reason,
        }
    }
}
