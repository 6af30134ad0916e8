//! Where repositories are, and the beginnings of their names.

use std::fmt;

/// A repository on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Host and perhaps port.
    pub(crate) host: String,
    pub(crate) repository: String,
    /// Whether plain HTTP and unchecked certificates are good enough there.
    pub(crate) insecure: bool,
    /// Whether the user insists on HTTPS, on this machine too.
    pub(crate) strict: bool,
}

/// What the names of repositories begin with: `quay.io`, `quay.io/team`, `*.example.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    host: String,
    path: String,
}

impl Prefix {
    /// Reads a prefix; an error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim_end_matches('/');
        let (host, path) = text.split_once('/').unwrap_or((text, ""));
        let bare = host.strip_prefix("*.").unwrap_or(host);
        let odd = |c: char| !(c.is_ascii_alphanumeric() || "-._:[]/".contains(c));
        if bare.is_empty() || bare.contains(odd) || path.contains(odd) || text.contains("://") {
            return Err(format!("{text:?} is not the beginning of a name"));
        }
        Ok(Self {
            host: host.to_owned(),
            path: path.to_owned(),
        })
    }

    pub(super) fn is_of(&self, place: &Place) -> bool {
        let host_fits = match self.host.strip_prefix('*') {
            Some(domain) => {
                let bare = place
                    .host
                    .rsplit_once(':')
                    .map_or(place.host.as_str(), |it| it.0);
                place.host.ends_with(domain) || bare.ends_with(domain)
            }
            None => place.host == self.host,
        };
        host_fits && self.rest(place).is_some()
    }

    /// What is behind the prefix, with its slash.
    fn rest<'a>(&self, place: &'a Place) -> Option<&'a str> {
        if self.path.is_empty() {
            return Some(place.repository.as_str());
        }
        let rest = place.repository.strip_prefix(&self.path)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches('/'))
    }

    /// The same repository below another location.
    pub(super) fn moved(&self, place: &Place, location: &str) -> Option<Place> {
        let (host, path) = location.split_once('/').unwrap_or((location, ""));
        let parts = [path, self.rest(place)?];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let repository = parts.join("/");
        (!host.is_empty() && !repository.is_empty()).then(|| Place {
            host: host.to_owned(),
            repository,
            insecure: false,
            strict: false,
        })
    }

    pub(super) fn length(&self) -> usize {
        self.to_string().len()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        if !self.path.is_empty() {
            write!(f, "/{}", self.path)?;
        }
        Ok(())
    }
}
