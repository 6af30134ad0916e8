//! A file with credentials, in the format that Docker and Podman share: containers-auth.json(5).
//!
//! Other programs keep settings of their own in it, so that what is not understood is left as it is.
//! Changes are made under a lock on the directory, in a new file that replaces the old one.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::{Map, Value};

use super::helper::Helper;
use super::{Credentials, RegistryName};
use crate::error::Error;

/// Larger files are not files of credentials.
const MAX_SIZE: u64 = 4 << 20;

/// How many links may lead to the file.
const MAX_LINKS: u32 = 8;

/// What is secret in an entry, or goes with it.
const FIELDS: [&str; 5] = [
    "auth",
    "username",
    "password",
    "identitytoken",
    "registrytoken",
];

/// The content of a file.
#[derive(Debug)]
pub(super) struct AuthFile {
    path: PathBuf,
    content: Map<String, Value>,
}

impl AuthFile {
    /// Reads a file; nothing where there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Error> {
        let failed = |source| Error::AuthFile {
            path: path.to_owned(),
            source,
        };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        file.take(MAX_SIZE)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        if bytes.trim_ascii().is_empty() {
            return Ok(None);
        }
        // Its own words would show what is in the file.
        let content = serde_json::from_slice(&bytes).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            failed(io::Error::other(format!(
                "it is not JSON at line {line}, column {column}"
            )))
        })?;
        Ok(Some(Self {
            path: path.to_owned(),
            content,
        }))
    }

    /// Changes a file, or makes one, while nobody else does; `change` tells whether there is anything
    /// to write. When this returns, the change survives a power cut.
    pub(super) fn change(
        path: &Path,
        change: impl FnOnce(&mut Self) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let failed = |source| Error::AuthFile {
            path: path.to_owned(),
            source,
        };
        let path = follow_links(path).map_err(failed)?;
        let directory = path.parent().unwrap_or(Path::new("/"));
        let lock = lock(directory);
        let mut file = Self::read(&path)?.unwrap_or_else(|| Self {
            path: path.clone(),
            content: Map::new(),
        });
        if change(&mut file)? {
            if lock.is_none() {
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(directory)
                    .map_err(failed)?;
            }
            let mut bytes =
                serde_json::to_vec_pretty(&file.content).map_err(|error| failed(error.into()))?;
            bytes.push(b'\n');
            replace(directory, &path, &bytes).map_err(failed)?;
        }
        Ok(())
    }

    /// The credentials for a name, or else for the part of the registry that it belongs to.
    pub(super) fn find(&self, wanted: &RegistryName) -> Result<Option<Credentials>, Error> {
        for name in wanted.and_parents() {
            // A program for this registry knows better than the file; one for all may not know.
            if let Some(helper) = self.helper(&name)
                && let Some(found) = helper.get(&name)?
            {
                return Ok(Some(found));
            }
            if let Some(found) = self.entry(&name)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The program that keeps the credentials for a name. Programs know hosts only.
    pub(super) fn helper(&self, name: &RegistryName) -> Option<Helper> {
        if !name.is_meant_by(name.server()) {
            return None;
        }
        let for_one = self.content.get("credHelpers").and_then(Value::as_object);
        let for_one = for_one.and_then(|helpers| {
            let mut helpers = helpers.iter();
            helpers.find_map(|(key, value)| name.is_meant_by(key).then_some(value))
        });
        let named = for_one.or_else(|| self.content.get("credsStore"));
        let named = named
            .and_then(Value::as_str)
            .filter(|name| !name.is_empty())?;
        Some(Helper::new(named, &self.path))
    }

    /// For what there are credentials, here or in programs.
    pub(super) fn names(&self) -> Vec<String> {
        let keys = |field: &str| self.content.get(field).and_then(Value::as_object);
        let maps = ["auths", "credHelpers"].into_iter().filter_map(keys);
        maps.flat_map(|map| map.keys().cloned()).collect()
    }

    fn entry(&self, name: &RegistryName) -> Result<Option<Credentials>, Error> {
        let Some(entries) = self.content.get("auths").and_then(Value::as_object) else {
            return Ok(None);
        };
        // What we write comes before other spellings.
        let key = name.key();
        let first = entries.get_key_value(&key).into_iter();
        let others = entries.iter().filter(|(other, _)| **other != key);
        for (key, entry) in first.chain(others.filter(|(key, _)| name.is_meant_by(key))) {
            let found = decode(entry).map_err(|what| Error::AuthFile {
                path: self.path.clone(),
                source: io::Error::other(format!("the {what} of {key:?} is malformed")),
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Puts credentials into the file, in place of others in any spelling.
    pub(super) fn set(&mut self, name: &RegistryName, credentials: &Credentials) {
        let entry = self.blank(name);
        let login = |user: &str, password: &str| STANDARD.encode(format!("{user}:{password}"));
        let mut put = |field: &str, value: String| entry.insert(field.to_owned(), value.into());
        match credentials {
            Credentials::Password { user, password } => {
                put("auth", login(user, password));
            }
            Credentials::Identity { user, token } => {
                put("auth", login(user, ""));
                put("identitytoken", token.clone());
            }
            Credentials::Token(token) => {
                put("registrytoken", token.clone());
            }
        }
    }

    /// Notes that a program has the credentials, as Docker does.
    pub(super) fn mark(&mut self, name: &RegistryName) {
        self.blank(name);
    }

    /// The entry for a name, without its secrets; other spellings are gone.
    fn blank(&mut self, name: &RegistryName) -> &mut Map<String, Value> {
        let key = name.key();
        let entries = object(self.content.entry("auths"));
        entries.retain(|other, _| *other == key || !name.is_meant_by(other));
        let entry = object(entries.entry(key));
        entry.retain(|field, _| !FIELDS.contains(&field.as_str()));
        entry
    }

    /// Removes the entry for a name; tells whether there was one.
    pub(super) fn remove(&mut self, name: &RegistryName) -> bool {
        let entries = self.content.get_mut("auths").and_then(Value::as_object_mut);
        entries.is_some_and(|entries| {
            let before = entries.len();
            entries.retain(|key, _| !name.is_meant_by(key));
            entries.len() < before
        })
    }
}

/// The object in a place, which holds nothing else afterwards.
fn object(place: serde_json::map::Entry<'_>) -> &mut Map<String, Value> {
    let value = place.or_insert(Value::Null);
    if !value.is_object() {
        *value = Map::new().into();
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("an object was put there"),
    }
}

/// Reads an entry; an error names the field that is wrong.
fn decode(entry: &Value) -> Result<Option<Credentials>, &'static str> {
    let text = |field: &str| {
        let text = entry.get(field).and_then(Value::as_str);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let login = match text("auth") {
        Some(encoded) => Some(decode_login(&encoded).ok_or("auth")?),
        None => text("username").map(|user| (user, text("password").unwrap_or_default())),
    };
    if let Some(token) = text("identitytoken") {
        let user = login.map_or(String::new(), |(user, _)| user);
        return Ok(Some(Credentials::Identity { user, token }));
    }
    if let Some(token) = text("registrytoken") {
        return Ok(Some(Credentials::Token(token)));
    }
    Ok(login.map(|(user, password)| Credentials::Password { user, password }))
}

fn decode_login(encoded: &str) -> Option<(String, String)> {
    let encoded = encoded.trim().trim_end_matches('=');
    let text = String::from_utf8(STANDARD_NO_PAD.decode(encoded).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    // Docker's first versions filled up with NUL.
    Some((user.to_owned(), password.trim_end_matches('\0').to_owned()))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// People keep such files elsewhere and link to them: the link stays a link.
fn follow_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("/")).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many links lead to it"))
}

/// Waits until nobody else changes files in a directory. File systems without locks leave us no worse
/// off than Docker, which has none.
fn lock(directory: &Path) -> Option<File> {
    let opened = File::open(directory).or_else(|error| {
        if !is_absent(&error) {
            return Err(error);
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        // The name of a new directory is to survive a power cut too.
        if let Some(parent) = directory.parent() {
            File::open(parent)?.sync_all()?;
        }
        File::open(directory)
    });
    opened.ok().inspect(|file| {
        let _ = file.lock();
    })
}

fn replace(directory: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".carrier-new");
    let new = directory.join(name);
    // What a crash has left there may have another mode.
    match fs::remove_file(&new) {
        Err(error) if !is_absent(&error) => return Err(error),
        _ => {}
    }
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&new, path))
        .inspect_err(|_| {
            let _ = fs::remove_file(&new);
        })?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests;
