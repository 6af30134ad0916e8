//! One server that holds a repository: where its requests go, and as whom they are made.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, LOCATION};
use reqwest::{Method, Response, StatusCode, Url};

use crate::auth::{Authorization, Challenge, CredentialSource, Home, Scopes, Session};
use crate::config::{Certificates, Place};
use crate::error::Error;
use crate::http::{Http, transport};
use crate::origin::{MAX_REDIRECTS, api_host, check_redirect, is_loopback, keep_tls, same_origin};
use crate::request::{Call, Target};

/// The bodies of answers that are not looked at are read nevertheless, for the connection's sake.
const DRAIN_TIME: Duration = Duration::from_secs(2);
const DRAIN_SIZE: usize = 64 * 1024;

/// A server, and a repository there.
pub(crate) struct Endpoint {
    /// What users call the server.
    host: String,
    repository: String,
    http: Rc<Http>,
    base: RefCell<Url>,
    /// What the server may turn out to speak instead of what its first request was made in.
    other_scheme: Cell<Option<&'static str>>,
    session: Session,
    /// Whether it is not worth another request.
    gone: Cell<bool>,
}

impl Endpoint {
    pub(crate) fn new(
        place: &Place,
        source: CredentialSource,
        http: Rc<Http>,
    ) -> Result<Self, Error> {
        let host = &place.host;
        // On this machine plain HTTP tells nobody anything; elsewhere it takes the user's word, and
        // comes second even then.
        let certified = Certificates::find(std::slice::from_ref(host)).is_some();
        let plain = is_loopback(host) && !certified && !place.strict;
        let (scheme, other_scheme) = match (plain, place.insecure) {
            (true, _) => ("http", Some("https")),
            (false, true) => ("https", Some("http")),
            (false, false) => ("https", None),
        };
        let base = format!("{scheme}://{}/v2/", api_host(host));
        let base = base
            .parse()
            .map_err(|_| Error::Client(format!("{base} is no URL")))?;
        Ok(Self {
            host: host.clone(),
            repository: place.repository.clone(),
            http,
            base: RefCell::new(base),
            other_scheme: Cell::new(other_scheme),
            session: Session::new(source),
            gone: Cell::new(false),
        })
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn repository(&self) -> &str {
        &self.repository
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.get()
    }

    pub(crate) fn give_up(&self) {
        self.gone.set(true);
    }

    /// Sends a request with our authorization, renewed once if the registry does not like it.
    pub(crate) async fn send(&self, call: &Call, scopes: &Scopes) -> Result<Response, Error> {
        let shown = self.session.present(&self.home(), scopes).await?;
        let response = self.follow(call, shown.as_ref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        // A challenge from somewhere else would ask for our credentials there (CVE-2020-15157).
        if !same_origin(response.url(), &self.base.borrow()) {
            return Ok(response);
        }
        let Some(challenge) = Challenge::choose(response.headers()) else {
            return Ok(response);
        };
        let home = self.home();
        let renewed = self.session.meet(&home, scopes, challenge, shown.as_ref());
        let Some(renewed) = renewed.await? else {
            return Ok(response);
        };
        drain(response).await;
        self.follow(call, Some(&renewed)).await
    }

    fn home(&self) -> Home<'_> {
        Home {
            host: &self.host,
            base: self.base.borrow().clone(),
            http: &self.http,
        }
    }

    /// Sends a request and follows redirections; our authorization goes to the registry only.
    async fn follow(
        &self,
        call: &Call,
        authorization: Option<&Rc<Authorization>>,
    ) -> Result<Response, Error> {
        let mut url = self.url(&call.target)?;
        for _ in 0..=MAX_REDIRECTS {
            let response = match self.send_to(&url, call, authorization).await {
                Ok(response) if self.speaks_tls(&response) => {
                    url = self.switch(&call.target)?;
                    self.send_to(&url, call, authorization).await?
                }
                Err(error) if self.speaks_plain(&error) => {
                    url = self.switch(&call.target)?;
                    self.send_to(&url, call, authorization).await?
                }
                other => other?,
            };
            self.other_scheme.set(None);
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let target = location(&response);
            let target = target.ok_or_else(|| self.protocol("it redirects to nowhere"))?;
            check_redirect(&url, &target).map_err(|reason| self.protocol(reason))?;
            let keeps_method = [307, 308].contains(&response.status().as_u16());
            if !keeps_method && call.method != Method::GET && call.method != Method::HEAD {
                return Err(self.protocol("it redirects what it was sent, and forgets how"));
            }
            drain(response).await;
            url = target;
        }
        Err(self.protocol("it redirects too often"))
    }

    async fn send_to(
        &self,
        url: &Url,
        call: &Call,
        authorization: Option<&Rc<Authorization>>,
    ) -> Result<Response, Error> {
        let client = self.http.client(url, call.is_long())?;
        let mut request = client
            .request(call.method.clone(), url.clone())
            .header(ACCEPT_ENCODING, "identity");
        request = call.fill(request);
        if same_origin(url, &self.base.borrow())
            && let Some(authorization) = authorization
        {
            request = authorization.apply(request);
        }
        let sent = request.send().await;
        sent.map_err(|error| transport(&self.host, &error))
    }

    pub(crate) fn url(&self, target: &Target) -> Result<Url, Error> {
        let base = self.base.borrow();
        let joined = match target {
            Target::Path(path) => base.join(&format!("{}/{path}", self.repository)),
            Target::Root(path) => base.join(path),
            Target::Url(url) => {
                let mut url = url.clone();
                keep_tls(&base, &mut url);
                check_redirect(&base, &url).map_err(|reason| self.protocol(reason))?;
                return Ok(url);
            }
        };
        joined.map_err(|_| self.protocol("its address is no URL"))
    }

    /// Servers on TLS ports answer a plain request with 400: Go's do, and nginx.
    fn speaks_tls(&self, response: &Response) -> bool {
        self.other_scheme.get() == Some("https") && response.status() == StatusCode::BAD_REQUEST
    }

    /// A server that does not speak TLS breaks the handshake, if it listens on that port at all.
    fn speaks_plain(&self, error: &Error) -> bool {
        let no_handshake = matches!(error, Error::Unreachable { .. });
        self.other_scheme.get() == Some("http") && no_handshake
    }

    fn switch(&self, target: &Target) -> Result<Url, Error> {
        if let Some(scheme) = self.other_scheme.take() {
            // Fails only for URLs without a host.
            let _ = self.base.borrow_mut().set_scheme(scheme);
        }
        self.url(target)
    }

    pub(crate) fn protocol(&self, reason: &str) -> Error {
        self.home().protocol(reason)
    }
}

/// Where an answer sends us.
pub(crate) fn location(response: &Response) -> Option<Url> {
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    let mut target = response.url().join(location).ok()?;
    keep_tls(response.url(), &mut target);
    Some(target)
}

async fn drain(mut response: Response) {
    let reading = async {
        let mut left = DRAIN_SIZE;
        while let Ok(Some(chunk)) = response.chunk().await {
            match left.checked_sub(chunk.len()) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // A server that is slow here costs a connection.
    let _ = tokio::time::timeout(DRAIN_TIME, reading).await;
}
