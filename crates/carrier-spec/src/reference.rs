//! Image references: the grammar of `distribution/reference`, with Docker's short names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Digest;

const DOCKER_HUB: &str = "docker.io";
const DEFAULT_TAG: &str = "latest";
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// Where an image comes from: registry, repository, and a tag or a digest or both.
///
/// Parsing completes short names as Docker does: `nginx` is `docker.io/library/nginx:latest`.
/// Names never escape into paths or terminals: the grammar has no `..`, no `%` and no control
/// characters.
///
/// ```
/// use carrier_spec::Reference;
/// let nginx: Reference = "nginx".parse().unwrap();
/// assert_eq!(nginx.to_string(), "docker.io/library/nginx:latest");
/// assert_eq!(nginx.familiar(), "nginx:latest");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not an image reference.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseReferenceError {
    /// Nothing there.
    #[error("the image reference is empty")]
    Empty,
    /// Upper-case letters in the repository, Docker's most frequent mistake.
    #[error("image reference {0:?} has upper-case letters: repository names are lower-case")]
    UpperCase(String),
    /// 64 hexadecimal digits name an image, not a repository.
    #[error("{0:?} is an image id, not a repository name")]
    LooksLikeId(String),
    /// Any other break of the grammar.
    #[error("image reference {text:?} has a bad {part}")]
    Malformed {
        /// What was parsed.
        text: String,
        /// `registry`, `repository`, `tag` or `digest`.
        part: &'static str,
    },
}

impl Reference {
    /// The registry's host and perhaps port; `docker.io` for Docker Hub.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository within the registry, `library/nginx`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; none only where a digest stands.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest that the image's manifest must have.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same repository, at a digest instead of a tag.
    #[must_use]
    pub fn at_digest(&self, digest: &Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest.clone()),
            ..self.clone()
        }
    }

    /// The same repository, at a tag.
    ///
    /// # Errors
    /// When the tag is none.
    pub fn at_tag(&self, tag: &str) -> Result<Self, ParseReferenceError> {
        if !is_tag(tag) {
            return Err(ParseReferenceError::Malformed {
                text: tag.escape_debug().to_string(),
                part: "tag",
            });
        }
        Ok(Self {
            tag: Some(tag.to_owned()),
            digest: None,
            ..self.clone()
        })
    }

    /// Whether a reference, as it was written, has neither a tag nor a digest.
    #[must_use]
    pub fn is_repository(text: &str) -> bool {
        let last = text.rsplit('/').next().unwrap_or_default();
        !last.contains([':', '@'])
    }

    /// Whether both lie in the same repository of the same registry.
    #[must_use]
    pub fn is_same_repository(&self, other: &Self) -> bool {
        (&self.registry, &self.repository) == (&other.registry, &other.repository)
    }

    /// What a registry is asked for: the digest where there is one, else the tag.
    #[must_use]
    pub fn tag_or_digest(&self) -> &str {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.as_str(),
            (None, Some(tag)) => tag,
            (None, None) => DEFAULT_TAG,
        }
    }

    /// The name as Docker prints it, without what it would complete.
    #[must_use]
    pub fn familiar_name(&self) -> String {
        if self.registry != DOCKER_HUB {
            return format!("{}/{}", self.registry, self.repository);
        }
        self.repository
            .strip_prefix("library/")
            .unwrap_or(&self.repository)
            .to_owned()
    }

    /// [`Reference::familiar_name`] with tag and digest.
    #[must_use]
    pub fn familiar(&self) -> String {
        format!("{}{}", self.familiar_name(), Suffix(self))
    }
}

struct Suffix<'a>(&'a Reference);

impl fmt::Display for Suffix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(tag) = &self.0.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.0.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.registry, self.repository, Suffix(self))
    }
}

impl FromStr for Reference {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(ParseReferenceError::Empty);
        }
        let malformed = |part| ParseReferenceError::Malformed {
            text: text.escape_debug().to_string(),
            part,
        };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (
                rest,
                Some(digest.parse::<Digest>().map_err(|_| malformed("digest"))?),
            ),
            None => (text, None),
        };
        let (name, tag) = split_tag(rest);
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(malformed("tag"));
        }
        let (registry, repository) = split_registry(name);
        if !is_registry(registry) {
            return Err(malformed("registry"));
        }
        if !repository.split('/').all(is_path_component) {
            let lower = repository.to_ascii_lowercase();
            return Err(
                if lower != repository && lower.split('/').all(is_path_component) {
                    ParseReferenceError::UpperCase(text.to_owned())
                } else {
                    malformed("repository")
                },
            );
        }
        if name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ParseReferenceError::LooksLikeId(text.to_owned()));
        }
        let official = registry == DOCKER_HUB && !repository.contains('/');
        let repository = if official {
            format!("library/{repository}")
        } else {
            repository.to_owned()
        };
        if registry.len() + 1 + repository.len() > MAX_NAME {
            return Err(malformed("repository"));
        }
        let tag = match (tag, &digest) {
            (None, None) => Some(DEFAULT_TAG),
            (tag, _) => tag,
        };
        Ok(Self {
            registry: registry.to_owned(),
            repository,
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

/// A colon behind the last slash starts a tag; one before it belongs to the registry's port.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    }
}

/// The first component is a registry when it could not be a user name of Docker Hub.
fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some(("index.docker.io", repository)) => (DOCKER_HUB, repository),
        Some((first, repository))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (first, repository)
        }
        _ => (DOCKER_HUB, name),
    }
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => {
                let address_ok = address.parse::<std::net::Ipv6Addr>().is_ok();
                return address_ok
                    && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
            }
            None => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let label = |label: &str| {
        let bytes = label.as_bytes();
        bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || *b == b'-')
            && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
    };
    host.split('.').all(label) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// `[a-z0-9]+` joined by one of `.`, `_`, `__` or any number of `-`.
fn is_path_component(text: &str) -> bool {
    let word = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    if !(bytes.first().is_some_and(word) && bytes.last().is_some_and(word)) {
        return false;
    }
    bytes
        .split(word)
        .filter(|separator| !separator.is_empty())
        .all(|separator| {
            matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|b| *b == b'-')
        })
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let mut bytes = text.bytes();
    text.len() <= MAX_TAG
        && bytes.next().is_some_and(word)
        && bytes.all(|b| word(b) || matches!(b, b'.' | b'-'))
}

impl TryFrom<String> for Reference {
    type Error = ParseReferenceError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_a_name_without_tag_and_digest() {
        for (text, expected) in [
            ("x", true),
            ("host:5000/x", true),
            ("x:1", false),
            ("host:5000/x:1", false),
            ("host/x@sha256:00", false),
        ] {
            assert_eq!(Reference::is_repository(text), expected, "{text}");
        }
    }

    const HEX: &str = "abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789";

    #[test]
    fn short_names_are_completed_as_docker_does() {
        for (typed, meant) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("grafana/grafana", "docker.io/grafana/grafana:latest"),
            ("index.docker.io/nginx", "docker.io/library/nginx:latest"),
            ("docker.io/nginx", "docker.io/library/nginx:latest"),
            ("localhost/x", "localhost/x:latest"),
            ("localhost:5000/x", "localhost:5000/x:latest"),
            ("127.0.0.1:5000/a/b:t", "127.0.0.1:5000/a/b:t"),
            ("[::1]:5000/a", "[::1]:5000/a:latest"),
            ("quay.io/a/b_c__d--e.f", "quay.io/a/b_c__d--e.f:latest"),
            ("Host/x", "Host/x:latest"),
        ] {
            assert_eq!(
                typed.parse::<Reference>().unwrap().to_string(),
                meant,
                "{typed}"
            );
        }
    }

    #[test]
    fn a_digest_needs_no_tag_and_wins_over_one() {
        let pinned: Reference = format!("nginx@sha256:{HEX}").parse().unwrap();
        assert_eq!(pinned.tag(), None);
        assert_eq!(
            pinned.to_string(),
            format!("docker.io/library/nginx@sha256:{HEX}")
        );
        let both: Reference = format!("nginx:1@sha256:{HEX}").parse().unwrap();
        assert_eq!(both.tag(), Some("1"));
        assert_eq!(both.tag_or_digest(), format!("sha256:{HEX}"));
    }

    #[test]
    fn the_grammar_is_closed() {
        let long_tag = format!("a:{}", "t".repeat(129));
        let long_name = format!("x.io/{}", "n".repeat(255));
        for bad in [
            "",
            ":",
            "@",
            "a:",
            "a@",
            "/a",
            "a/",
            "a//b",
            "../a",
            "a/../b",
            "a%2eb",
            "a:тег",
            "käse",
            "a b",
            "a\u{1b}[31m",
            "a\u{202e}b",
            "a:-t",
            "a:.t",
            "a___b",
            "a..b",
            "-a",
            "a-",
            "a._b",
            "x.io:port/a",
            "x.io:99999/a",
            "-x.io/a",
            "[::1/a",
            "[nope]:1/a",
            "nginx@sha256:x",
            "http://x.io/a",
            "NGINX",
            "x.io/Nginx",
            HEX,
            &long_tag,
            &long_name,
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn upper_case_is_explained() {
        let error = "NGINX:latest".parse::<Reference>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "image reference \"NGINX:latest\" has upper-case letters: repository names are lower-case"
        );
    }

    #[test]
    fn familiar_names_hide_what_docker_completes() {
        for (typed, shown) in [
            ("nginx", "nginx:latest"),
            ("docker.io/grafana/grafana:1", "grafana/grafana:1"),
            ("quay.io/a/b", "quay.io/a/b:latest"),
        ] {
            assert_eq!(typed.parse::<Reference>().unwrap().familiar(), shown);
        }
    }
}
