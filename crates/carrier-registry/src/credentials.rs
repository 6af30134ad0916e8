//! Users' names and secrets for registries: where they are found.

use docker_credential::{CredentialRetrievalError, DockerCredential};

use crate::error::Error;

/// What a user shows to a registry.
#[derive(Clone)]
pub(crate) enum Credentials {
    /// A name and its password.
    Password { user: String, password: String },
    /// A token that is exchanged for others, OAuth 2's refresh token.
    Identity { user: String, token: String },
    /// A token that the registry itself takes.
    Token(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

/// Looks a registry up in `config.json` of Docker, in its credential helpers, and in Podman's files.
pub(crate) fn find(registry: &str, _repository: &str) -> Result<Option<Credentials>, Error> {
    use CredentialRetrievalError as Missing;
    let key = if registry == "docker.io" {
        "https://index.docker.io/v1/"
    } else {
        registry
    };
    let found = match docker_credential::get_credential(key) {
        Err(
            Missing::NoCredentialConfigured | Missing::ConfigNotFound | Missing::ConfigReadError,
        ) => docker_credential::get_podman_credential(registry),
        other => other,
    };
    match found {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Ok(Some(Credentials::Password { user, password }))
        }
        Ok(DockerCredential::IdentityToken(token)) => Ok(Some(Credentials::Identity {
            user: String::new(),
            token,
        })),
        Err(
            Missing::NoCredentialConfigured | Missing::ConfigNotFound | Missing::ConfigReadError,
        ) => Ok(None),
        Err(error) => Err(Error::Client(format!(
            "credentials cannot be read: {error}"
        ))),
    }
}
