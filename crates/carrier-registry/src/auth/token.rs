//! What goes into the `Authorization` header, and the answers of token servers.

use std::time::{Duration, Instant};

use reqwest::RequestBuilder;

/// Registries that do not say how long a token lives mean this, distribution's token
/// specification.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);

/// A token is renewed a little before it dies.
const MARGIN: Duration = Duration::from_secs(5);

/// A proof of who we are.
#[derive(Clone)]
pub(crate) enum Authorization {
    Basic {
        user: String,
        password: String,
    },
    Bearer {
        token: String,
        expires: Option<Instant>,
    },
}

impl Authorization {
    /// Whether it will still be good when it arrives. A token that lives for less than the margin
    /// is used as long as it lives.
    pub(crate) fn is_fresh(&self) -> bool {
        match self {
            Self::Bearer {
                expires: Some(expires),
                ..
            } => Instant::now() < *expires,
            _ => true,
        }
    }

    /// Adds the header; the value is marked as a secret.
    pub(crate) fn apply(&self, request: RequestBuilder) -> RequestBuilder {
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
    refresh_token: Option<String>,
}

/// What a token server gave.
pub(crate) struct Granted {
    pub(crate) authorization: Authorization,
    /// Stands for the password from now on.
    pub(crate) identity: Option<String>,
}

impl TokenAnswer {
    pub(crate) fn granted(self) -> Option<Granted> {
        let present = |text: &String| !text.is_empty();
        let token = self.token.filter(present);
        let token = token.or(self.access_token.filter(present))?;
        let lifetime = self
            .expires_in
            .map_or(DEFAULT_LIFETIME, Duration::from_secs);
        let margin = MARGIN.min(lifetime / 2);
        Some(Granted {
            authorization: Authorization::Bearer {
                token,
                expires: Some(Instant::now().checked_add(lifetime)? - margin),
            },
            identity: self.refresh_token.filter(present),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(json: &str) -> Option<Granted> {
        serde_json::from_str::<TokenAnswer>(json).unwrap().granted()
    }

    #[test]
    fn a_token_has_a_lifetime() {
        let fresh = |json| granted(json).unwrap().authorization.is_fresh();
        assert!(fresh(r#"{"token":"t","expires_in":300}"#));
        assert!(fresh(r#"{"token":"","access_token":"t","expires_in":1}"#));
        assert!(!fresh(r#"{"access_token":"t","expires_in":0}"#));
        assert!(granted(r#"{"token":""}"#).is_none());
        assert!(granted("{}").is_none());
        assert!(granted(r#"{"token":"t","expires_in":18446744073709551615}"#).is_none());
    }

    #[test]
    fn a_refresh_token_is_an_identity() {
        let identity = |json| granted(json).unwrap().identity;
        let with = r#"{"access_token":"t","refresh_token":"r"}"#;
        assert_eq!(identity(with).as_deref(), Some("r"));
        assert_eq!(identity(r#"{"token":"t","refresh_token":""}"#), None);
    }
}
