//! Logging in to a registry and out of it: what a registry does not accept is never stored.

use std::rc::Rc;

use reqwest::{Method, StatusCode};

use crate::auth::{CredentialSource, Scopes};
use crate::config::{Config, Place};
use crate::credentials::{self, Credentials, Kept, RegistryName};
use crate::endpoint::Endpoint;
use crate::error::{Error, is_transient_status, server_message};
use crate::http::{Http, read};
use crate::request::{Call, Target};
use crate::retry::{ATTEMPTS, Patience, retry_after};
use crate::runtime;

/// Error documents are small.
const MAX_ERROR: u64 = 1 << 20;

/// How to speak to the registry, and to the user.
#[derive(Clone, Copy)]
pub struct LoginOptions<'a> {
    /// Whether certificates are checked and plain HTTP is refused; else as configured for the registry.
    pub tls_verify: Option<bool>,
    /// What the user should know while it goes on.
    pub notes: &'a dyn Fn(&str),
}

impl std::fmt::Debug for LoginOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginOptions")
            .field("tls_verify", &self.tls_verify)
            .finish_non_exhaustive()
    }
}

/// Shows credentials to a registry, and keeps them when it accepts them. A registry that gives an
/// identity token has it kept instead of the password.
///
/// # Errors
/// [`Error::CredentialsRefused`] when the registry does not accept them; then nothing is changed.
pub fn login(
    name: &RegistryName,
    credentials: &Credentials,
    options: LoginOptions<'_>,
) -> Result<Kept, Error> {
    let identity = verify(name, credentials, options)?;
    match identity {
        Some(token) => {
            let user = credentials.user().to_owned();
            credentials::store(name, &Credentials::Identity { user, token })
        }
        None => credentials::store(name, credentials),
    }
}

/// The credentials that are kept for a registry.
///
/// # Errors
/// When a file or the program that it names cannot be read or run.
pub fn known(name: &RegistryName) -> Result<Option<Credentials>, Error> {
    credentials::find(name.host(), name.path())
}

/// Shows the credentials that are kept for a registry to it.
///
/// # Errors
/// [`Error::CredentialsRefused`] when the registry does not accept them.
pub fn check(
    name: &RegistryName,
    credentials: &Credentials,
    options: LoginOptions<'_>,
) -> Result<(), Error> {
    verify(name, credentials, options).map(drop)
}

/// Forgets the credentials for a registry; tells whether there were any.
///
/// # Errors
/// When a file or the program that it names cannot be read, written or run.
pub fn logout(name: &RegistryName) -> Result<bool, Error> {
    credentials::erase(name)
}

/// Forgets all credentials; returns for what they were.
///
/// # Errors
/// When a file or the program that it names cannot be read, written or run.
pub fn logout_all() -> Result<Vec<String>, Error> {
    credentials::erase_all()
}

/// Asks the registry; returns what it gave to stand for the password.
fn verify(
    name: &RegistryName,
    credentials: &Credentials,
    options: LoginOptions<'_>,
) -> Result<Option<String>, Error> {
    let host = name.host();
    let config = Config::load()?;
    let place = Place {
        host: host.to_owned(),
        repository: String::new(),
        insecure: config.is_insecure(host, options.tls_verify),
        strict: options.tls_verify == Some(true),
    };
    let http = Http::new(&[&place], config.timeouts);
    let source = CredentialSource::Given(credentials.clone());
    let endpoint = Endpoint::new(&place, source, Rc::new(http))?;
    runtime()?.block_on(async {
        let mut patience = Patience::new(ATTEMPTS);
        loop {
            let answer = ask(&endpoint).await;
            let notice = endpoint.session().notice();
            notice.iter().for_each(|it| (options.notes)(it));
            let (error, asked) = match answer {
                Ok(()) => break,
                Err(failed) => failed,
            };
            let Some(delay) = patience.next(&error, asked) else {
                return Err(error);
            };
            tokio::time::sleep(delay).await;
        }
        if !endpoint.session().was_asked() {
            let note = format!("registry {host} did not ask for credentials: they are unchecked");
            (options.notes)(&note);
        }
        Ok(endpoint.session().identity())
    })
}

async fn ask(endpoint: &Endpoint) -> Result<(), (Error, Option<std::time::Duration>)> {
    let call = Call::new(Method::GET, Target::Root(""));
    let response = endpoint.send(&call, &Scopes::default()).await;
    let response = response.map_err(|error| (error, None))?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let asked = retry_after(&response).filter(|_| is_transient_status(status.as_u16()));
    let host = endpoint.host().to_owned();
    let body = read(&host, response, "error", MAX_ERROR).await;
    let message = server_message(&body.unwrap_or_default());
    let error = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Error::CredentialsRefused { host, message }
        }
        StatusCode::NOT_FOUND => Error::Protocol {
            host,
            reason: "it does not have /v2/, so it is no registry of images".to_owned(),
        },
        status => Error::Status {
            host,
            status: status.as_u16(),
            message,
        },
    };
    Err((error, asked))
}
