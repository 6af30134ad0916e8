//! One layer: from the network, or the store, through the hash and the unpacking process.

use std::io::Read as _;

use carrier_spec::{Descriptor, DiffId};
use carrier_store::{Download, LayerSummary, StagedLayer, Store, VerifiedBlob};

use crate::client::Client;
use crate::feed::Feed;
use crate::transfer::{Taker, Transfer, write_error};
use crate::{Error, LayerEvent, LayerSink, Progress};

/// How much of a file is fed at once.
const CHUNK: usize = 256 * 1024;

/// What a layer needs on its way.
pub(crate) struct Context<'a> {
    pub(crate) store: &'a Store,
    pub(crate) client: &'a Client<'a>,
    pub(crate) sink: &'a dyn LayerSink,
    pub(crate) progress: &'a dyn Progress,
}

/// A layer that only this process fetches.
pub(crate) struct Claimed<'a> {
    pub(crate) descriptor: &'a Descriptor,
    pub(crate) id: &'a DiffId,
    pub(crate) download: Download,
}

/// A layer that is complete and verified, and not visible yet.
pub(crate) struct Fetched {
    pub(crate) blob: FetchedBlob,
    pub(crate) layer: StagedLayer,
    pub(crate) summary: LayerSummary,
}

/// Where a layer's blob is.
pub(crate) enum FetchedBlob {
    /// Without a name.
    New(VerifiedBlob),
    /// In the store since an earlier pull; the claim keeps others from unpacking it too.
    Stored(Download),
}

/// Where a layer's bytes come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Store,
    Network,
}

impl Context<'_> {
    /// Fetches a layer. What is here of it is used, and fetched again when it is damaged.
    pub(crate) async fn fetch(&self, claimed: Claimed<'_>) -> Result<Fetched, Error> {
        let Claimed {
            descriptor,
            id,
            mut download,
        } = claimed;
        let stored = self
            .store
            .has_blob_of(&descriptor.digest, descriptor.size)?;
        let mut source = if stored {
            Source::Store
        } else {
            Source::Network
        };
        loop {
            let attempt = self.attempt(descriptor, id, &mut download, source).await;
            let error = match attempt {
                Ok((layer, summary)) => {
                    let blob = match source {
                        Source::Store => FetchedBlob::Stored(download),
                        Source::Network => {
                            FetchedBlob::New(download.verify(&descriptor.digest, descriptor.size)?)
                        }
                    };
                    return Ok(Fetched {
                        blob,
                        layer,
                        summary,
                    });
                }
                Err(error) => error,
            };
            if self.is_damage(&error, descriptor, &download, source)? {
                source = Source::Network;
                download
                    .restart()
                    .map_err(|source| write_error(self.store, source))?;
                continue;
            }
            // A full disk shall not be full of what nobody can use.
            if error.is_transient() {
                download.keep();
            } else {
                download.discard();
            }
            return Err(error);
        }
    }

    /// Whether what was here before is to blame: an earlier pull, or the disk, may have damaged it.
    fn is_damage(
        &self,
        error: &Error,
        descriptor: &Descriptor,
        download: &Download,
        source: Source,
    ) -> Result<bool, Error> {
        let about_bytes = matches!(
            error,
            Error::WrongDigest { .. } | Error::WrongSize { .. } | Error::Unpack { .. }
        );
        Ok(about_bytes
            && match source {
                Source::Network => download.is_pieced(),
                Source::Store => !self.store.is_intact(&descriptor.digest)?,
            })
    }

    async fn attempt(
        &self,
        descriptor: &Descriptor,
        id: &DiffId,
        download: &mut Download,
        source: Source,
    ) -> Result<(StagedLayer, LayerSummary), Error> {
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
        let fed = match source {
            Source::Store => self.feed_from_store(&mut feed, descriptor).await,
            Source::Network => {
                self.feed_from_network(&mut feed, descriptor, download)
                    .await
            }
        };
        let summary = match fed {
            Ok(()) => {
                self.report(descriptor, LayerEvent::Unpacking);
                feed.finish(id).await
            }
            Err(error) => Err(error),
        };
        match summary {
            Ok(summary) => {
                self.report(descriptor, LayerEvent::Complete);
                Ok((layer, summary))
            }
            Err(error) => {
                feed.abandon().await;
                Err(error)
            }
        }
    }

    async fn feed_from_store(
        &self,
        feed: &mut Feed<'_>,
        descriptor: &Descriptor,
    ) -> Result<(), Error> {
        let Some(mut file) = self.store.open_blob(&descriptor.digest)? else {
            return Ok(());
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
        download: &mut Download,
    ) -> Result<(), Error> {
        let mut buffer = vec![0; CHUNK];
        loop {
            match download.replay(&mut buffer) {
                Ok(0) => break,
                Ok(count) => feed.write(buffer.get(..count).unwrap_or_default()).await?,
                Err(error) => return Err(write_error(self.store, error)),
            }
        }
        let transfer = Transfer {
            store: self.store,
            client: self.client,
            descriptor,
        };
        let mut taker = Watched {
            context: self,
            descriptor,
            feed,
        };
        transfer.run(download, &mut taker).await?;
        download
            .check(&descriptor.digest, descriptor.size)
            .map_err(|error| Error::about_blob("a layer", error))
    }

    fn report(&self, descriptor: &Descriptor, event: LayerEvent) {
        self.progress
            .layer(&descriptor.digest, descriptor.size, event);
    }
}

/// Passes a layer on, and tells how far it is.
struct Watched<'a, 'b> {
    context: &'a Context<'a>,
    descriptor: &'a Descriptor,
    feed: &'a mut Feed<'b>,
}

impl Taker for Watched<'_, '_> {
    async fn take(&mut self, bytes: &[u8], written: u64) -> Result<(), Error> {
        self.context
            .report(self.descriptor, LayerEvent::Downloaded(written));
        self.feed.write(bytes).await
    }
}
