//! What one registry wants to see, and what it has been shown: tokens are fetched once for all who
//! wait for them, renewed before they die, and replaced when they are refused.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use reqwest::Url;
use tokio::sync::Mutex;

use super::exchange::Exchange;
use super::token::Granted;
use super::{Authorization, Challenge, Scopes};
use crate::credentials::{self, Credentials};
use crate::error::Error;
use crate::http::Http;

/// The registry that a session is with.
pub(crate) struct Home<'a> {
    /// What users call it.
    pub(crate) host: &'a str,
    pub(crate) base: Url,
    pub(crate) http: &'a Http,
}

impl Home<'_> {
    pub(crate) fn protocol(&self, reason: &str) -> Error {
        Error::Protocol {
            host: self.host.to_owned(),
            reason: reason.to_owned(),
        }
    }
}

/// Where credentials come from.
#[derive(Debug)]
pub(crate) enum CredentialSource {
    /// The files and helpers of the user, for a registry and a repository in it.
    Stored { host: String, repository: String },
    /// The user, just now.
    Given(Credentials),
}

/// The state of being known to a registry.
pub(crate) struct Session {
    source: CredentialSource,
    credentials: OnceCell<Option<Credentials>>,
    challenge: RefCell<Option<Challenge>>,
    shown: RefCell<BTreeMap<Scopes, Rc<Authorization>>>,
    identity: RefCell<Option<String>>,
    /// What the user should know.
    notice: RefCell<Option<String>>,
    /// Held while a token is fetched: those who waited find it.
    fetching: Mutex<()>,
}

impl Session {
    pub(crate) fn new(source: CredentialSource) -> Self {
        Self {
            source,
            credentials: OnceCell::new(),
            challenge: RefCell::new(None),
            shown: RefCell::new(BTreeMap::new()),
            identity: RefCell::new(None),
            notice: RefCell::new(None),
            fetching: Mutex::new(()),
        }
    }

    /// What to show for `scopes`: nothing before the registry has asked.
    pub(crate) async fn present(
        &self,
        home: &Home<'_>,
        scopes: &Scopes,
    ) -> Result<Option<Rc<Authorization>>, Error> {
        if let Some(fresh) = self.fresh(scopes) {
            return Ok(Some(fresh));
        }
        let challenge = self.challenge.borrow().clone();
        match challenge {
            Some(challenge) => self.renew(home, scopes, &challenge, None).await,
            None => Ok(None),
        }
    }

    /// Meets a challenge of the registry itself, which has refused `refused`; nothing where we have
    /// nothing else to show.
    pub(crate) async fn meet(
        &self,
        home: &Home<'_>,
        scopes: &Scopes,
        challenge: Challenge,
        refused: Option<&Rc<Authorization>>,
    ) -> Result<Option<Rc<Authorization>>, Error> {
        *self.challenge.borrow_mut() = Some(challenge.clone());
        self.renew(home, scopes, &challenge, refused).await
    }

    /// Whether the registry wanted to know who we are.
    pub(crate) fn was_asked(&self) -> bool {
        self.challenge.borrow().is_some()
    }

    /// What the user should know, once.
    pub(crate) fn notice(&self) -> Option<String> {
        self.notice.take()
    }

    /// What the token server gave to stand for the password.
    pub(crate) fn identity(&self) -> Option<String> {
        self.identity.borrow().clone()
    }

    fn fresh(&self, scopes: &Scopes) -> Option<Rc<Authorization>> {
        let shown = self.shown.borrow();
        shown.get(scopes).filter(|shown| shown.is_fresh()).cloned()
    }

    async fn renew(
        &self,
        home: &Home<'_>,
        scopes: &Scopes,
        challenge: &Challenge,
        refused: Option<&Rc<Authorization>>,
    ) -> Result<Option<Rc<Authorization>>, Error> {
        let _alone = self.fetching.lock().await;
        if let Some(fresh) = self.fresh(scopes)
            && refused.is_none_or(|refused| !Rc::ptr_eq(refused, &fresh))
        {
            return Ok(Some(fresh));
        }
        let credentials = self.credentials()?;
        let found = match (challenge, credentials) {
            // These do not change, so that whoever refused them once will do so again.
            (Challenge::Basic, Some(Credentials::Password { .. }))
            | (Challenge::Bearer { .. }, Some(Credentials::Token(_)))
                if refused.is_some() =>
            {
                None
            }
            (Challenge::Basic, Some(Credentials::Password { user, password })) => {
                Some(Authorization::Basic {
                    user: user.clone(),
                    password: password.clone(),
                })
            }
            (Challenge::Basic, _) => None,
            (Challenge::Bearer { .. }, Some(Credentials::Token(token))) => {
                Some(Authorization::Bearer {
                    token: token.clone(),
                    expires: None,
                })
            }
            (
                Challenge::Bearer {
                    realm,
                    service,
                    scopes: asked,
                },
                credentials,
            ) => {
                if credentials.is_some() {
                    self.look_at(home, realm);
                }
                let exchange = Exchange {
                    home,
                    realm,
                    service: service.as_deref(),
                    scopes: &scopes.clone().and(asked),
                    credentials,
                    offline: matches!(self.source, CredentialSource::Given(_)),
                };
                Some(self.granted(exchange.run().await?))
            }
        };
        Ok(found.map(|found| {
            let found = Rc::new(found);
            let mut shown = self.shown.borrow_mut();
            shown.insert(scopes.clone(), Rc::clone(&found));
            found
        }))
    }

    /// Credentials that go to another domain than the user named are worth a word, once.
    fn look_at(&self, home: &Home<'_>, realm: &str) {
        let realm: Option<Url> = realm.parse().ok();
        let server = realm.as_ref().and_then(Url::host_str).unwrap_or_default();
        let own = home.base.host_str().unwrap_or_default();
        if domain(server) != domain(own) && self.shown.borrow().is_empty() {
            let host = home.host;
            let text = format!("registry {host} has its credentials checked by {server}");
            self.notice.replace(Some(text));
        }
    }

    fn granted(&self, granted: Granted) -> Authorization {
        if granted.identity.is_some() {
            *self.identity.borrow_mut() = granted.identity;
        }
        granted.authorization
    }

    /// Looked up once, and only for a registry that asks: helpers may take their time.
    fn credentials(&self) -> Result<Option<&Credentials>, Error> {
        if let Some(known) = self.credentials.get() {
            return Ok(known.as_ref());
        }
        let found = match &self.source {
            CredentialSource::Given(credentials) => Some(credentials.clone()),
            CredentialSource::Stored { host, repository } => credentials::find(host, repository)?,
        };
        Ok(self.credentials.get_or_init(|| found).as_ref())
    }
}

/// The last two parts of a name, or an address as a whole.
fn domain(host: &str) -> &str {
    if host.parse::<IpAddr>().is_ok() {
        return host;
    }
    let mut dots = host.rmatch_indices('.').skip(1);
    dots.next()
        .map_or(host, |(dot, _)| host.get(dot + 1..).unwrap_or(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_one_owner_have_one_domain() {
        assert_eq!(domain("auth.docker.io"), domain("registry-1.docker.io"));
        assert_eq!(domain("quay.io"), "quay.io");
        assert_ne!(domain("sso.redhat.com"), domain("registry.redhat.io"));
        assert_eq!(domain("localhost"), "localhost");
        assert_ne!(domain("10.0.0.1"), domain("10.1.0.1"));
    }
}
