//! What a registry can be asked.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, RequestBuilder, Url};

/// How much of a file is in memory at a time.
const CHUNK: u64 = 128 * 1024;

/// A request that can be sent again.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Content,
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// Behind `/v2/`.
    Root(&'static str),
    /// Behind `/v2/NAME/`: any server that has the repository may be asked.
    Path(String),
    /// Where the registry told us to go on, such as the place of an upload.
    Url(Url),
}

impl From<Url> for Target {
    fn from(url: Url) -> Self {
        Self::Url(url)
    }
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
    pub(crate) fn new(method: Method, target: impl Into<Target>) -> Self {
        Self {
            method,
            target: target.into(),
            headers: HeaderMap::new(),
            content: Content::Nothing,
        }
    }

    /// Asks for something in the repository, in one of the formats `accept`.
    pub(crate) fn get(path: String, accept: &str) -> Self {
        let mut call = Self::new(Method::GET, Target::Path(path));
        if let Ok(accept) = HeaderValue::from_str(accept) {
            call.headers.insert(ACCEPT, accept);
        }
        call
    }

    /// Leaves out the first `offset` bytes.
    pub(crate) fn skipping(mut self, offset: u64) -> Self {
        let range = HeaderValue::from_str(&format!("bytes={offset}-"));
        if let Ok(range) = range
            && offset > 0
        {
            self.headers.insert(RANGE, range);
        }
        self
    }

    /// Whether it takes as long to send as it takes: whoever sends it limits the wait.
    pub(crate) fn is_long(&self) -> bool {
        matches!(self.content, Content::Part(_))
    }

    /// Puts what it carries into a request.
    pub(crate) fn fill(&self, request: RequestBuilder) -> RequestBuilder {
        let request = request.headers(self.headers.clone());
        match &self.content {
            // Some servers want to read that there is nothing.
            Content::Nothing if matches!(self.method, Method::POST | Method::PUT) => {
                request.body(Bytes::new())
            }
            Content::Nothing => request,
            Content::Document(bytes) => request.body(bytes.clone()),
            Content::Part(part) => request.body(reqwest::Body::wrap(part.body())),
        }
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
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let left = self.part.end() - self.at;
        if left == 0 {
            return Poll::Ready(None);
        }
        let size = usize::try_from(left.min(CHUNK)).unwrap_or(usize::MAX);
        let mut buffer = vec![0; size];
        Poll::Ready(Some(match self.part.file.read_at(&mut buffer, self.at) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
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
