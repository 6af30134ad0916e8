//! What users and administrators have decided about registries: where they really are, which mirrors
//! have the same, which may not be used, and how long to wait.
//!
//! `registries.conf` is Podman's, containers-registries.conf(5); `config.toml` is Carrier's own. What
//! stands in a later file about a prefix replaces what an earlier one said about it:
//! `registries.conf`, `registries.conf.d` of the system, that of the user, `config.toml`.
//! `unqualified-search-registries` is not looked at: a short name means Docker Hub, so that nobody can
//! offer another image under it (threat R-11).

mod certificates;
mod place;
mod tables;

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, io};

use carrier_spec::Reference;

use crate::error::Error;
use crate::policy::{Policy, Rule};
pub(crate) use certificates::Certificates;
pub(crate) use place::Place;
use place::Prefix;
use tables::{FileTables, MirrorUse};

/// All that is configured.
#[derive(Debug, Default)]
pub(crate) struct Config {
    registries: Vec<Registry>,
    pub(crate) timeouts: Timeouts,
    /// How often to try again.
    pub(crate) retries: Option<u32>,
    pub(crate) policy: Policy,
}

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    /// For the first byte of an answer, and between any two.
    pub(crate) read: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            read: Duration::from_secs(30),
        }
    }
}

/// What is decided about the repositories that begin in some way.
#[derive(Debug)]
struct Registry {
    prefix: Prefix,
    /// Where they are; where they seem to be if this is empty.
    location: String,
    insecure: bool,
    blocked: bool,
    mirrors: Vec<Mirror>,
    /// The file that says so.
    file: PathBuf,
}

#[derive(Debug)]
struct Mirror {
    location: String,
    insecure: bool,
    used_for: MirrorUse,
}

/// Which servers to ask for a repository.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) mirrors: Vec<Place>,
    pub(crate) origin: Place,
}

impl Config {
    /// Reads what there is.
    pub(crate) fn load() -> Result<Self, Error> {
        let mut config = Self::default();
        for path in files()? {
            if let Some(text) = read(&path)? {
                config.add(FileTables::lenient(&text).map_err(wrong(&path))?, &path)?;
            }
        }
        if let Some(path) = own_file()
            && let Some(text) = read(&path)?
        {
            config.add(FileTables::strict(&text).map_err(wrong(&path))?, &path)?;
        }
        Ok(config)
    }

    fn add(&mut self, tables: FileTables, path: &Path) -> Result<(), Error> {
        let seconds = Duration::from_secs;
        let network = &tables.network;
        self.timeouts.connect = network
            .connect_timeout
            .map_or(self.timeouts.connect, seconds);
        self.timeouts.read = network.read_timeout.map_or(self.timeouts.read, seconds);
        self.retries = network.retries.or(self.retries);
        for table in &tables.policies {
            self.policy
                .add(Rule::new(table, path).map_err(wrong(path))?);
        }
        for table in tables.registries {
            let registry = Registry::new(table, path).map_err(wrong(path))?;
            let others = |known: &Registry| known.prefix != registry.prefix;
            self.registries.retain(others);
            self.registries.push(registry);
        }
        Ok(())
    }

    /// Finds the servers for what a reference names. `verify` is the user's word on the registry that
    /// the reference names.
    pub(crate) fn route(
        &self,
        reference: &Reference,
        verify: Option<bool>,
    ) -> Result<Route, Error> {
        let named = Place {
            host: reference.registry().to_owned(),
            repository: reference.repository().to_owned(),
            insecure: verify == Some(false),
            strict: verify == Some(true),
        };
        let Some(registry) = self.about(&named) else {
            return Ok(Route {
                mirrors: Vec::new(),
                origin: named,
            });
        };
        if registry.blocked {
            return Err(Error::Blocked {
                image: reference.familiar(),
                prefix: registry.prefix.to_string(),
                file: registry.file.clone(),
            });
        }
        let by_digest = reference.digest().is_some();
        let elsewhere = |location: &str, insecure: bool| {
            let place = registry.prefix.moved(&named, location);
            let place = place.map(|place| Place {
                insecure,
                strict: named.strict,
                ..place
            });
            place.ok_or_else(|| {
                let reason = format!("{location:?} is no place for {}", reference.familiar());
                wrong(&registry.file)(reason)
            })
        };
        let usable = |mirror: &&Mirror| match mirror.used_for {
            MirrorUse::All => true,
            MirrorUse::DigestOnly => by_digest,
            MirrorUse::TagOnly => !by_digest,
        };
        let mirrors = registry.mirrors.iter().filter(usable);
        let mirrors = mirrors
            .map(|mirror| elsewhere(&mirror.location, mirror.insecure && verify != Some(true)))
            .collect::<Result<_, _>>()?;
        let insecure = verify.map_or(registry.insecure, |verify| !verify);
        let origin = if registry.location.is_empty() {
            Place { insecure, ..named }
        } else {
            elsewhere(&registry.location, insecure)?
        };
        Ok(Route { mirrors, origin })
    }

    /// Whether a host may go without certificates. `verify` is the user's word on it.
    pub(crate) fn is_insecure(&self, host: &str, verify: Option<bool>) -> bool {
        let place = Place {
            host: host.to_owned(),
            repository: String::new(),
            insecure: false,
            strict: false,
        };
        let configured = || self.about(&place).is_some_and(|registry| registry.insecure);
        verify.map_or_else(configured, |verify| !verify)
    }

    /// The decision with the longest prefix.
    fn about(&self, place: &Place) -> Option<&Registry> {
        let matching = self.registries.iter();
        let matching = matching.filter(|registry| registry.prefix.is_of(place));
        matching.max_by_key(|registry| registry.prefix.length())
    }
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(wrong(path)(error.to_string())),
    }
}

fn wrong(path: &Path) -> impl Fn(String) -> Error {
    let path = path.to_owned();
    move |reason| Error::Config {
        path: path.clone(),
        reason,
    }
}

fn directory(variable: &str) -> Option<PathBuf> {
    let value = env::var_os(variable).filter(|value| !value.is_empty())?;
    Some(PathBuf::from(value))
}

/// The user's directory for configuration.
pub(crate) fn home() -> Option<PathBuf> {
    directory("XDG_CONFIG_HOME").or_else(|| directory("HOME").map(|home| home.join(".config")))
}

fn own_file() -> Option<PathBuf> {
    home().map(|home| home.join("carrier/config.toml"))
}

/// Podman's files: a main one, the user's before the system's, and pieces.
fn files() -> Result<Vec<PathBuf>, Error> {
    let system = Path::new("/etc/containers");
    let users = home().map(|home| home.join("containers"));
    let main = directory("CONTAINERS_REGISTRIES_CONF").or_else(|| {
        let own = users.as_ref().map(|place| place.join("registries.conf"));
        own.filter(|path| path.exists())
    });
    let mut files = vec![main.unwrap_or_else(|| system.join("registries.conf"))];
    for place in [Some(system), users.as_deref()].into_iter().flatten() {
        files.extend(pieces(&place.join("registries.conf.d"))?);
    }
    Ok(files)
}

fn pieces(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(wrong(directory)(error.to_string())),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|error| wrong(directory)(error.to_string()))?
            .path();
        if path
            .extension()
            .is_some_and(|extension| extension == "conf")
        {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests;
