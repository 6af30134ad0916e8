//! Pushing an image: from records in the store to a tag in a registry.
//!
//! Blobs are in the store as they came, so an image that was pulled has the same digest wherever it
//! is pushed. Only who asks for another compression gets other layers and another manifest.

mod mount;
mod plan;
mod recompress;
mod upload;

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::Read as _;

use carrier_spec::{Compression, Digest, Reference};
use carrier_store::{ImageRecord, Store};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode};
use sha2::{Digest as _, Sha256};

use crate::Error;
use crate::client::Client;
use crate::request::{Call, Content};
use crate::runtime;
use plan::{Document, Plan};
use upload::{Blob, Uploader};

/// How to push.
#[derive(Clone, Copy, Debug, Default)]
pub struct PushOptions {
    /// Whether certificates are checked and plain HTTP is refused; else as configured for the registry.
    pub tls_verify: Option<bool>,
    /// Compress the layers anew, and write a manifest for that.
    pub recompress: Option<Recompress>,
    /// Push this image only, even where all platforms of the index that it came in are here.
    pub one_platform: bool,
}

/// Another compression for the layers of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recompress {
    /// The format. Layers that have it already stay as they are where no level is named.
    pub format: Compression,
    /// The format's own measure of effort.
    pub level: Option<i32>,
}

/// What was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// What the tag means to the registry now.
    pub digest: Digest,
    /// Bytes of that manifest or index.
    pub size: u64,
    /// The index that the image came in, where it was not pushed because not all of its platforms are
    /// here.
    pub left_out: Option<Digest>,
}

/// Whoever shows how a push goes on.
pub trait PushProgress {
    /// Something happened to the layer `digest` of `size` bytes.
    fn blob(&self, digest: &Digest, size: u64, event: PushEvent<'_>);

    /// Something to know while it goes on, such as why nothing seems to happen.
    fn note(&self, text: &str);
}

/// What happens to a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushEvent<'a> {
    /// It will be looked for in the repository.
    Preparing,
    /// It is compressed anew.
    Compressing,
    /// So many bytes have gone.
    Uploaded(u64),
    /// The repository has it already.
    AlreadyExists,
    /// The registry took it from this other repository.
    Mounted(&'a str),
    /// The repository has it now.
    Pushed,
}

/// Pushes `image` under `destination`, which has a tag.
///
/// # Errors
/// [`Error`]; then the tag means what it meant before.
pub fn push(
    store: &Store,
    image: &ImageRecord,
    destination: &Reference,
    options: &PushOptions,
    progress: &dyn PushProgress,
) -> Result<Pushed, Error> {
    let index = image.index.as_ref().filter(|_| !options.one_platform);
    let whole = match (index, options.recompress) {
        (Some(index), None) => Plan::of_index(store, image, index)?,
        _ => None,
    };
    let left_out = index.filter(|_| whole.is_none());
    let plan = match (whole, options.recompress) {
        (Some(plan), _) => plan,
        (None, None) => Plan::of_image(store, image)?,
        (None, Some(wanted)) => {
            Plan::of_image(store, image)?.recompressed(store, image, wanted, progress)?
        }
    };
    let runtime = runtime()?;
    let notes = |text: &str| progress.note(text);
    let client = Client::for_push(destination, options.tls_verify, &notes)?;
    let uploader = Uploader {
        client: &client,
        progress,
    };
    let pusher = Pusher {
        plan: &plan,
        uploader: &uploader,
        client: &client,
        image,
    };
    let elsewhere = mount::candidates(store, destination, &plan)?;
    let (digest, size) = runtime.block_on(pusher.push(destination, &elsewhere))?;
    Ok(Pushed {
        digest,
        size,
        left_out: left_out.map(|index| index.digest.clone()),
    })
}

struct Pusher<'a> {
    plan: &'a Plan,
    uploader: &'a Uploader<'a>,
    client: &'a Client<'a>,
    image: &'a ImageRecord,
}

impl Pusher<'_> {
    async fn push(
        &self,
        destination: &Reference,
        elsewhere: &mount::Candidates,
    ) -> Result<(Digest, u64), Error> {
        self.client.greet().await?;
        self.push_layers(elsewhere).await?;
        for config in &self.plan.configs {
            self.push_quietly(config).await?;
        }
        for manifest in &self.plan.manifests {
            self.put_manifest(manifest, None).await?;
        }
        let top = &self.plan.top;
        self.put_manifest(top, destination.tag()).await?;
        Ok((top.digest.clone(), top.bytes.len() as u64))
    }

    /// Pushes the layers, three at a time.
    async fn push_layers(&self, elsewhere: &mount::Candidates) -> Result<(), Error> {
        let mut queue = Vec::new();
        for layer in self.plan.layers.iter().rev() {
            let (digest, size) = (&layer.digest, layer.size);
            self.uploader
                .progress
                .blob(digest, size, PushEvent::Preparing);
            let mut blob = layer.clone();
            blob.elsewhere = elsewhere.of(digest);
            queue.push(blob);
        }
        let (queue, failure) = (RefCell::new(queue), Cell::new(None));
        let work = || async {
            loop {
                let next = queue.borrow_mut().pop();
                let Some(blob) = next else { return };
                if let Err(error) = self.push_blob(&blob).await {
                    queue.borrow_mut().clear();
                    failure.set(Some(error));
                }
            }
        };
        tokio::join!(work(), work(), work());
        failure.into_inner().map_or(Ok(()), Err)
    }

    async fn push_quietly(&self, blob: &Blob) -> Result<(), Error> {
        let quiet = Uploader {
            client: self.client,
            progress: &Silence,
        };
        let pushed = quiet.push(blob).await;
        pushed.map_err(|error| self.explained(blob, error))
    }

    async fn push_blob(&self, blob: &Blob) -> Result<(), Error> {
        let pushed = self.uploader.push(blob).await;
        pushed.map_err(|error| self.explained(blob, error))
    }

    /// A registry that refuses a blob for its digest may be right.
    fn explained(&self, blob: &Blob, error: Error) -> Error {
        let refused = matches!(error, Error::Status { status: 400, .. });
        if refused && !is_what_it_should_be(blob) {
            return plan::damaged("layer", &blob.digest, self.image);
        }
        error
    }

    async fn put_manifest(&self, manifest: &Document, tag: Option<&str>) -> Result<(), Error> {
        let digest = &manifest.digest;
        let name = tag.unwrap_or(digest.as_str());
        let url = self.client.endpoint(&format!("manifests/{name}"))?;
        let mut call = Call::new(Method::PUT, url);
        if let Ok(kind) = HeaderValue::from_str(&manifest.media_type) {
            call.headers.insert(CONTENT_TYPE, kind);
        }
        call.content = Content::Document(manifest.bytes.clone().into());
        let response = self.client.retried(&call).await?;
        if !response.status().is_success() || response.status() == StatusCode::ACCEPTED {
            return Err(self.client.failure(response).await);
        }
        let said = response.headers().get("docker-content-digest");
        let said: Option<Digest> = said.and_then(|value| value.to_str().ok()?.parse().ok());
        if said.is_some_and(|said| said != *digest && said.algorithm() == digest.algorithm()) {
            return Err(self
                .client
                .protocol_error("it stored the manifest under another digest"));
        }
        Ok(())
    }
}

fn is_what_it_should_be(blob: &Blob) -> bool {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut file: &File = &blob.file;
    if std::io::Seek::rewind(&mut file).is_err() {
        return false;
    }
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Digest::from_sha256(hash.finalize().into()) == blob.digest,
            Ok(count) => hash.update(buffer.get(..count).unwrap_or_default()),
            Err(_) => return false,
        }
    }
}

struct Silence;

impl PushProgress for Silence {
    fn blob(&self, _digest: &Digest, _size: u64, _event: PushEvent<'_>) {}

    fn note(&self, _text: &str) {}
}
