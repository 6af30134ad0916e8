//! Requests of a push: they carry bytes, or ask whether something is there.

use reqwest::{Method, Response, StatusCode, Url};

use super::Client;
use crate::error::{Error, is_transient_status};
use crate::origin::check_redirect;
use crate::request::{Call, Target};

impl Client<'_> {
    /// A URL of the repository.
    pub(crate) fn endpoint(&self, path: &str) -> Result<Url, Error> {
        self.origin()?.url(&Target::Path(path.to_owned()))
    }

    /// Finds out how the registry is spoken to, and shows who we are where it asks at once. A
    /// registry may want to know only later.
    pub(crate) async fn greet(&self) -> Result<(), Error> {
        let call = Call::new(Method::GET, Target::Root(""));
        let response = self.retried(&call).await?;
        match response.status() {
            StatusCode::UNAUTHORIZED => Err(self.refused(self.origin()?, response).await),
            status if is_transient_status(status.as_u16()) => {
                Err(self.refused(self.origin()?, response).await)
            }
            _ => Ok(()),
        }
    }

    /// Sends a small request until it is answered by something that will not change.
    pub(crate) async fn retried(&self, call: &Call) -> Result<Response, Error> {
        self.persist(self.origin()?, call, self.attempts).await
    }

    /// Sends a request once, and once more after proving who we are.
    pub(crate) async fn exchange(&self, call: &Call) -> Result<Response, Error> {
        let origin = self.origin()?;
        origin.send(call, &self.scopes(origin)).await
    }

    /// Where an answer sends us, if that is a place to go to (CVE-2020-15157).
    pub(crate) fn location(&self, response: &Response) -> Result<Url, Error> {
        let target = crate::endpoint::location(response);
        let target = target.ok_or_else(|| self.protocol_error("it redirects to nowhere"))?;
        let checked = check_redirect(response.url(), &target);
        checked.map_err(|reason| self.protocol_error(reason))?;
        Ok(target)
    }

    /// The error in an answer.
    pub(crate) async fn failure(&self, response: Response) -> Error {
        let origin = match self.origin() {
            Ok(origin) => origin,
            Err(error) => return error,
        };
        match self.refused(origin, response).await {
            Error::NotFound { reference, message } => Error::NoRepository { reference, message },
            error => error,
        }
    }

    /// An answer that makes no sense.
    pub(crate) fn protocol_error(&self, reason: &str) -> Error {
        Error::Protocol {
            host: self.host().to_owned(),
            reason: reason.to_owned(),
        }
    }
}
