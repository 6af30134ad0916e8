//! The bytes of a blob, from the network into a download: where a connection breaks, the next one
//! goes on.

use std::io::Write as _;
use std::time::{Duration, Instant};

use carrier_spec::Descriptor;
use carrier_store::{Download, Store};
use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode};

use crate::Error;
use crate::client::{Client, backoff};

/// A connection that brings so much is worth the next attempt, however often it breaks.
const PROGRESS: u64 = 1 << 20;

/// One that brings fewer bytes a second is as good as broken.
const SLOWEST: f64 = 512.0;

/// Whatever wants to see the bytes as they come.
pub(crate) trait Taker {
    async fn take(&mut self, bytes: &[u8], written: u64) -> Result<(), Error>;
}

/// Keeps the bytes of a small blob.
#[derive(Default)]
pub(crate) struct Collected(pub(crate) Vec<u8>);

impl Taker for Collected {
    async fn take(&mut self, bytes: &[u8], _written: u64) -> Result<(), Error> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// A blob that is fetched from a registry.
pub(crate) struct Transfer<'a> {
    pub(crate) store: &'a Store,
    pub(crate) client: &'a Client<'a>,
    pub(crate) descriptor: &'a Descriptor,
}

/// How an answer begins, and what of it is new.
struct Part {
    response: Response,
    /// Bytes that we have already: the server sends the whole blob.
    skip: u64,
}

impl Transfer<'_> {
    /// Fetches what is missing of the blob.
    pub(crate) async fn run(
        &self,
        download: &mut Download,
        taker: &mut impl Taker,
    ) -> Result<(), Error> {
        let mut in_parts = true;
        let (mut attempt, mut start) = (1, download.length());
        while download.length() < self.descriptor.size {
            let part = self.ask(download.length(), &mut in_parts).await?;
            download.begin_piece();
            let error = match self.receive(part, download, taker).await {
                Ok(()) => self.truncated(download),
                Err(error) => error,
            };
            if download.length() >= self.descriptor.size && error.is_transient() {
                break;
            }
            if download.length() - start >= PROGRESS {
                (attempt, start) = (1, download.length());
            }
            if attempt >= self.client.attempts() || !error.is_transient() {
                return Err(error);
            }
            tokio::time::sleep(backoff(attempt)).await;
            attempt += 1;
        }
        Ok(())
    }

    /// Asks for what is missing, or for all of it where the server's parts make no sense.
    async fn ask(&self, offset: u64, in_parts: &mut bool) -> Result<Part, Error> {
        let digest = self.descriptor.digest.as_str();
        if *in_parts {
            let response = self.client.blob_from(digest, offset).await?;
            let starts = match response.status() {
                StatusCode::PARTIAL_CONTENT => start_of(&response),
                StatusCode::RANGE_NOT_SATISFIABLE => None,
                _ => Some(0),
            };
            match starts {
                Some(start) if start == offset => return self.part(response, 0, offset),
                Some(0) => return self.part(response, offset, 0),
                _ => *in_parts = false,
            }
        }
        let response = self.client.blob(digest).await?;
        self.part(response, offset, 0)
    }

    /// Refuses an answer that promises more than the blob has, before it is read.
    fn part(&self, response: Response, skip: u64, start: u64) -> Result<Part, Error> {
        let expected = self.descriptor.size - start;
        match response.content_length() {
            Some(length) if length > expected => Err(self.too_large()),
            _ => Ok(Part { response, skip }),
        }
    }

    async fn receive(
        &self,
        part: Part,
        download: &mut Download,
        taker: &mut impl Taker,
    ) -> Result<(), Error> {
        let Part {
            mut response,
            mut skip,
        } = part;
        let mut pace = Pace::start(self.client.read_timeout());
        loop {
            let chunk = response.chunk().await;
            let chunk = chunk.map_err(|error| self.client.transport(&error))?;
            let Some(chunk) = chunk else { return Ok(()) };
            let known = usize::try_from(skip).map_or(chunk.len(), |skip| skip.min(chunk.len()));
            skip -= known as u64;
            let chunk = chunk.slice(known..);
            if download.length() + chunk.len() as u64 > self.descriptor.size {
                return Err(self.too_large());
            }
            download
                .write_all(&chunk)
                .map_err(|source| write_error(self.store, source))?;
            taker.take(&chunk, download.length()).await?;
            if pace.is_too_slow(known + chunk.len()) {
                return Err(self.client.too_slow());
            }
        }
    }

    fn truncated(&self, download: &Download) -> Error {
        Error::Truncated {
            digest: self.descriptor.digest.clone(),
            expected: self.descriptor.size,
            actual: download.length(),
        }
    }

    fn too_large(&self) -> Error {
        Error::TooLarge {
            what: format!("blob {}", self.descriptor.digest),
            max: self.descriptor.size,
        }
    }
}

pub(crate) fn write_error(store: &Store, source: std::io::Error) -> Error {
    carrier_store::Error::Io {
        action: "write in",
        path: store.root().to_owned(),
        source,
    }
    .into()
}

/// Where a part starts: `bytes 1000-1999/2000`, RFC 9110 section 14.4.
fn start_of(response: &Response) -> Option<u64> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    let (start, _) = range.strip_prefix("bytes ")?.split_once('-')?;
    start.trim().parse().ok()
}

/// How fast bytes come, looked at once in a while.
struct Pace {
    window: Duration,
    since: Instant,
    bytes: usize,
}

impl Pace {
    fn start(window: Duration) -> Self {
        Self {
            window,
            since: Instant::now(),
            bytes: 0,
        }
    }

    fn is_too_slow(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        let time = self.since.elapsed();
        if time < self.window {
            return false;
        }
        #[allow(clippy::cast_precision_loss, reason = "a few bytes make no difference")]
        let slow = (self.bytes as f64) < SLOWEST * time.as_secs_f64();
        *self = Self::start(self.window);
        slow
    }
}
