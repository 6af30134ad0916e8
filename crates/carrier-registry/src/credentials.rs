//! Users' names and secrets for registries: where they are found, and where they are kept.
//!
//! They are read from `$REGISTRY_AUTH_FILE` alone where that is set, else from Docker's file, then from
//! Podman's; each file may name programs that keep the secrets instead. They are written to
//! `$REGISTRY_AUTH_FILE` or Docker's file: both survive a reboot, and Docker, Podman and others find
//! them there.

mod file;
mod helper;
mod places;
mod registry;

use std::fmt;
use std::path::PathBuf;

use crate::error::Error;
use file::AuthFile;
pub use places::dockers as docker_config_file;
pub use registry::{ParseRegistryError, RegistryName};

/// The user name by which credential helpers say that the secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// What a user shows to a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A name and its password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// A token that is exchanged for others, OAuth 2's refresh token.
    Identity {
        /// A name that may go with it.
        user: String,
        /// The token.
        token: String,
    },
    /// A token that the registry itself takes.
    Token(String),
}

impl Credentials {
    /// Whose they are, as far as that is known.
    #[must_use]
    pub fn user(&self) -> &str {
        match self {
            Self::Password { user, .. } | Self::Identity { user, .. } => user,
            Self::Token(_) => "",
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// Where credentials went to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// To a file, readable for whoever can read the user's files.
    InFile(PathBuf),
    /// To a program.
    ByHelper(String),
}

/// Looks up what to show to a registry for a repository, the most particular entry of the first file
/// that has any.
///
/// # Errors
/// When a file or the program that it names cannot be read or run.
pub(crate) fn find(host: &str, repository: &str) -> Result<Option<Credentials>, Error> {
    let wanted = RegistryName::of_repository(host, repository);
    for path in places::to_read()? {
        let Some(file) = AuthFile::read(&path)? else {
            continue;
        };
        if let Some(found) = file.find(&wanted)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Keeps credentials, in place of others for the same name.
pub(crate) fn store(name: &RegistryName, credentials: &Credentials) -> Result<Kept, Error> {
    let path = places::to_write()?;
    let mut kept = Kept::InFile(path.clone());
    AuthFile::change(&path, |file| {
        match file.helper(name) {
            Some(helper) => {
                helper.store(name, credentials)?;
                file.mark(name);
                kept = Kept::ByHelper(helper.program());
            }
            None => file.set(name, credentials),
        }
        Ok(true)
    })?;
    Ok(kept)
}

/// Forgets the credentials for a name, wherever they are; tells whether there were any.
pub(crate) fn erase(name: &RegistryName) -> Result<bool, Error> {
    let mut any = false;
    for path in places::to_read()? {
        if AuthFile::read(&path)?.is_none() {
            continue;
        }
        AuthFile::change(&path, |file| {
            let changed = file.remove(name);
            let found = match file.helper(name) {
                Some(helper) => helper.get(name)?.is_some() && helper.erase(name)?,
                None => false,
            };
            any |= changed || found;
            Ok(changed)
        })?;
    }
    Ok(any)
}

/// Forgets all credentials of all files; returns for what they were.
pub(crate) fn erase_all() -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for path in places::to_read()? {
        if let Some(file) = AuthFile::read(&path)? {
            names.extend(file.names());
        }
    }
    names.sort();
    names.dedup();
    let mut erased = Vec::new();
    for text in names {
        // What is no name of a registry was not written for one.
        if let Ok(name) = text.parse::<RegistryName>()
            && erase(&name)?
        {
            erased.push(name.to_string());
        }
    }
    erased.dedup();
    Ok(erased)
}
