//! One blob on its way into a repository: found there, mounted from another one, or uploaded.

use std::fs::File;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use carrier_spec::Digest;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, RANGE};
use reqwest::{Method, Response, StatusCode, Url};

use super::{PushEvent, PushProgress};
use crate::Error;
use crate::client::{ATTEMPTS, Client, backoff};
use crate::error::is_transient_status;
use crate::request::{Call, Content, Part};
use crate::retry::retry_after;

/// How many bytes a request carries where a registry does not take a blob in one.
const CHUNK: u64 = 16 << 20;

/// How large a chunk the registry may want, distribution-spec `OCI-Chunk-Min-Length`.
const LARGEST_CHUNK: u64 = 1 << 30;

/// How long a registry may take nothing of what we send.
const STALL: Duration = Duration::from_secs(60);

/// How long a registry may think about a blob that it has: some copy it first.
const SETTLING: Duration = Duration::from_secs(600);

const TICK: Duration = Duration::from_millis(100);

/// A blob, and where its bytes are.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) file: Arc<File>,
    /// Repositories of the same registry that should have it.
    pub(crate) elsewhere: Vec<String>,
}

/// Puts blobs into one repository.
pub(crate) struct Uploader<'a> {
    pub(crate) client: &'a Client<'a>,
    pub(crate) progress: &'a dyn PushProgress,
}

/// An upload that the registry has begun.
struct Session {
    location: Url,
    /// How many bytes the registry has.
    offset: u64,
    chunk: u64,
}

/// Why an upload did not go on.
struct Interruption {
    error: Error,
    wait: Option<Duration>,
    /// The registry may take it in smaller parts.
    too_much: bool,
    /// The registry has forgotten the upload, or never understood it.
    lost: bool,
}

impl From<Error> for Interruption {
    fn from(error: Error) -> Self {
        Self {
            error,
            wait: None,
            too_much: false,
            lost: false,
        }
    }
}

impl Uploader<'_> {
    /// Sees to it that the repository has the blob.
    pub(crate) async fn push(&self, blob: &Blob) -> Result<(), Error> {
        if self.exists(&blob.digest).await? {
            self.report(blob, PushEvent::AlreadyExists);
            return Ok(());
        }
        let mut session = None;
        for repository in &blob.elsewhere {
            self.cancel(session.take()).await;
            match self.mount(&blob.digest, repository).await? {
                Mount::Done => {
                    self.report(blob, PushEvent::Mounted(repository));
                    return Ok(());
                }
                Mount::Refused(upload) => session = upload,
            }
        }
        self.upload(blob, session).await?;
        self.report(blob, PushEvent::Pushed);
        Ok(())
    }

    async fn exists(&self, digest: &Digest) -> Result<bool, Error> {
        let url = self.client.endpoint(&format!("blobs/{digest}"))?;
        let response = self.client.retried(&Call::new(Method::HEAD, url)).await?;
        // Whoever may write and not read learns by writing.
        Ok(response.status() == StatusCode::OK)
    }

    /// Asks the registry to take the blob from another repository.
    async fn mount(&self, digest: &Digest, from: &str) -> Result<Mount, Error> {
        let mut url = self.client.endpoint("blobs/uploads/")?;
        url.query_pairs_mut()
            .append_pair("mount", digest.as_str())
            .append_pair("from", from);
        let response = self.client.retried(&Call::new(Method::POST, url)).await?;
        match response.status() {
            StatusCode::CREATED => Ok(Mount::Done),
            StatusCode::ACCEPTED => Ok(Mount::Refused(Some(self.session(&response)?))),
            // The other repository may be closed to us; this one is asked next.
            _ => Ok(Mount::Refused(None)),
        }
    }

    async fn begin(&self) -> Result<Session, Error> {
        let url = self.client.endpoint("blobs/uploads/")?;
        let response = self.client.retried(&Call::new(Method::POST, url)).await?;
        match response.status() {
            StatusCode::ACCEPTED => self.session(&response),
            _ => Err(self.client.failure(response).await),
        }
    }

    fn session(&self, response: &Response) -> Result<Session, Error> {
        let least = response.headers().get("oci-chunk-min-length");
        let least = least.and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Session {
            location: self.client.location(response)?,
            offset: 0,
            chunk: least.unwrap_or(CHUNK).clamp(CHUNK, LARGEST_CHUNK),
        })
    }

    /// Uploads a blob, in one request where that works.
    async fn upload(&self, blob: &Blob, begun: Option<Session>) -> Result<(), Error> {
        let (mut session, mut whole, mut attempt) = (begun, true, 1);
        loop {
            let mut current = match session.take() {
                Some(session) => session,
                None => self.begin().await?,
            };
            let Err(failed) = self.send(&mut current, blob, whole).await else {
                return Ok(());
            };
            if failed.too_much && whole {
                whole = false;
                self.cancel(Some(current)).await;
                continue;
            }
            if attempt == ATTEMPTS || !(failed.lost || failed.error.is_transient()) {
                return Err(failed.error);
            }
            tokio::time::sleep(failed.wait.unwrap_or_else(|| backoff(attempt))).await;
            attempt += 1;
            session = if failed.lost {
                None
            } else {
                self.state(current, blob.size).await
            };
        }
    }

    /// Sends what the registry does not have, and closes the upload.
    async fn send(
        &self,
        session: &mut Session,
        blob: &Blob,
        whole: bool,
    ) -> Result<(), Interruption> {
        let mut rest = None;
        if whole && session.offset == 0 {
            rest = Some(part(blob, 0, blob.size));
        } else {
            while session.offset < blob.size {
                self.send_chunk(session, blob, whole).await?;
            }
        }
        let mut url = session.location.clone();
        url.query_pairs_mut()
            .append_pair("digest", blob.digest.as_str());
        let mut call = Call::new(Method::PUT, url);
        if let Some(part) = rest {
            call.headers.insert(CONTENT_LENGTH, part.length.into());
            call.content = Content::Part(part);
        }
        let octets = HeaderValue::from_static("application/octet-stream");
        call.headers.insert(CONTENT_TYPE, octets);
        let response = self.watched(blob, &call).await?;
        match response.status() {
            StatusCode::CREATED | StatusCode::NO_CONTENT => Ok(()),
            _ => Err(self.interruption(response).await),
        }
    }

    async fn send_chunk(
        &self,
        session: &mut Session,
        blob: &Blob,
        whole: bool,
    ) -> Result<(), Interruption> {
        let left = blob.size - session.offset;
        let length = if whole { left } else { left.min(session.chunk) };
        let part = part(blob, session.offset, length);
        let end = session.offset + length;
        let mut call = Call::new(Method::PATCH, session.location.clone());
        let range = format!("{}-{}", session.offset, end - 1);
        if let Ok(range) = HeaderValue::from_str(&range) {
            call.headers.insert(CONTENT_RANGE, range);
        }
        let octets = HeaderValue::from_static("application/octet-stream");
        call.headers.insert(CONTENT_TYPE, octets);
        call.headers.insert(CONTENT_LENGTH, length.into());
        call.content = Content::Part(part);
        let response = self.watched(blob, &call).await?;
        match response.status() {
            StatusCode::ACCEPTED | StatusCode::CREATED | StatusCode::NO_CONTENT => {
                session.location = self.client.location(&response)?;
                let received = received(&response).unwrap_or(end);
                if received <= session.offset || received > end {
                    let reason = "it took another part of the upload than it was sent";
                    return Err(self.client.protocol_error(reason).into());
                }
                session.offset = received;
                Ok(())
            }
            _ => Err(self.interruption(response).await),
        }
    }

    /// Asks how much of an upload the registry has; nothing when it has forgotten it.
    async fn state(&self, session: Session, size: u64) -> Option<Session> {
        let call = Call::new(Method::GET, session.location.clone());
        let response = self.client.exchange(&call).await.ok()?;
        if response.status() != StatusCode::NO_CONTENT {
            return None;
        }
        // `0-0` is said for no byte and for one: sending that one again costs nothing.
        let offset = received(&response).filter(|count| *count > 1).unwrap_or(0);
        // A registry that does not say where to go on means the same place.
        let location = self.client.location(&response).unwrap_or(session.location);
        (offset <= size).then_some(Session {
            location,
            offset,
            chunk: session.chunk,
        })
    }

    /// Tells the registry that an upload will not go on; it would find out by itself.
    async fn cancel(&self, session: Option<Session>) {
        if let Some(session) = session {
            let call = Call::new(Method::DELETE, session.location);
            let _ = self.client.exchange(&call).await;
        }
    }

    /// Sends a request, shows how far it is, and gives up when nothing moves.
    async fn watched(&self, blob: &Blob, call: &Call) -> Result<Response, Error> {
        let Content::Part(part) = &call.content else {
            return self.client.exchange(call).await;
        };
        let mut answer = pin!(self.client.exchange(call));
        let (mut position, mut moved) = (part.offset, Instant::now());
        loop {
            if let Ok(answer) = tokio::time::timeout(TICK, &mut answer).await {
                return answer;
            }
            let now = part.position.load(Ordering::Relaxed);
            if now != position {
                (position, moved) = (now, Instant::now());
                self.report(blob, PushEvent::Uploaded(position));
            }
            let patience = if position == part.offset + part.length {
                SETTLING
            } else {
                STALL
            };
            if moved.elapsed() > patience {
                return Err(self.client.too_slow());
            }
        }
    }

    async fn interruption(&self, response: Response) -> Interruption {
        let status = response.status();
        let wait = retry_after(&response);
        let error = self.client.failure(response).await;
        Interruption {
            wait: wait.filter(|_| is_transient_status(status.as_u16())),
            too_much: matches!(status.as_u16(), 405 | 411 | 413 | 415 | 501),
            lost: matches!(status.as_u16(), 404 | 416),
            error,
        }
    }

    fn report(&self, blob: &Blob, event: PushEvent<'_>) {
        self.progress.blob(&blob.digest, blob.size, event);
    }
}

/// What became of the wish to mount a blob.
enum Mount {
    Done,
    /// The registry wants the bytes, and may have begun an upload for them.
    Refused(Option<Session>),
}

fn part(blob: &Blob, offset: u64, length: u64) -> Part {
    Part {
        file: Arc::clone(&blob.file),
        offset,
        length,
        position: Arc::new(AtomicU64::new(offset)),
    }
}

/// How many bytes a registry says that it has: `Range: 0-LAST`.
fn received(response: &Response) -> Option<u64> {
    let range = response.headers().get(RANGE)?.to_str().ok()?;
    let range = range.strip_prefix("bytes=").unwrap_or(range);
    let last: u64 = range.strip_prefix("0-")?.trim().parse().ok()?;
    last.checked_add(1)
}
