//! Proving who we are: `WWW-Authenticate`, credentials of Docker's and Podman's files, tokens.

use std::time::{Duration, Instant};

use docker_credential::{CredentialRetrievalError, DockerCredential};

/// Registries that do not say how long a token lives mean this, distribution's token
/// specification.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);

/// A token is renewed a little before it dies.
const MARGIN: Duration = Duration::from_secs(5);

/// What a registry wants, RFC 9110 section 11.6.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

impl Challenge {
    /// Reads the first challenge that we can meet.
    pub(crate) fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service, mut scope) = (None, None, None);
        for (name, value) in Parameters(rest) {
            match name.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                "scope" => scope = Some(value),
                _ => {}
            }
        }
        realm.map(|realm| Self::Bearer {
            realm,
            service,
            scope,
        })
    }
}

/// `name=value` or `name="value"`, separated by commas.
struct Parameters<'a>(&'a str);

impl Iterator for Parameters<'_> {
    type Item = (String, String);

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.0.trim_start_matches([' ', ',', '\t']);
        let (name, rest) = text.split_once('=')?;
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let mut value = String::new();
                let mut characters = quoted.char_indices();
                let end = loop {
                    match characters.next()? {
                        (place, '"') => break place + 1,
                        (_, '\\') => value.push(characters.next()?.1),
                        (_, character) => value.push(character),
                    }
                };
                (value, quoted.get(end..)?)
            }
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (value, rest) = rest.split_at(end);
                (value.trim().to_owned(), rest)
            }
        };
        self.0 = rest;
        Some((name.trim().to_owned(), value))
    }
}

/// A user's name and password, or a token that stands for them.
#[derive(Clone)]
pub(crate) enum Credentials {
    Password { user: String, password: String },
    IdentityToken(String),
}

impl Credentials {
    /// Looks a registry up in `config.json` of Docker, in its credential helpers, and in Podman's
    /// files.
    pub(crate) fn find(registry: &str) -> Result<Option<Self>, CredentialRetrievalError> {
        use CredentialRetrievalError as Missing;
        let key = if registry == "docker.io" {
            "https://index.docker.io/v1/"
        } else {
            registry
        };
        let found = match docker_credential::get_credential(key) {
            Err(
                Missing::NoCredentialConfigured
                | Missing::ConfigNotFound
                | Missing::ConfigReadError,
            ) => docker_credential::get_podman_credential(registry),
            other => other,
        };
        match found {
            Ok(DockerCredential::UsernamePassword(user, password)) => {
                Ok(Some(Self::Password { user, password }))
            }
            Ok(DockerCredential::IdentityToken(token)) => Ok(Some(Self::IdentityToken(token))),
            Err(
                Missing::NoCredentialConfigured
                | Missing::ConfigNotFound
                | Missing::ConfigReadError,
            ) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What goes into the `Authorization` header.
#[derive(Clone)]
pub(crate) enum Authorization {
    Basic { user: String, password: String },
    Bearer { token: String, expires: Instant },
}

impl Authorization {
    pub(crate) fn is_fresh(&self) -> bool {
        match self {
            Self::Basic { .. } => true,
            Self::Bearer { expires, .. } => Instant::now() + MARGIN < *expires,
        }
    }

    /// Adds the header; the value is marked as a secret.
    pub(crate) fn apply(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match self {
            Self::Basic { user, password } => request.basic_auth(user, Some(password)),
            Self::Bearer { token, .. } => request.bearer_auth(token),
        }
    }
}

/// A token server's answer.
#[derive(serde::Deserialize)]
pub(crate) struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl TokenAnswer {
    pub(crate) fn into_authorization(self) -> Option<Authorization> {
        let token = self
            .token
            .or(self.access_token)
            .filter(|token| !token.is_empty())?;
        let lifetime = self
            .expires_in
            .map_or(DEFAULT_LIFETIME, Duration::from_secs);
        let expires = Instant::now().checked_add(lifetime)?;
        Some(Authorization::Bearer { token, expires })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        assert_eq!(
            Challenge::parse("Basic realm=\"x\""),
            Some(Challenge::Basic)
        );
        let header = r#"Bearer realm="https://auth.example.org/token",service="a, b",scope="repository:x:pull""#;
        let expected = Challenge::Bearer {
            realm: "https://auth.example.org/token".to_owned(),
            service: Some("a, b".to_owned()),
            scope: Some("repository:x:pull".to_owned()),
        };
        assert_eq!(Challenge::parse(header), Some(expected));
        let bare = Challenge::parse("bearer Realm=https://a/t, error=x").unwrap();
        assert!(matches!(bare, Challenge::Bearer { realm, .. } if realm == "https://a/t"));
    }

    #[test]
    fn nonsense_is_no_challenge() {
        for bad in [
            "",
            "Negotiate",
            "Bearer",
            "Bearer realm",
            "Bearer realm=\"x",
            "Bearer service=\"x\"",
        ] {
            assert_eq!(Challenge::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_token_has_a_lifetime() {
        let answer = |json: &str| {
            serde_json::from_str::<TokenAnswer>(json)
                .unwrap()
                .into_authorization()
        };
        assert!(
            answer(r#"{"token":"t","expires_in":300}"#)
                .unwrap()
                .is_fresh()
        );
        assert!(
            !answer(r#"{"access_token":"t","expires_in":1}"#)
                .unwrap()
                .is_fresh()
        );
        assert!(answer(r#"{"token":""}"#).is_none());
        assert!(answer("{}").is_none());
    }
}
