//! Requests to one repository of one registry: where they go, who we are, and when to try again.

mod exchange;

use std::cell::{Cell, RefCell};
use std::time::Duration;

use carrier_spec::{MediaType, Reference};
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, LOCATION, RANGE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode, Url};

use crate::auth::{Authorization, Challenge, Credentials, TokenAnswer};
use crate::error::{Error, is_transient_status, server_message};
use crate::origin::{
    MAX_REDIRECTS, api_host, check_host, check_redirect, is_loopback, same_origin,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// For the first byte of an answer, and between any two.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Error documents and token answers are small.
const MAX_DOCUMENT: u64 = 1 << 20;

pub(crate) const ATTEMPTS: u32 = 5;

/// The longest that a registry may make us wait.
const MAX_DELAY: Duration = Duration::from_secs(60);

pub(crate) use exchange::{Call, Content, Part};

/// A client of one repository.
pub(crate) struct Client {
    http: reqwest::Client,
    reference: Reference,
    base: RefCell<Url>,
    /// Whether the registry may turn out to speak TLS although it was spoken to in plain.
    may_be_tls: Cell<bool>,
    authorization: RefCell<Option<Authorization>>,
    /// What we want to do with the repository, in words of the token specification.
    actions: &'static str,
    /// For requests that take as long to send as it takes: whoever sends one limits the wait.
    patient: Option<reqwest::Client>,
}

impl Client {
    pub(crate) fn new(reference: &Reference, insecure: bool) -> Result<Self, Error> {
        let http = http_client(insecure, Some(IDLE_TIMEOUT))?;
        let plain = insecure || is_loopback(reference.registry());
        let scheme = if plain { "http" } else { "https" };
        let base = format!("{scheme}://{}/v2/", api_host(reference.registry()));
        let base = base
            .parse()
            .map_err(|_| Error::Client(format!("{base} is no URL")))?;
        Ok(Self {
            http,
            reference: reference.clone(),
            base: RefCell::new(base),
            may_be_tls: Cell::new(plain),
            authorization: RefCell::new(None),
            actions: "pull",
            patient: None,
        })
    }

    /// A client that also writes.
    pub(crate) fn for_push(reference: &Reference, insecure: bool) -> Result<Self, Error> {
        let client = Self::new(reference, insecure)?;
        Ok(Self {
            actions: "pull,push",
            patient: Some(http_client(insecure, None)?),
            ..client
        })
    }

    fn host(&self) -> String {
        self.reference.registry().to_owned()
    }

    /// Asks for the manifest that `name`, a tag or a digest, means.
    pub(crate) async fn manifest(&self, name: &str) -> Result<Response, Error> {
        let accept = MediaType::MANIFESTS.map(MediaType::name).join(", ");
        self.get(&format!("manifests/{name}"), &accept, 0).await
    }

    /// Asks for a blob.
    pub(crate) async fn blob(&self, digest: &str) -> Result<Response, Error> {
        self.get(&format!("blobs/{digest}"), "*/*", 0).await
    }

    /// Asks for what comes behind the first `offset` bytes of a blob. A server is free to send the
    /// whole blob all the same, or to say that it has no such part: 200 and 416, RFC 9110.
    pub(crate) async fn blob_from(&self, digest: &str, offset: u64) -> Result<Response, Error> {
        self.get(&format!("blobs/{digest}"), "*/*", offset).await
    }

    /// Sends a request until it succeeds, or there is no point in trying again.
    async fn get(&self, path: &str, accept: &str, offset: u64) -> Result<Response, Error> {
        let mut attempt = 1;
        loop {
            let (error, wait) = match self.get_once(path, accept, offset).await {
                Ok(response) if is_transient_status(response.status().as_u16()) => {
                    let wait = retry_after(&response);
                    (self.refused(response).await, wait)
                }
                Ok(response) if response.status().is_success() || is_unsatisfied(&response) => {
                    return self.checked(response);
                }
                Ok(response) => return Err(self.refused(response).await),
                Err(error) => (error, None),
            };
            if attempt == ATTEMPTS || !error.is_transient() {
                return Err(error);
            }
            tokio::time::sleep(wait.unwrap_or_else(|| backoff(attempt)).min(MAX_DELAY)).await;
            attempt += 1;
        }
    }

    /// Sends a request with our authorization, renewed once if the registry does not like it.
    async fn get_once(&self, path: &str, accept: &str, offset: u64) -> Result<Response, Error> {
        let response = self.follow(path, accept, offset).await?;
        if self.is_authorized_anew(&response).await? {
            self.follow(path, accept, offset).await
        } else {
            Ok(response)
        }
    }

    /// Meets the challenge in an answer, if it is one that we can meet: then the same request may
    /// be sent again.
    async fn is_authorized_anew(&self, response: &Response) -> Result<bool, Error> {
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(false);
        }
        let challenge = response
            .headers()
            .get(WWW_AUTHENTICATE)
            .and_then(|value| value.to_str().ok());
        let Some(challenge) = challenge.and_then(Challenge::parse) else {
            return Ok(false);
        };
        // A challenge from somewhere else would ask for our credentials there (CVE-2020-15157).
        if !same_origin(response.url(), &self.base.borrow()) {
            return Ok(false);
        }
        let Some(authorization) = self.authorize(challenge).await? else {
            return Ok(false);
        };
        *self.authorization.borrow_mut() = Some(authorization);
        Ok(true)
    }

    /// Sends a request and follows redirections; our authorization goes to the registry only.
    async fn follow(&self, path: &str, accept: &str, offset: u64) -> Result<Response, Error> {
        let mut url = self.url(path)?;
        for _ in 0..=MAX_REDIRECTS {
            let response = match self.send(&url, accept, offset).await {
                Ok(response) if self.speaks_tls(&response) => {
                    self.switch_to_tls();
                    url = self.url(path)?;
                    self.send(&url, accept, offset).await?
                }
                other => other?,
            };
            self.may_be_tls.set(false);
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let target = response
                .headers()
                .get(LOCATION)
                .and_then(|value| value.to_str().ok());
            let target = target.and_then(|target| url.join(target).ok());
            let target = target.ok_or_else(|| self.protocol("it redirects to nowhere"))?;
            check_redirect(&url, &target).map_err(|reason| self.protocol(reason))?;
            url = target;
        }
        Err(self.protocol("it redirects too often"))
    }

    async fn send(&self, url: &Url, accept: &str, offset: u64) -> Result<Response, Error> {
        let mut request = self
            .http
            .get(url.clone())
            .header(ACCEPT, accept)
            .header(ACCEPT_ENCODING, "identity");
        if offset > 0 {
            request = request.header(RANGE, format!("bytes={offset}-"));
        }
        if same_origin(url, &self.base.borrow())
            && let Some(authorization) = self.authorization.borrow().as_ref()
            && authorization.is_fresh()
        {
            request = authorization.apply(request);
        }
        request.send().await.map_err(|error| self.transport(&error))
    }

    fn url(&self, path: &str) -> Result<Url, Error> {
        let path = format!("{}/{path}", self.reference.repository());
        self.base
            .borrow()
            .join(&path)
            .map_err(|_| self.protocol("its address is no URL"))
    }

    /// Go's servers answer a plain request on a TLS port with 400.
    fn speaks_tls(&self, response: &Response) -> bool {
        self.may_be_tls.get() && response.status() == StatusCode::BAD_REQUEST
    }

    fn switch_to_tls(&self) {
        // Fails only for URLs without a host.
        let _ = self.base.borrow_mut().set_scheme("https");
    }

    /// Meets a challenge of the registry itself; nothing where we have nothing to show.
    async fn authorize(&self, challenge: Challenge) -> Result<Option<Authorization>, Error> {
        let credentials = Credentials::find(self.reference.registry())
            .map_err(|error| Error::Client(format!("credentials cannot be read: {error}")))?;
        match (challenge, credentials) {
            (Challenge::Basic, Some(Credentials::Password { user, password })) => {
                Ok(Some(Authorization::Basic { user, password }))
            }
            (Challenge::Basic, _) => Ok(None),
            (
                Challenge::Bearer {
                    realm,
                    service,
                    scope,
                },
                credentials,
            ) => self
                .fetch_token(&realm, service, scope, credentials)
                .await
                .map(Some),
        }
    }

    async fn fetch_token(
        &self,
        realm: &str,
        service: Option<String>,
        scope: Option<String>,
        credentials: Option<Credentials>,
    ) -> Result<Authorization, Error> {
        let base = self.base.borrow().clone();
        let mut url: Url = realm
            .parse()
            .map_err(|_| self.protocol("its token server is no URL"))?;
        let plain_is_fine = base.scheme() == "http" && url.scheme() == "http";
        if url.scheme() != "https" && !plain_is_fine {
            return Err(self.protocol("its token server is not https"));
        }
        check_host(&base, &url).map_err(|reason| self.protocol(reason))?;
        let scopes = scopes(self.reference.repository(), self.actions, scope.as_deref());
        let mut parameters: Vec<_> = scopes.into_iter().map(|scope| ("scope", scope)).collect();
        parameters.extend(service.map(|service| ("service", service)));
        let request = match credentials {
            Some(Credentials::IdentityToken(token)) => {
                parameters.extend([
                    ("grant_type", "refresh_token".to_owned()),
                    ("client_id", "carrier".to_owned()),
                    ("refresh_token", token),
                ]);
                let form = url
                    .clone()
                    .query_pairs_mut()
                    .clear()
                    .extend_pairs(&parameters)
                    .finish()
                    .query()
                    .unwrap_or_default()
                    .to_owned();
                let kind = "application/x-www-form-urlencoded";
                self.http
                    .post(url)
                    .header(reqwest::header::CONTENT_TYPE, kind)
                    .body(form)
            }
            credentials => {
                url.query_pairs_mut().extend_pairs(&parameters);
                let request = self.http.get(url);
                match credentials {
                    Some(Credentials::Password { user, password }) => {
                        request.basic_auth(user, Some(password))
                    }
                    _ => request,
                }
            }
        };
        let response = request
            .send()
            .await
            .map_err(|error| self.transport(&error))?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        let body = self.body(response, "token", MAX_DOCUMENT).await?;
        let answer: Option<TokenAnswer> = serde_json::from_slice(&body).ok();
        let authorization = answer.and_then(TokenAnswer::into_authorization);
        authorization.ok_or_else(|| self.protocol("its token server sent no token"))
    }

    /// Reads a small answer.
    pub(crate) async fn body(
        &self,
        mut response: Response,
        what: &str,
        max: u64,
    ) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.transport(&error))?
        {
            if (bytes.len() + chunk.len()) as u64 > max {
                return Err(Error::TooLarge {
                    what: format!("the {what}"),
                    max,
                });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// We asked for the bytes as they are: any encoding would change what is hashed.
    fn checked(&self, response: Response) -> Result<Response, Error> {
        let encoding = response.headers().get(CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| encoding != "identity") {
            return Err(self.protocol("it encodes what it was asked for as it is"));
        }
        Ok(response)
    }

    async fn refused(&self, response: Response) -> Error {
        let status = response.status();
        let body = self
            .body(response, "error", MAX_DOCUMENT)
            .await
            .unwrap_or_default();
        let message = server_message(&body);
        let reference = self.reference.clone();
        match status {
            StatusCode::NOT_FOUND => Error::NotFound { reference, message },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Error::Unauthorized { reference, message }
            }
            status => Error::Status {
                host: self.host(),
                status: status.as_u16(),
                message,
            },
        }
    }

    pub(crate) fn transport(&self, error: &reqwest::Error) -> Error {
        let host = self.host();
        if error.is_timeout() && !error.is_connect() {
            Error::Timeout { host }
        } else if error.is_connect() {
            Error::Unreachable {
                host,
                reason: deepest(error),
            }
        } else {
            Error::Broken {
                host,
                reason: deepest(error),
            }
        }
    }

    /// What to say of a server whose bytes hardly come.
    pub(crate) fn too_slow(&self) -> Error {
        Error::Timeout { host: self.host() }
    }

    fn protocol(&self, reason: &str) -> Error {
        Error::Protocol {
            host: self.host(),
            reason: reason.to_owned(),
        }
    }
}

/// `idle` is for the first byte of an answer, and between any two.
fn http_client(insecure: bool, idle: Option<Duration>) -> Result<reqwest::Client, Error> {
    // Fails when it was done before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .user_agent(concat!("carrier/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .tls_danger_accept_invalid_certs(insecure);
    let builder = match idle {
        Some(idle) => builder.read_timeout(idle),
        None => builder,
    };
    builder
        .build()
        .map_err(|error| Error::Client(deepest(&error)))
}

/// What to ask a token server for: what the registry wants, and never less than what we will do with
/// the repository, so that one token is enough.
fn scopes(repository: &str, actions: &str, wanted: Option<&str>) -> Vec<String> {
    let own = format!("repository:{repository}:");
    let wanted: Vec<&str> = wanted.unwrap_or_default().split_whitespace().collect();
    if actions == "pull" && !wanted.is_empty() {
        return wanted.into_iter().map(str::to_owned).collect();
    }
    let others = wanted.into_iter().filter(|scope| !scope.starts_with(&own));
    let others = others.map(str::to_owned);
    std::iter::once(format!("{own}{actions}"))
        .chain(others)
        .collect()
}

/// The system's own words for what went wrong; those around them repeat the URL.
fn deepest(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// Whether the server has no such part of a blob.
fn is_unsatisfied(response: &Response) -> bool {
    response.status() == StatusCode::RANGE_NOT_SATISFIABLE
}

fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    value.parse().ok().map(Duration::from_secs)
}

/// Half a second, doubled each time, and up to as much again, so that clients that failed together
/// do not come back together.
pub(crate) fn backoff(attempt: u32) -> Duration {
    let base = Duration::from_millis(500) * 2_u32.saturating_pow(attempt - 1);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let jitter = now.map_or(0, |since| since.subsec_nanos()) % 1000;
    base + base * jitter / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_is_enough_for_a_push() {
        let pull = scopes("a/b", "pull", None);
        assert_eq!(pull, ["repository:a/b:pull"]);
        assert_eq!(
            scopes("a/b", "pull", Some("repository:x:pull")),
            ["repository:x:pull"]
        );
        let push = scopes("a/b", "pull,push", Some("repository:a/b:pull"));
        assert_eq!(push, ["repository:a/b:pull,push"]);
        let mount = "repository:a/b:pull,push repository:c:pull";
        assert_eq!(
            scopes("a/b", "pull,push", Some(mount)),
            ["repository:a/b:pull,push", "repository:c:pull"]
        );
    }
}
