//! Requests of a push: they carry bytes, or ask whether something is there.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Method, Response, StatusCode, Url};

use super::{ATTEMPTS, Client, IDLE_TIMEOUT, MAX_DELAY, backoff, retry_after};
use crate::error::{Error, is_transient_status};
use crate::origin::{MAX_REDIRECTS, check_redirect, same_origin};

/// How much of a file is in memory at a time.
const CHUNK: u64 = 128 * 1024;

/// A request that can be sent again.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Content,
}

/// What a request carries.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Nothing,
    Document(Bytes),
    Part(Part),
}

/// A part of a file, which is read as it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) file: Arc<File>,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    /// Where in the file the sender is.
    pub(crate) position: Arc<AtomicU64>,
}

impl Call {
    pub(crate) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            content: Content::Nothing,
        }
    }
}

impl Client {
    /// A URL of the repository.
    pub(crate) fn endpoint(&self, path: &str) -> Result<Url, Error> {
        self.url(path)
    }

    /// Finds out how the registry is spoken to, and shows who we are where it asks at once. A
    /// registry may want to know only later.
    pub(crate) async fn greet(&self) -> Result<(), Error> {
        let url = self.base.borrow().clone();
        let response = self.retried(&Call::new(Method::GET, url)).await?;
        match response.status() {
            StatusCode::UNAUTHORIZED => Err(self.refused(response).await),
            status if is_transient_status(status.as_u16()) => Err(self.refused(response).await),
            _ => Ok(()),
        }
    }

    /// Sends a small request until it is answered by something that will not change.
    pub(crate) async fn retried(&self, call: &Call) -> Result<Response, Error> {
        let mut attempt = 1;
        loop {
            let (error, wait) = match self.exchange(call).await {
                Ok(response) if is_transient_status(response.status().as_u16()) => {
                    let wait = retry_after(&response);
                    (self.refused(response).await, wait)
                }
                Ok(response) => return Ok(response),
                Err(error) => (error, None),
            };
            if attempt == ATTEMPTS || !error.is_transient() {
                return Err(error);
            }
            tokio::time::sleep(wait.unwrap_or_else(|| backoff(attempt)).min(MAX_DELAY)).await;
            attempt += 1;
        }
    }

    /// Sends a request once, and once more after proving who we are.
    pub(crate) async fn exchange(&self, call: &Call) -> Result<Response, Error> {
        let response = self.pass_on(call).await?;
        if self.is_authorized_anew(&response).await? {
            self.pass_on(call).await
        } else {
            Ok(response)
        }
    }

    /// Follows redirections that keep the method.
    async fn pass_on(&self, call: &Call) -> Result<Response, Error> {
        let mut call = call.clone();
        keep_tls(&self.base.borrow(), &mut call.url);
        for _ in 0..=MAX_REDIRECTS {
            let response = match self.transmit(&call).await {
                Ok(response) if self.speaks_tls(&response) => {
                    self.switch_to_tls();
                    keep_tls(&self.base.borrow(), &mut call.url);
                    self.transmit(&call).await?
                }
                other => other?,
            };
            self.may_be_tls.set(false);
            let keeps_method = matches!(response.status().as_u16(), 307 | 308)
                || response.status().is_redirection() && call.method == Method::HEAD;
            if !keeps_method {
                return Ok(response);
            }
            call.url = self.location(&response)?;
        }
        Err(self.protocol("it redirects too often"))
    }

    async fn transmit(&self, call: &Call) -> Result<Response, Error> {
        let http = match (&call.content, &self.patient) {
            (Content::Part(_), Some(patient)) => patient,
            _ => &self.http,
        };
        let mut request = http
            .request(call.method.clone(), call.url.clone())
            .headers(call.headers.clone());
        request = match &call.content {
            // Some servers want to read that there is nothing.
            Content::Nothing if matches!(call.method, Method::POST | Method::PUT) => {
                request.body(Bytes::new())
            }
            Content::Nothing => request,
            Content::Document(bytes) => request.body(bytes.clone()),
            Content::Part(part) => request.body(reqwest::Body::wrap(part.body())),
        };
        if same_origin(&call.url, &self.base.borrow())
            && let Some(authorization) = self.authorization.borrow().as_ref()
            && authorization.is_fresh()
        {
            request = authorization.apply(request);
        }
        request.send().await.map_err(|error| self.transport(&error))
    }

    /// Where an answer sends us, if that is a place to go to (CVE-2020-15157).
    pub(crate) fn location(&self, response: &Response) -> Result<Url, Error> {
        let from = response.url();
        let target = response.headers().get(LOCATION);
        let target = target.and_then(|value| value.to_str().ok());
        let target = target.and_then(|target| from.join(target).ok());
        let mut target = target.ok_or_else(|| self.protocol("it redirects to nowhere"))?;
        // Registries behind a proxy that speaks TLS for them often do not know that it does.
        keep_tls(from, &mut target);
        check_redirect(from, &target).map_err(|reason| self.protocol(reason))?;
        Ok(target)
    }

    /// The error in an answer.
    pub(crate) async fn failure(&self, response: Response) -> Error {
        let host = self.host();
        match tokio::time::timeout(IDLE_TIMEOUT, self.refused(response)).await {
            Ok(Error::NotFound { reference, message }) => {
                Error::NoRepository { reference, message }
            }
            Ok(error) => error,
            Err(_) => Error::Timeout { host },
        }
    }

    /// An answer that makes no sense.
    pub(crate) fn protocol_error(&self, reason: &str) -> Error {
        self.protocol(reason)
    }

    /// No answer.
    pub(crate) fn timeout_error(&self) -> Error {
        Error::Timeout { host: self.host() }
    }

    /// How long an answer asks us to wait.
    pub(crate) fn wait_asked(response: &Response) -> Option<std::time::Duration> {
        retry_after(response).map(|wait| wait.min(MAX_DELAY))
    }
}

/// Goes on with TLS on the same host and port.
fn keep_tls(from: &Url, to: &mut Url) {
    let downgraded = from.scheme() == "https" && to.scheme() == "http";
    if downgraded && from.host_str() == to.host_str() && from.port() == to.port() {
        // Fails only for URLs without a host.
        let _ = to.set_scheme("https");
    }
}

impl Part {
    fn body(&self) -> PartBody {
        self.position.store(self.offset, Ordering::Relaxed);
        PartBody {
            part: self.clone(),
            at: self.offset,
        }
    }

    fn end(&self) -> u64 {
        self.offset + self.length
    }
}

struct PartBody {
    part: Part,
    at: u64,
}

impl Body for PartBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let left = self.part.end() - self.at;
        if left == 0 {
            return Poll::Ready(None);
        }
        let size = usize::try_from(left.min(CHUNK)).unwrap_or(usize::MAX);
        let mut buffer = vec![0; size];
        Poll::Ready(Some(match self.part.file.read_at(&mut buffer, self.at) {
            Ok(0) => Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                buffer.truncate(count);
                self.at += count as u64;
                self.part.position.store(self.at, Ordering::Relaxed);
                Ok(Frame::data(buffer.into()))
            }
            Err(error) => Err(error),
        }))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.part.end() - self.at)
    }
}
