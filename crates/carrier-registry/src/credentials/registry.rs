//! The names by which credentials are kept: a host, and perhaps a part of its repositories.

use std::fmt;
use std::str::FromStr;

use carrier_spec::Reference;

/// Docker Hub, as Docker's file calls it.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
const DOCKER_HUB: &str = "docker.io";

/// A registry, or a namespace in it: `quay.io`, `quay.io/team`, `quay.io/team/tool`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryName {
    host: String,
    path: String,
}

/// Why a text does not name a registry.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} does not name a registry")]
pub struct ParseRegistryError(String);

impl RegistryName {
    pub(crate) fn of_repository(host: &str, repository: &str) -> Self {
        Self {
            host: host.to_owned(),
            path: repository.to_owned(),
        }
    }

    /// Host and perhaps port; `docker.io` for Docker Hub.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The part of its repositories that is meant; all of them where it is empty.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The key under which it is written, which Docker reads too.
    pub(crate) fn key(&self) -> String {
        if self.host == DOCKER_HUB && self.path.is_empty() {
            DOCKER_HUB_KEY.to_owned()
        } else {
            self.to_string()
        }
    }

    /// What helpers are asked for: they know hosts only.
    pub(crate) fn server(&self) -> &str {
        if self.host == DOCKER_HUB {
            DOCKER_HUB_KEY
        } else {
            &self.host
        }
    }

    /// This name, then those that contain it, up to the host.
    pub(crate) fn and_parents(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self.clone()), |name| {
            let parent = name.path.rsplit_once('/').map_or("", |(parent, _)| parent);
            (!name.path.is_empty()).then(|| Self {
                host: name.host.clone(),
                path: parent.to_owned(),
            })
        })
    }

    /// Whether a key of a file means exactly this: also in the spellings of old files, such as
    /// `https://quay.io/v1/`.
    pub(crate) fn is_meant_by(&self, key: &str) -> bool {
        let (host, path) = split(key);
        host == self.host && path == self.path
    }
}

/// Host and path of a key. One with a scheme is an address of old, which means the host.
fn split(key: &str) -> (&str, &str) {
    let bare = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"));
    let (host, path) = match bare {
        Some(address) => (address.split('/').next().unwrap_or(address), ""),
        None => key.split_once('/').unwrap_or((key, "")),
    };
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB,
        host => host,
    };
    match path.trim_end_matches('/') {
        "v1" | "v2" => (host, ""),
        path => (host, path),
    }
}

impl FromStr for RegistryName {
    type Err = ParseRegistryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, path) = split(text.trim());
        let repository = if path.is_empty() { "x" } else { path };
        let reference: Option<Reference> = format!("{host}/{repository}").parse().ok();
        // The grammar of references completes what is no host, and takes tags.
        let fits = reference.is_some_and(|reference| {
            let completed = host == DOCKER_HUB && path.is_empty();
            reference.registry() == host
                && (reference.repository() == repository || completed)
                && reference.digest().is_none()
                && !repository.contains(':')
        });
        if !fits {
            return Err(ParseRegistryError(text.to_owned()));
        }
        Ok(Self {
            host: host.to_owned(),
            path: path.to_owned(),
        })
    }
}

impl fmt::Display for RegistryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        if !self.path.is_empty() {
            write!(f, "/{}", self.path)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_has_many_spellings() {
        for hub in [
            "docker.io",
            "index.docker.io",
            "https://index.docker.io/v1/",
            "registry-1.docker.io",
            "https://docker.io",
        ] {
            let name: RegistryName = hub.parse().unwrap();
            assert_eq!(name.to_string(), "docker.io", "{hub}");
            assert_eq!(name.key(), "https://index.docker.io/v1/");
        }
        for quay in [
            "quay.io",
            "https://quay.io",
            "https://quay.io/v1/",
            "quay.io/v2",
        ] {
            let name: RegistryName = quay.parse().unwrap();
            assert_eq!(name.key(), "quay.io", "{quay}");
            assert!(name.is_meant_by("http://quay.io/v1/"));
            assert!(!name.is_meant_by("quay.io/team") && !name.is_meant_by("https://quay.io:443"));
        }
        let port: RegistryName = "http://127.0.0.1:5000/".parse().unwrap();
        assert_eq!(port.key(), "127.0.0.1:5000");
    }

    #[test]
    fn what_is_no_registry_is_refused() {
        for bad in [
            "",
            "ann",
            "-p",
            "ftp://quay.io",
            "quay.io/Team",
            "quay.io:x",
            "a b.c",
            "quay.io/a:b",
        ] {
            assert!(bad.parse::<RegistryName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_most_particular_name_comes_first() {
        let name = RegistryName::of_repository("quay.io", "a/b");
        let all: Vec<String> = name.and_parents().map(|name| name.to_string()).collect();
        assert_eq!(all, ["quay.io/a/b", "quay.io/a", "quay.io"]);
    }
}
