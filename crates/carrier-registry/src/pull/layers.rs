//! The layers of an image: who fetches which, and when they become visible.

use std::cell::{Cell, RefCell};

use carrier_spec::{Descriptor, DiffId, ImageError};
use carrier_store::Download;

use super::{Arrival, LOOK_AGAIN, Puller};
use crate::layer::{Claimed, Context, Fetched, FetchedBlob};
use crate::{Error, LayerEvent};

/// Each claim takes a descriptor, of which processes may have 1,024 where nobody says otherwise.
const MAX_CLAIMS: usize = 128;

impl Puller<'_> {
    /// Fetches what is missing; returns how many layers were.
    ///
    /// What another process fetches is waited for, and never while we hold claims that somebody
    /// could wait for in turn.
    pub(super) async fn fetch_layers(
        &self,
        layers: &[Descriptor],
        ids: &[DiffId],
        arrival: &Arrival<'_>,
    ) -> Result<usize, Error> {
        let mut missing = self.distinct(layers, ids)?;
        for (layer, _) in &missing {
            self.report(layer, LayerEvent::Waiting);
        }
        let mut count = 0;
        loop {
            let mut claimed = Vec::new();
            let mut later = Vec::new();
            for (layer, id) in missing {
                if self.is_here(layer, id)? {
                    self.report(layer, LayerEvent::AlreadyExists);
                } else if claimed.len() == MAX_CLAIMS {
                    later.push((layer, id));
                } else {
                    match self.claim(layer, id)? {
                        Some(claim) => claimed.push(claim),
                        None => later.push((layer, id)),
                    }
                }
            }
            if claimed.is_empty() {
                if later.is_empty() {
                    return Ok(count);
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            count += claimed.len();
            self.fetch_claimed(claimed, arrival).await?;
            missing = later;
        }
    }

    /// The layers, each blob once: a claim on it excludes ourselves too.
    fn distinct<'a>(
        &self,
        layers: &'a [Descriptor],
        ids: &'a [DiffId],
    ) -> Result<Vec<(&'a Descriptor, &'a DiffId)>, Error> {
        let mut distinct: Vec<(&Descriptor, &DiffId)> = Vec::new();
        for (layer, id) in layers.iter().zip(ids) {
            match distinct
                .iter()
                .find(|(other, _)| other.digest == layer.digest)
            {
                None => distinct.push((layer, id)),
                Some((other, other_id)) if other.size == layer.size && *other_id == id => {}
                Some(_) => {
                    let reason = "one of its layers is described in two ways";
                    return Err(self.unusable(ImageError::Ambiguous(reason)));
                }
            }
        }
        Ok(distinct)
    }

    fn is_here(&self, layer: &Descriptor, id: &DiffId) -> Result<bool, Error> {
        Ok(self.store.has_layer(id) && self.store.has_blob_of(&layer.digest, layer.size)?)
    }

    /// Claims a layer; nothing where another process has it, or has just fetched it.
    fn claim<'a>(
        &self,
        descriptor: &'a Descriptor,
        id: &'a DiffId,
    ) -> Result<Option<Claimed<'a>>, Error> {
        let Some(download) = self.store.claim(&descriptor.digest)? else {
            return Ok(None);
        };
        if self.is_here(descriptor, id)? {
            download.discard();
            return Ok(None);
        }
        Ok(Some(Claimed {
            descriptor,
            id,
            download,
        }))
    }

    /// Fetches layers three at a time, and makes them visible together.
    ///
    /// When one fails, those that are complete are kept all the same.
    async fn fetch_claimed(
        &self,
        mut claimed: Vec<Claimed<'_>>,
        arrival: &Arrival<'_>,
    ) -> Result<(), Error> {
        claimed.reverse();
        let queue = RefCell::new(claimed);
        let (done, failure) = (RefCell::new(Vec::new()), Cell::new(None));
        let work = || self.work(&queue, &done, &failure);
        tokio::join!(work(), work(), work());

        let mut ingest = self.store.ingest();
        let mut claims = Vec::new();
        let done = done.into_inner();
        if !done.is_empty() {
            self.announce(&mut ingest, arrival)?;
        }
        for Fetched {
            blob,
            layer,
            summary,
        } in done
        {
            match blob {
                FetchedBlob::New(blob) => ingest.add_blob(blob),
                FetchedBlob::Stored(claim) => claims.push(claim),
            }
            ingest.add_layer(layer, &summary)?;
        }
        ingest.commit()?;
        claims.into_iter().for_each(Download::discard);
        match failure.into_inner() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Takes layers from the queue until it is empty or one has failed.
    async fn work(
        &self,
        queue: &RefCell<Vec<Claimed<'_>>>,
        done: &RefCell<Vec<Fetched>>,
        failure: &Cell<Option<Error>>,
    ) {
        let context = Context {
            store: self.store,
            client: self.client,
            sink: self.sink,
            progress: self.progress,
        };
        loop {
            let next = queue.borrow_mut().pop();
            let Some(claimed) = next else { return };
            match context.fetch(claimed).await {
                Ok(fetched) => done.borrow_mut().push(fetched),
                Err(error) => {
                    for claimed in queue.borrow_mut().drain(..) {
                        claimed.download.keep();
                    }
                    failure.set(Some(error));
                    return;
                }
            }
        }
    }

    fn report(&self, layer: &Descriptor, event: LayerEvent) {
        self.progress.layer(&layer.digest, layer.size, event);
    }
}
