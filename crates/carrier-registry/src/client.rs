//! Requests to a repository: which servers are asked for it, and when to try again.

mod exchange;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use carrier_spec::{MediaType, Reference};
use reqwest::header::CONTENT_ENCODING;
use reqwest::{Response, StatusCode};

use crate::PullOptions;
use crate::auth::{CredentialSource, Scopes};
use crate::config::{Config, Place, Route};
use crate::endpoint::Endpoint;
use crate::error::{Error, is_transient_status, server_message};
use crate::http::{Http, read, transport};
use crate::policy::Policy;
use crate::request::Call;
pub(crate) use crate::retry::{ATTEMPTS, backoff};
use crate::retry::{Patience, retry_after};

/// Error documents are small.
const MAX_ERROR: u64 = 1 << 20;

/// There is another server to ask.
const MIRROR_ATTEMPTS: u32 = 2;

/// A client of one repository.
pub(crate) struct Client<'a> {
    reference: Reference,
    /// In the order in which they are asked: mirrors, then the registry itself.
    endpoints: Vec<Endpoint>,
    /// What is wanted beside reading the repository.
    more_scopes: RefCell<Scopes>,
    attempts: u32,
    policy: Policy,
    read_timeout: Duration,
    /// How often bytes stopped coming.
    breaks: Cell<u32>,
    notes: &'a dyn Fn(&str),
}

impl<'a> Client<'a> {
    /// A client that reads. What the user should know while it waits goes to `notes`.
    pub(crate) fn for_pull(
        reference: &Reference,
        options: &PullOptions,
        notes: &'a dyn Fn(&str),
    ) -> Result<Self, Error> {
        let mut client = Self::new(reference, options.tls_verify, notes)?;
        if let Some(retries) = options.retries {
            client.attempts = retries.saturating_add(1);
        }
        Ok(client)
    }

    /// A client that reads and writes; it never asks a mirror.
    pub(crate) fn for_push(
        reference: &Reference,
        verify: Option<bool>,
        notes: &'a dyn Fn(&str),
    ) -> Result<Self, Error> {
        let client = Self::new(reference, verify, notes)?;
        let push = Scopes::push(client.origin()?.repository());
        client.add_scopes(&push);
        Ok(client)
    }

    fn new(
        reference: &Reference,
        verify: Option<bool>,
        notes: &'a dyn Fn(&str),
    ) -> Result<Self, Error> {
        let config = Config::load()?;
        let Route { mirrors, origin } = config.route(reference, verify)?;
        let places = || mirrors.iter().chain([&origin]);
        let all: Vec<&Place> = places().collect();
        let http = Rc::new(Http::new(&all, config.timeouts));
        let endpoint = |place: &Place| {
            let source = CredentialSource::Stored {
                host: place.host.clone(),
                repository: place.repository.clone(),
            };
            Endpoint::new(place, source, Rc::clone(&http))
        };
        Ok(Self {
            reference: reference.clone(),
            more_scopes: RefCell::default(),
            endpoints: places().map(endpoint).collect::<Result<_, _>>()?,
            attempts: config.retries.map_or(ATTEMPTS, |retries| retries + 1),
            policy: config.policy,
            read_timeout: config.timeouts.read,
            breaks: Cell::new(0),
            notes,
        })
    }

    /// What the user asks of images.
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How long a server may take for the next bytes.
    pub(crate) fn read_timeout(&self) -> Duration {
        self.read_timeout
    }

    /// How often to try.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Asks for more from now on: mounting a blob of another repository takes
    /// `Scopes::pull(OTHER)` beside our own.
    pub(crate) fn add_scopes(&self, more: &Scopes) {
        let scopes = self.more_scopes.take().and(more);
        self.more_scopes.replace(scopes);
    }

    /// Asks for the manifest that `name`, a tag or a digest, means.
    pub(crate) async fn manifest(&self, name: &str) -> Result<Response, Error> {
        let accept = MediaType::MANIFESTS.map(MediaType::name).join(", ");
        self.read(&Call::get(format!("manifests/{name}"), &accept))
            .await
    }

    /// Asks for another document of the repository.
    pub(crate) async fn document(&self, path: &str) -> Result<Response, Error> {
        self.read(&Call::get(path.to_owned(), "application/json"))
            .await
    }

    /// Asks for a blob.
    pub(crate) async fn blob(&self, digest: &str) -> Result<Response, Error> {
        self.blob_from(digest, 0).await
    }

    /// Asks for what comes behind the first `offset` bytes of a blob. A server is free to send the
    /// whole blob all the same, or to say that it has no such part: 200 and 416, RFC 9110.
    pub(crate) async fn blob_from(&self, digest: &str, offset: u64) -> Result<Response, Error> {
        let call = Call::get(format!("blobs/{digest}"), "*/*");
        self.read(&call.skipping(offset)).await
    }

    /// Asks mirrors, then the registry. Any status but those of success, and 416, is an error.
    async fn read(&self, call: &Call) -> Result<Response, Error> {
        for mirror in self.mirrors().iter().filter(|mirror| !mirror.is_gone()) {
            match self.read_from(mirror, call, MIRROR_ATTEMPTS).await {
                Ok(response) => return Ok(response),
                Err(error) => self.turn_from(mirror, &error),
            }
        }
        self.read_from(self.origin()?, call, self.attempts).await
    }

    async fn read_from(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        attempts: u32,
    ) -> Result<Response, Error> {
        let response = self.persist(endpoint, call, attempts).await?;
        if response.status().is_success() || is_unsatisfied(&response) {
            checked(endpoint, response)
        } else {
            Err(self.refused(endpoint, response).await)
        }
    }

    fn scopes(&self, endpoint: &Endpoint) -> Scopes {
        Scopes::pull(endpoint.repository()).and(&self.more_scopes.borrow())
    }

    fn host(&self) -> &str {
        self.reference.registry()
    }

    fn mirrors(&self) -> &[Endpoint] {
        self.endpoints.split_last().map_or(&[], |(_, rest)| rest)
    }

    fn origin(&self) -> Result<&Endpoint, Error> {
        let last = self.endpoints.last();
        last.ok_or_else(|| Error::Client("no server is left to ask".to_owned()))
    }

    /// A mirror may lack an image; any other failure is likely to repeat itself.
    fn turn_from(&self, mirror: &Endpoint, error: &Error) {
        if !matches!(error, Error::NotFound { .. }) {
            mirror.give_up();
            let note = format!("mirror {}: {error}; trying elsewhere", mirror.host());
            (self.notes)(&note);
        }
    }

    /// A mirror that answers and does not deliver is not asked a third time.
    fn doubt_mirrors(&self) {
        self.breaks.set(self.breaks.get() + 1);
        if self.breaks.get() >= MIRROR_ATTEMPTS {
            self.mirrors().iter().for_each(Endpoint::give_up);
        }
    }

    /// Sends a request until it is answered by something that will not change.
    async fn persist(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        attempts: u32,
    ) -> Result<Response, Error> {
        let mut patience = Patience::new(attempts);
        loop {
            let sent = endpoint.send(call, &self.scopes(endpoint)).await;
            endpoint
                .session()
                .notice()
                .iter()
                .for_each(|it| (self.notes)(it));
            let (error, asked) = match sent {
                Ok(response) if is_transient_status(response.status().as_u16()) => {
                    let asked = retry_after(&response);
                    (self.refused(endpoint, response).await, asked)
                }
                Ok(response) => return Ok(response),
                Err(error) => (error, None),
            };
            let Some(delay) = patience.next(&error, asked) else {
                return Err(error);
            };
            if asked.is_some() {
                let seconds = delay.as_secs();
                let host = endpoint.host();
                let note = format!("registry {host} asks to wait {seconds} s");
                (self.notes)(&note);
            }
            tokio::time::sleep(delay).await;
        }
    }

    /// Reads a small answer.
    pub(crate) async fn body(
        &self,
        response: Response,
        what: &str,
        max: u64,
    ) -> Result<Vec<u8>, Error> {
        read(self.reference.registry(), response, what, max).await
    }

    async fn refused(&self, endpoint: &Endpoint, response: Response) -> Error {
        let status = response.status();
        let body = read(endpoint.host(), response, "error", MAX_ERROR).await;
        let message = server_message(&body.unwrap_or_default());
        let reference = self.reference.clone();
        match status {
            StatusCode::NOT_FOUND => Error::NotFound { reference, message },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Error::Unauthorized { reference, message }
            }
            status => Error::Status {
                host: endpoint.host().to_owned(),
                status: status.as_u16(),
                message,
            },
        }
    }

    /// What became of an answer whose bytes do not come.
    pub(crate) fn transport(&self, error: &reqwest::Error) -> Error {
        self.doubt_mirrors();
        transport(self.reference.registry(), error)
    }

    /// What to say of a server whose bytes hardly come.
    pub(crate) fn too_slow(&self) -> Error {
        self.doubt_mirrors();
        Error::Timeout {
            host: self.reference.registry().to_owned(),
        }
    }
}

/// We asked for the bytes as they are: any encoding would change what is hashed.
fn checked(endpoint: &Endpoint, response: Response) -> Result<Response, Error> {
    let encoding = response.headers().get(CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| encoding != "identity") {
        return Err(endpoint.protocol("it encodes what it was asked for as it is"));
    }
    Ok(response)
}

/// Whether the server has no such part of a blob.
fn is_unsatisfied(response: &Response) -> bool {
    response.status() == StatusCode::RANGE_NOT_SATISFIABLE
}
