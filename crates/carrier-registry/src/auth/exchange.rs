//! Getting a token from the server that a registry names: distribution's token specification, and
//! its variant after OAuth 2.

use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, StatusCode, Url};

use super::token::{Granted, TokenAnswer};
use super::{Home, Scopes};
use crate::credentials::Credentials;
use crate::error::{Error, server_message};
use crate::http::{read, transport};
use crate::origin::check_host;

/// Token answers and error documents are small.
const MAX_ANSWER: u64 = 1 << 20;

/// Who we are to token servers.
const CLIENT_ID: &str = "carrier";

/// What a token server is asked for.
pub(crate) struct Exchange<'a> {
    pub(crate) home: &'a Home<'a>,
    pub(crate) realm: &'a str,
    pub(crate) service: Option<&'a str>,
    pub(crate) scopes: &'a Scopes,
    pub(crate) credentials: Option<&'a Credentials>,
    /// Whether to ask for a token that stands for the password from now on.
    pub(crate) offline: bool,
}

impl Exchange<'_> {
    pub(crate) async fn run(&self) -> Result<Granted, Error> {
        let server = self.server()?;
        let host = server.host_str().unwrap_or_default().to_owned();
        let response = match self.credentials {
            Some(Credentials::Identity { token, .. }) => {
                let response = self.post(server.clone(), token).await?;
                // Servers that know only GET answer in several ways: Google's 404, Artifactory's 401.
                match response.status() {
                    StatusCode::NOT_FOUND
                    | StatusCode::METHOD_NOT_ALLOWED
                    | StatusCode::UNAUTHORIZED => self.get(server).await?,
                    _ => response,
                }
            }
            _ => self.get(server).await?,
        };
        if !response.status().is_success() {
            return Err(self.refused(response, host).await);
        }
        let body = read(&host, response, "token", MAX_ANSWER).await?;
        let answer: Option<TokenAnswer> = serde_json::from_slice(&body).ok();
        answer
            .and_then(TokenAnswer::granted)
            .ok_or_else(|| self.home.protocol("its token server sent no token"))
    }

    /// The token server, if it may be asked: our credentials go there.
    fn server(&self) -> Result<Url, Error> {
        let realm = self.realm.parse::<Url>();
        let url = realm.map_err(|_| self.home.protocol("its token server is no URL"))?;
        let plain_is_fine = self.home.base.scheme() == "http" && url.scheme() == "http";
        if url.scheme() != "https" && !plain_is_fine {
            return Err(self.home.protocol("its token server is not https"));
        }
        check_host(&self.home.base, &url).map_err(|reason| self.home.protocol(reason))?;
        Ok(url)
    }

    async fn get(&self, mut url: Url) -> Result<Response, Error> {
        let user = match self.credentials {
            Some(Credentials::Password { user, password }) => Some((user, password)),
            Some(Credentials::Identity { user, token }) => Some((user, token)),
            _ => None,
        };
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = self.service {
                query.append_pair("service", service);
            }
            for scope in self.scopes.texts() {
                query.append_pair("scope", &scope);
            }
            if let Some((user, _)) = user.filter(|(user, _)| !user.is_empty()) {
                query.append_pair("account", user);
            }
            if self.offline {
                query.append_pair("offline_token", "true");
                query.append_pair("client_id", CLIENT_ID);
            }
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        let mut request = self.home.http.client(&url, false)?.get(url);
        if let Some((user, secret)) = user {
            request = request.basic_auth(user, Some(secret));
        }
        request
            .send()
            .await
            .map_err(|error| transport(&host, &error))
    }

    async fn post(&self, url: Url, token: &str) -> Result<Response, Error> {
        let scopes: Vec<String> = self.scopes.texts().collect();
        let scopes = scopes.join(" ");
        let mut form = vec![
            ("grant_type", "refresh_token"),
            ("client_id", CLIENT_ID),
            ("refresh_token", token),
        ];
        form.extend(self.service.map(|service| ("service", service)));
        form.extend((!scopes.is_empty()).then_some(("scope", scopes.as_str())));
        // A form is encoded as a query is.
        let mut encoder = url.clone();
        encoder.query_pairs_mut().clear().extend_pairs(form);
        let body = encoder.query().unwrap_or_default().to_owned();
        let host = url.host_str().unwrap_or_default().to_owned();
        let request = self.home.http.client(&url, false)?.post(url);
        request
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .map_err(|error| transport(&host, &error))
    }

    async fn refused(&self, response: Response, server: String) -> Error {
        let status = response.status();
        let body = read(&server, response, "error", MAX_ANSWER).await;
        let message = server_message(&body.unwrap_or_default());
        let host = self.home.host.to_owned();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST
                if self.credentials.is_some() =>
            {
                Error::CredentialsRefused { host, message }
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Error::CredentialsRequired { host, message }
            }
            status => Error::Status {
                host: server,
                status: status.as_u16(),
                message,
            },
        }
    }
}
