//! Where files with credentials are.

use std::env;
use std::path::PathBuf;

use crate::error::Error;

fn directory(variable: &str) -> Option<PathBuf> {
    let value = env::var_os(variable).filter(|value| !value.is_empty())?;
    Some(PathBuf::from(value))
}

fn named() -> Option<PathBuf> {
    directory("REGISTRY_AUTH_FILE")
}

/// Docker's configuration file, whether it is there or not.
#[must_use]
pub fn dockers() -> Option<PathBuf> {
    let own = directory("DOCKER_CONFIG");
    let place = own.or_else(|| directory("HOME").map(|home| home.join(".docker")))?;
    Some(place.join("config.json"))
}

/// The files to look into, in their order.
pub(super) fn to_read() -> Result<Vec<PathBuf>, Error> {
    if let Some(named) = named() {
        return Ok(vec![named]);
    }
    let configuration =
        directory("XDG_CONFIG_HOME").or_else(|| directory("HOME").map(|home| home.join(".config")));
    let podmans = [directory("XDG_RUNTIME_DIR"), configuration].into_iter();
    let podmans = podmans
        .flatten()
        .map(|place| place.join("containers/auth.json"));
    Ok(dockers().into_iter().chain(podmans).collect())
}

/// The file to keep credentials in.
pub(super) fn to_write() -> Result<PathBuf, Error> {
    let place = named().or_else(dockers);
    place.ok_or_else(|| Error::Client("there is no place for credentials: set HOME".to_owned()))
}
